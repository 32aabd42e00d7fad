"""Names of padding, begin and end tokens in known tokenizers."""

# Of tokenizers trained here, Llama 2, BERT, Llama 3, and GPT-2 (also used by SmolLM and others).
SPECIAL_TOKENS = {
    "pad": ("[PAD]", "<pad>", "<|finetune_right_pad_id|>", "<unk>", "<|end_of_text|>", "<|endoftext|>"),
    "bos": ("[BOS]", "[CLS]", "<s>", "<|begin_of_text|>", "<|endoftext|>"),
    "eos": ("[EOS]", "[SEP]", "</s>", "<|end_of_text|>", "<|endoftext|>"),
}

# Padding, begin, end and unknown token of tokenizers trained here, in the order of their ids, 0 to 3.
TRAINED_MARKS = ("[PAD]", "[BOS]", "[EOS]", "[UNK]")
