"""Selection tables of Raven (Cornell Lab of Ornithology).

Tab-separated values with a header: number, view, channel (from 1), times in seconds and frequencies in hertz, the columns with
which Raven draws a selection, and further ones, which it shows as they are. Raven's own manual was not available; the columns
follow programs whose tables Raven opens, and libraries that read Raven's:

- BirdNET-Analyzer, `birdnet_analyzer/analyze/utils.py` (RAVEN_TABLE_HEADER): "Selection View Channel Begin Time (s) End Time (s)
  Low Freq (Hz) High Freq (Hz) Common Name Species Code Confidence Begin Path File Offset (s)", view "Spectrogram 1", channel 1,
  the path as given, and the offset equal to the begin time.
- crowsetta, `formats/bbox/raven.py`: needs the times, the frequencies and a column with the annotation.
- flightcallr, `read.selection.table`: finds the recordings by `Begin Path`.
- elpR (Elephant Listening Project), `check_required_columns`: needs `Begin File`, `File Offset (s)` and the times.
"""

from pathlib import PurePath

from captioning.formats.base import TextFormat, one_line, shown_time
from data.caption_formats import CaptionRecord


class RavenTable(TextFormat):
    """One selection per record, over the captioner's whole frequency range."""

    suffix = ".selections.txt"
    for_one_recording = True

    def head(self) -> str:
        """See `TextFormat`."""
        columns = self.layout.columns
        names = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
        names += ["Begin File", "Begin Path", "File Offset (s)", "Annotation"]
        names += ["Probability"] if columns.probability else []
        names += ["Start Time"] if columns.start_time else []
        return "\t".join(names) + "\n"

    def piece(self, record: CaptionRecord, number: int) -> str:
        """See `TextFormat`."""
        columns = self.layout.columns
        begin, high_hz = f"{record.start_s:.3f}", f"{self.layout.max_frequency_hz:.1f}"
        cells = [str(number), "Spectrogram 1", "1", begin, f"{record.end_s:.3f}", "0.0", high_hz]
        path = one_line(record.file)
        cells += [PurePath(path).name, path, begin, one_line(record.caption)]
        probability = record.captions[0].probability
        cells += ["" if probability is None else f"{probability:.4f}"] if columns.probability else []
        cells += [shown_time(record)] if columns.start_time else []
        return "\t".join(cells) + "\n"
