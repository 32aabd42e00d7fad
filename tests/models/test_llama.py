"""Llama decoder: parity with transformers, cached = uncached, padding changes nothing."""

from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from configs.schema import DecoderConfig
from models.errors import CheckpointError
from models.llama import LlamaDecoder

TOKENS = {"pad": 0, "bos": 1, "eos": 2}
SMALL = DecoderConfig(num_layers=2, num_heads=2, width=32, max_positions=64)


@pytest.fixture
def decoder() -> LlamaDecoder:
    torch.manual_seed(0)
    return LlamaDecoder(SMALL, vocab_size=50, token_ids=TOKENS).eval()


def test_logits_are_those_of_transformers_for_the_same_embeddings(decoder: LlamaDecoder) -> None:
    prefix, ids = torch.randn(2, 3, 32), torch.randint(3, 50, (2, 5))
    ours = decoder(prefix, torch.tensor([3, 3]), ids)
    embeddings = torch.cat([prefix, decoder.llama.get_input_embeddings()(ids)], dim=1)
    theirs = decoder.llama(inputs_embeds=embeddings).logits[:, 3:]
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
    found = decoder.generate(prefix, lengths, GenerationConfig(max_new_tokens=8, min_new_tokens=8, do_sample=False))[0]
    ids = [TOKENS["bos"]]
    for _ in range(8):
        logits = decoder(prefix, lengths, torch.tensor([ids]))[0, -1]
        logits[TOKENS["eos"]] = -torch.inf
        ids.append(int(logits.argmax()))
    assert found.tolist() == ids[1:]


def test_generation_stops_at_the_end_token(decoder: LlamaDecoder) -> None:
    with torch.no_grad():  # an output layer that always prefers the end token
        decoder.llama.lm_head.weight = torch.nn.Parameter(torch.zeros(50, 32))
        decoder.llama.lm_head.bias = torch.nn.Parameter(torch.zeros(50))
        decoder.llama.lm_head.bias[TOKENS["eos"]] = 9.0
    found = decoder.generate(
        torch.randn(1, 3, 32), torch.tensor([3]), GenerationConfig(max_new_tokens=20, do_sample=False)
    )
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


def test_no_llama_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no Llama checkpoint could be loaded"):
        LlamaDecoder(DecoderConfig(pretrained=str(tmp_path / "none")), 50, TOKENS)
