"""All settings of a captioner and its training, as frozen dataclasses.

The dataclasses hold the defaults; a YAML file overrides them and the command line overrides the YAML file
(`--data.batch_size 8`). `configs/loading.py` reads them. Every checkpoint has its own `config.yaml`.
"""

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
        width: factor of the full network's channel counts, above 0; None for the published width (cnn14: 1.0, embedding width
            2048; mobilenet: 0.4, 384; htsat: 1.0, 768; clap: 1.0). Not used for networks loaded by transformers.
        output: "frames" for one embedding per frame, "clip" for one vector per clip; clap always gives one vector.
        train_from_step: training step, 0 or more, from which the encoder is trained; None keeps it frozen, so that embeddings are
            computed once and cached.
        frozen_layers: number of layers, counted from the input, that are never trained (mobilenet: 0 to 17; cnn14: blocks, 0 to
            6; htsat and clap: stages, 0 to 5; "hf:": the modules before the blocks, then blocks). Early layers take most of the
            time of a step and change least.
        branch_weight: weight, 0 to 1, of the tag logits of a second branch (mobilenet): a copy of the layers after
            `frozen_layers` that training.tagger fine-tunes while the published layers stay fixed; 0 for no second branch.
        max_duration_s: maximum clip length in seconds, above 0; longer clips are cropped in training and split in inference.
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
            carries these captions as references for minimum Bayes risk decoding (`generation/retrieval.py`). Empty
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
    """Augmentation of training clips; 0 switches each off. Every sample is seeded by (seed, epoch, index).

    Attributes:
        mixup_alpha: parameter of the Beta(alpha, alpha) distribution of the share of a second clip that is mixed in; 0 for none.
        mixup_captions: "both" trains on the captions of both clips, weighted by their shares; "either" on those of the louder.
        time_masks: number of SpecAugment masks in time, 0 or more.
        time_mask_share: maximum length of a time mask as a share of the clip, 0 to 1.
        band_masks: number of SpecAugment masks over mel bands (over channels of cached embeddings), 0 or more.
        band_mask_share: maximum width of a band mask as a share of the bands, 0 to 1.
        gain_db: waveforms are scaled by a random gain between -gain_db and +gain_db decibels.
        crop_s: length of a random crop in seconds; 0 keeps the clip up to the encoder's max_duration_s.
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
    """The training data.

    Attributes:
        dataset_root: data set folder in one of the layouts of `data/clotho.py`.
        validation_share: share of the development clips that are held out, above 0 and below 1, if the layout has no validation
            split.
        mixtures: number of two-sound mixtures added to each epoch of a labelled data set (`data/labelled/mixtures.py`), 0 or
            more. They are the same in each epoch while the encoder is frozen (embeddings are cached), and newly drawn afterwards.
        batch_size: clips per optimiser step, over all processes and accumulation steps.
        num_workers: number of processes that load clips; 0 loads them in the training process.
        worker_timeout_s: seconds without data from a worker after which training stops with an error.
        cache_dir: cache folder for a frozen encoder's embeddings; None computes them in each step.
        bad_clips: what happens if a clip becomes unreadable during training: "stop" saves and stops with its name; "skip" warns
            and uses the next clip instead.
        augment: augmentation of training clips.
        texts: captions without audio that are trained on as well.
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
    """How the tag scores of a clip influence its captions; a tag's score is the maximum over the clip and its thirds.

    With coverage_weight, min_score or consensus_weight above 0, all captions found by the search are re-ranked
    (`generation/rerank.py`).

    Attributes:
        word_bonus: bonus during the search for a word of a tag that the hypothesis has not named yet, in nats times the square
            root of the tag's score, 0 or more; it does not count in re-ranking.
        coverage_weight: weight, 0 or more, of the share of the high tag scores that a caption names, in nats per token.
        min_score: minimum tag score, 0 to 1, of a named sound: captions that name a sound whose classes all score lower rank
            last, and the search does not use such words for people, speech and music; 0 for no minimum.
        consensus_weight: weight, 0 or more, of the expected similarity (CIDEr-D, 0 to 10) of a caption to reference captions
            retrieved by the tag scores (minimum Bayes risk decoding).
    """

    word_bonus: float = 0.0
    coverage_weight: float = 0.0
    min_score: float = 0.0
    consensus_weight: float = 0.0


@dataclass(frozen=True)
class DecodingConfig:
    """How captions are generated (ranges are in `configs/checks.py`).

    Attributes:
        method: "beam" search, "greedy" decoding, or "sample" for sampling.
        num_beams: number of beams, 1 or more.
        num_captions: number of captions returned per clip, best first, 1 or more.
        max_tokens: maximum caption length in tokens, 1 or more.
        min_tokens: minimum caption length in tokens, 0 to max_tokens.
        length_penalty: exponent of the length by which beam scores are divided; 1 compares means per token.
        temperature: divisor of the logits before sampling, above 0.
        top_k: sampling uses this many most probable tokens; 0 for all.
        top_p: sampling uses the smallest set of tokens with this total probability, above 0 and at most 1.
        repetition_ban: "content" forbids repeated content words, "none" allows them.
        seed: random seed of sampling.
        style: caption style, one of captioner.styles; empty for the first.
        tags: influence of tag scores.
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
        num_steps: optimiser steps; 0 for no fine-tuning.
        pool: number of clips, half of them mixtures of two, that are drawn once and used in turn; the outputs of the frozen
            layers are kept in memory (40 kB per clip for mobilenet's mn04 with 6 frozen layers).
        batch_size: clips per step.
        learning_rate: peak learning rate; linear warm-up over a twentieth of the steps, then cosine decay to zero.
        weight_decay: decoupled weight decay.
        distillation: weight of tags without labels, whose targets are the scores before fine-tuning.
        max_duration_s: maximum clip length in seconds; longer clips are cropped at random.
        members: number of trainings with different seeds, whose weights are averaged.
        blend: weight, 0 to 1, of the fine-tuned weights in the result; the rest is the weights before fine-tuning.
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
    """Reinforcement after cross-entropy training: generated captions are rewarded by CIDEr-D (`training/self_critical.py`).

    Attributes:
        num_steps: optimiser steps; 0 for none.
        learning_rate: initial learning rate of the decoder, decaying linearly to zero; the encoder is not trained.
        batch_size: clips per step.
        num_beams: captions generated per clip, at least 2.
    """

    num_steps: int = 0
    learning_rate: float = 3e-5
    batch_size: int = 32
    num_beams: int = 5


@dataclass(frozen=True)
class TrainingConfig:
    """The optimiser, its schedule, and the checkpoints.

    Attributes:
        run_name: first folder under checkpoints_dir; the names of encoder and decoder make the second.
        checkpoints_dir: folder of all runs.
        seed: random seed of weights, order, augmentation and dropout.
        start_from: checkpoint with the same networks whose weights and vocabulary the run starts from; None for new ones.
        num_steps: optimiser steps.
        max_minutes: training time in minutes after which the run validates, saves and stops; 0 for no limit.
        learning_rate: peak learning rate of AdamW.
        encoder_learning_rate: peak learning rate of the encoder, once it is trained.
        weight_decay: decoupled weight decay of matrices; biases, norms and embeddings have none.
        betas: AdamW's two decay rates, 0 or more and below 1.
        label_smoothing: share of the target distribution spread over the vocabulary, 0 or more and below 1.
        tag_loss: weight of the binary cross-entropy of the encoder's tags, for labelled clips and a trained encoder; summed over
            the tags that occur as training labels, averaged over clips; 0 for none.
        warmup_steps: steps of linear warm-up.
        schedule: "cosine" decay to zero at num_steps, or "constant" after warm-up.
        gradient_clip: maximum gradient norm; 0 for no clipping.
        accumulation: number of parts into which each batch is split to save memory.
        ema_decay: decay of the moving average of the weights that is validated and saved, 0 or more and below 1; 0 for none.
        mixed_precision: "bf16" or "fp16" autocast, or "no". On CPUs without bfloat16 instructions, "bf16" trains in float32.
        validate_every: steps between validations.
        select: criterion of the best checkpoint: validation CIDEr-D, validation loss, or the last step.
        max_validation_captions: number of clips decoded for CIDEr-D at each validation; 0 for all.
        keep: number of numbered checkpoints kept beside the best and the last.
        tensorboard: whether to write TensorBoard files to the run's folder.
        tagger: fine-tuning of the tagger before the first step.
        self_critical: reinforcement after the last step.
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
        """Total number of optimiser steps."""
        return self.num_steps + self.self_critical.num_steps


@dataclass(frozen=True)
class Config:
    """An experiment: the settings that train.py reads and that every checkpoint stores as config.yaml."""

    captioner: CaptionerConfig = field(default_factory=CaptionerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
