"""Encoders in half precision: their front ends keep their digits, and the numbers are about the same."""

import pytest
import torch

from configs.schema import EncoderConfig
from models.encoders.base import AudioEncoder
from models.encoders.build import build_encoder

ENCODERS = {
    "mobilenet": EncoderConfig(
        name="mobilenet", sample_rate=32000, frozen_layers=6, branch_weight=0.4, train_from_step=0
    ),
    "cnn14": EncoderConfig(name="cnn14", width=0.125, train_from_step=0),
}


def encoder_of(name: str) -> AudioEncoder:
    """Random weights with statistics of noise, so that no layer's numbers vanish."""
    torch.manual_seed(0)
    encoder = build_encoder(ENCODERS[name]).train()
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    encoder(torch.randn(4, ENCODERS[name].sample_rate) * 0.1, torch.full((4,), ENCODERS[name].sample_rate))
    return encoder.eval()


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_of_half_precision_hears_about_the_same(name: str, dtype: torch.dtype) -> None:
    encoder, rate = encoder_of(name), ENCODERS[name].sample_rate
    waveform = torch.randn(2, 2 * rate) * 0.1
    waveform[1, rate:] = 0
    lengths = torch.tensor([2 * rate, rate])
    expected = encoder(waveform, lengths)
    parts = torch.ones(2, 1, expected.embeddings.shape[1], dtype=torch.bool)
    tags = encoder.tag_logits(expected.embeddings, parts)
    buffers = {name: buffer.clone() for name, buffer in encoder.log_mel.named_buffers()}
    encoder.to(dtype)
    assert {parameter.dtype for parameter in encoder.parameters()} == {dtype}
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in encoder.log_mel.named_buffers())
    found = encoder(waveform, lengths)
    assert torch.equal(found.lengths, expected.lengths)
    digits = torch.finfo(dtype).eps
    for one, two in (
        (found.embeddings, expected.embeddings),
        (found.logits, expected.logits),
        (encoder.tag_logits(found.embeddings, parts), tags),
    ):
        assert one is not None and two is not None
        assert float((one.float() - two).abs().max()) < 40 * digits * float(two.abs().max())
