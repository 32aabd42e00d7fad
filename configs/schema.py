"""Every setting of a captioner and of its training, as frozen dataclasses.

The dataclasses hold the defaults; a YAML file overrides them and the command line overrides the YAML file
(`--data.batch_size 8`). `configs/loading.py` does the reading. A checkpoint carries its own `config.yaml`.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class EncoderConfig:
    """The network that turns a waveform into audio embeddings.

    Attributes:
        name: which network: "cnn14" (PANNs, `models/encoders/cnn14.py`), "mobilenet" (EfficientAT,
            `models/encoders/mobilenet.py`), "htsat"
            (HTS-AT, `models/encoders/htsat.py`), "clap" (its joint embedding, `models/encoders/clap.py`), or "hf:" with
            the folder or hub id
            of another audio network of transformers, such as "hf:openai/whisper-tiny" (`models/encoders/transformers_audio.py`).
        weights: published weights to start from: a file for cnn14 and mobilenet, a folder or hub id for htsat and clap, such as
            "laion/clap-htsat-unfused"; None trains from random values. An "hf:" network takes those of its name.
        weights_sha256: checksum of that file (of the tensors, where transformers reads them), written into checkpoints and
            checked at loading.
        sample_rate: rate in hertz that the network takes (cnn14: 16000 or 32000; mobilenet: 32000; htsat and clap: 48000;
            most "hf:" networks: 16000).
        width: channel count as a multiple of the full network's; None takes the published one
            (cnn14: 1.0, embeddings 2048 wide; mobilenet: 0.4, embeddings 384 wide; htsat: 1.0, 768 wide; clap: 1.0). It has
            no meaning for networks that transformers loads.
        output: one embedding a frame, or one vector a clip (the seed's choice); clap gives one vector either way.
        train_from_step: training step from which the encoder's weights are updated too; None keeps them frozen, so
            that its embeddings are computed once and cached; 0 trains it from the start.
        frozen_layers: layers, counted from the input, that stay as they were loaded when the others are trained
            (mobilenet: 0 to 17, cnn14: blocks, 0 to 6; htsat and clap: stages, 0 to 5; "hf:": what comes before the blocks,
            then blocks); early layers cost most of a step and change least.
        branch_weight: weight, 0 to 1, of the tag logits of a second branch (mobilenet): a copy of the layers after
            `frozen_layers` that training.tagger fine-tunes while the published layers stay as they are; 0 for no second branch.
        max_duration_s: longest clip in seconds; longer ones are cropped in training and windowed in inference.
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
    """From encoder width to decoder width.

    Attributes:
        kind: one linear layer, a layer norm and two layers with GELU between, or "none": the decoder sees tags alone.
        pool: how many neighbouring frames are averaged into one prefix token.
        dropout: probability of dropping a value of the projected embeddings, 0 to 1.
        clip_dropout: probability of hiding all frames of a clip in training, 0 to 1, so that the decoder learns to go by the
            tags, which tell more of clips that were not trained on; without tags it does nothing.
    """

    kind: Literal["linear", "mlp", "none"] = "mlp"
    pool: int = 1
    dropout: float = 0.2
    clip_dropout: float = 0.0


@dataclass(frozen=True)
class TagsConfig:
    """The encoder's strongest tags, given to the decoder before the frames.

    Attributes:
        num_tags: how many, each one prefix token; 0 leaves tags out.
        summary: whether all tags' scores, of the whole clip and of each third, stand before them as four more tokens.
        dropout: probability of hiding a tag in training, 0 to 1.
        parts: whether the decoder gets scores of each third of a clip; if False, of the whole clip only.
    """

    num_tags: int = 0
    summary: bool = False
    dropout: float = 0.1
    parts: bool = True


@dataclass(frozen=True)
class DecoderConfig:
    """The Llama decoder that writes the caption after the audio prefix.

    Attributes:
        pretrained: folder or hub id of a transformers Llama checkpoint; None builds one from the numbers below, which have no
            meaning for a pretrained one but for dropout (of input embeddings alone).
        frozen: keep a pretrained decoder's weights as they are, so that the projection alone learns to speak to it.
        dtype: of a pretrained decoder's weights in memory; "bfloat16" halves it and goes with frozen or lora_rank, whose
            adapters stay float32.
        gradient_checkpointing: compute each block's activations again in the backward pass, which saves memory and costs time.
        num_layers: transformer blocks.
        num_heads: attention heads in each block.
        width: hidden size; a multiple of num_heads.
        intermediate_width: size of the SwiGLU layer; None takes 8/3 of the width, rounded up to a multiple of 64.
        dropout: probability of dropping an attention weight or an input embedding in training.
        max_positions: longest prefix plus caption, in tokens.
        lora_rank: rank of LoRA adapters (Hu et al. 2021, arXiv 2106.09685) on the attention projections (peft), scaled by 2; 0
            trains the decoder itself.
        rms_norm_eps: epsilon of the RMS norms.
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
    """How captions become token ids.

    Attributes:
        kind: "bpe" trains sub-words on the training captions; "decoder" takes the pretrained decoder's own; any other value is a
            hub id or a folder of a transformers tokenizer, such as "bert-base-uncased" (the seed's).
        vocab_size: size of the trained vocabulary, special tokens included.
    """

    kind: str = "bpe"
    vocab_size: int = 5000


@dataclass(frozen=True)
class CaptionerConfig:
    """All that is needed to build a captioner.

    Attributes:
        encoder: from waveform to audio embeddings.
        projection: from audio embeddings to prefix tokens.
        tags: the tagger's prefix tokens.
        decoder: writes the caption.
        tokenizer: words as tokens.
        styles: names of the captioner's styles, each a prefix token; the first is the default.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    tags: TagsConfig = field(default_factory=TagsConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    styles: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaptionTable:
    """A table of captions without audio.

    Attributes:
        path: CSV file with a column `caption`, or `caption_1` to `caption_N`.
        style: style of its captions, one of captioner.styles.
        duration_s: shortest and longest duration, in seconds, of the clips that its captions describe.
    """

    path: str
    style: str
    duration_s: tuple[float, float] = (10.0, 10.0)


@dataclass(frozen=True)
class SimulationConfig:
    """How audio embeddings are simulated for captions without audio (`training/text_only/simulation.py`).

    Levels are in decibels, `p_` settings are probabilities, 0 to 1.

    Attributes:
        noise: whether simulated audio has what recordings have: unclear, quiet, partial and missing sources, and sounds that
            no caption mentions. If False, each source is the clearest clip of its class, and there are no other sounds.
        mix_slope: weight of a source in a mixture of embeddings, as the exponent per decibel of its level.
        mix_gain: factor of the embeddings of mixtures.
        detection_threshold: tag score, 0 to 1, from which a clip of the sound bank has a class that its label does not name.
        max_label_rank: a clip has a class of its label only if fewer classes than this have a higher tag score.
        min_clips: clips that each class has at least in the sound bank; synthetic embeddings fill the gap.
        min_synthetic: synthetic embeddings of each class, at least.
        synthetic_frames: frames of a synthetic embedding.
        synthetic_beta: parameters of the Beta distribution of the scores of synthetic embeddings.
        synthetic_steps: optimiser steps of synthetic embeddings.
        min_peak_score: lowest value, 0 to 1, of the highest score of a class, by which that distribution is scaled.
        class_weights: relative probabilities that a source takes a clip of its first, second, ... class.
        num_candidates: clips that are drawn for a source, of which the one with the best fit is taken.
        score_weight: weight of the tag score in the fit; a class of the source that the clip has counts 1.
        p_any_clip: probability that a source other than speech takes any clip of its class.
        speech_gain_db: gain of speech, which the tagger detects through other sounds.
        level_deviation_db: standard deviation of the levels of sources.
        p_partial: probability that one of several sources sounds in a part of its turn only.
        p_partial_speech: the same for speech.
        p_early_onset: probability that a later source starts together with the source before it.
        p_background: probability of a quiet background that the caption does not mention.
        background_db: lowest and highest level of that background.
        p_unmentioned_speech: probability of speech where the caption mentions none.
        unmentioned_speech_db: lowest and highest level of that speech.
        p_missing: probability that a source after the first one does not sound.
    """

    noise: bool = True
    mix_slope: float = 0.09
    mix_gain: float = 1.3
    detection_threshold: float = 0.35
    max_label_rank: int = 60
    min_clips: int = 8
    min_synthetic: int = 3
    synthetic_frames: int = 12
    synthetic_beta: tuple[float, float] = (5.0, 1.2)
    synthetic_steps: int = 150
    min_peak_score: float = 0.7
    class_weights: tuple[float, ...] = (1.0, 0.6, 0.4, 0.25)
    num_candidates: int = 8
    score_weight: float = 5.0
    p_any_clip: float = 0.1
    speech_gain_db: float = 14.0
    level_deviation_db: float = 4.0
    p_partial: float = 0.4
    p_partial_speech: float = 0.9
    p_early_onset: float = 0.15
    p_background: float = 0.25
    background_db: tuple[float, float] = (-24.0, -8.0)
    p_unmentioned_speech: float = 0.6
    unmentioned_speech_db: tuple[float, float] = (-10.0, 14.0)
    p_missing: float = 0.04


@dataclass(frozen=True)
class TextsConfig:
    """Captions without audio, whose audio embeddings are simulated while the encoder is frozen.

    Attributes:
        tables: the tables of captions, human ones; the first one's style is that of composed and human captions below.
        label_table: CSV file of AudioSet label sets of the first table's clips (an id column, `audioset_labels`), from which
            label sets of that table's other captions are learned (`training/text_only/text_labels.py`); with it, a checkpoint
            carries these captions as references for minimum Bayes risk decoding (`models/generation/retrieval.py`). Empty
            for none.
        labelled_dirs: folders of labelled clips (`data/labelled/collections.py`), whose embeddings simulate the sounds
            that captions name.
        left_out: collections of labelled clips that nothing is trained on, so that captioners can be evaluated on them; a
            collection is the first folder of its clips' file names.
        composed: number of captions composed of short ones of the first table (`training/text_only/compose.py`), so that
            rare sounds and pairs are as frequent as others; in labelled_style, or the first table's style if that is empty.
        simulation: how the embeddings are simulated.
        labelled_style: style, one of captioner.styles, of short template captions (`data/labelled/label_captions.py`) of
            labelled clips and of mixtures of two, which are trained on like recordings. Empty for none.
        labelled_mixtures: number of these mixtures.
        labelled_repeats: times that each of these clips and mixtures comes in an epoch.
        human_captions: which of them are also trained on in the first table's style (`training/text_only/compose.py`):
            "usual": those whose sounds have captions that two people or more wrote, with these captions; "all": the others
            as well, with template captions; "none".
        human_caption_repeats: times that each of those comes in an epoch.
    """

    tables: tuple[CaptionTable, ...] = ()
    label_table: str = ""
    labelled_dirs: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    composed: int = 0
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    labelled_style: str = ""
    labelled_mixtures: int = 0
    labelled_repeats: int = 1
    human_captions: Literal["none", "usual", "all"] = "all"
    human_caption_repeats: int = 1


@dataclass(frozen=True)
class AugmentConfig:
    """Changes made to training clips; every one is off at 0. Each sample is seeded by (seed, epoch, index).

    Attributes:
        mixup_alpha: Beta(alpha, alpha) share of a second clip mixed in; 0 switches mixup off.
        mixup_captions: train on both clips' captions, weighted by their shares, or on the stronger clip's alone.
        time_masks: SpecAugment spans hidden in time, each at most `time_mask_share` of the clip.
        time_mask_share: longest hidden span as a share of the clip, 0 to 1.
        band_masks: SpecAugment spans hidden over mel bands (or embedding channels, when these are cached).
        band_mask_share: longest hidden span as a share of the bands, 0 to 1.
        gain_db: waveforms are scaled by a gain drawn from -gain_db to +gain_db decibels.
        crop_s: random crop of this many seconds; 0 keeps the clip up to the encoder's max_duration_s.
    """

    mixup_alpha: float = 0.0
    mixup_captions: Literal["both", "either"] = "both"
    time_masks: int = 0
    time_mask_share: float = 0.1
    band_masks: int = 0
    band_mask_share: float = 0.1
    gain_db: float = 0.0
    crop_s: float = 0.0


@dataclass(frozen=True)
class DataConfig:
    """Which clips to train on and how they are read.

    Attributes:
        dataset_root: folder in one of the layouts that `data/clotho.py` knows.
        validation_share: share of the development clips held out where the layout has no validation split.
        mixtures: two-sound mixtures added to each epoch of a labelled data set (`data/labelled/mixtures.py`); 0 for none. While
            the encoder is frozen they are the same in each epoch, so that embeddings are cached; then each epoch draws others.
        batch_size: clips in one optimiser step, over all processes and accumulation steps.
        num_workers: processes that load clips; 0 loads in the training process.
        worker_timeout_s: seconds after which a worker that gives nothing is taken for frozen, and training stops.
        cache_dir: folder for a frozen encoder's embeddings; None computes them in each step.
        bad_clips: a clip that cannot be read any more during training: "stop" saves and stops, naming it; "skip" warns
            and takes the next one in its place.
        augment: changes made to training clips.
        texts: captions without sound to learn from as well.
    """

    dataset_root: str = "datasets/clotho"
    validation_share: float = 0.1
    mixtures: int = 0
    batch_size: int = 32
    num_workers: int = 0
    worker_timeout_s: float = 300.0
    cache_dir: str | None = "datasets/embeddings"
    bad_clips: Literal["stop", "skip"] = "stop"
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    texts: TextsConfig = field(default_factory=TextsConfig)


@dataclass(frozen=True)
class TagDecodingConfig:
    """What the tag scores of a clip ask of its captions; a tag's score is the highest of the whole clip and its thirds.

    With coverage_weight, min_score or consensus_weight above 0, all captions that the search found are ranked anew
    (`models/generation/rerank.py`).

    Attributes:
        word_bonus: bonus in the search for a word that names a tag which the hypothesis has not named yet, in nats times the
            square root of the tag's score; captions are ranked by their own log-probability all the same.
        coverage_weight: weight of the share of the strong tags' scores that a caption names, in nats per token.
        min_score: lowest tag score, 0 to 1, with which a sound may be named: captions that name one whose classes all score
            lower rank behind all others, and the search does not say such words for people, speech and music; 0 allows all.
        consensus_weight: weight of the expected similarity (CIDEr-D, 0 to 10) of a caption to reference captions retrieved for
            the tag scores (minimum Bayes risk).
    """

    word_bonus: float = 0.0
    coverage_weight: float = 0.0
    min_score: float = 0.0
    consensus_weight: float = 0.0


@dataclass(frozen=True)
class DecodingConfig:
    """How captions are searched for (`configs/checks.py` has the ranges).

    Attributes:
        method: beam search, greedy, or sampling.
        num_beams: beams of the beam search.
        num_captions: captions returned for a clip, best first.
        max_tokens: longest caption in tokens; decoding also stops at the end token.
        min_tokens: shortest caption in tokens.
        length_penalty: beam scores are divided by length ** length_penalty.
        temperature: divides the logits before sampling; above 0.
        top_k: sampling keeps this many most probable tokens; 0 keeps all.
        top_p: sampling keeps the smallest set of tokens whose probability reaches this, above 0 and at most 1.
        repetition_ban: "content" never says a content word twice, "none" allows everything.
        seed: seed of the sampling.
        style: style of the captions, one of captioner.styles; empty takes the first.
        tags: what the tag scores ask of captions.
    """

    method: Literal["beam", "greedy", "sample"] = "beam"
    num_beams: int = 3
    num_captions: int = 1
    max_tokens: int = 40
    min_tokens: int = 3
    length_penalty: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.95
    repetition_ban: Literal["content", "none"] = "content"
    seed: int = 0
    style: str = ""
    tags: TagDecodingConfig = field(default_factory=TagDecodingConfig)


@dataclass(frozen=True)
class TaggerConfig:
    """Fine-tuning of the encoder's tagger on the labelled clips of data.texts.labelled_dirs, before the captioner is trained.

    Attributes:
        num_steps: optimiser steps; 0 leaves the encoder as it is.
        pool: number of clips that are drawn once, half of them mixtures of two, and trained on in turn; the outputs of the
            encoder's frozen layers are kept in memory (40 kB per clip for mobilenet's mn04 with 6 frozen layers).
        batch_size: clips in a step.
        learning_rate: peak rate; linear warm-up over a twentieth of the steps, then cosine to zero.
        weight_decay: decoupled weight decay.
        distillation: weight of the tags that the labels do not cover, whose targets are the scores before fine-tuning.
        max_duration_s: longer clips are cropped at random to this many seconds.
        members: number of trainings with different seeds, whose weights are averaged.
        blend: share of the fine-tuned weights in the result, 0 to 1; the rest are the weights before.
    """

    num_steps: int = 0
    pool: int = 24000
    batch_size: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    distillation: float = 1.0
    max_duration_s: float = 6.0
    members: int = 1
    blend: float = 1.0


@dataclass(frozen=True)
class SelfCriticalConfig:
    """What follows the last step of cross-entropy: found captions are rewarded by CIDEr-D (`training/self_critical.py`).

    Attributes:
        num_steps: further optimiser steps; 0 for none.
        learning_rate: of the decoder, falling to zero in a line; the encoder stays as it is.
        batch_size: clips in one of these steps.
        num_beams: captions found for each clip, at least 2.
    """

    num_steps: int = 0
    learning_rate: float = 3e-5
    batch_size: int = 32
    num_beams: int = 5


@dataclass(frozen=True)
class TrainingConfig:
    """The optimiser, its schedule, and what is kept.

    Attributes:
        run_name: first folder under checkpoints_dir; the encoder's and decoder's names make the second.
        checkpoints_dir: folder that all runs share.
        seed: seed of weights, order, augmentation and dropout.
        start_from: checkpoint whose weights and vocabulary the run begins with, its networks being the same; None for new ones.
        num_steps: optimiser steps.
        max_minutes: stop (with validation and saving) after this many minutes of training; 0 for no limit.
        learning_rate: peak rate of AdamW.
        encoder_learning_rate: peak rate of the encoder's weights once it is trained.
        weight_decay: decoupled weight decay of matrices; biases, norms and embeddings get none.
        betas: AdamW's two decay rates.
        label_smoothing: share of the target spread over the vocabulary, 0 to 1.
        tag_loss: weight of the binary cross-entropy of the encoder's tags, where clips are labelled and the encoder is
            trained; summed over the tags that the training labels name, a mean over clips; 0 for none.
        warmup_steps: steps of linear warm-up.
        schedule: cosine to zero at num_steps, or constant after warm-up.
        gradient_clip: largest gradient norm; 0 switches clipping off.
        accumulation: parts that a batch is split into to save memory.
        ema_decay: decay of the moving average of the weights that is validated and saved; 0 saves the weights.
        mixed_precision: "bf16" or "fp16" autocast, or "no". On a CPU without instructions for bfloat16, "bf16" trains in float32.
        validate_every: steps between validations.
        select: what chooses the best checkpoint: CIDEr-D on validation, validation loss, or just the last step.
        max_validation_captions: clips decoded for CIDEr-D at each validation; 0 for all.
        keep: numbered checkpoints kept beside the best and the last.
        tensorboard: write TensorBoard files into the run's folder.
        tagger: what comes before the first step.
        self_critical: what comes after the last one.
    """

    run_name: str = "clotho"
    checkpoints_dir: str = "checkpoints"
    seed: int = 0
    start_from: str | None = None
    num_steps: int = 15000
    max_minutes: float = 0.0
    learning_rate: float = 5e-4
    encoder_learning_rate: float = 3e-5
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    label_smoothing: float = 0.0
    tag_loss: float = 0.0
    warmup_steps: int = 200
    schedule: Literal["cosine", "constant"] = "cosine"
    gradient_clip: float = 1.0
    accumulation: int = 1
    ema_decay: float = 0.0
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    validate_every: int = 500
    select: Literal["cider_d", "loss", "last"] = "cider_d"
    max_validation_captions: int = 0
    keep: int = 1
    tensorboard: bool = False
    tagger: TaggerConfig = field(default_factory=TaggerConfig)
    self_critical: SelfCriticalConfig = field(default_factory=SelfCriticalConfig)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of all kinds."""
        return self.num_steps + self.self_critical.num_steps


@dataclass(frozen=True)
class Config:
    """One experiment: what train.py reads and what stands in every checkpoint as config.yaml."""

    captioner: CaptionerConfig = field(default_factory=CaptionerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
