"""Reference implementations: transformers' `generate`, and the training step of mini_audio_caption.

Tests compare their results with this project's, and `benchmarks.speed` compares run times.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, LogitsProcessorList

from generation.engine import Rule, SearchSettings
from models.decoder.llama import LlamaDecoder
from models.decoder.network import Llama


@torch.no_grad()
def by_transformers(
    decoder: LlamaDecoder,
    prefix: Tensor,
    lengths: Tensor,
    settings: SearchSettings,
    rules: Sequence[Rule] = (),
    llama: Any = None,
) -> Tensor:
    """Generate token ids as `LlamaDecoder.generate`, with transformers' `generate`.

    Args:
        decoder: decoder with the network and its embeddings.
        prefix: (B, T, D) float projected audio embeddings.
        lengths: (B,) int64, number of valid prefix tokens.
        settings: settings of the search.
        rules: rules for next tokens.
        llama: result of `as_transformers` for the decoder's network; None to compute it.

    Returns:
        (B * num_return_sequences, L) int64.
    """
    embeddings, mask = decoder.begin(prefix, lengths)
    search = dataclasses.asdict(settings)
    sampling = {name: search.pop(name) for name in ("temperature", "top_k", "top_p")}
    marks = {f"{mark}_token_id": decoder.token_ids[mark] for mark in ("pad", "bos", "eos")}
    found: Tensor = (llama or as_transformers(decoder.llama)).generate(
        inputs_embeds=embeddings,
        attention_mask=mask,
        generation_config=GenerationConfig(**search, **(sampling if settings.do_sample else {}), **marks),
        logits_processor=LogitsProcessorList(rules),
    )
    return found


def as_transformers(llama: Any) -> Any:
    """Convert a network to a transformers network with the same weights; pretrained decoders are returned unchanged."""
    if not isinstance(llama, Llama):
        # Otherwise the checkpoint's settings of sampling and penalties would apply where a search has none.
        network = llama.get_base_model() if hasattr(llama, "get_base_model") else llama
        network.generation_config = GenerationConfig()
        return llama
    sizes = dataclasses.asdict(llama.config)
    theirs = LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=llama.config.num_key_value_heads)).eval()
    theirs.load_state_dict(llama.state_dict())
    return theirs


def padded_loss(
    llama: Any, prefix: Tensor, prefix_lengths: Tensor, caption_ids: Tensor, caption_lengths: Tensor, clip_index: Tensor
) -> Tensor:
    """Sum of the cross-entropy over all caption tokens, from one padded row per caption with its prefix.

    This is how mini_audio_caption trains: a clip's prefix is repeated for each of its captions, and padding is computed too.

    Args:
        llama: transformers network.
        prefix: (B, T, D) float projected audio embeddings.
        prefix_lengths: (B,) int64, number of valid prefix tokens.
        caption_ids: (R, L) int64 with begin and end tokens.
        caption_lengths: (R,) int64, number of tokens including begin and end tokens.
        clip_index: (R,) int64, index of the clip of each caption.
    """
    inputs, targets = caption_ids[:, :-1], caption_ids[:, 1:]
    rows, lengths = prefix[clip_index], prefix_lengths[clip_index]
    embeddings = torch.cat([rows, llama.get_input_embeddings()(inputs).to(rows.dtype)], dim=1)  # (R, T + L - 1, D)
    in_prefix = torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
    mask = torch.cat([in_prefix, torch.ones_like(inputs, dtype=torch.bool)], dim=1).long()
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    logits = llama(inputs_embeds=embeddings, attention_mask=mask, position_ids=positions, use_cache=False).logits
    losses = F.cross_entropy(logits[:, rows.shape[1] :].float().transpose(1, 2), targets, reduction="none")
    counted = torch.arange(targets.shape[1], device=targets.device) < caption_lengths[:, None] - 1
    return (losses * counted).sum()
