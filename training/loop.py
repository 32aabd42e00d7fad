"""The training loop, and its handling of failed loader processes."""

import logging
import multiprocessing
import signal
import time

from tqdm import tqdm

from training.run_folder import TrainingError
from training.trainer import Trainer

logger = logging.getLogger("train")


def fit(trainer: Trainer) -> None:
    """Run the training loop.

    Raises:
        TrainingError: a loader process died, froze or failed; or as the trainer's methods.
    """
    try:
        _run_steps(trainer)
    except Exception as error:
        if not any(words in str(error) for words in ("DataLoader worker", "DataLoader timed out")):
            raise
        # It can be raised at any line of the loop, in the middle of a step, so nothing is saved.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the loader's own handler would raise an error
        for process in multiprocessing.active_children():
            process.kill()  # exit would wait for a frozen process
        good = trainer.run.last_good() if trainer.run else "in the main process's folder"
        raise TrainingError(
            f"a process that loads clips {_worker_fault(error)}; the last good checkpoint is {good}: continue with --resume, and "
            "with data.num_workers 0 if this happens again."
        ) from error


def _worker_fault(error: Exception) -> str:
    """Return how a loader process failed; for an exception, the last line of its traceback."""
    lines = str(error).strip().splitlines()
    if lines[0].startswith("Caught "):
        return f"failed ({lines[-1].strip().rstrip('.')})"
    return f"{'froze' if 'timed out' in lines[0] else 'died'} ({lines[0].rstrip('.')})"


def _run_steps(trainer: Trainer) -> None:
    settings = trainer.config.training
    show = trainer.accelerator.is_main_process
    limit_s = settings.max_minutes * 60 or float("inf")
    if trainer.owes_validation():
        trainer.validate_again()
    with tqdm(total=settings.total_steps, initial=trainer.step, unit="step", disable=not show, smoothing=0.05) as bar:
        while trainer.step < settings.total_steps:
            phase_end = trainer.start_phase()
            bar.unpause()  # computing embeddings is not part of a step
            while trainer.step < phase_end:
                started = time.monotonic()
                batches = trainer.next_batches()
                loss = trainer.train_step(batches)
                duration = time.monotonic() - started
                trainer.state.seconds += duration
                rate = trainer.history.rates[-1]
                num_clips = sum(len(batch.names) for batch in batches) * trainer.accelerator.num_processes
                bar.set_postfix_str(
                    f"loss {loss:.3f}, rate {rate:.1e}, {num_clips / duration:.0f} clips/s", refresh=False
                )
                bar.update()
                out_of_time = trainer.state.seconds >= limit_s
                if trainer.owes_validation() or out_of_time:
                    trainer.validate_and_save()
                if out_of_time:
                    logger.info("stopping after %.1f minutes at step %d.", trainer.state.seconds / 60, trainer.step)
                    return
