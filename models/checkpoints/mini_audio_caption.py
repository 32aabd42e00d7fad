"""Checkpoints of qiuqiangkong/mini_audio_caption, on which this project is based.

Its files (`step=10000.pth`) are state dicts: `a2e` projects one CNN14 clip vector to the decoder's width, `wte` embeds BERT's
word pieces, followed by blocks of causal attention (`c_attn` contains query, key and value) and SwiGLU with RMS norms and rotary
positions on interleaved pairs. The audio vector has position 0, the text starts at 1, and `text_head` computes the logits.
These weights are converted to those of a `models.decoder.network.Llama`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor

from configs.errors import CheckpointError
from configs.schema import (
    CaptionerConfig,
    Config,
    DecoderConfig,
    DecodingConfig,
    EncoderConfig,
    ProjectionConfig,
    TokenizerConfig,
)
from models.checkpoints.published import read_weights
from models.decoder.network import Llama, LlamaSizes

RMS_NORM_EPS = 1e-6
TOKENIZER = "bert-base-uncased"
CLIP_S = 10.0  # clip length of its training, in seconds
DEFAULT_ENCODER_WEIGHTS = "datasets/panns/Cnn14_mAP=0.431.pth"

_BLOCK_KEYS = (
    "att_norm.scale", "att.c_attn.weight", "att.c_proj.weight", "ffn_norm.scale", "mlp.c_fc1.weight",
    "mlp.c_fc2.weight", "mlp.c_proj.weight",
)  # fmt: skip
_OUTER_KEYS = ("rope", "a2e.weight", "a2e.bias", "wte.weight", "ln_f.scale", "text_head.weight")


@dataclass(frozen=True)
class MiniAudioCaption:
    """Content of a checkpoint file of mini_audio_caption.

    Attributes:
        projection: weight (D, E) and bias (D,) of the audio projection.
        llama: decoder with the weights of the file.
        max_positions: longest prefix plus caption, in tokens.
    """

    projection: dict[str, Tensor]
    llama: Llama
    max_positions: int


def read_mini_audio_caption(path: Path) -> MiniAudioCaption:
    """Read a checkpoint file; numbers of layers and heads, width and vocabulary are inferred from the tensors' shapes.

    Raises:
        CheckpointError: the file is not a state dict of this model; code in it is not executed.
    """
    state = read_weights(path)
    layers = sorted({int(match.group(1)) for key in state if (match := re.match(r"blocks\.(\d+)\.", key))})
    expected = [*_OUTER_KEYS, *(f"blocks.{layer}.{key}" for layer in layers for key in _BLOCK_KEYS)]
    missing = [key for key in expected if key not in state]
    if missing or not layers or layers != list(range(len(layers))):
        what = missing[0] if missing else "one of the blocks"
        raise CheckpointError(
            f"{path} is neither a checkpoint folder nor a file of mini_audio_caption: {what} is missing; give a folder "
            "written by train.py, or a step=N.pth file of that project."
        )
    width, head_width = state["wte.weight"].shape[1], 2 * state["rope"].shape[1]
    sizes = LlamaSizes(
        vocab_size=state["wte.weight"].shape[0],
        hidden_size=width,
        intermediate_size=state["blocks.0.mlp.c_fc1.weight"].shape[0],
        num_hidden_layers=len(layers),
        num_attention_heads=width // head_width,
        attention_dropout=0.0,
        rms_norm_eps=RMS_NORM_EPS,
        tie_word_embeddings=False,
    )
    llama = Llama(sizes)
    try:
        llama.load_state_dict(_llama_state(state, len(layers), head_width))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} has tensors of inconsistent shapes ({str(error).splitlines()[-1].strip()})."
        ) from error
    return MiniAudioCaption(
        {"weight": state["a2e.weight"], "bias": state["a2e.bias"]}, llama.eval(), len(state["rope"])
    )


def _llama_state(state: dict[str, Tensor], num_layers: int, head_width: int) -> dict[str, Tensor]:
    result = {
        "model.embed_tokens.weight": state["wte.weight"],
        "model.norm.weight": state["ln_f.scale"],
        "lm_head.weight": state["text_head.weight"],
    }
    for layer in range(num_layers):
        old, new = f"blocks.{layer}", f"model.layers.{layer}"
        query, key, value = state[f"{old}.att.c_attn.weight"].chunk(3)
        result |= {
            f"{new}.input_layernorm.weight": state[f"{old}.att_norm.scale"],
            f"{new}.self_attn.q_proj.weight": _pairs_to_halves(query, head_width),
            f"{new}.self_attn.k_proj.weight": _pairs_to_halves(key, head_width),
            f"{new}.self_attn.v_proj.weight": value,
            f"{new}.self_attn.o_proj.weight": state[f"{old}.att.c_proj.weight"],
            f"{new}.post_attention_layernorm.weight": state[f"{old}.ffn_norm.scale"],
            f"{new}.mlp.gate_proj.weight": state[f"{old}.mlp.c_fc1.weight"],
            f"{new}.mlp.up_proj.weight": state[f"{old}.mlp.c_fc2.weight"],
            f"{new}.mlp.down_proj.weight": state[f"{old}.mlp.c_proj.weight"],
        }
    return result


def _pairs_to_halves(weight: Tensor, head_width: int) -> Tensor:
    """Reorder the rows (D, D) of each head from rotary pairs (0, 1), (2, 3) ... to (0, n/2), (1, n/2 + 1) ..."""
    pairs = weight.reshape(-1, head_width // 2, 2, weight.shape[1])  # (heads, pairs, 2, D)
    return pairs.transpose(1, 2).reshape(weight.shape)  # (D, D)


def read_parts(
    path: Path, encoder_weights: str | None = None, tokenizer: Tokenizer | None = None
) -> tuple[Config, Tokenizer, MiniAudioCaption]:
    """Read the configuration, tokenizer and weights of a captioner from a checkpoint file.

    Unlike the original, it decodes by beam search and stops at the end token.

    Args:
        path: `step=N.pth` file.
        encoder_weights: PANNs' Cnn14 weights; None for the path used by data/download.py.
        tokenizer: BERT's tokenizer; None loads "bert-base-uncased" from the hub or its cache.

    Raises:
        CheckpointError: as for `read_mini_audio_caption`, or the tokenizer cannot be loaded.
    """
    found = read_mini_audio_caption(path)
    if tokenizer is None:
        try:
            tokenizer = Tokenizer.from_pretrained(TOKENIZER)
        except Exception as error:  # tokenizers raises bare Exception
            raise CheckpointError(
                f"{path} needs the tokenizer {TOKENIZER}, which could not be loaded from the hub ({error}): check the network."
            ) from error
    llama = found.llama.config
    weights = encoder_weights or DEFAULT_ENCODER_WEIGHTS
    config = Config(
        captioner=CaptionerConfig(
            encoder=EncoderConfig(name="cnn14", weights=weights, output="clip", max_duration_s=CLIP_S),
            projection=ProjectionConfig(kind="linear", dropout=0.0),
            decoder=DecoderConfig(
                num_layers=llama.num_hidden_layers,
                num_heads=llama.num_attention_heads,
                width=llama.hidden_size,
                intermediate_width=llama.intermediate_size,
                dropout=0.0,
                max_positions=found.max_positions,
                rms_norm_eps=RMS_NORM_EPS,
                tie_embeddings=False,
            ),
            tokenizer=TokenizerConfig(kind=TOKENIZER),
        ),
        decoding=DecodingConfig(max_tokens=30),
    )
    if tokenizer.get_vocab_size() != llama.vocab_size:
        raise CheckpointError(
            f"{path} has {llama.vocab_size} tokens, its tokenizer {tokenizer.get_vocab_size()}: give the tokenizer of this file."
        )
    return config, tokenizer, found
