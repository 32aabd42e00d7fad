"""AdamW's parameter groups, the learning-rate schedule, and the moving average of the weights."""

import logging
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from configs.schema import TrainingConfig
from models.captioner import AudioCaptioner

logger = logging.getLogger(__name__)


def has_bfloat16() -> bool:
    """Return whether this CPU has bfloat16 instructions (AVX512-BF16, AMX or ARM's)."""
    return any(value for name, value in torch.cpu.get_capabilities().items() if "bf16" in name)


def usable_precision(wanted: str, on_cpu: bool) -> str:
    """Return the mixed precision to train in.

    A CPU without instructions for bfloat16 emulates them: a step of `configs/any_sound.yaml` took more than ten times as long as
    in float32 (AMD EPYC with AVX2, one core).

    Args:
        wanted: "no", "bf16" or "fp16".
        on_cpu: whether the run is on a CPU.
    """
    if wanted == "bf16" and on_cpu and not has_bfloat16():
        logger.warning("this processor has no instructions for bfloat16: training in float32, which is faster here.")
        return "no"
    return wanted


def build_optimizer(captioner: AudioCaptioner, config: TrainingConfig, trains_encoder: bool) -> torch.optim.AdamW:
    """Build AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) for all parameters that are trained in any phase.

    Weight decay applies to matrices, not to biases, norms and word embeddings. The encoder has its own learning rate.
    """
    parts: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in captioner.named_parameters():
        in_encoder = name.startswith("encoder.")
        if (in_encoder and not trains_encoder) or (not in_encoder and not parameter.requires_grad):
            continue
        decays = parameter.ndim >= 2 and "embed_tokens" not in name
        parts.setdefault((in_encoder, decays), []).append(parameter)
    groups = [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if decays else 0.0,
            "peak_lr": config.encoder_learning_rate if in_encoder else config.learning_rate,
            "in_encoder": in_encoder,
        }
        for (in_encoder, decays), parameters in sorted(parts.items())
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)


def schedule_factor(step: int, config: TrainingConfig, first_step: int = 0) -> float:
    """Return the factor of the peak learning rate, 0 to 1: linear warm-up after `first_step`, then cosine to zero or constant."""
    done = step - first_step
    if done < 0:
        return 0.0
    if config.schedule == "constant":
        return min(1.0, (done + 1) / max(1, config.warmup_steps))
    return cosine_factor(done, config.num_steps - first_step, config.warmup_steps)


def cosine_factor(step: int, num_steps: int, warmup_steps: int) -> float:
    """Return the factor, 0 to 1: linear warm-up, then cosine to zero at `num_steps` (Loshchilov, Hutter, arXiv 1608.03983)."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def set_learning_rates(
    optimizer: torch.optim.Optimizer, step: int, config: TrainingConfig, encoder_first_step: int
) -> float:
    """Set each group's learning rate for a step; return the decoder's."""
    rate = 0.0
    for group in optimizer.param_groups:
        if step >= config.num_steps:
            left = 1 - (step - config.num_steps) / config.self_critical.num_steps
            group["lr"] = 0.0 if group["in_encoder"] else config.self_critical.learning_rate * left
        else:
            factor = schedule_factor(step, config, encoder_first_step if group["in_encoder"] else 0)
            group["lr"] = group["peak_lr"] * factor
        if not group["in_encoder"]:
            rate = group["lr"]
    return rate


class MovingAverage:
    """Exponential moving average of parameters, with decay at most (1 + n) / (10 + n) after n updates.

    Args:
        parameters: (name, tensor) pairs to average.
        decay: weight of the old average at each update, 0 to 1; with 0, there is no average and all methods do nothing.

    Attributes:
        values: the averages by name; empty with decay 0.
        exchanged: whether the parameters currently are the averages, and `values` the trained weights.
    """

    def __init__(self, parameters: Sequence[tuple[str, Tensor]], decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.exchanged = False
        self._followed = parameters if decay else ()
        self.values = {name: tensor.detach().clone() for name, tensor in self._followed}

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the current values."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for name, tensor in self._followed:
            self.values[name].lerp_(tensor.detach(), 1 - decay)

    @torch.no_grad()
    def exchange(self) -> None:
        """Swap averages and weights in place; a second call restores them."""
        for name, tensor in self._followed:
            current = tensor.detach().clone()
            tensor.copy_(self.values[name])
            self.values[name].copy_(current)
        self.exchanged = not self.exchanged

    @torch.no_grad()
    def restart(self) -> None:
        """Set the weights to their averages and start a new average."""
        self.num_updates = 0
        for name, tensor in self._followed:
            tensor.copy_(self.values[name])

    def state(self) -> dict[str, object]:
        """Return the state for `load`."""
        return {"values": dict(self.values), "num_updates": self.num_updates}

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor], num_updates: int) -> None:
        """Load a saved state; if it has no average, start from the current values."""
        self.num_updates = num_updates
        for name, tensor in self._followed:
            self.values[name].copy_(values.get(name, tensor))
