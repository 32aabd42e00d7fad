"""Which captions an output shows: those probable enough, neighbours that say the same joined."""

from collections.abc import Iterable
from dataclasses import dataclass

from captioning.formats.base import Row
from data.caption_formats import SILENCE, CaptionRecord, merge_neighbours


@dataclass(frozen=True)
class Selection:
    """What is shown of records.

    Attributes:
        min_probability: least probability, 0 to 1, of a record's best caption; silence has none and always stays.
        merge_gap_s: neighbouring records of a recording that say the same become one over gaps up to this, in seconds;
            None keeps them apart.
    """

    min_probability: float = 0.0
    merge_gap_s: float | None = None

    def rows(self, rows: Iterable[Row]) -> list[Row]:
        """The rows of a recording that are shown.

        Raises:
            ValueError: a minimum for captions that have no probability.
        """
        rows = list(rows)
        records = [row for row in rows if isinstance(row, CaptionRecord) and self.is_probable(row)]
        if self.merge_gap_s is not None:
            records = merge_neighbours(records, self.merge_gap_s)
        return [*records, *(row for row in rows if not isinstance(row, CaptionRecord))]

    def is_probable(self, record: CaptionRecord) -> bool:
        """Whether a record reaches the least probability.

        Raises:
            ValueError: its captions have no probability.
        """
        if not self.min_probability or record.captions == SILENCE:
            return True
        probability = record.captions[0].probability
        if probability is None:
            raise ValueError(NO_PROBABILITY)
        return probability >= self.min_probability


NO_PROBABILITY = (
    "--min_probability needs a captioner whose captions have probabilities, and this one has none: leave it out, or use a "
    "calibrated checkpoint."
)
