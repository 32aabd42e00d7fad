"""Incremental decoding: keys and values of earlier tokens are cached, so that each step computes one token per row.

Works on `models.decoder.network.Llama` and on transformers' `LlamaForCausalLM`. The forward pass of the latter prepares masks,
positions and outputs at each call for any model, and computes each projection separately, which takes longer than the
arithmetic of a small decoder. Shapes: R rows, L new tokens, S tokens read so far, D width, H query heads, G key and value
heads, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.decoder.network import rms_norm

HALF_PRECISION = 2.0**-11  # largest relative error of rounding to half precision
SAMPLED_NUMBERS = 997  # values of each matrix used to detect changes
SPARE_TOKENS = 16  # positions added when the cache is full


class JoinedLinear:
    """Linear layers with the same input, computed as one matrix product with concatenated outputs.

    On x86 CPUs, weights whose values are representable in half precision (as in released checkpoints) are packed by FBGEMM
    (Khudia et al., arXiv 2101.05615): this halves memory traffic, which dominates products with few rows, and avoids packing at
    each call. Sums are computed in float32, so results differ only by rounding.

    Args:
        layers: `nn.Linear` or modules with the same interface, such as layers with LoRA.
        rounded: whether other float32 weights are rounded to half precision and packed as well; weights that would lose more
            than `HALF_PRECISION` of the largest one are not.
    """

    def __init__(self, layers: Sequence[nn.Module], rounded: bool = False) -> None:
        self.layers = layers
        self.packed = _pack(layers, HALF_PRECISION if rounded else 0.0)

    def __call__(self, rows: Tensor) -> Tensor:
        """Compute outputs (R, ..., sum of output widths) of inputs (R, ..., D)."""
        if self.packed is not None:
            product: Tensor = torch.ops.quantized.linear_dynamic_fp16(rows.float(), self.packed)
            return product.to(rows.dtype)  # under autocast, rows of attention are bfloat16
        outputs: list[Tensor] = [layer(rows) for layer in self.layers]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)


def _pack(layers: Sequence[nn.Module], tolerance: float) -> Any:
    """FBGEMM's packed weights of linear layers; None if they are not supported, or rounding changes them too much.

    Args:
        layers: the layers.
        tolerance: largest permitted change of a weight, as a share of the largest weight of its layer.
    """
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        return None
    weights, biases = [], []
    for layer in layers:
        if type(layer) is not nn.Linear or layer.weight.device.type != "cpu" or layer.weight.dtype != torch.float32:
            return None
        weight = layer.weight.detach()
        change = (weight.half().float() - weight).abs().max()  # infinite beyond the range of half precision
        if not change <= tolerance * weight.abs().max():
            return None
        weights.append(weight)
        biases.append(weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach())
    bias = torch.cat(biases) if any(layer.bias is not None for layer in layers) else None
    return torch.ops.quantized.linear_prepack_fp16(torch.cat(weights), bias)


class _Layer:
    """Modules of one layer, with joined projections."""

    def __init__(self, layer: Any, rounded: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.attention_norm, self.mlp_norm = layer.input_layernorm, layer.post_attention_layernorm
        self.to_attention = JoinedLinear([attention.q_proj, attention.k_proj, attention.v_proj], rounded)
        self.from_attention = JoinedLinear([attention.o_proj], rounded)
        self.to_mlp = JoinedLinear([mlp.gate_proj, mlp.up_proj], rounded)
        self.activation = mlp.act_fn
        self.from_mlp = JoinedLinear([mlp.down_proj], rounded)


class LlamaReader:
    """A Llama prepared for incremental decoding.

    Args:
        llama: network, with or without LoRA adapters.
        rounded: whether float32 weights are rounded to half precision where that is faster (`JoinedLinear`).
    """

    def __init__(self, llama: Any, rounded: bool = False) -> None:
        self.llama, self.rounded = llama, rounded
        self.decoder = llama.get_decoder()
        self.layers = [_Layer(layer, rounded) for layer in self.decoder.layers]
        self.to_logits = JoinedLinear([llama.get_output_embeddings()], rounded)
        self._made_of = _state(llama)

    def is_of(self, llama: Any, rounded: bool) -> bool:
        """Return whether it was prepared from this network with its current weights, rounded or not."""
        return llama is self.llama and rounded == self.rounded and self._made_of == _state(llama)

    def read(self, embeddings: Tensor, mask: Tensor) -> "LlamaCache":
        """Start reading rows.

        Args:
            embeddings: (R, L, D) float, embeddings of the first tokens.
            mask: (R, L) int64, 1 for tokens, 0 for padding, which may be anywhere but at the end.
        """
        return LlamaCache(self, embeddings, mask)


def _state(llama: nn.Module) -> list[tuple[int, int, float]]:
    """Return address and version counter of each weight, and on a CPU the sum of some of its values.

    Changes through `.data` and by fused optimizers do not change the version counter; the sum detects them.
    """
    found = []
    for parameter in llama.parameters():
        values = parameter.detach()
        some = values.view(-1)[:: max(1, values.numel() // SAMPLED_NUMBERS)] if values.is_contiguous() else values
        total = float(some.double().sum()) if values.device.type == "cpu" else 0.0
        found.append((parameter.data_ptr(), parameter._version, total))
    return found


class LlamaCache:
    """Cached keys and values of the rows read by a Llama.

    Attributes:
        logits: (R, V) logits of the token after the last one read.
    """

    def __init__(self, reader: LlamaReader, embeddings: Tensor, mask: Tensor) -> None:
        config = reader.llama.config
        rows, length = mask.shape
        self._reader = reader
        self._heads, self._groups = config.num_attention_heads, config.num_key_value_heads
        self._length = 0  # S
        self._memory = embeddings.new_empty(  # keys and values of each layer: (R, layers, 2, G, room for S, D / H)
            rows,
            len(reader.layers),
            2,
            self._groups,
            length + SPARE_TOKENS,
            reader.decoder.layers[0].self_attn.head_dim,
        )
        self._spare: Tensor | None = None  # free memory for the next step
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        self._next = positions[:, -1] + 1  # (R,) position of the token that follows
        self._seen = None if bool(mask.all()) else mask.bool()  # (R, S); None where nothing is padding
        before = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
        allowed = before[None, None] if self._seen is None else before & self._seen[:, None, None]
        allowed = allowed | torch.eye(length, dtype=torch.bool, device=mask.device)  # padding must attend to something
        self.logits = self._read(embeddings, positions, allowed)

    def step(self, token_ids: Tensor, rows: Tensor | None) -> Tensor:
        """Read one more token.

        Args:
            token_ids: (R',) int64, next token of each new row.
            rows: (R',) int64, index of the row that each new row continues; a row may be continued several times. None if each
                row continues itself, which copies nothing.

        Returns:
            (R', V) logits of the following token.
        """
        if rows is not None or self._length == self._memory.shape[4]:
            self._reorder(rows)
        positions = self._next if rows is None else self._next.index_select(0, rows)
        self._next = positions + 1
        allowed = None
        if self._seen is not None:
            self._seen = F.pad(self._seen if rows is None else self._seen.index_select(0, rows), (0, 1), value=True)
            allowed = self._seen[:, None, None]  # (R', 1, 1, S)
        embeddings = self._reader.decoder.embed_tokens(token_ids[:, None])
        self.logits = self._read(embeddings, positions[:, None], allowed)
        return self.logits

    def _reorder(self, rows: Tensor | None) -> None:
        """Select the continued rows (R',), None for all in their order, and reserve memory for one more token.

        The copy reuses the memory of the step before the last if it is large enough: allocating new pages takes longer than
        the copy.
        """
        room = self._memory.shape[4] + (SPARE_TOKENS if self._length == self._memory.shape[4] else 0)
        count = len(self._memory) if rows is None else len(rows)
        shape = (count, *self._memory.shape[1:4], room, self._memory.shape[5])
        if self._spare is None or self._spare.shape[1:] != shape[1:] or len(self._spare) < count:
            self._spare = self._memory.new_empty(shape)
        target = self._spare[:count]
        if rows is not None and room == self._memory.shape[4]:
            torch.index_select(self._memory, 0, rows, out=target)
        else:
            target[..., : self._length, :] = self._memory if rows is None else self._memory.index_select(0, rows)
        self._memory, self._spare = target, self._memory

    def _read(self, hidden: Tensor, positions: Tensor, allowed: Tensor | None) -> Tensor:
        """Return logits (R, V) after new tokens (R, L, D), with the attention mask `allowed` (R, 1, L, S); None for no mask."""
        cos, sin = (part[:, None] for part in self._reader.decoder.rotary_emb(hidden, position_ids=positions))
        half = sin.shape[-1] // 2
        sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)  # (R, 1, L, D / H)
        start, self._length = self._length, self._length + hidden.shape[1]
        for number, layer in enumerate(self._reader.layers):
            parts = layer.to_attention(rms_norm(hidden, layer.attention_norm))
            parts = parts.unflatten(2, (self._heads + 2 * self._groups, -1)).transpose(1, 2)  # (R, H + 2 G, L, D / H)
            turned, value = parts.split([self._heads + self._groups, self._groups], dim=1)
            turned = torch.addcmul(turned * cos, turned.roll(half, dims=-1), sin)
            query, key = turned.split([self._heads, self._groups], dim=1)
            cached = self._memory[:, number]
            cached[:, 0, :, start : self._length] = key
            cached[:, 1, :, start : self._length] = value
            keys, values = cached[:, :, :, : self._length].unbind(1)  # (R, G, S, D / H)
            found = F.scaled_dot_product_attention(
                query, keys, values, attn_mask=allowed, enable_gqa=self._heads != self._groups
            )
            hidden = hidden + layer.from_attention(found.transpose(1, 2).flatten(2))
            gate, up = layer.to_mlp(rms_norm(hidden, layer.mlp_norm)).chunk(2, dim=-1)
            hidden = hidden + layer.from_mlp(layer.activation(gate) * up)
        return self._reader.to_logits(rms_norm(hidden[:, -1], self._reader.decoder.norm))
