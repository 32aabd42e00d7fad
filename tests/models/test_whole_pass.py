"""Whole captions at once: transformers' logits and gradients, from a prefix that is read once for all captions of its clip."""

import copy

import pytest
import torch
from torch import Tensor

from benchmarks.reference import as_transformers, padded_loss
from models.decoder.network import Llama, LlamaSizes
from models.decoder.whole_pass import lay_out, read_whole
from tests.models.test_kv_cache import KINDS, make

CLIPS = torch.tensor([0, 1, 1, 2, 0])
PREFIXES = torch.tensor([4, 6, 1])
WORDS = torch.tensor([3, 5, 1, 4, 2])


def theirs(llama: torch.nn.Module, prefix: Tensor, words: Tensor, row: int) -> Tensor:
    """Transformers' logits of one caption's words after its clip's prefix, without any padding."""
    clip = CLIPS[row]
    embeddings = torch.cat([prefix[clip, : PREFIXES[clip]], words[row, : WORDS[row]]])[None]
    logits: Tensor = llama(inputs_embeds=embeddings).logits[0, PREFIXES[clip] :]
    return logits


def ours(llama: torch.nn.Module, prefix: Tensor, words: Tensor, checkpoints: bool = False) -> Tensor:
    layout = lay_out(PREFIXES, prefix.shape[1], WORDS, words.shape[1], CLIPS)
    return llama.get_output_embeddings()(read_whole(llama, prefix, words, layout, checkpoints=checkpoints))


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(3, 6, 32, generator=generator), torch.randn(5, 5, 32, generator=generator)


@pytest.mark.parametrize("checkpoints", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_gradients_are_those_of_single_captions(kind: str, checkpoints: bool) -> None:
    llama, (prefix, words) = make(**KINDS[kind]), inputs()
    other = copy.deepcopy(llama)
    parts = [part.clone().requires_grad_() for part in (prefix, words, prefix, words)]
    found = ours(llama, *parts[:2], checkpoints)
    expected = torch.cat([theirs(other, *parts[2:], row) for row in range(len(CLIPS))])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(5))
    for logits in (found, expected):
        (logits * weights).sum().backward()
    gradients = [parameter.grad for parameter in (*llama.parameters(), *parts[:2])]
    wanted = [parameter.grad for parameter in (*other.parameters(), *parts[2:])]
    known = [(one, two) for one, two in zip(gradients, wanted, strict=True) if two is not None]
    assert len(known) > 15
    for one, two in known:
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("tied", [False, True])
def test_own_networks_are_transformers_networks(tied: bool) -> None:
    torch.manual_seed(0)
    llama = Llama(LlamaSizes(50, 32, 64, 2, 4, 0.0, 1e-5, tied)).eval()
    with torch.no_grad():
        for parameter in llama.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    network, (prefix, words) = as_transformers(llama), inputs()
    assert set(network.state_dict()) == set(llama.state_dict())
    expected = torch.cat([theirs(network, prefix, words, row) for row in range(len(CLIPS))])
    torch.testing.assert_close(ours(llama, prefix, words), expected, rtol=1e-4, atol=1e-5)


def test_new_weights_are_drawn_as_transformers_draws_them() -> None:
    llama = Llama(LlamaSizes(500, 64, 128, 2, 4, 0.0, 1e-6, True))
    network = type(as_transformers(llama))(as_transformers(llama).config)
    for (name, one), two in zip(llama.named_parameters(), network.parameters(), strict=True):
        assert one.shape == two.shape, name
        assert one.detach().std(unbiased=False) == pytest.approx(float(two.detach().std(unbiased=False)), rel=0.1), name
        assert one.detach().mean() == pytest.approx(float(two.detach().mean()), abs=0.002), name


def test_rotary_frequencies_keep_their_digits() -> None:
    llama = Llama(LlamaSizes(50, 32, 64, 1, 2, 0.0, 1e-6, True))
    before = llama.model.rotary_emb.inv_freq.clone()
    llama.half()
    assert llama.model.rotary_emb.inv_freq.dtype == torch.float32
    assert torch.equal(llama.model.rotary_emb.inv_freq, before) and llama.dtype == torch.float16


def test_dropout_of_a_layers_output_acts_in_training_only() -> None:
    llama, (prefix, words) = make(), inputs()
    layout = lay_out(PREFIXES, 6, WORDS, 5, CLIPS)
    once, again = (read_whole(llama, prefix, words, layout, dropout=0.5) for _ in range(2))
    assert torch.equal(once, again)
    llama.train()
    assert not torch.equal(once, read_whole(llama, prefix, words, layout, dropout=0.5))


def test_the_loss_is_the_seeds() -> None:
    """From rows with one prefix each, and with padding."""
    torch.manual_seed(0)
    llama = Llama(LlamaSizes(50, 32, 64, 2, 4, 0.0, 1e-6, True)).eval()
    prefix, ids = torch.randn(3, 6, 32), torch.randint(3, 50, (5, 6))
    expected = padded_loss(as_transformers(llama), prefix, PREFIXES, ids, WORDS + 1, CLIPS)
    logits = ours(llama, prefix, llama.get_input_embeddings()(ids[:, :-1]))
    used = torch.arange(5) < WORDS[:, None]
    found = torch.nn.functional.cross_entropy(logits, ids[:, 1:][used], reduction="sum")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
