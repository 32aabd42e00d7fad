"""Captions of recordings with their times and probabilities; `captioning/formats` writes them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class ScoredCaption(NamedTuple):
    """A caption and its probabilities.

    Attributes:
        text: text of the caption.
        log_probability: natural logarithm of the model's probability of this sentence.
        probability: calibrated probability that it names the right sounds, 0 to 1; None if the captioner is not calibrated.
    """

    text: str
    log_probability: float
    probability: float | None = None


SILENCE: tuple[ScoredCaption, ...] = (ScoredCaption("silence", 0.0),)  # the captions of a silent clip


@dataclass(frozen=True)
class CaptionRecord:
    """Captions of a clip or of a window of it.

    Attributes:
        file: name of the recording, as given.
        start_s: start in seconds.
        end_s: end in seconds.
        captions: captions, best first.
        references: reference captions, if known.
        similarities: similarity of each caption to the recording, -1 to 1; empty without re-ranking.
        warning: problems found while the clip was read, such as that its file is truncated; empty for none.
    """

    file: str
    start_s: float
    end_s: float
    captions: tuple[ScoredCaption, ...]
    references: tuple[str, ...] = field(default=())
    similarities: tuple[float, ...] = field(default=())
    warning: str = ""

    @property
    def caption(self) -> str:
        """The best caption."""
        return self.captions[0].text


def merge_neighbours(records: Iterable[CaptionRecord], gap_s: float = 0.0) -> list[CaptionRecord]:
    """Merge adjacent records of a file with equal captions; the captions of the more probable record are kept.

    Args:
        records: records in order.
        gap_s: maximum gap between them in seconds; with 0, they must touch or overlap.
    """
    merged: list[CaptionRecord] = []
    for record in records:
        last = merged[-1] if merged else None
        if (
            last
            and (last.file, last.caption) == (record.file, record.caption)
            and (record.start_s <= last.end_s + gap_s + 1e-6)
        ):
            best = max(last, record, key=lambda found: found.captions[0].log_probability)
            end_s = max(last.end_s, record.end_s)
            warning = " ".join(filter(None, dict.fromkeys((last.warning, record.warning))))
            merged[-1] = replace(
                last, end_s=end_s, captions=best.captions, similarities=best.similarities, warning=warning
            )
        else:
            merged.append(record)
    return merged


@dataclass(frozen=True)
class FailedRecording:
    """A recording that could not be captioned.

    Attributes:
        file: name of the recording, as given.
        error: reason of the failure, one sentence.
        start_s: start in seconds, always 0.
    """

    file: str
    error: str
    start_s: float = 0.0


def percent(probability: float) -> str:
    """Format a probability, 0 to 1, as a rounded percentage."""
    return f"{100 * probability:.0f} %"
