"""The processes of distributed training: their setup and timeouts."""

import os
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs, InitProcessGroupKwargs

from configs.schema import TrainingConfig
from training.optimisation import usable_precision
from training.run_folder import TrainingError

# The others wait while the first process trains the tagger, computes embeddings or validates, which may take hours; a process
# that died is detected by torchrun, not by this timeout.
LONGEST_WAIT = timedelta(days=7)
_WORLD_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # torchrun's, and those of MPI
_REMEDY = "start them with torchrun --nproc_per_node N train.py."


def build_accelerator(settings: TrainingConfig, trains_encoder: bool) -> Accelerator:
    """Return the accelerator of this process.

    Raises:
        TrainingError: several processes were started, but they are not connected.
    """
    promised = max(int(os.environ.get(name) or 1) for name in _WORLD_SIZES)
    # on CPUs, accelerate launch starts one process, regardless of --num_processes
    if promised == 1 and "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_ADDR" in os.environ:
        raise TrainingError(
            f"accelerate launch starts only one process on CPUs, regardless of --num_processes: {_REMEDY}"
        )
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    handlers: list[DistributedDataParallelKwargs | InitProcessGroupKwargs] = [
        InitProcessGroupKwargs(timeout=LONGEST_WAIT)
    ]
    if trains_encoder:  # its tagger has no gradient without the tags' loss
        handlers.append(DistributedDataParallelKwargs(find_unused_parameters=True))
    accelerator = Accelerator(
        mixed_precision=usable_precision(settings.mixed_precision, on_cpu or not torch.accelerator.is_available()),
        dataloader_config=DataLoaderConfiguration(),
        kwargs_handlers=handlers,
        cpu=on_cpu,
    )
    if promised != accelerator.num_processes:
        raise TrainingError(
            f"{promised} processes were started but {accelerator.num_processes} are connected: {_REMEDY}"
        )
    return accelerator


def restarts() -> int:
    """Return how often torchrun (`--max-restarts`) has restarted this run after a process died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
