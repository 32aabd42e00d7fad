"""Reading on token by token: the same logits as transformers' whole pass, from weights of now, packed or not."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from configs.schema import DecoderConfig
from generation.engine import SearchSettings
from models.captioner import AudioCaptioner
from models.decoder.kv_cache import SPARE_TOKENS, JoinedLinear, LlamaReader
from models.decoder.llama import LlamaDecoder

PACKS = "fbgemm" in torch.backends.quantized.supported_engines  # on x86 alone
packs = pytest.mark.skipif(not PACKS, reason="this processor has no FBGEMM")

KINDS: dict[str, dict[str, Any]] = {
    "usual": {},
    "grouped": {"num_key_value_heads": 2},
    "biased": {"attention_bias": True, "mlp_bias": True},
    "wide heads": {"head_dim": 16},
    "long": {
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
        }
    },
}  # fmt: skip


def make(half: bool = False, **changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    llama = LlamaForCausalLM(LlamaConfig(**{**sizes, "num_attention_heads": 4, **changes})).eval()
    with torch.no_grad():
        for parameter in llama.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # biases and norms too
            parameter.copy_(parameter.half().float() if half else parameter)
    return llama


def whole(llama: LlamaForCausalLM, embeddings: Tensor, mask: Tensor) -> Tensor:
    """Transformers' logits (R, V) after all of embeddings (R, L, D)."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits: Tensor = llama(inputs_embeds=embeddings, attention_mask=mask, position_ids=positions).logits[:, -1]
    return logits


@torch.no_grad()
@pytest.mark.parametrize("numbers", ["float32", "half", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padded", [False, True])
def test_logits_are_those_of_a_whole_pass(kind: str, numbers: str, padded: bool) -> None:
    llama = make(numbers == "half", **KINDS[kind])
    dtype, tolerance = torch.float32, {"rtol": 1e-4, "atol": 1e-4}
    if numbers == "bfloat16":
        dtype, tolerance = torch.bfloat16, {"rtol": 0.1, "atol": 0.1}
        for parameter in llama.parameters():  # not the rotary frequencies
            parameter.data = parameter.data.to(dtype)
    embeddings, mask = torch.randn(2, 6, 32).to(dtype), torch.ones(2, 6, dtype=torch.long)
    if padded:
        mask[1, 2:5] = 0
    cache = LlamaReader(llama).read(embeddings, mask)
    torch.testing.assert_close(cache.logits, whole(llama, embeddings, mask), **tolerance)
    generator = torch.Generator().manual_seed(1)
    for _ in range(SPARE_TOKENS + 3):
        rows, ids = torch.randint(2, (3,), generator=generator), torch.randint(50, (3,), generator=generator)
        logits = cache.step(ids, rows)
        embeddings = torch.cat([embeddings[rows], llama.get_input_embeddings()(ids)[:, None]], dim=1)
        mask = torch.cat([mask[rows], torch.ones(3, 1, dtype=torch.long)], dim=1)
        torch.testing.assert_close(logits, whole(llama, embeddings, mask), **tolerance)
        assert logits is cache.logits
    for _ in range(SPARE_TOKENS + 1):  # each row continues itself, until the memory is full and longer
        ids = torch.randint(50, (3,), generator=generator)
        logits = cache.step(ids, None)
        embeddings = torch.cat([embeddings, llama.get_input_embeddings()(ids)[:, None]], dim=1)
        mask = torch.cat([mask, torch.ones(3, 1, dtype=torch.long)], dim=1)
        torch.testing.assert_close(logits, whole(llama, embeddings, mask), **tolerance)


# -- packed weights -------------------------------------------------------------------------------------------------------


def layers(half: bool, bias: bool = False) -> list[nn.Linear]:
    made = [nn.Linear(24, width, bias=bias) for width in (8, 16)]
    with torch.no_grad():
        for layer in made:
            layer.weight.copy_(layer.weight.half().float() if half else layer.weight)
    return made


@torch.no_grad()
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 24), (13, 24), (2, 3, 24)])
def test_joined_layers_give_what_each_gives(half: bool, bias: bool, shape: tuple[int, ...]) -> None:
    made, rows = layers(half, bias), torch.randn(shape)
    joined = JoinedLinear(made)
    expected = torch.cat([layer(rows) for layer in made], dim=-1)
    torch.testing.assert_close(joined(rows), expected, rtol=1e-5, atol=1e-5)
    assert (joined.packed is not None) == (half and PACKS)


@packs
def test_only_what_half_precision_holds_exactly_is_packed() -> None:
    large = layers(half=True)
    with torch.no_grad():
        large[0].weight[0, 0] = 1e5  # beyond half precision
    assert JoinedLinear(large).packed is None
    assert JoinedLinear([layer.to(torch.bfloat16) for layer in layers(half=True)]).packed is None
    assert JoinedLinear([nn.Sequential(layer) for layer in layers(half=True)]).packed is None
    assert JoinedLinear([layer.to("meta") for layer in layers(half=True)]).packed is None


@packs
@torch.no_grad()
def test_other_weights_are_rounded_where_half_precision_suffices() -> None:
    made, rows = layers(half=False, bias=True), torch.randn(3, 24)
    joined = JoinedLinear(made, rounded=True)
    assert joined.packed is not None
    expected = torch.cat([F.linear(rows, layer.weight.half().float(), layer.bias) for layer in made], dim=-1)
    torch.testing.assert_close(joined(rows), expected, rtol=1e-5, atol=1e-5)
    for scale in (1e6, 1e-7):  # infinite, and only a few values near zero
        made[0].weight.mul_(scale)
        assert JoinedLinear(made, rounded=True).packed is None
        made[0].weight.div_(scale)


@packs
def test_only_a_loaded_captioner_rounds_weights() -> None:
    made = decoder(half=False)
    exact = sums(made)
    assert made._reader is not None and made._reader.to_logits.packed is None
    made.rounds_weights = True
    before = copy.deepcopy(made.state_dict())
    rounded = sums(made)
    assert made._reader.to_logits.packed is not None
    torch.testing.assert_close(rounded, exact, rtol=0.01, atol=0.05)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    made.rounds_weights = False
    assert torch.equal(sums(made), exact)
    shipped = Path(__file__).parents[2] / "checkpoints" / "sounds_small"
    assert AudioCaptioner.from_pretrained(shipped).decoder.rounds_weights
    assert not AudioCaptioner.from_pretrained(shipped, rounds_weights=False).decoder.rounds_weights


def decoder(half: bool) -> LlamaDecoder:
    torch.manual_seed(0)
    config = DecoderConfig(num_layers=2, num_heads=2, width=32, max_positions=64)
    made = LlamaDecoder(config, vocab_size=50, token_ids={"pad": 0, "bos": 1, "eos": 2}).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
            parameter.copy_(parameter.half().float() if half else parameter)
    return made


def sums(made: LlamaDecoder) -> Tensor:
    prefix = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(0))
    search = SearchSettings(num_beams=3, num_return_sequences=3, max_new_tokens=30)
    return made.generate(prefix, torch.tensor([3, 2]), search)[1].nan_to_num(0.0)


@pytest.mark.parametrize("half", [False, True])
def test_a_search_uses_the_weights_of_now(half: bool) -> None:
    made, other = decoder(half), decoder(half)
    assert torch.equal(sums(made), sums(other)) and made._reader is not None
    reader = made._reader
    sums(made)
    assert made._reader is reader  # nothing changed: made once
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    made(torch.randn(1, 2, 32), torch.tensor([2]), torch.tensor([[1, 4]])).square().sum().backward()
    optimizer.step()
    stepped = sums(made)
    assert not torch.allclose(stepped, sums(other), atol=1e-3)
    fresh = decoder(half)
    fresh.load_state_dict(made.state_dict())
    torch.testing.assert_close(sums(fresh), stepped)
    torch.testing.assert_close(sums(copy.deepcopy(made)), stepped)
    made.load_state_dict(other.state_dict())
    torch.testing.assert_close(sums(made), sums(other))


@packs
def test_weights_changed_behind_autograds_back_are_seen() -> None:
    made, other = decoder(half=True), decoder(half=True)
    before = sums(made)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    for mine, theirs in zip(made.parameters(), other.parameters(), strict=True):
        mine.data.copy_(theirs)
    changed = sums(made)
    assert torch.equal(changed, sums(other)) and not torch.allclose(changed, before, atol=1e-3)


@packs
def test_a_fused_optimizer_is_seen() -> None:
    made = decoder(half=True)
    before = sums(made)
    made(torch.randn(1, 2, 32), torch.tensor([2]), torch.tensor([[1, 4]])).square().sum().backward()
    torch.optim.AdamW(made.parameters(), lr=0.1, fused=True).step()
    fresh = decoder(half=True)
    fresh.load_state_dict(made.state_dict())
    assert torch.equal(sums(made), sums(fresh)) and not torch.allclose(sums(made), before, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("half", [False, True])
def test_tokens_are_read_under_autocast(half: bool) -> None:
    llama, embeddings, mask = make(half), torch.randn(2, 6, 32), torch.ones(2, 6, dtype=torch.long)
    ids, rows = torch.tensor([3, 4, 5]), torch.tensor([0, 0, 1])
    plain = LlamaReader(llama).read(embeddings, mask)
    expected = [plain.logits, plain.step(ids, rows)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cache = LlamaReader(llama).read(embeddings, mask)
        found = [cache.logits, cache.step(ids, rows)]
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one.float(), two, rtol=0.05, atol=0.05)
