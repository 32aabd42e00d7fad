"""CLAP: both towers give transformers' own embeddings and similarities."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ClapFeatureExtractor, ClapModel

from configs.errors import CheckpointError
from configs.schema import EncoderConfig
from models.encoders.build import build_encoder
from models.encoders.clap import ClapScorer
from tests.models.networks import SENTENCES, make_clap

RATE = 48000


@pytest.fixture(scope="module", params=[False, True], ids=["unfused", "fused"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ClapModel]:
    folder = tmp_path_factory.mktemp("clap")
    return folder, make_clap(folder, request.param)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def audio_features(folder: Path, clap: ClapModel, clip: np.ndarray) -> torch.Tensor:
    extractor = ClapFeatureExtractor.from_pretrained(folder)
    features = extractor(clip, sampling_rate=RATE, return_tensors="pt")["input_features"]
    with torch.no_grad():
        return clap.get_audio_features(features, is_longer=torch.zeros(1, 1, dtype=torch.bool)).pooler_output[0]


def test_audio_embeddings_are_those_of_transformers(published: tuple[Path, ClapModel]) -> None:
    folder, clap = published
    encoder = build_encoder(EncoderConfig(name="clap", weights=str(folder), sample_rate=RATE)).eval()
    clips = [noise(10, 1), noise(3.3, 2), noise(0.5, 3)]
    batch = torch.zeros(3, 10 * RATE + 1000)
    for row, clip in enumerate(clips):
        batch[row, : len(clip)] = torch.from_numpy(clip)
    with torch.no_grad():
        output = encoder(batch, torch.tensor([len(clip) for clip in clips]))
    assert output.embeddings.shape == (3, 1, 16) == (3, 1, encoder.embedding_dim)
    assert output.lengths.tolist() == [1, 1, 1] and output.logits is None
    for clip, found in zip(clips, output.embeddings[:, 0], strict=True):
        assert torch.allclose(found, audio_features(folder, clap, clip), atol=1e-5)
    assert not torch.allclose(output.embeddings[0], output.embeddings[1], atol=1e-3)


def test_a_long_clip_is_the_mean_of_its_windows(published: tuple[Path, ClapModel]) -> None:
    folder, clap = published
    encoder = build_encoder(EncoderConfig(name="clap", weights=str(folder), sample_rate=RATE)).eval()
    clip = noise(15)
    with torch.no_grad():
        found = encoder(torch.from_numpy(clip)[None], torch.tensor([len(clip)])).embeddings[0, 0]
    halves = [audio_features(folder, clap, part) for part in np.split(clip, 2)]
    assert torch.allclose(found, torch.nn.functional.normalize(halves[0] + halves[1], dim=0), atol=1e-5)
    assert float(found.norm()) == pytest.approx(1, abs=1e-5)


def test_similarities_are_those_of_transformers(published: tuple[Path, ClapModel]) -> None:
    folder, clap = published
    scorer = ClapScorer(str(folder))
    clip, captions = noise(4), ["a dog barks", "rain falls on a tin roof while waves break", "siren"]
    tokens = scorer.tokenizer(captions, padding=True, return_tensors="pt")
    features = ClapFeatureExtractor.from_pretrained(folder)(clip, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        theirs = clap(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            input_features=features["input_features"],
            is_longer=torch.zeros(1, 1, dtype=torch.bool),
        )
        text = clap.get_text_features(tokens["input_ids"], attention_mask=tokens["attention_mask"]).pooler_output
    assert torch.allclose(scorer.embed_text(captions), text, atol=1e-5)
    ours = scorer.similarities(torch.from_numpy(clip), captions)
    scale = float(clap.logit_scale_a.detach().exp())
    assert ours == pytest.approx((theirs.logits_per_audio[0] / scale).tolist(), abs=1e-5)
    assert len(set(np.round(ours, 4))) == 3
    assert [scorer.similarities(torch.from_numpy(clip), [text])[0] for text in captions] == pytest.approx(
        ours, abs=1e-5
    )


def test_a_very_long_caption_is_cut(published: tuple[Path, ClapModel]) -> None:
    scorer = ClapScorer(str(published[0]))
    assert scorer.max_tokens == 22
    assert scorer.embed_text([" ".join(SENTENCES * 5)]).shape == (1, 16)


def test_a_missing_part_is_reported(published: tuple[Path, ClapModel], tmp_path: Path) -> None:
    folder, _ = published
    for name in ("config.json", "model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(CheckpointError, match="tokenizer files of .* are missing"):
        ClapScorer(str(tmp_path))
    tensors = load_file(folder / "model.safetensors")
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_bytes((folder / "tokenizer_config.json").read_bytes())
    fixed = ("position_ids", "token_type_ids", "relative_position_index")  # older files lack some of these
    without = {name: tensor for name, tensor in tensors.items() if not name.endswith(fixed)}
    assert len(without) < len(tensors)
    save_file(without, tmp_path / "model.safetensors", {"format": "pt"})
    expected = ClapScorer(str(folder)).embed_text(["a dog barks"])
    assert torch.allclose(ClapScorer(str(tmp_path)).embed_text(["a dog barks"]), expected, atol=1e-6)
    audio_only = {name: tensor for name, tensor in tensors.items() if not name.startswith("text")}
    save_file(audio_only, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="is not a complete CLAP text network"):
        ClapScorer(str(tmp_path))
