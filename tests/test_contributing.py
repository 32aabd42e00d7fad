"""The steps of CONTRIBUTING.md work: its encoder captions, its metric is scored."""

import re
import sys
import textwrap
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.schema import Config, DecoderConfig, EncoderConfig, TokenizerConfig
from data.captions import build_tokenizer
from evaluation import measures, scores
from evaluation.inputs import Corpus
from evaluation.resources import Resources
from models.captioner import AudioCaptioner
from models.encoders import build

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
ENCODER, METRIC = (textwrap.dedent(block) for block in re.findall(r" +```python\n(.*?) +```", TEXT, re.S))


def test_the_encoder_captions_and_ignores_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("models.encoders.energy")
    exec(compile(ENCODER, "CONTRIBUTING.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    [(name, place)] = re.findall(r'`"(\w+)": (\("\w+", "\w+"\))`', TEXT)
    monkeypatch.setitem(build.ENCODERS, name, eval(place))
    parts = replace(
        Config().captioner,
        encoder=EncoderConfig(name=name, sample_rate=16000),
        decoder=DecoderConfig(num_layers=1, num_heads=2, width=32),
    )
    tokenizer = build_tokenizer(TokenizerConfig(vocab_size=60), ["a dog barks", "rain falls on a roof"])
    captioner = AudioCaptioner(Config(captioner=parts), tokenizer).eval()
    generator = np.random.default_rng(0)
    clips = [generator.normal(size=size).astype(np.float32) * 0.1 for size in (16000, 23456)]
    together, alone = captioner.encode_clips(clips), captioner.encode_clips(clips[:1])
    assert together.lengths.tolist() == [10, 15] and captioner.has_tagger is False
    assert torch.allclose(together.embeddings[0, :10], alone.embeddings[0], atol=1e-6)
    assert not together.embeddings[0, 10:].any()
    assert all(caption[0].text for caption in captioner.caption(clips))


def test_the_metric_is_scored_with_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    functions: dict[str, object] = {}
    exec(compile(METRIC, "CONTRIBUTING.md", "exec"), functions)
    monkeypatch.setitem(scores.PER_CLIP, "article", functions["starts_with_article"])
    monkeypatch.setitem(measures.MEASURES, "article", measures.Measure("Article", "Share of captions.", 1.0, 0))
    names, candidates = ("a", "b", "c", "d"), ("A dog", "dogs bark", "the rain", "An owl")
    corpus = Corpus(names, candidates, tuple((text,) for text in candidates))
    settings = scores.ScoreSettings(measures=("article",), resources=Resources(None))
    [found] = scores.score_systems([corpus], settings)
    score = found["article"]
    assert score.value == 0.75 and score.low is not None and score.low < 0.75
