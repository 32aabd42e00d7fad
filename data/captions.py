"""Captions as text and as token ids.

Normalisation is that of Clotho's authors and the DCASE captioning baselines: lower case, without punctuation, with single
spaces.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from configs.schema import CaptionerConfig, TokenizerConfig
from configs.special_tokens import SPECIAL_TOKENS, TRAINED_MARKS

PAD, BOS, EOS, UNKNOWN = TRAINED_MARKS
# Apostrophes inside a word are kept ("someone's"); all other punctuation marks are separators.
_PUNCTUATION = re.compile(r"(?<!\w)'|'(?!\w)|[^\w\s']|_")


def normalize_caption(caption: str) -> str:
    """Convert a caption to lower case, remove punctuation and collapse white space.

    Typographic quotes are replaced by ASCII quotes, and compatibility characters such as full-width letters are normalised
    (Unicode NFKC). The function is idempotent.
    """
    text = unicodedata.normalize("NFKC", caption).replace("\u2019", "'").replace("\u2018", "'").lower()
    text = unicodedata.normalize("NFKC", text)
    return " ".join(_PUNCTUATION.sub(" ", text).split())


def train_tokenizer(captions: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a sub-word tokenizer (byte-pair encoding, Sennrich et al. 2016, arXiv 1508.07909) on captions.

    Args:
        captions: raw training captions, which are normalised.
        vocab_size: maximum size of the vocabulary, including special tokens.

    Returns:
        Tokenizer that adds [BOS] and [EOS] tokens; "▁" marks the start of a word.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(TRAINED_MARKS), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator((normalize_caption(caption) for caption in captions), trainer)
    set_marks(tokenizer)
    return tokenizer


def tokenizer_config(config: CaptionerConfig) -> TokenizerConfig:
    """Return the tokenizer's settings, with kind "decoder" replaced by the name of the pretrained decoder.

    Raises:
        ValueError: the kind is "decoder", and the decoder is not pretrained.
    """
    if config.tokenizer.kind != "decoder":
        return config.tokenizer
    if not config.decoder.pretrained:
        raise ValueError(
            "captioner.tokenizer.kind decoder needs a pretrained decoder: set captioner.decoder.pretrained, or set the kind to "
            "bpe."
        )
    return replace(config.tokenizer, kind=config.decoder.pretrained)


def build_tokenizer(config: TokenizerConfig, captions: Sequence[str]) -> Tokenizer:
    """Build the tokenizer of a configuration: trained on `captions`, from a folder, or from the Hub.

    It adds begin and end tokens to a caption, whereas Llama's own tokenizer only adds the begin token.

    Raises:
        ValueError: there are no captions to train on, or the tokenizer does not exist.
    """
    if config.kind == "bpe":
        if not captions:
            raise ValueError("there are no captions to train a tokenizer on: check the training split.")
        return train_tokenizer(captions, config.vocab_size)
    local = Path(config.kind) / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(local)) if local.exists() else Tokenizer.from_pretrained(config.kind)
    except Exception as error:  # tokenizers raises bare Exception
        raise ValueError(
            f"no tokenizer named {config.kind} could be loaded ({error}): give a folder with tokenizer.json, a hub id "
            '(with network access), or "bpe" to train one.'
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    set_marks(tokenizer)
    return tokenizer


def set_marks(tokenizer: Tokenizer) -> None:
    """Make a tokenizer add begin and end tokens; a tokenizer without known names for them is unchanged."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    begin, end = (
        next((token for token in SPECIAL_TOKENS[mark] if token in vocabulary), None) for mark in ("bos", "eos")
    )
    if begin is not None and end is not None:
        marks = [(token, vocabulary[token]) for token in {begin, end}]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{begin} $A {end}", special_tokens=marks)


def encode_caption(tokenizer: Tokenizer, caption: str, max_tokens: int) -> list[int]:
    """Return the token ids of a caption with begin and end tokens.

    Args:
        tokenizer: tokenizer from `build_tokenizer`.
        caption: raw caption, which is normalised.
        max_tokens: maximum number of tokens, including begin and end tokens; longer captions are truncated before the end token.
    """
    ids: list[int] = tokenizer.encode(normalize_caption(caption)).ids
    return ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]]
