"""Clips are padded by reflection at their own ends, whatever else is in the batch."""

import pytest
import torch

from models.encoders.base import reflect_pad

PAD = 6


@pytest.mark.parametrize("lengths", [[7, 20], [20, 20], [8, 13, 9], [7, 7]])
def test_each_clip_is_padded_as_alone(lengths: list[int]) -> None:
    waveform = torch.randn(len(lengths), max(lengths))  # what follows a shorter clip must not matter
    padded = reflect_pad(waveform, torch.tensor(lengths), PAD)
    assert padded.shape == (len(lengths), max(lengths) + 2 * PAD)
    for row, length in enumerate(lengths):
        alone = torch.nn.functional.pad(waveform[row : row + 1, :length], (PAD, PAD), mode="reflect")
        assert torch.equal(padded[row : row + 1, : length + 2 * PAD], alone)
