"""Parameters of a Llama (Touvron et al. 2023, arXiv 2302.13971), with the names and the initialization that transformers uses.

The forward passes are in `models.decoder.whole_pass` (all tokens at once, for training) and `models.decoder.kv_cache` (token by
token); both also accept transformers' `LlamaForCausalLM`, the class of pretrained decoders. Importing transformers takes twice as
long as importing torch and is not needed for a decoder trained here.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import FullPrecisionBuffers

ROPE_THETA = 10000.0  # base of the rotary frequencies (Su et al., arXiv 2104.09864)
INITIAL_STD = 0.02


@dataclass(frozen=True)
class LlamaSizes:
    """Sizes of a decoder, with transformers' names.

    Attributes:
        vocab_size: vocabulary size V.
        hidden_size: hidden size D, a multiple of the number of heads.
        intermediate_size: width of the SwiGLU layer.
        num_hidden_layers: number of blocks.
        num_attention_heads: number of heads H of queries, keys and values.
        attention_dropout: dropout probability of attention weights in training, 0 to 1.
        rms_norm_eps: epsilon of the RMS norms.
        tie_word_embeddings: whether input and output word embeddings are one tensor.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    attention_dropout: float
    rms_norm_eps: float
    tie_word_embeddings: bool

    @property
    def num_key_value_heads(self) -> int:
        """Number of heads of keys and values."""
        return self.num_attention_heads

    @property
    def head_dim(self) -> int:
        """Width of each head."""
        return self.hidden_size // self.num_attention_heads


class RMSNorm(nn.Module):
    """Weights of an RMS norm (Zhang, Sennrich, arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.variance_epsilon = eps


class Attention(nn.Module):
    """Projections of one layer's attention."""

    def __init__(self, sizes: LlamaSizes) -> None:
        super().__init__()
        self.head_dim = sizes.head_dim
        width = sizes.hidden_size
        self.q_proj, self.k_proj = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.v_proj, self.o_proj = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)


class Mlp(nn.Module):
    """Projections of one layer's SwiGLU (Shazeer, arXiv 2002.05202)."""

    def __init__(self, sizes: LlamaSizes) -> None:
        super().__init__()
        width, inner = sizes.hidden_size, sizes.intermediate_size
        self.gate_proj, self.up_proj = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)
        self.act_fn = nn.SiLU()

    def forward(self, hidden: Tensor) -> Tensor:
        """Compute the residual update of rows (..., D)."""
        output: Tensor = self.down_proj(self.act_fn(self.gate_proj(hidden)) * self.up_proj(hidden))
        return output


class Layer(nn.Module):
    """One block: norm, attention, norm, SwiGLU."""

    def __init__(self, sizes: LlamaSizes) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(sizes), Mlp(sizes)
        self.input_layernorm = RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)


class RotaryEmbedding(FullPrecisionBuffers):
    """Rotary position embedding: rotation angles of queries and keys."""

    inv_freq: Tensor

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        powers = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
        self.register_buffer("inv_freq", 1.0 / ROPE_THETA**powers, persistent=False)  # (head_dim / 2,)

    def forward(self, like: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (..., head_dim) of positions (...), in the dtype of `like`."""
        angles = position_ids[..., None].float() * self.inv_freq  # (..., head_dim / 2)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


class Model(nn.Module):
    """Token embeddings, blocks and final norm."""

    def __init__(self, sizes: LlamaSizes) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(sizes.vocab_size, sizes.hidden_size)
        self.layers = nn.ModuleList([Layer(sizes) for _ in range(sizes.num_hidden_layers)])
        self.norm = RMSNorm(sizes.hidden_size, sizes.rms_norm_eps)
        self.rotary_emb = RotaryEmbedding(sizes.head_dim)


class Llama(nn.Module):
    """Llama with random initial weights."""

    def __init__(self, sizes: LlamaSizes) -> None:
        super().__init__()
        self.config = sizes
        self.model = Model(sizes)
        self.lm_head = nn.Linear(sizes.hidden_size, sizes.vocab_size, bias=False)
        if sizes.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=INITIAL_STD)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return self.lm_head.weight.dtype

    def get_decoder(self) -> Model:
        """The network without output embeddings."""
        return self.model

    def get_input_embeddings(self) -> nn.Embedding:
        """Input embeddings, from token ids to vectors."""
        return self.model.embed_tokens

    def get_output_embeddings(self) -> nn.Linear:
        """Output embeddings, from vectors to logits."""
        return self.lm_head


def rms_norm(hidden: Tensor, norm: Any) -> Tensor:
    """RMS norm with the result of `LlamaRMSNorm`, by torch's fused operation, which takes half the time for few rows."""
    return F.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary position embedding to heads (N, H, D / H), given cosines and sines (N, 1, D / H) of their positions."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat([-second, first], dim=-1) * sin
