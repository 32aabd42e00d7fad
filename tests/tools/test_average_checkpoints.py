"""The mean of captioners."""

from pathlib import Path

import pytest
import torch

from models.captioner import AudioCaptioner
from models.checkpoints.folder import read_metadata
from tools.average_checkpoints import main

CALIBRATION = {"intercept": 0.1, "per_token": 1.0, "support": 0.0, "coverage": 0.0, "strong_tag": 0.3}


def changed(checkpoint: Path, target: Path, seed: int) -> Path:
    """A copy of a checkpoint with other weights."""
    captioner = AudioCaptioner.from_pretrained(checkpoint)
    torch.manual_seed(seed)
    state = {
        name: tensor + torch.randn_like(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in captioner.owned_state().items()
        if not name.endswith("running_var")
    }
    state |= {  # negative variances are refused
        name: tensor + torch.rand_like(tensor)
        for name, tensor in captioner.owned_state().items()
        if name.endswith("running_var")
    }
    captioner.save_pretrained(target, {"step": 7, "calibration": CALIBRATION}, state)
    return target


def test_weights_say_how_much_of_each_there_is(tiny_checkpoint: Path, tmp_path: Path) -> None:
    one, other = (changed(tiny_checkpoint, tmp_path / str(seed), seed) for seed in (1, 2))
    assert main([str(tmp_path / "mean"), str(one), str(other), "--weights", "3", "1"]) == 0
    first, second, mean = (
        AudioCaptioner.from_pretrained(path).owned_state() for path in (one, other, tmp_path / "mean")
    )
    for name, tensor in mean.items():
        expected = 0.75 * first[name] + 0.25 * second[name] if tensor.is_floating_point() else first[name]
        assert torch.allclose(tensor, expected, atol=1e-6)
    metadata = read_metadata(tmp_path / "mean")
    assert metadata["mean_of"] == [{"checkpoint": str(one), "weight": 0.75}, {"checkpoint": str(other), "weight": 0.25}]
    assert "calibration" not in metadata and "step" not in metadata  # they were the first one's own


def test_all_count_alike_without_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    sources = [changed(tiny_checkpoint, tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    assert main([str(tmp_path / "mean"), *map(str, sources)]) == 0
    name = "decoder.llama.model.norm.weight"
    states = [AudioCaptioner.from_pretrained(path).owned_state()[name] for path in [*sources, tmp_path / "mean"]]
    assert torch.allclose(states[-1], torch.stack(states[:3]).mean(dim=0), atol=1e-6)


@pytest.mark.parametrize("weights", [["1"], ["1", "0"], ["1", "-1"], ["1", "1", "1"]])
def test_each_needs_a_positive_weight(
    tiny_checkpoint: Path, tmp_path: Path, weights: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main([str(tmp_path / "mean"), str(tiny_checkpoint), str(tiny_checkpoint), "--weights", *weights]) == 2
    assert "positive weight" in caplog.text and not (tmp_path / "mean").exists()


def test_other_networks_are_refused(tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shipped = Path(__file__).parents[2] / "checkpoints" / "sounds_small"
    assert main([str(tmp_path / "mean"), str(tiny_checkpoint), str(shipped)]) == 2
    assert "another network" in caplog.text and not (tmp_path / "mean").exists()
