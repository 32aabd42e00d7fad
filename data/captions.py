"""Captions as text and as token ids.

Normalisation follows the field (Clotho's authors and the DCASE captioning baselines): lower case, punctuation removed,
spaces folded.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from configs.schema import CaptionerConfig, TokenizerConfig
from configs.special_tokens import SPECIAL_TOKENS

PAD, BOS, EOS, UNKNOWN = "[PAD]", "[BOS]", "[EOS]", "[UNK]"
# An apostrophe inside a word belongs to it ("someone's"); every other mark separates.
_PUNCTUATION = re.compile(r"(?<!\w)'|'(?!\w)|[^\w\s']|_")


def normalize_caption(caption: str) -> str:
    """Lower-case a caption, drop its punctuation and fold its spaces.

    Typographic quotes become plain ones first and compatibility forms (such as full-width letters) their usual letters.
    Idempotent.
    """
    text = unicodedata.normalize("NFKC", caption).replace("\u2019", "'").replace("\u2018", "'").lower()
    text = unicodedata.normalize("NFKC", text)
    return " ".join(_PUNCTUATION.sub(" ", text).split())


def train_tokenizer(captions: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a sub-word tokenizer (byte-pair encoding, Sennrich et al. 2016, arXiv 1508.07909) on captions.

    Args:
        captions: raw training captions; they are normalised here.
        vocab_size: largest vocabulary, special tokens included; small texts give fewer.

    Returns:
        A tokenizer that puts [BOS] and [EOS] around a caption. A word starts with "▁".
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[PAD, BOS, EOS, UNKNOWN], show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator((normalize_caption(caption) for caption in captions), trainer)
    set_marks(tokenizer)
    return tokenizer


def tokenizer_config(config: CaptionerConfig) -> TokenizerConfig:
    """The tokenizer's settings, with the name of the pretrained decoder where they ask for the decoder's own.

    Raises:
        ValueError: the decoder's own, where none is pretrained.
    """
    if config.tokenizer.kind != "decoder":
        return config.tokenizer
    if not config.decoder.pretrained:
        raise ValueError(
            "captioner.tokenizer.kind decoder needs a pretrained one: set captioner.decoder.pretrained, or the kind to bpe."
        )
    return replace(config.tokenizer, kind=config.decoder.pretrained)


def build_tokenizer(config: TokenizerConfig, captions: Sequence[str]) -> Tokenizer:
    """The tokenizer that the configuration asks for: trained on `captions`, from a folder, or from the hub.

    It puts its begin and end marks around a caption, which Llama's own does at the beginning alone.

    Raises:
        ValueError: no captions to train on, or no tokenizer of that name.
    """
    if config.kind == "bpe":
        if not captions:
            raise ValueError("a tokenizer cannot be trained on no captions: check the training split.")
        return train_tokenizer(captions, config.vocab_size)
    local = Path(config.kind) / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(local)) if local.exists() else Tokenizer.from_pretrained(config.kind)
    except Exception as error:  # tokenizers raises bare Exception
        raise ValueError(
            f"no tokenizer named {config.kind} could be loaded ({error}): give a folder with tokenizer.json, or a hub id "
            'while the network is there, or "bpe" to train one.'
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    set_marks(tokenizer)
    return tokenizer


def set_marks(tokenizer: Tokenizer) -> None:
    """Let a tokenizer put its begin and end marks around what it encodes; one without names known for them stays as it is."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    begin, end = (
        next((token for token in SPECIAL_TOKENS[mark] if token in vocabulary), None) for mark in ("bos", "eos")
    )
    if begin is not None and end is not None:
        marks = [(token, vocabulary[token]) for token in {begin, end}]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{begin} $A {end}", special_tokens=marks)


def encode_caption(tokenizer: Tokenizer, caption: str, max_tokens: int) -> list[int]:
    """Token ids of a caption with its begin and end marks.

    Args:
        tokenizer: as `build_tokenizer` gives it.
        caption: raw text; normalised here.
        max_tokens: longest result, marks included; a longer caption loses words before its end mark.
    """
    ids: list[int] = tokenizer.encode(normalize_caption(caption)).ids
    return ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]]
