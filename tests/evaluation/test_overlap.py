"""BLEU, ROUGE-L, METEOR, CIDEr-D: published values, cases computed by hand, resamples, a missing Java."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.errors import MetricError
from evaluation.inputs import Corpus
from evaluation.overlap import MeasureResult, MeteorProgram, bleu, cider_d, rouge_l, tokenize

NO_RESAMPLES = np.zeros((0, 1))


def all_five(corpus: Corpus, counts: np.ndarray) -> dict[str, MeasureResult]:
    tokens = tokenize([*corpus.references, *([caption] for caption in corpus.candidates)])
    references, candidates = tokens[: len(corpus)], [group[0] for group in tokens[len(corpus) :]]
    results = {f"bleu_{order}": result for order, result in enumerate(bleu(candidates, references, counts), start=1)}
    results["rouge_l"] = rouge_l(candidates, references, counts)
    results["cider_d"] = cider_d(candidates, references, counts)
    [results["meteor"]] = MeteorProgram.start().measure([candidates], references, counts)
    return results


@pytest.mark.slow
def test_every_published_value_is_met(published: pd.DataFrame, published_corpus: Corpus) -> None:
    results = all_five(published_corpus, np.zeros((0, len(published))))
    for key, result in results.items():
        np.testing.assert_allclose(result.per_clip, published[key], atol=1e-9, err_msg=key)
    # Corpus values, which are no means over clips for BLEU and METEOR; the others' published ones are.
    assert results["meteor"].value == pytest.approx(0.191994, abs=1e-6)
    assert results["bleu_4"].value == pytest.approx(0.178849, abs=1e-6)
    for key in ("cider_d", "rouge_l"):
        assert results[key].value == pytest.approx(published[key].mean(), abs=1e-9)


@pytest.mark.parametrize(
    ("candidate", "reference", "bleu_1", "bleu_2"),
    [
        ("a dog barks loudly", "a dog barks", 3 / 4, math.sqrt(3 / 4 * 2 / 3)),  # longer: no penalty
        ("a dog", "a dog barks twice", math.exp(1 - 4 / 2), math.exp(1 - 4 / 2)),  # half as long: e to the -1
        ("a a a a", "a dog barks now", 1 / 4, 0.0),  # a word counts as often as the reference has it
        ("rain", "a dog barks", 0.0, 0.0),
    ],
)
def test_bleu_by_hand(candidate: str, reference: str, bleu_1: float, bleu_2: float) -> None:
    results = bleu([candidate], [[reference]], NO_RESAMPLES)
    assert results[0].value == pytest.approx(bleu_1, abs=1e-5)
    assert results[1].value == pytest.approx(bleu_2, abs=1e-4)


def test_rouge_l_by_hand() -> None:
    # Longest common run 3; precision 1, recall 3/4; F with beta 1.2 is 2.44 * 0.75 / (0.75 + 1.44).
    result = rouge_l(["a dog barks", "rain"], [["a dog quietly barks"], ["wind"]], np.zeros((0, 2)))
    assert result.per_clip.tolist() == pytest.approx([2.44 * 0.75 / 2.19, 0.0])


def test_cider_d_by_hand() -> None:
    # A caption that equals its reference is wholly alike in each order that it has: all four, or two of four.
    candidates = ["a dog barks twice", "heavy rain", "wind"]
    references = [["a dog barks twice"], ["heavy rain"], ["a clock ticks"]]
    result = cider_d(candidates, references, np.zeros((0, 3)))
    assert result.per_clip.tolist() == pytest.approx([10.0, 5.0, 0.0])
    with pytest.raises(ValueError, match="two clips"):
        cider_d(candidates[:1], references[:1], NO_RESAMPLES)


@pytest.mark.slow
def test_meteor_by_hand() -> None:
    candidates = ["rain falls on the roof", "rain", "", "a dog barks"]
    references = [["rain falls on the roof"], ["a clock ticks"], ["wind"], ["||| the dog barked", "birds"]]
    counts = np.array([[1.0, 1, 1, 1], [4, 0, 0, 0]])
    [result] = MeteorProgram.start().measure([candidates], references, counts)
    assert result.per_clip[:3].tolist() == [1.0, 0.0, 0.0]
    assert 0.3 < result.per_clip[3] < 1.0  # one word the same, one by its stem
    assert result.resampled.tolist() == pytest.approx([result.value, 1.0])


@pytest.mark.slow
def test_a_resample_is_the_corpus_value_of_its_clips(published_corpus: Corpus) -> None:
    part = Corpus(published_corpus.names[:12], published_corpus.candidates[:12], published_corpus.references[:12])
    drawn = np.array([3.0, 0, 2, 1, 0, 0, 1, 1, 0, 2, 1, 1])
    counts = np.stack([np.ones(12), drawn])
    results = all_five(part, counts)
    picks = np.repeat(np.arange(12), drawn.astype(int))
    again = Corpus(
        tuple(map(str, range(12))),
        tuple(part.candidates[pick] for pick in picks),
        tuple(part.references[pick] for pick in picks),
    )
    expected = all_five(again, np.zeros((0, 12)))
    for key in ("bleu_1", "bleu_4", "meteor", "rouge_l"):
        assert results[key].resampled.tolist() == pytest.approx([results[key].value, expected[key].value]), key
    mean = float(np.mean(results["cider_d"].per_clip[picks]))  # with the document frequencies of the twelve
    assert results["cider_d"].resampled[1] == pytest.approx(mean)


def test_tokens_of_odd_captions() -> None:
    groups = [["A dog's bark, loud!"], ["", "..."], ["two\nlines\u2028three", "Bär läuft \u201cschnell\u201d"], [""]]
    assert tokenize(groups) == [["a dog 's bark loud"], ["", ""], ["two lines three", "bär läuft schnell"], [""]]


def test_no_java_is_one_sentence(no_java: None) -> None:
    with pytest.raises(MetricError, match="found no java.*apt-get install -y default-jre-headless"):
        tokenize([["a dog"]])


def test_a_java_that_breaks_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text(
        '#!/bin/sh\n[ "$1" = -version ] && echo \'openjdk version "17.0.1"\' >&2 && exit 0\necho torn >&2; exit 1\n'
    )
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(MetricError, match="tokenizer failed .torn"):
        tokenize([["a dog"]])
    with pytest.raises(MetricError, match="METEOR's program failed"):
        MeteorProgram.start().measure([["a dog"]], [["a dog"]], NO_RESAMPLES)
    java.write_text("#!/bin/sh\necho 'openjdk version \"1.7.0_80\"' >&2\n")
    with pytest.raises(MetricError, match="is Java 7, expected 8 or later"):
        tokenize([["a dog"]])
    java.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(MetricError, match="does not run"):
        tokenize([["a dog"]])
