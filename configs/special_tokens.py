"""Names that tokenizers give to the marks for padding, begin and end."""

# Ours and Llama 2's, BERT's, Llama 3's, GPT-2's (SmolLM and others took it over).
SPECIAL_TOKENS = {
    "pad": ("[PAD]", "<pad>", "<|finetune_right_pad_id|>", "<unk>", "<|end_of_text|>", "<|endoftext|>"),
    "bos": ("[BOS]", "[CLS]", "<s>", "<|begin_of_text|>", "<|endoftext|>"),
    "eos": ("[EOS]", "[SEP]", "</s>", "<|end_of_text|>", "<|endoftext|>"),
}
