"""Settings of a captioner's networks (`captioner`)."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class EncoderConfig:
    """The audio encoder.

    Attributes:
        name: network: "cnn14" (PANNs, `models/encoders/cnn14.py`), "mobilenet" (EfficientAT, `models/encoders/mobilenet.py`),
            "htsat" (HTS-AT, `models/encoders/htsat.py`), "clap" (CLAP's joint embedding, `models/encoders/clap.py`), or "hf:"
            followed by the folder or hub id of another transformers audio network, such as "hf:openai/whisper-tiny"
            (`models/encoders/transformers_audio.py`).
        weights: published weights: a file for cnn14 and mobilenet, a folder or hub id for htsat and clap, such as
            "laion/clap-htsat-unfused"; None for random initial weights. "hf:" networks use those of their name.
        weights_sha256: checksum of the weights file (for transformers networks, of the tensors); stored in checkpoints and
            verified at loading.
        sample_rate: input sample rate in hertz (cnn14: 16000 or 32000; mobilenet: 32000; htsat and clap: 48000; most "hf:"
            networks: 16000).
        width: factor of the full network's channel counts, above 0 and at most 8; None for the published width (cnn14: 1.0,
            embedding width 2048; mobilenet: 0.4, 384; htsat: 1.0, 768; clap: 1.0). Not used for networks loaded by transformers.
        output: "frames" for one embedding per frame, "clip" for one vector per clip; clap always gives one vector.
        train_from_step: training step, 0 or more, from which the encoder is trained; None keeps it frozen, so that embeddings are
            computed once and cached.
        frozen_layers: number of layers, counted from the input, that are never trained (mobilenet: 0 to 17; cnn14: blocks, 0 to
            6; htsat and clap: stages, 0 to 5; "hf:": the modules before the blocks, then blocks). Early layers take most of the
            time of a step and change least.
        branch_weight: weight, 0 to 1, of the tag logits of a second branch (mobilenet): a copy of the layers after
            `frozen_layers` that training.tagger fine-tunes while the published layers stay fixed; 0 for no second branch.
        max_duration_s: maximum clip length in seconds, above 0 and at most 3600; longer clips are cropped in training and split
            in inference.
    """

    name: str = "cnn14"
    weights: str | None = None
    weights_sha256: str | None = None
    sample_rate: int = 32000
    width: float | None = None
    output: Literal["frames", "clip"] = "frames"
    train_from_step: int | None = None
    frozen_layers: int = 0
    branch_weight: float = 0.0
    max_duration_s: float = 30.0


@dataclass(frozen=True)
class ProjectionConfig:
    """The projection from encoder width to decoder width.

    Attributes:
        kind: "linear", "mlp" (layer norm and two linear layers with GELU), or "none": the decoder receives only tag tokens.
        pool: number of neighbouring frames averaged into one prefix token, 1 or more.
        dropout: dropout probability of values of the projected embeddings, 0 or more and below 1.
        clip_dropout: probability, 0 to 1, of dropping all frames of a clip in training, so that the decoder also learns to rely
            on tags, which generalise better; without tags it has no effect.
    """

    kind: Literal["linear", "mlp", "none"] = "mlp"
    pool: int = 1
    dropout: float = 0.2
    clip_dropout: float = 0.0


@dataclass(frozen=True)
class TagsConfig:
    """The highest tag scores, given to the decoder before the frames.

    Attributes:
        num_tags: number of tags, each one prefix token, 0 to 527; 0 for none.
        summary: whether four more tokens with all tag scores, of the whole clip and of each third, precede them.
        dropout: dropout probability of tag tokens in training, 0 or more and below 1.
        parts: whether tag tokens have the scores of each third of a clip, or only of the whole clip.
    """

    num_tags: int = 0
    summary: bool = False
    dropout: float = 0.1
    parts: bool = True


@dataclass(frozen=True)
class DecoderConfig:
    """The Llama decoder that generates captions after the audio prefix.

    Attributes:
        pretrained: folder or hub id of a transformers Llama checkpoint; None for a new decoder of the sizes below. For a
            pretrained decoder only dropout (of input embeddings) is used.
        frozen: whether a pretrained decoder stays frozen, so that only the projection is trained.
        dtype: dtype of a pretrained decoder's weights; "bfloat16" halves their memory and needs frozen or lora_rank, whose
            adapters stay float32.
        gradient_checkpointing: recompute the activations of each block in the backward pass, which saves memory and takes time.
        num_layers: number of transformer blocks, 1 or more.
        num_heads: number of attention heads per block, 1 or more.
        width: hidden size, a multiple of num_heads.
        intermediate_width: size of the SwiGLU layer; None for 8/3 of the width, rounded up to a multiple of 64.
        dropout: dropout probability of attention weights and input embeddings in training, 0 or more and below 1.
        max_positions: maximum number of tokens of prefix and caption together.
        lora_rank: rank of LoRA adapters (Hu et al. 2021, arXiv 2106.09685) on the attention projections (peft), scaled by 2; 0
            trains all weights.
        rms_norm_eps: epsilon of the RMS norms, above 0.
        tie_embeddings: whether input and output word embeddings share their weights.
    """

    pretrained: str | None = None
    frozen: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    num_layers: int = 6
    num_heads: int = 8
    width: int = 256
    intermediate_width: int | None = None
    dropout: float = 0.2
    max_positions: int = 512
    lora_rank: int = 0
    rms_norm_eps: float = 1e-6
    tie_embeddings: bool = True


@dataclass(frozen=True)
class TokenizerConfig:
    """The tokenizer of captions.

    Attributes:
        kind: "bpe" trains sub-words on the training captions; "decoder" uses the pretrained decoder's tokenizer; any other value
            is a hub id or folder of a transformers tokenizer, such as "bert-base-uncased".
        vocab_size: size of a trained vocabulary, including special tokens.
    """

    kind: str = "bpe"
    vocab_size: int = 5000


@dataclass(frozen=True)
class CaptionerConfig:
    """All settings of a captioner's networks.

    Attributes:
        encoder: audio encoder.
        projection: projection from audio embeddings to prefix tokens.
        tags: prefix tokens of tag scores.
        decoder: Llama decoder.
        tokenizer: tokenizer of captions.
        styles: names of the caption styles, each with a learned prefix token; the first is the default.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    tags: TagsConfig = field(default_factory=TagsConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    styles: tuple[str, ...] = ()
