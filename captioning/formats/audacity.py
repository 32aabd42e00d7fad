"""Label tracks of Audacity.

A line has start and end in seconds and the label, separated by tabs; no header, UTF-8. Source: Audacity Manual, "Importing and
Exporting Labels", https://manual.audacityteam.org/man/importing_and_exporting_labels.html ("Standard (default) format", with six
decimals as in its examples; a line that starts with a backslash would be the frequency range of the extended format).
"""

from captioning.formats.base import TextFormat, one_line
from data.caption_formats import CaptionRecord


class AudacityLabels(TextFormat):
    """Audacity's standard format, without frequency ranges."""

    suffix = ".labels.txt"
    for_one_recording = True

    def piece(self, record: CaptionRecord, number: int) -> str:
        """See `TextFormat`."""
        return f"{record.start_s:.6f}\t{record.end_s:.6f}\t{one_line(record.caption)}\n"
