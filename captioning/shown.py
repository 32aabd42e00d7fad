"""Selection of the captions to write: a minimum probability, and merging of adjacent records with equal captions."""

from collections.abc import Iterable
from dataclasses import dataclass

from captioning.formats.base import Row
from data.caption_formats import SILENCE, CaptionRecord, merge_neighbours


@dataclass(frozen=True)
class Selection:
    """Selects and merges the records to write.

    Attributes:
        min_probability: minimum probability of a record's best caption, 0 to 1; silent records are always kept.
        merge_gap_s: adjacent records of a recording with equal captions are merged over gaps up to this, in seconds;
            None for no merging.
    """

    min_probability: float = 0.0
    merge_gap_s: float | None = None

    def rows(self, rows: Iterable[Row]) -> list[Row]:
        """Return the selected rows of a recording.

        Raises:
            ValueError: a minimum is set, and the captions have no probabilities.
        """
        rows = list(rows)
        records = [row for row in rows if isinstance(row, CaptionRecord) and self.is_probable(row)]
        if self.merge_gap_s is not None:
            records = merge_neighbours(records, self.merge_gap_s)
        return [*records, *(row for row in rows if not isinstance(row, CaptionRecord))]

    def num_omitted(self, rows: Iterable[Row]) -> int:
        """Return the number of captions that `rows` leaves out because they are not probable enough."""
        if not self.min_probability:
            return 0
        return sum(isinstance(row, CaptionRecord) and not self.is_probable(row) for row in rows)

    def omitted_notice(self, number: int) -> str:
        """Return the end of a sentence about omitted captions; empty if there are none."""
        if not number:
            return ""
        are = "1 caption is" if number == 1 else f"{number} captions are"
        return f"; {are} below --min_probability {self.min_probability:g} and not in the output"

    def is_probable(self, record: CaptionRecord) -> bool:
        """Return whether a record reaches the minimum probability.

        Raises:
            ValueError: its captions have no probabilities.
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
