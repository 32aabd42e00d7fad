"""Small random networks in transformers' format, saved as their authors publish theirs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    HubertConfig,
    HubertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SENTENCES = ["a dog barks twice", "rain falls on a tin roof", "a siren wails", "waves break on the shore"] * 3
AUDIO_KINDS = ("ast", "whisper", "wav2vec2-bert", "wav2vec2", "hubert")


def make_clap(folder: Path, fused: bool = False) -> ClapModel:
    """CLAP with both towers, feature extractor and tokenizer; every weight random, batch norm's statistics too."""
    torch.manual_seed(0)
    audio: dict[str, Any] = {
        "patch_embeds_hidden_size": 8,
        "hidden_size": 64,
        "depths": [2, 1, 2, 1],
        "num_attention_heads": [1, 2, 2, 4],
    }
    if fused:
        audio |= {"enable_fusion": True, "fusion_type": "aff_2d"}
    tokenizer = _roberta_tokenizer()
    text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 24}
    config = ClapConfig(text_config=ClapTextConfig(**text), audio_config=ClapAudioConfig(**audio), projection_dim=16)
    clap = ClapModel(config).eval()
    norm = clap.audio_model.audio_encoder.batch_norm
    norm.running_mean.normal_(-40, 5)
    norm.running_var.uniform_(100, 400)
    for name, parameter in clap.named_parameters():
        if "relative_position_bias" in name:
            torch.nn.init.normal_(parameter)
    clap.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    extractor = ClapFeatureExtractor(frequency_min=50, truncation="fusion" if fused else "rand_trunc")
    extractor.save_pretrained(folder)
    return clap


def make_audio_network(kind: str, folder: Path) -> Any:
    """A network of one of AUDIO_KINDS with its feature extractor."""
    torch.manual_seed(0)
    extractor: Any
    if kind == "ast":
        network: Any = ASTModel(ASTConfig(**SIZES))
        extractor = ASTFeatureExtractor()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    elif kind == "whisper":
        network = WhisperModel(
            WhisperConfig(
                vocab_size=100, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, d_model=32,
                encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
                encoder_ffn_dim=64, decoder_ffn_dim=64,
            )
        )  # fmt: skip
        extractor = WhisperFeatureExtractor()
    elif kind == "wav2vec2-bert":
        network, extractor = Wav2Vec2BertModel(Wav2Vec2BertConfig(**SIZES)), SeamlessM4TFeatureExtractor()
    elif kind == "wav2vec2":
        network, extractor = Wav2Vec2Model(Wav2Vec2Config(**SIZES, conv_dim=[16] * 7)), Wav2Vec2FeatureExtractor()
    else:
        network, extractor = HubertModel(HubertConfig(**SIZES, conv_dim=[16] * 7)), Wav2Vec2FeatureExtractor()
    network.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return network.eval()


def make_llama(folder: Path, tied: bool = False, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    """A Llama and a tokenizer like Llama 2's, which puts a begin mark before a text and no end mark behind it.

    Its generation_config.json asks for sampling and penalties, as those of published checkpoints may.
    """
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size() + 3, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    llama = LlamaForCausalLM(config).eval()
    for name, parameter in llama.named_parameters():
        if "proj" in name or "lm_head" in name:
            torch.nn.init.normal_(parameter, std=0.3)  # logits far enough apart for searches to be sure
    llama = llama.to(dtype)
    llama.generation_config.update(do_sample=True, temperature=0.3, repetition_penalty=5.0, no_repeat_ngram_size=1)
    llama.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return llama


def _roberta_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    )
    marks = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def pad_clips(clips: Sequence[np.ndarray], padding: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips (S,) as one batch (B, longest + padding), zero behind each, and their lengths (B,)."""
    lengths = [len(clip) for clip in clips]
    batch = torch.zeros(len(clips), max(lengths) + padding)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)] = torch.from_numpy(clip)
    return batch, torch.tensor(lengths)
