"""Llama's forward pass over whole captions for training, without repeated prefixes and without padding.

The prefix of a clip is processed once for all captions of the clip, which attend to its keys and values. The tokens of all rows
are packed without padding for all matrix products; only attention pads them to rows. The last layer computes the outputs of
caption tokens alone. Works on `models.decoder.network.Llama` and on transformers' `LlamaForCausalLM`, with LoRA adapters or
without.

Shapes: B clips, R captions, T prefix tokens, L tokens of the longest caption, P prefix tokens and W caption tokens without
padding, N = P + W, D width, H query heads, G key and value heads.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from models.decoder.network import rms_norm, rotate


@dataclass(frozen=True)
class Layout:
    """Positions of tokens in the packed and the padded layout.

    Attributes:
        prefix_source: (P,) int64, indices of valid prefix tokens among the padded ones (B * T,).
        word_source: (W,) int64, indices of valid caption tokens among the padded ones (R * L,).
        prefix_places: (B, T) int64, index among the N packed tokens; arbitrary for padding.
        word_places: (R, L) int64, index among the N packed tokens; arbitrary for padding.
        seen_places: (R, T + L) int64, indices of the packed tokens in the context of a row.
        seen: (R, 1, L, T + L) bool, attention mask of each caption token over its context.
        positions: (N,) int64, position of each token in its row.
    """

    prefix_source: Tensor
    word_source: Tensor
    prefix_places: Tensor
    word_places: Tensor
    seen_places: Tensor
    seen: Tensor
    positions: Tensor


def lay_out(
    prefix_lengths: Tensor, num_prefix: int, word_lengths: Tensor, num_words: int, clip_index: Tensor
) -> Layout:
    """Compute the layout of prefixes and captions.

    Args:
        prefix_lengths: (B,) int64, number of prefix tokens of each clip, at least 1.
        num_prefix: T.
        word_lengths: (R,) int64, number of tokens of each caption, at least 1.
        num_words: L.
        clip_index: (R,) int64, index of the clip of each caption.
    """
    steps = torch.arange(max(num_prefix, num_words), device=prefix_lengths.device)
    in_prefix = steps[:num_prefix] < prefix_lengths[:, None]  # (B, T)
    in_words = steps[:num_words] < word_lengths[:, None]  # (R, L)
    prefix_source, word_source = (inside.flatten().nonzero()[:, 0] for inside in (in_prefix, in_words))
    places = torch.cat([in_prefix.flatten(), in_words.flatten()]).cumsum(0).sub_(1).clamp_(min=0)
    prefix_places, word_places = places.split([in_prefix.numel(), in_words.numel()])
    prefix_places, word_places = prefix_places.view_as(in_prefix), word_places.view_as(in_words)
    rows, before = len(word_lengths), (num_words, num_words)
    seen = torch.cat(
        [
            in_prefix[clip_index][:, None].expand(rows, num_words, num_prefix),
            torch.ones(before, dtype=torch.bool, device=steps.device).tril().expand(rows, *before),
        ],
        dim=2,
    )[:, None]
    in_rows = [steps[:num_prefix].expand_as(in_prefix), prefix_lengths[clip_index][:, None] + steps[:num_words]]
    return Layout(
        prefix_source,
        word_source,
        prefix_places,
        word_places,
        torch.cat([prefix_places[clip_index], word_places], dim=1),
        seen,
        torch.cat([in_rows[0].flatten()[prefix_source], in_rows[1].flatten()[word_source]]),
    )


def read_whole(
    llama: Any, prefix: Tensor, words: Tensor, layout: Layout, dropout: float = 0.0, checkpoints: bool = False
) -> Tensor:
    """Return the outputs of the last norm for caption tokens after the prefixes of their clips.

    Args:
        llama: network.
        prefix: (B, T, D) float projected audio embeddings.
        words: (R, L, D) float embeddings of caption tokens.
        layout: layout of these tokens.
        dropout: probability of dropping a value that a block adds to its residual stream (Vaswani et al. 2017, section 5.4),
            in training.
        checkpoints: whether to recompute each layer's activations in the backward pass instead of storing them.

    Returns:
        (W, D).
    """
    decoder = llama.get_decoder()
    hidden = torch.cat([prefix.flatten(0, 1)[layout.prefix_source], words.flatten(0, 1)[layout.word_source]])  # (N, D)
    turn = tuple(part[0][:, None] for part in decoder.rotary_emb(hidden, position_ids=layout.positions[None]))
    for number, layer in enumerate(decoder.layers):
        arguments = (llama.config, layer, hidden, turn, layout, dropout, number == len(decoder.layers) - 1)
        if checkpoints and torch.is_grad_enabled():
            hidden = checkpoint(_layer, *arguments, use_reentrant=False)
        else:
            hidden = _layer(*arguments)
    return rms_norm(hidden, decoder.norm)


def _layer(
    config: Any, layer: Any, hidden: Tensor, turn: tuple[Tensor, ...], layout: Layout, dropout: float, is_last: bool
) -> Tensor:
    """Apply one block to all tokens (N, D); the last block returns caption tokens (W, D) only."""
    attention, num_prefix = layer.self_attn, len(layout.prefix_source)
    normalised = rms_norm(hidden, layer.input_layernorm)
    if is_last:
        hidden, asking, turn_of_asking = hidden[num_prefix:], normalised[num_prefix:], [p[num_prefix:] for p in turn]
    else:
        asking, turn_of_asking = normalised, list(turn)
    heads = (-1, attention.head_dim)
    query = rotate(attention.q_proj(asking).unflatten(1, heads), *turn_of_asking)  # (N, H, D / H)
    key = rotate(attention.k_proj(normalised).unflatten(1, heads), *turn)  # (N, G, D / H)
    value = attention.v_proj(normalised).unflatten(1, heads)
    dropped = float(config.attention_dropout) if layer.training else 0.0
    shift = num_prefix if is_last else 0
    found = _attend(query, key, value, layout.word_places - shift, layout.seen_places, layout.seen, dropped)
    found = found.flatten(0, 1)[layout.word_source]  # (W, H * D / H)
    if not is_last:
        of_prefix = _attend(query, key, value, layout.prefix_places, layout.prefix_places, None, dropped)
        found = torch.cat([of_prefix.flatten(0, 1)[layout.prefix_source], found])
    hidden = hidden + F.dropout(attention.o_proj(found), dropout, layer.training)
    return hidden + F.dropout(layer.mlp(rms_norm(hidden, layer.post_attention_layernorm)), dropout, layer.training)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, asking: Tensor, seen_places: Tensor, seen: Tensor | None, dropped: float
) -> Tensor:
    """Compute attention of the tokens `asking` (R, L) over `seen_places` (R, S), causal without a mask: (R, L, D)."""
    query_rows, keys, values = (
        F.embedding(places.clamp(min=0), tokens.flatten(1)).unflatten(2, (tokens.shape[1], -1)).transpose(1, 2)
        for places, tokens in ((asking, query), (seen_places, key), (seen_places, value))
    )  # (R, heads, L or S, D / H); embedding lookup, whose gradient is summed faster than that of indexing
    found = F.scaled_dot_product_attention(
        query_rows,
        keys,
        values,
        attn_mask=seen,
        dropout_p=dropped,
        is_causal=seen is None,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return found.transpose(1, 2).flatten(2)
