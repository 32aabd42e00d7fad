"""SubRip (SRT) and WebVTT subtitles, with pysubs2."""

import pysubs2

from captioning.formats.base import TextFormat, one_line
from data.caption_formats import CaptionRecord


def _cue(record: CaptionRecord, text: str, form: str) -> str:
    """Return times and text of one cue as written by pysubs2, without the header of a file."""
    event = pysubs2.SSAEvent(start=round(1000 * record.start_s), end=round(1000 * record.end_s), text=text)
    subtitles = pysubs2.SSAFile()
    subtitles.append(event)
    whole = subtitles.to_string(form, keep_ssa_tags=True)  # braces are text, not tags
    return whole.removeprefix("WEBVTT\n\n").removeprefix("1\n")


class SubRip(TextFormat):
    """SRT: numbered cues."""

    suffix = ".srt"
    for_one_recording = True

    def piece(self, record: CaptionRecord, number: int) -> str:
        """See `TextFormat`."""
        return f"{number}\n{_cue(record, one_line(record.caption), 'srt')}"


class WebVtt(TextFormat):
    """WebVTT: a header, then cues."""

    suffix = ".vtt"
    for_one_recording = True

    def head(self) -> str:
        """See `TextFormat`."""
        return "WEBVTT\n\n"

    def piece(self, record: CaptionRecord, number: int) -> str:
        """See `TextFormat`."""
        text = one_line(record.caption).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return _cue(record, text, "vtt")
