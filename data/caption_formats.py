"""Captions of recordings with their times and probabilities; `captioning/formats` writes them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class ScoredCaption(NamedTuple):
    """A caption with what is known of its probability.

    Attributes:
        text: the sentence.
        log_probability: natural logarithm of the probability of exactly this sentence.
        probability: that it names the right sounds, 0 to 1; None where the captioner is not calibrated.
    """

    text: str
    log_probability: float
    probability: float | None = None


SILENCE: tuple[ScoredCaption, ...] = (
    ScoredCaption("silence", 0.0),
)  # the captions of a clip in which nothing is heard


@dataclass(frozen=True)
class CaptionRecord:
    """Captions of a clip or of a window of it.

    Attributes:
        file: as it was given.
        start_s: start in seconds.
        end_s: end in seconds.
        captions: best first.
        references: ground truths, where they are known.
        similarities: likeness of each caption to the recording, -1 to 1, where one was measured; else empty.
    """

    file: str
    start_s: float
    end_s: float
    captions: tuple[ScoredCaption, ...]
    references: tuple[str, ...] = field(default=())
    similarities: tuple[float, ...] = field(default=())

    @property
    def caption(self) -> str:
        """The best caption."""
        return self.captions[0].text


def merge_neighbours(records: Iterable[CaptionRecord], gap_s: float = 0.0) -> list[CaptionRecord]:
    """Join neighbouring records of one file that say the same; the more probable one's captions stay.

    Args:
        records: in their order.
        gap_s: longest time between them, in seconds; at 0 they touch or overlap.
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
            merged[-1] = replace(last, end_s=end_s, captions=best.captions, similarities=best.similarities)
        else:
            merged.append(record)
    return merged


@dataclass(frozen=True)
class FailedRecording:
    """A recording that could not be captioned.

    Attributes:
        file: as it was given.
        error: the reason, one sentence.
        start_s: where it begins: 0 seconds.
    """

    file: str
    error: str
    start_s: float = 0.0


def percent(probability: float) -> str:
    """A probability, 0 to 1, as a whole percentage."""
    return f"{100 * probability:.0f} %"
