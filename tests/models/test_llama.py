"""Llama decoder: parity with transformers, cached = uncached, padding changes nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from benchmarks.reference import as_transformers, by_transformers
from configs.errors import CheckpointError
from configs.schema import DecoderConfig
from generation.engine import SearchSettings
from models.decoder.llama import LlamaDecoder
from tests.models.networks import make_llama

TOKENS = {"pad": 0, "bos": 1, "eos": 2}
PRETRAINED_TOKENS = {"pad": 0, "bos": 1, "eos": 2}  # make_llama's: <unk>, <s>, </s>
SMALL = DecoderConfig(num_layers=2, num_heads=2, width=32, max_positions=64)


@pytest.fixture
def decoder() -> LlamaDecoder:
    torch.manual_seed(0)
    return LlamaDecoder(SMALL, vocab_size=50, token_ids=TOKENS).eval()


def test_logits_are_those_of_transformers_for_the_same_embeddings(decoder: LlamaDecoder) -> None:
    prefix, ids = torch.randn(2, 3, 32), torch.randint(3, 50, (2, 5))
    ours = decoder(prefix, torch.tensor([3, 3]), ids)
    embeddings = torch.cat([prefix, decoder.llama.get_input_embeddings()(ids)], dim=1)
    theirs = as_transformers(decoder.llama)(inputs_embeds=embeddings).logits[:, 3:]
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_shorter_prefix_beside_a_longer_one_gives_what_it_gives_alone(decoder: LlamaDecoder) -> None:
    prefix, ids = torch.randn(2, 6, 32), torch.randint(3, 50, (2, 5))
    both = decoder(prefix, torch.tensor([6, 2]), ids)
    alone = decoder(prefix[1:, :2], torch.tensor([2]), ids[1:])
    assert torch.allclose(both[1], alone[0], atol=1e-5)


def test_several_captions_of_one_clip(decoder: LlamaDecoder) -> None:
    prefix, ids = torch.randn(2, 4, 32), torch.randint(3, 50, (3, 5))
    lengths = torch.tensor([4, 3])
    indexed = decoder(prefix, lengths, ids, torch.tensor([0, 1, 1]))
    single = decoder(prefix[1:], lengths[1:], ids[2:])
    assert torch.allclose(indexed[2], single[0], atol=1e-5)


@pytest.mark.parametrize("length", [1, 3, 5])
def test_cached_generation_is_what_whole_passes_give(decoder: LlamaDecoder, length: int) -> None:
    prefix, lengths = torch.randn(1, 5, 32), torch.tensor([length])
    search = SearchSettings(max_new_tokens=8, min_new_tokens=8)
    found = decoder.generate(prefix, lengths, search)[0][0]
    ids = [TOKENS["bos"]]
    for _ in range(8):
        logits = decoder(prefix, lengths, torch.tensor([ids]))[0, -1]
        logits[TOKENS["eos"]] = -torch.inf
        ids.append(int(logits.argmax()))
    assert found.tolist() == ids[1:]


def test_beams_after_a_padded_prefix_are_those_of_the_prefix_alone(decoder: LlamaDecoder) -> None:
    prefix, lengths = torch.randn(2, 6, decoder.width), torch.tensor([6, 3])
    search = {"max_new_tokens": 8, "num_beams": 4, "num_return_sequences": 4}
    together, sums = decoder.generate(prefix, lengths, SearchSettings(**search))
    for row, length in enumerate(lengths.tolist()):
        alone, own_sums = decoder.generate(
            prefix[row : row + 1, :length], lengths[row : row + 1], SearchSettings(**search)
        )
        assert torch.equal(together[4 * row : 4 * row + 4, : alone.shape[1]], alone)
        torch.testing.assert_close(sums[4 * row : 4 * row + 4], own_sums, equal_nan=True)


def test_generation_stops_at_the_end_token(decoder: LlamaDecoder) -> None:
    with torch.no_grad():  # an output layer that always prefers the end token
        decoder.llama.lm_head.weight = torch.nn.Parameter(torch.zeros(50, 32))
        decoder.llama.lm_head.bias = torch.nn.Parameter(torch.zeros(50))
        decoder.llama.lm_head.bias[TOKENS["eos"]] = 9.0
    found, _ = decoder.generate(torch.randn(1, 3, 32), torch.tensor([3]), SearchSettings(max_new_tokens=20))
    assert found.tolist() == [[TOKENS["eos"]]]


def test_dropout_acts_in_training_only(decoder: LlamaDecoder) -> None:
    prefix, lengths, ids = torch.randn(1, 3, 32), torch.tensor([3]), torch.randint(3, 50, (1, 5))
    assert torch.equal(decoder(prefix, lengths, ids), decoder(prefix, lengths, ids))
    decoder.train()
    assert not torch.equal(decoder(prefix, lengths, ids), decoder(prefix, lengths, ids))


def test_pretrained_weights_from_a_folder_with_lora(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    llama = LlamaForCausalLM(config)
    llama.save_pretrained(tmp_path)
    decoder = LlamaDecoder(DecoderConfig(pretrained=str(tmp_path), lora_rank=2, dropout=0.0), 50, TOKENS)
    trained = {name for name, parameter in decoder.named_parameters() if parameter.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    prefix, lengths, ids = torch.randn(1, 3, 32), torch.tensor([3]), torch.randint(3, 50, (1, 5))
    plain = LlamaDecoder(DecoderConfig(pretrained=str(tmp_path), dropout=0.0), 50, TOKENS)
    assert torch.allclose(decoder.eval()(prefix, lengths, ids), plain.eval()(prefix, lengths, ids), atol=1e-5)


def test_no_llama_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no Llama checkpoint could be loaded"):
        LlamaDecoder(DecoderConfig(pretrained=str(tmp_path / "none")), 50, TOKENS)


# -- pretrained decoders --------------------------------------------------------------------------------------------------


def pretrained(folder: Path, **changes: object) -> LlamaDecoder:
    config = DecoderConfig(pretrained=str(folder), dropout=0.0, **changes)  # type: ignore[arg-type]
    vocab_size = LlamaConfig.from_pretrained(folder).vocab_size
    return LlamaDecoder(config, vocab_size, PRETRAINED_TOKENS).eval()


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def published(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, LlamaForCausalLM]:
    folder = tmp_path_factory.mktemp("llama")
    return folder, make_llama(folder, request.param)


SEARCHES = {
    "greedy": {},
    "beam": {"num_beams": 4, "num_return_sequences": 2},
    "sample": {"do_sample": True, "top_p": 0.9, "temperature": 0.8, "num_return_sequences": 3},
    "sample of few": {"do_sample": True, "top_k": 5},
}


@pytest.mark.parametrize("search", SEARCHES)
def test_generation_is_transformers_own(published: tuple[Path, LlamaForCausalLM], search: str) -> None:
    """For the same embeddings; the checkpoint's own sampling settings and penalties are not taken over."""
    decoder = pretrained(published[0])
    prefix = torch.randn(1, 6, 32)
    settings: dict[str, Any] = {"max_new_tokens": 12, "min_new_tokens": 4, **SEARCHES[search]}
    torch.manual_seed(3)
    ours, _ = decoder.generate(prefix, torch.tensor([6]), SearchSettings(**settings))
    torch.manual_seed(3)
    theirs = by_transformers(decoder, prefix, torch.tensor([6]), SearchSettings(**settings))
    assert torch.equal(ours, theirs) and ours.shape[1] > 4
    padded = torch.cat([prefix, torch.randn(1, 3, 32)], dim=1)
    torch.manual_seed(3)
    assert torch.equal(decoder.generate(padded, torch.tensor([6]), SearchSettings(**settings))[0], theirs)


def test_beams_of_an_adapted_decoder_are_those_of_transformers(published: tuple[Path, LlamaForCausalLM]) -> None:
    decoder = pretrained(published[0], lora_rank=2)
    for name, parameter in decoder.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    prefix, lengths = torch.randn(2, 5, 32), torch.tensor([5, 3])
    for _ in range(2):  # with adapters, then merged
        search = SearchSettings(num_beams=3, max_new_tokens=8, min_new_tokens=8, num_return_sequences=2)
        theirs = by_transformers(decoder, prefix, lengths, search)
        assert torch.equal(decoder.generate(prefix, lengths, search)[0], theirs)
        decoder.merge_lora()


def test_the_prefix_stands_before_the_words(published: tuple[Path, LlamaForCausalLM]) -> None:
    folder, llama = published
    prefix, ids = torch.randn(1, 5, 32), torch.tensor([[1, 7, 9, 4]])
    with torch.no_grad():
        ours = pretrained(folder)(prefix, torch.tensor([5]), ids)
        embeddings = torch.cat([prefix, llama.get_input_embeddings()(ids)], dim=1)
        theirs = llama(inputs_embeds=embeddings).logits[:, 5:]
        other = pretrained(folder)(prefix.flip(1), torch.tensor([5]), ids)
    assert torch.allclose(ours, theirs, atol=1e-5) and not torch.allclose(ours, other, atol=1e-2)


def test_a_decoder_of_more_tokens_than_the_tokenizer_says_known_ones_alone(
    published: tuple[Path, LlamaForCausalLM],
) -> None:
    config = DecoderConfig(pretrained=str(published[0]), dropout=0.0)
    decoder = LlamaDecoder(config, 5, PRETRAINED_TOKENS).eval()
    search = SearchSettings(max_new_tokens=20, min_new_tokens=20, do_sample=True)
    found, _ = decoder.generate(torch.randn(8, 3, 32), torch.full((8,), 3), search)
    assert found.shape == (8, 20) and set(found.flatten().tolist()) <= {0, 1, 3, 4}


def test_weights_are_float32_whatever_the_file_has(tmp_path: Path) -> None:
    make_llama(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in pretrained(tmp_path).parameters()} == {torch.float32}


def test_a_frozen_decoder_lets_gradients_through_to_the_prefix(published: tuple[Path, LlamaForCausalLM]) -> None:
    decoder = pretrained(published[0], frozen=True).train()
    assert not any(p.requires_grad for p in decoder.parameters())
    prefix = torch.randn(1, 3, 32, requires_grad=True)
    decoder(prefix, torch.tensor([3]), torch.tensor([[1, 5, 6]])).sum().backward()
    assert prefix.grad is not None and prefix.grad.abs().sum() > 0


@pytest.mark.parametrize("way", [{"frozen": True}, {"lora_rank": 2}], ids=["frozen", "lora"])
def test_in_bfloat16_it_says_about_the_same_from_half_the_memory(
    published: tuple[Path, LlamaForCausalLM], way: dict[str, object]
) -> None:
    decoder = pretrained(published[0], dtype="bfloat16", **way)
    adapters = {p.dtype for name, p in decoder.named_parameters() if "lora_" in name}
    others = {p.dtype for name, p in decoder.named_parameters() if "lora_" not in name}
    assert others == {torch.bfloat16} and adapters == ({torch.float32} if "lora_rank" in way else set())
    assert decoder.llama.get_decoder().rotary_emb.inv_freq.dtype == torch.float32
    prefix, lengths, ids = torch.randn(1, 3, 32), torch.tensor([3]), torch.tensor([[1, 5, 6]])
    with torch.no_grad():
        found, whole = decoder(prefix, lengths, ids).float(), pretrained(published[0])(prefix, lengths, ids)
    assert torch.allclose(found, whole, atol=0.05 * float(whole.abs().max()))
    again = pretrained(published[0], dtype="bfloat16", **way)
    rebuilt = LlamaDecoder(
        DecoderConfig(pretrained="gone", dropout=0.0, dtype="bfloat16", **way),  # type: ignore[arg-type]
        decoder.vocab_size,
        PRETRAINED_TOKENS,
        decoder.architecture(),
    ).eval()
    rebuilt.load_state_dict(again.state_dict())
    with torch.no_grad():
        assert torch.equal(rebuilt(prefix, lengths, ids), again(prefix, lengths, ids))


@pytest.mark.parametrize("way", [{}, {"lora_rank": 2}], ids=["full", "lora"])
def test_gradient_checkpointing_changes_no_gradient(
    published: tuple[Path, LlamaForCausalLM], way: dict[str, object]
) -> None:
    gradients, calls = [], []
    for checkpointing in (False, True):
        torch.manual_seed(1)
        decoder = pretrained(published[0], gradient_checkpointing=checkpointing, **way).train()
        torch.manual_seed(2)
        for name, parameter in decoder.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        count = []
        decoder.llama.get_decoder().layers[0].mlp.register_forward_pre_hook(lambda *_, count=count: count.append(1))
        prefix = torch.linspace(-1, 1, 96).reshape(1, 3, 32).requires_grad_()
        decoder(prefix, torch.tensor([3]), torch.tensor([[1, 5, 6]])).square().mean().backward()
        calls.append(len(count))
        assert prefix.grad is not None
        gradients.append([prefix.grad, *(p.grad for p in decoder.parameters() if p.grad is not None)])
    assert calls == [1, 2]  # once more in the backward pass
    assert len(gradients[0]) == len(gradients[1]) > 5
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))


def test_merged_adapters_say_the_same(published: tuple[Path, LlamaForCausalLM]) -> None:
    decoder = pretrained(published[0], lora_rank=2)
    for name, parameter in decoder.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    prefix, lengths, ids = torch.randn(1, 3, 32), torch.tensor([3]), torch.tensor([[1, 5, 6]])
    with torch.no_grad():
        adapted = decoder(prefix, lengths, ids)
        decoder.merge_lora()
        merged = decoder(prefix, lengths, ids)
        assert not torch.allclose(adapted, pretrained(published[0])(prefix, lengths, ids), atol=1e-2)
    assert torch.allclose(merged, adapted, atol=1e-4)
    assert isinstance(decoder.llama, LlamaForCausalLM) and not any("lora" in name for name in decoder.state_dict())
    decoder.merge_lora()  # nothing left to merge
    assert torch.equal(decoder(prefix, lengths, ids), merged)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frozen": True, "lora_rank": 2}, "contradict each other"),
        ({"dtype": "bfloat16"}, "loses its small updates"),
        ({"pretrained": None, "frozen": True}, "for pretrained decoders"),
    ],
)
def test_settings_that_contradict_are_refused(
    published: tuple[Path, LlamaForCausalLM], changes: dict[str, object], message: str
) -> None:
    settings = {"pretrained": str(published[0]), **changes}
    with pytest.raises(CheckpointError, match=message):
        LlamaDecoder(DecoderConfig(**settings), 20, PRETRAINED_TOKENS)  # type: ignore[arg-type]


def test_checkpoints_that_are_no_whole_llama_are_refused(tmp_path: Path) -> None:
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "vocab_size": 50}
    GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(CheckpointError, match="of type gpt2, not llama"):
        pretrained(tmp_path / "gpt2")
    make_llama(tmp_path / "llama")
    with pytest.raises(CheckpointError, match="the tokenizer has 500 tokens"):
        LlamaDecoder(DecoderConfig(pretrained=str(tmp_path / "llama")), 500, PRETRAINED_TOKENS)
    path = tmp_path / "llama" / "model.safetensors"
    save_file(
        {name: value for name, value in load_file(path).items() if "layers.1" not in name}, path, {"format": "pt"}
    )
    with pytest.raises(CheckpointError, match="not a complete Llama checkpoint"):
        pretrained(tmp_path / "llama")
