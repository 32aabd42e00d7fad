"""Projection: shapes, pooling over the frames a clip has, padding changes nothing."""

import pytest
import torch

from configs.schema import ProjectionConfig
from models.decoder.projection import Projection


@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize("pool", [1, 2, 3])
def test_padding_changes_nothing(kind: str, pool: int) -> None:
    torch.manual_seed(0)
    projection = Projection(ProjectionConfig(kind=kind, pool=pool), 5, 7).eval()  # type: ignore[arg-type]
    frames = torch.randn(1, 4, 5)
    padded = torch.cat([frames, torch.zeros(1, 6, 5)], dim=1)
    alone, length = projection(frames, torch.tensor([4]))
    beside, same_length = projection(padded, torch.tensor([4]))
    assert length.item() == same_length.item() == -(-4 // pool)
    assert torch.allclose(alone[0, : length.item()], beside[0, : length.item()], atol=1e-6)


def test_pooling_averages_the_frames_there_are() -> None:
    projection = Projection(ProjectionConfig(kind="linear", pool=2, dropout=0.0), 1, 1)
    with torch.no_grad():
        projection.layers.weight.fill_(1.0)  # type: ignore[union-attr]
        projection.layers.bias.zero_()  # type: ignore[union-attr]
    pooled, lengths = projection(torch.tensor([[[1.0], [3.0], [5.0]]]), torch.tensor([3]))
    assert pooled.flatten().tolist() == [2.0, 5.0]
    assert lengths.tolist() == [2]
