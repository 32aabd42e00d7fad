"""Selection tables of Raven (Cornell Lab of Ornithology).

Tab-separated values with a header. Raven needs Selection, View, Channel, both times and both frequencies, and shows
further columns as annotations. Source: Raven Pro 1.4 User's Manual, chapter "Working with selections" (text format of
selection tables). `Begin Path` and `File Offset (s)` are written as BirdNET-Analyzer does.
"""

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
        names += ["Begin Path", "File Offset (s)", "Annotation"]
        names += ["Probability"] if columns.probability else []
        names += ["Start Time"] if columns.start_time else []
        return "\t".join(names) + "\n"

    def piece(self, record: CaptionRecord, number: int) -> str:
        """See `TextFormat`."""
        columns = self.layout.columns
        begin, high_hz = f"{record.start_s:.3f}", f"{self.layout.max_frequency_hz:.1f}"
        cells = [str(number), "Spectrogram 1", "1", begin, f"{record.end_s:.3f}", "0.0", high_hz]
        cells += [one_line(record.file), begin, one_line(record.caption)]
        probability = record.captions[0].probability
        cells += ["" if probability is None else f"{probability:.4f}"] if columns.probability else []
        cells += [shown_time(record)] if columns.start_time else []
        return "\t".join(cells) + "\n"
