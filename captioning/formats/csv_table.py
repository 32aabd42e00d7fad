"""A CSV table with one row for each record."""

import csv
import io
from collections.abc import Sequence

from captioning.formats.base import Row, TextFormat, shown_time
from data.caption_formats import CaptionRecord, FailedRecording


class CsvTable(TextFormat):
    """Comma-separated values with a header; `Layout.columns` gives the optional columns."""

    suffix = ".csv"
    shows_failures = True

    def head(self) -> str:
        """See `TextFormat`."""
        columns = self.layout.columns
        optional = {
            "start_time": columns.start_time,
            "caption_predicted": True,
            "log_probability": True,
            "probability": columns.probability,
            "similarity": columns.similarity,
            "warning": columns.warning,
            "error": columns.error,
        }
        names = ["file_name", "start_s", "end_s", *(name for name, is_there in optional.items() if is_there)]
        return _line(names + [f"caption_{number}" for number in range(1, columns.num_references + 1)])

    def piece(self, record: CaptionRecord, number: int) -> str:
        """See `TextFormat`."""
        text, score, probability = record.captions[0]
        cells = {
            "caption": text,
            "log_probability": f"{score:.4f}",
            "probability": "" if probability is None else f"{probability:.4f}",
            "similarity": f"{record.similarities[0]:.6f}" if record.similarities else "",  # silence has no value
            "warning": record.warning,
        }
        return self._row(record, [f"{record.start_s:.3f}", f"{record.end_s:.3f}"], cells, record.references)

    def failure(self, failed: FailedRecording) -> str:
        """See `TextFormat`."""
        return self._row(failed, ["", ""], {"error": failed.error}) if self.layout.columns.error else ""

    def _row(self, row: Row, times: Sequence[str], cells: dict[str, str], references: Sequence[str] = ()) -> str:
        columns = self.layout.columns
        line = [row.file, *times]
        line += [shown_time(row)] if columns.start_time else []
        line += [cells.get("caption", ""), cells.get("log_probability", "")]
        line += [cells.get("probability", "")] if columns.probability else []
        line += [cells.get("similarity", "")] if columns.similarity else []
        line += [cells.get("warning", "")] if columns.warning else []
        line += [cells.get("error", "")] if columns.error else []
        return _line([*line, *references, *[""] * (columns.num_references - len(references))])


def _line(cells: Sequence[str]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()
