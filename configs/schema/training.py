"""Settings of training (`training`)."""

from dataclasses import dataclass, field
from typing import Literal


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
