"""Records of a run: `losses.csv`, `validation.csv`, `loss.png`, and optional TensorBoard files."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from configs.atomic_files import FileNotWrittenError, new_file, write_file


def _print_uncaught(print_error: Callable[[Any], Any], uncaught: threading.ExceptHookArgs) -> None:
    """Print an error that ends a thread, except of TensorBoard's, whose next call raises it again."""
    if not type(uncaught.thread).__module__.startswith("tensorboard."):
        print_error(uncaught)


class History:
    """Losses and learning rates of each step, and metrics of each validation.

    Args:
        folder: folder of the files.
        tensorboard: whether to write TensorBoard event files too.
    """

    def __init__(self, folder: Path, tensorboard: bool = False) -> None:
        self.folder = folder
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.validations: list[dict[str, Any]] = []
        self._writer: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._tensorboard = folder / "tensorboard"
            threading.excepthook = partial(_print_uncaught, threading.excepthook)
            with self._named():
                self._writer = SummaryWriter(str(self._tensorboard))

    def add_step(self, loss: float, rate: float) -> None:
        """Add the training loss of a step (nats per token) and the decoder's learning rate."""
        self.losses.append(loss)
        self.rates.append(rate)
        if self._writer is not None:
            with self._named():
                self._writer.add_scalar("loss/training", loss, len(self.losses))
                self._writer.add_scalar("learning_rate", rate, len(self.losses))

    def add_validation(self, **measures: Any) -> None:
        """Add the metrics of a validation: step, loss, cider_d, seconds."""
        self.validations.append(measures)
        if self._writer is not None:
            with self._named():
                for name in ("loss", "cider_d"):
                    if measures.get(name) is not None:
                        self._writer.add_scalar(f"{name}/validation", measures[name], measures["step"])

    def validated(self, step: int) -> bool:
        """Return whether the weights after a step were validated."""
        return any(measures["step"] == step for measures in self.validations)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Add the file name to errors of TensorBoard's writer."""
        try:
            yield
        except OSError as error:
            raise FileNotWrittenError(error.errno, error.strerror or str(error), str(self._tensorboard)) from error

    def state(self) -> dict[str, Any]:
        """Return the state for `load`: plain values only."""
        return {"losses": self.losses, "rates": self.rates, "validations": self.validations}

    def load(self, state: dict[str, Any]) -> None:
        """Load a saved state."""
        self.losses, self.rates = list(state["losses"]), list(state["rates"])
        self.validations = list(state["validations"])

    def write_tables(self) -> None:
        """Write `losses.csv` and `validation.csv`.

        Raises:
            FileNotWrittenError: no space, or no permission; older files are kept.
        """
        steps = np.arange(1, len(self.losses) + 1)
        table = pd.DataFrame({"step": steps, "loss": self.losses, "learning_rate": self.rates})
        write_file(self.folder / "losses.csv", table.to_csv(index=False))
        write_file(self.folder / "validation.csv", pd.DataFrame(self.validations).to_csv(index=False))

    def draw(self) -> None:
        """Redraw `loss.png`, and flush TensorBoard's files.

        Raises:
            FileNotWrittenError: as for `write_tables`.
        """
        with new_file(self.folder / "loss.png") as file:
            self._plot(np.arange(1, len(self.losses) + 1)).savefig(file, dpi=120, format="png")
        if self._writer is not None:
            with self._named():
                self._writer.flush()

    def _plot(self, steps: Any) -> Figure:
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        window = max(1, len(self.losses) // 200)
        smooth = pd.Series(self.losses).rolling(window, min_periods=1).mean()
        axes.plot(steps, smooth, color="#9aa5b1", label=f"training (mean of {window} steps, smoothed labels)")
        found = [row for row in self.validations if row.get("loss") is not None]
        axes.plot(
            [row["step"] for row in found], [row["loss"] for row in found], "o-", color="#1f6feb", label="validation"
        )
        scored = [row for row in self.validations if row.get("cider_d") is not None]
        axes.set(xlabel="step", ylabel="loss (nats per token)")
        axes.grid(alpha=0.25)
        handles, labels = axes.get_legend_handles_labels()
        if scored:
            right = axes.twinx()
            right.plot([row["step"] for row in scored], [row["cider_d"] for row in scored], "s--", color="#d1720b")
            right.set_ylabel("CIDEr-D on validation", color="#d1720b")
            right.set_ylim(bottom=0)
        axes.legend(handles, labels, loc="upper center", frameon=False)
        return figure
