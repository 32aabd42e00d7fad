"""Add lines to existing subtitle files: SubRip, WebVTT and SubStation Alpha, with pysubs2.

Existing content is preserved: order, times, text with its tags, styles, encoding and line ends. Before captioning it is
checked that pysubs2 reproduces the file; files that it would change (such as WebVTT with regions) raise an error.
"""

import codecs
import re
from collections.abc import Sequence
from pathlib import Path

import pysubs2

from captioning.sound_subtitles import Label, Span

SUBTITLE_FORMATS = ("srt", "vtt", "ass", "ssa")
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_SECTION = re.compile(r"^\[.+\]$", re.MULTILINE)
_TIME = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})")


class SubtitleError(ValueError):
    """A subtitle file cannot be read or preserved; the message is one sentence."""


class SubtitleFile:
    """Subtitles, with everything needed to reproduce the file.

    Args:
        path: file in one of SUBTITLE_FORMATS. Bytes that are not UTF-8 or UTF-16 are preserved.

    Raises:
        SubtitleError: the file is missing, has no lines, is in another format, or would not be preserved.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SubtitleError(f"--merge_into {path} cannot be read ({error.strerror}).") from error
        self._encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
        try:
            text = content.decode(self._encoding, "surrogateescape")
        except UnicodeError as error:
            raise SubtitleError(
                f"--merge_into {path} is no {self._encoding} text ({error}): save it as UTF-8."
            ) from error
        self._newline = "\r\n" if "\r\n" in text else "\n"
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        try:
            self._subtitles = pysubs2.SSAFile.from_string(text, keep_html_tags=True)
        except (pysubs2.exceptions.Pysubs2Error, ValueError) as error:
            raise SubtitleError(f"{self._expected()}, but found something else ({error}).") from error
        if self._subtitles.format not in SUBTITLE_FORMATS:
            raise SubtitleError(f"{self._expected()}, but found {self._subtitles.format}: convert it.")
        if not self.spans():
            raise SubtitleError(
                f"--merge_into {path} has no line with a time: without --merge_into, --format srt writes new subtitles."
            )
        self._check_kept(text)

    def spans(self) -> list[Span]:
        """Return (start, end) of each line in seconds, without comments and drawings."""
        return [(event.start / 1000, event.end / 1000) for event in self._subtitles.get_text_events()]

    def merged(self, labels: Sequence[Label]) -> bytes:
        """Return the file with labels, each inserted before the first line that starts after it."""
        merged = list(self._subtitles.events)
        for label in labels:
            start, end = round(1000 * label.start_s), round(1000 * label.end_s)
            place = next((number for number, event in enumerate(merged) if event.start > start), len(merged))
            text = label.text.replace("\n", r"\N")
            merged.insert(place, pysubs2.SSAEvent(start=start, end=end, text=text, style=self._style()))
        return self._written(merged).replace("\n", self._newline).encode(self._encoding, "surrogateescape")

    def _style(self) -> str:
        styles = self._subtitles.styles
        return "Default" if "Default" in styles or not styles else next(iter(styles))

    def _written(self, events: list[pysubs2.SSAEvent]) -> str:
        given, self._subtitles.events = self._subtitles.events, events
        try:
            return self._subtitles.to_string(str(self._subtitles.format), keep_ssa_tags=True, header_notice="")
        finally:
            self._subtitles.events = given

    def _check_kept(self, text: str) -> None:
        written = self._written(self._subtitles.events)
        if self._subtitles.format in ("ass", "ssa"):
            differing = sorted(set(_SECTION.findall(text)) - set(_SECTION.findall(written)))
            kept = not differing and pysubs2.SSAFile.from_string(written).equals(self._subtitles)
        else:
            # pysubs2 treats a NOTE or an identifier after an empty line as text of the preceding cue.
            joined = [event.text.split(r"\N\N")[1] for event in self._subtitles if r"\N\N" in event.text]
            before, after = _essence(text), _essence(written)
            kept = before == after and not joined
            differing = [line for line, other in zip(before, [*after, ""], strict=False) if line != other] or joined
        if not kept:
            what = f" {differing[0]!r}" if differing else " something"
            raise SubtitleError(
                f"--merge_into {self.path} holds{what}, which the merged file would not preserve: remove it, or give a copy in "
                "another format (srt, ass)."
            )

    def _expected(self) -> str:
        return f"--merge_into {self.path} must be subtitles in one of the formats {', '.join(SUBTITLE_FORMATS)}"


def _essence(text: str) -> list[str]:
    """Return the lines of SRT or WebVTT without cue numbers and empty lines, and with times in one notation."""
    lines = [line.strip() for line in text.split("\n")]
    found = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line and not ("-->" in following and line.isdecimal()):
            found.append(_TIME.sub(_milliseconds, line) if "-->" in line else line)
    return found


def _milliseconds(match: re.Match[str]) -> str:
    hours, minutes, seconds, fraction = match.groups()
    return str(((int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0")))
