"""The networks of a captioner as ONNX Runtime calls them, written by torch's exporter of traced modules.

Each network takes one clip, without padding: a clip's windows are encoded one after another, and all rows of a search begin with
the same prefix. Shapes: F mel bands, T spectrogram frames, T' embeddings, E encoder width, T'' prefix tokens, D decoder width,
C tag classes, R rows, L new tokens, S tokens read so far, N layers, H heads, V vocabulary.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.decoder.network import Llama, RMSNorm, rotate
from models.encoders.mobilenet import N_FFT, MobileNet

if TYPE_CHECKING:
    from models.captioner import AudioCaptioner

OPSET = 18  # of ONNX 1.13 and later


class EncoderNetwork(nn.Module):
    """Embeddings (1, T', E) of a power spectrogram (1, N / 2 + 1, T) with N samples per transform."""

    def __init__(self, encoder: MobileNet) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, power: Tensor) -> Tensor:
        """Compute embeddings."""
        log_mel = self.encoder.log_mel.from_power(power)  # (1, F, T)
        frames = torch.full((1,), log_mel.shape[2], dtype=torch.long)
        return self.encoder.network(log_mel, frames)[0]


class PrefixNetwork(nn.Module):
    """Tag scores (1, 4, C) and prefix (1, T'', D) of a clip from its embeddings (1, T', E) and style number (1,) int64."""

    def __init__(self, captioner: "AudioCaptioner") -> None:
        super().__init__()
        self.captioner = captioner

    def forward(self, embeddings: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Compute tag scores of the whole clip and its thirds, and the decoder's prefix."""
        lengths = torch.ones_like(style) * embeddings.shape[1]
        return self.captioner.part_scores(embeddings, lengths), self.captioner.prefix(embeddings, lengths, style)[0]


class DecoderNetwork(nn.Module):
    """A Llama that reads new tokens after those in a cache.

    Args:
        llama: decoder trained here.
    """

    def __init__(self, llama: Llama) -> None:
        super().__init__()
        self.llama = llama
        self.num_heads = llama.config.num_attention_heads

    def forward(self, prefix: Tensor, token_ids: Tensor, rows: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Read a prefix, then tokens.

        Args:
            prefix: (R, T'', D) float32; T'' is 0 after the first call.
            token_ids: (R, L) int64, L at least 1.
            rows: (R,) int64, row of the cache that each row continues.
            past: (R', N, 2, H, S, D / H) float32, keys and values.

        Returns:
            Logits (R, L, V) of the token after each new token, and keys and values (R, N, 2, H, S + T'' + L, D / H).
        """
        model = self.llama.model
        past = past.index_select(0, rows)
        before = past.shape[4]
        hidden = torch.cat([prefix, model.embed_tokens(token_ids)], dim=1)  # (R, T'' + L, D)
        positions = torch.arange(hidden.shape[1]) + before
        cos, sin = model.rotary_emb(hidden, positions)  # (T'' + L, D / H)
        allowed = torch.arange(before + hidden.shape[1])[None] <= positions[:, None]
        cached = []
        layer: Any
        for number, layer in enumerate(model.layers):
            attention = layer.self_attn
            inputs = _rms_norm(hidden, layer.input_layernorm)
            query, key, value = (
                projection(inputs).unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (R, H, T'' + L, D / H)
                for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            query, key = rotate(query, cos, sin), rotate(key, cos, sin)
            keys = torch.cat([past[:, number, 0], key], dim=2)
            values = torch.cat([past[:, number, 1], value], dim=2)
            found = F.scaled_dot_product_attention(query, keys, values, attn_mask=allowed)
            hidden = hidden + attention.o_proj(found.transpose(1, 2).flatten(2))
            hidden = hidden + layer.mlp(_rms_norm(hidden, layer.post_attention_layernorm))
            cached.append(torch.stack([keys, values], dim=1))
        hidden = _rms_norm(hidden[:, prefix.shape[1] :], model.norm)
        return self.llama.lm_head(hidden), torch.stack(cached, dim=1)


def _rms_norm(hidden: Tensor, norm: RMSNorm) -> Tensor:
    """RMS norm by operations that ONNX has had for long."""
    scale = torch.rsqrt(hidden.square().mean(dim=-1, keepdim=True) + norm.variance_epsilon)
    return hidden * scale * norm.weight


def write_encoder(encoder: MobileNet, path: Path) -> None:
    """Write `EncoderNetwork`: input power, output embeddings."""
    inputs = {"power": torch.zeros(1, N_FFT // 2 + 1, 1000)}
    _write(EncoderNetwork(encoder), inputs, ("embeddings",), {"power": [2], "embeddings": [1]}, path)


def write_prefix(captioner: "AudioCaptioner", path: Path) -> None:
    """Write `PrefixNetwork`: inputs embeddings and style, outputs part_scores and prefix."""
    inputs = {
        "embeddings": torch.zeros(1, 32, captioner.encoder.embedding_dim),
        "style": torch.zeros(1, dtype=torch.long),
    }
    dynamic = {"embeddings": [1], "prefix": [1]}
    _write(PrefixNetwork(captioner), inputs, ("part_scores", "prefix"), dynamic, path)


def write_decoder(llama: Llama, path: Path) -> None:
    """Write `DecoderNetwork`: inputs prefix, token_ids, rows and past, outputs logits and cache."""
    sizes = llama.config
    inputs = {
        "prefix": torch.zeros(2, 3, sizes.hidden_size),
        "token_ids": torch.zeros(2, 4, dtype=torch.long),
        "rows": torch.zeros(2, dtype=torch.long),
        "past": torch.zeros(3, sizes.num_hidden_layers, 2, sizes.num_attention_heads, 5, sizes.head_dim),
    }
    dynamic = {"prefix": [0, 1], "token_ids": [0, 1], "rows": [0], "past": [0, 4], "logits": [0, 1], "cache": [0, 4]}
    _write(DecoderNetwork(llama), inputs, ("logits", "cache"), dynamic, path)


def _write(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Sequence[int]],
    path: Path,
) -> None:
    """Trace a network and write it.

    Args:
        network: module whose `forward` takes the inputs in their order.
        inputs: example inputs by name.
        outputs: names of the outputs.
        dynamic: axes of inputs and outputs whose sizes vary.
        path: file to write.
    """
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter announces its successor, and warns of each Python value that becomes a constant: those of a clip without
        # padding, which is what is traced; tests compare the files with the networks on other sizes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {axis: f"{name}_{axis}" for axis in axes} for name, axes in dynamic.items()},
            opset_version=OPSET,
            dynamo=False,
        )
