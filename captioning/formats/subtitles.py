"""SubRip (SRT) and WebVTT subtitles, through pysubs2."""

import pysubs2

from captioning.formats.base import TextFormat, one_line
from data.caption_formats import CaptionRecord


def _cue(record: CaptionRecord, text: str, form: str) -> str:
    """Times and text of one cue as pysubs2 writes them, without what stands before them in a file."""
    event = pysubs2.SSAEvent(start=round(1000 * record.start_s), end=round(1000 * record.end_s), text=text)
    subtitles = pysubs2.SSAFile()
    subtitles.append(event)
    whole = subtitles.to_string(form, keep_ssa_tags=True)  # braces are text here, no tags
    return whole.removeprefix("WEBVTT\n\n").removeprefix("1\n")


class SubRip(TextFormat):
    """SRT: numbered cues."""

    suffix = ".srt"
    for_one_recording = True

    def piece(self, record: CaptionRecord, number: int) -> str:
        """As `TextFormat` has it."""
        return f"{number}\n{_cue(record, one_line(record.caption), 'srt')}"


class WebVtt(TextFormat):
    """WebVTT: a head, then cues."""

    suffix = ".vtt"
    for_one_recording = True

    def head(self) -> str:
        """As `TextFormat` has it."""
        return "WEBVTT\n\n"

    def piece(self, record: CaptionRecord, number: int) -> str:
        """As `TextFormat` has it."""
        text = one_line(record.caption).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return _cue(record, text, "vtt")
