"""Progress reports of a run: recordings done and failed, rate and remaining time, and a final summary."""

import logging
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from types import TracebackType

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from captioning.jobs import Captioned, Event
from data.caption_formats import SILENCE

logger = logging.getLogger(__name__)

_MOST_ERRORS = 20  # failures printed to stderr; the manifest has all of them
_MOST_WARNINGS = 20  # warnings printed of each kind
_MOST_REASONS, _MOST_KINDS = 5, 1000


class Tally:
    """Counters of a run.

    Attributes:
        num_captioned: number of recordings with captions, including silent ones.
        num_silent: number of silent recordings.
        num_failed: number of recordings that could not be captioned, or not completely.
        num_before: number of recordings that were done before the run started, or that the list names again.
        num_repeated: number of those that the list names again while they are captioned.
        num_failed_before: number of those that had failed.
    """

    def __init__(self) -> None:
        self.num_captioned = self.num_silent = self.num_failed = self.num_before = self.num_failed_before = 0
        self.num_repeated = 0
        self._silent: dict[int, bool] = {}  # recordings in progress
        self._reasons: Counter[str] = Counter()

    @property
    def num_done(self) -> int:
        """Number of finished recordings."""
        return self.num_captioned + self.num_failed

    def add_before(self, state: str, name: str = "", error: str = "", *, repeated: bool = False) -> None:
        """Count a recording that was done in an earlier run, or is `repeated` in the list; `name` and `error` if it failed."""
        self.num_before += 1
        self.num_repeated += repeated
        self.num_failed_before += state == "failed"
        self._add(state)
        if error:
            self._count_reason(name, error)

    def add(self, events: Iterable[Event]) -> None:
        """Count events; failures are logged immediately."""
        for event in events:
            if isinstance(event, Captioned):
                silent = event.record.captions == SILENCE
                self._silent[event.number] = self._silent.get(event.number, True) and silent
                continue
            silent = self._silent.pop(event.number, False)
            self._add("failed" if event.error else "silent" if silent else "captioned")
            if event.error:
                self._report(event.name, event.error)

    def summary(self, num_left_out: int) -> str:
        """Return one sentence with all counts and the most frequent reasons of failure."""
        reasons = "; ".join(f"{number} x {reason}" for reason, number in self._reasons.most_common(_MOST_REASONS))
        num_earlier = self.num_before - self.num_repeated
        before = f" {num_earlier} of these were done before." if num_earlier else ""
        before += f" {self.num_repeated} are listed more than once." if self.num_repeated else ""
        failed_earlier = num_earlier and self.num_failed_before
        again = " --retry_failed tries those that failed before again." if failed_earlier else ""
        return (
            f"captioned {self.num_captioned} recordings, {self.num_silent} of them silent; {self.num_failed} failed"
            f"{f' ({reasons})' if reasons else ''}; {num_left_out} left out.{before}{again}"
        )

    def _add(self, state: str) -> None:
        self.num_captioned += state != "failed"
        self.num_silent += state == "silent"
        self.num_failed += state == "failed"

    def _count_reason(self, name: str, error: str) -> None:
        reason = error.replace(name, "").partition(": ")[0].strip(" .")
        if reason in self._reasons or len(self._reasons) < _MOST_KINDS:
            self._reasons[reason] += 1

    def _report(self, name: str, error: str) -> None:
        self._count_reason(name, error)
        number = self.num_failed - self.num_failed_before
        if number <= _MOST_ERRORS:
            logger.error("%s", error)
        if number == _MOST_ERRORS:
            logger.error("further recordings that fail are counted, and recorded where --output is given.")


class WarningLimit(logging.Filter):
    """Lets a number of warnings of each kind pass and counts the others, since a million recordings may have one each.

    The kind of a warning is its attribute `kind`, or else its text before its arguments are filled in.

    Args:
        most: number of warnings of each kind that pass.
    """

    def __init__(self, most: int = _MOST_WARNINGS) -> None:
        super().__init__()
        self._most = most
        self._seen: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record passes; the handlers of one record get the same answer."""
        if record.levelno != logging.WARNING:
            return True
        known = record.__dict__
        if "passes" not in known:
            kind = getattr(record, "kind", str(record.msg))
            self._seen[kind] += 1
            self._examples.setdefault(kind, record.getMessage())
            known["passes"] = self._seen[kind] <= self._most
        return bool(known["passes"])

    def summary(self) -> list[str]:
        """Return one sentence for each kind of which warnings were held back."""
        return [
            f"{number - self._most} more of these warnings were not printed: {self._examples[kind]}"
            for kind, number in self._seen.items()
            if number > self._most
        ]


class ProgressBar:
    """A progress bar on stderr with the numbers done and failed, the rate and the remaining time.

    Within its context, repeated warnings are limited.

    Args:
        shown: whether to show the bar.
    """

    def __init__(self, shown: bool) -> None:
        self._bar = tqdm(desc="captioning", unit="file", file=sys.stderr, disable=not shown)
        self._redirected = logging_redirect_tqdm() if shown else nullcontext()
        self._started = False
        self._limit = WarningLimit()
        self._limited: list[logging.Handler] = []

    def load(self) -> None:
        """Called whenever recordings are given to the captioner, which the first ones load."""
        if not self._started:
            self._bar.set_description("loading the captioner")

    def start(self) -> None:
        """Called once the captioner is loaded; the time until then does not count for the rate."""
        self._started = True
        self._bar.set_description("captioning", refresh=False)
        if not self._bar.disable:
            self._bar.unpause()

    def update(self, tally: Tally, num_listed: int, all_listed: bool) -> None:
        """Update the bar."""
        self._bar.total = num_listed
        self._bar.initial = tally.num_before  # excluded from the rate
        self._bar.set_postfix_str(f"failed={tally.num_failed}{'' if all_listed else ', still listing'}", refresh=False)
        if not self._bar.disable:
            self._bar.update(tally.num_done - self._bar.n)

    def __enter__(self) -> "ProgressBar":
        self._redirected.__enter__()
        self._limited = list(logging.getLogger().handlers)
        for handler in self._limited:
            handler.addFilter(self._limit)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        for handler in self._limited:
            handler.removeFilter(self._limit)
        for sentence in self._limit.summary():
            logger.warning("%s", sentence)
        self._redirected.__exit__(kind, error, trace)
