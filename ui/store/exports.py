"""Export of captions with the writers of `captioning.formats`, and of subtitles as sound events for deaf viewers."""

import io
import json
import re
import textwrap
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from captioning.formats.base import clock
from captioning.formats.registry import FORMATS, records_text
from configs.atomic_files import write_file
from data.caption_formats import SILENCE, CaptionRecord


@dataclass(frozen=True)
class ExportForm:
    """Export format.

    Attributes:
        name: display name.
        suffix: file name suffix, with the dot.
        writer: key in `captioning.formats.registry.FORMATS`; empty for formats defined here.
        sound_events: write captions in brackets and omit silence.
    """

    name: str
    suffix: str
    writer: str = ""
    sound_events: bool = False

    @property
    def one_recording(self) -> bool:
        """True if each recording is written to a separate file."""
        return bool(self.writer) and FORMATS[self.writer].for_one_recording

    @property
    def filter(self) -> str:
        """Name filter for file dialogs."""
        return f"{self.name} (*{self.suffix})"


EXPORT_FORMS = {
    "txt": ExportForm("Text", ".txt"),
    "csv": ExportForm("CSV table", ".csv", "csv"),
    "json": ExportForm("JSON", ".json"),
    "srt": ExportForm("SubRip subtitles", ".srt", "srt"),
    "vtt": ExportForm("WebVTT subtitles", ".vtt", "vtt"),
    "srt_events": ExportForm("Sound-event SubRip subtitles", ".srt", "srt", sound_events=True),
    "vtt_events": ExportForm("Sound-event WebVTT subtitles", ".vtt", "vtt", sound_events=True),
    "audacity": ExportForm("Audacity labels", FORMATS["audacity"].suffix, "audacity"),
    "raven": ExportForm("Raven selection table", FORMATS["raven"].suffix, "raven"),
}
LINE_CHARACTERS = 42  # characters per subtitle line (BBC Subtitle Guidelines: 37 to 42)
_ARTICLE = re.compile(r"^(a|an|the|some)\s+", re.IGNORECASE)


def is_silence(record: CaptionRecord) -> bool:
    """Return whether the record is labelled silence."""
    return record.captions == SILENCE


def shown_text(record: CaptionRecord) -> str:
    """Return a record's best caption as displayed in the window."""
    return "(silence)" if is_silence(record) else record.caption


def summary(records: Sequence[CaptionRecord], most: int = 2) -> str:
    """Return the first `most` distinct captions of a recording and the number of further ones."""
    texts = list(dict.fromkeys(shown_text(record) for record in records))
    more = f" … and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


def short_text(record: CaptionRecord) -> str:
    """Return a record's best caption without leading article, for narrow widgets."""
    return _ARTICLE.sub("", shown_text(record).strip().rstrip("."))


def as_sound_event(text: str) -> str:
    """Format a caption as a sound event in subtitles for deaf viewers: "a dog barks." becomes "[dog barks]"."""
    return f"[{_ARTICLE.sub('', text.strip().rstrip('.'))}]"


def sound_event_records(records: Sequence[CaptionRecord]) -> list[CaptionRecord]:
    """Return records for sound-event subtitles: silence omitted, captions in brackets."""
    return [
        replace(record, captions=(record.captions[0]._replace(text=as_sound_event(record.caption)),))
        for record in records
        if not is_silence(record)
    ]


def export_text(records: Sequence[CaptionRecord], form: str) -> str:
    """Format records as the content of a file.

    Args:
        records: captions; of a single recording if the format requires one file per recording.
        form: a key of EXPORT_FORMS.

    Raises:
        ValueError: if records of several recordings are given to such a format.
    """
    chosen = EXPORT_FORMS[form]
    if form == "json":
        lines = records_text(records, "jsonl").splitlines()
        return json.dumps([json.loads(line) for line in lines], ensure_ascii=False, indent=2) + "\n"
    if form == "txt":
        return plain_text(records)
    return records_text(sound_event_records(records) if chosen.sound_events else records, chosen.writer)


def plain_text(records: Sequence[CaptionRecord]) -> str:
    """Format captions as text: the recording's name, one line per span, and alternative captions indented below."""
    blocks = []
    for file in dict.fromkeys(record.file for record in records):
        lines = [file]
        for record in records:
            if record.file == file:
                lines.append(f"{clock(record.start_s)} - {clock(record.end_s)}  {record.caption}")
                lines += [f"    {caption.text}" for caption in record.captions[1:]]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def choose_form(path: Path, wished: str) -> tuple[Path, str]:
    """Return the path and the export format for the result of a file dialog, whose name and filter may contradict each other.

    Args:
        path: chosen path; the dialog proposed the suffix of the format "txt".
        wished: key of EXPORT_FORMS of the chosen filter; empty if unknown.

    A typed suffix takes precedence over the filter, the filter over the proposed suffix.
    """
    fits = [key for key, form in EXPORT_FORMS.items() if path.name.lower().endswith(form.suffix)]
    named = max(fits, key=lambda key: len(EXPORT_FORMS[key].suffix), default="")
    if not wished or not named:
        return path, wished or named or "txt"
    if EXPORT_FORMS[named].suffix == EXPORT_FORMS[wished].suffix:
        return path, wished
    if named == "txt":
        return path.with_name(path.name[: -len(EXPORT_FORMS[named].suffix)]), wished
    return path, named


def export_targets(records: Sequence[CaptionRecord], path: Path, form: str) -> dict[Path, list[CaptionRecord]]:
    """Assign records to files: one file for all, or one per recording if the format requires it.

    Args:
        records: captions to export.
        path: file chosen by the user, with or without the format's suffix.
        form: a key of EXPORT_FORMS.

    Raises:
        ValueError: if there are no captions.
    """
    if not records:
        raise ValueError("There are no captions to export yet: run the model first.")
    suffix = EXPORT_FORMS[form].suffix
    stem = path.name[: -len(suffix)] if path.name.lower().endswith(suffix) else path.name
    files = list(dict.fromkeys(record.file for record in records))
    if len(files) == 1 or not EXPORT_FORMS[form].one_recording:
        return {path.with_name(stem + suffix): list(records)}
    targets: dict[Path, list[CaptionRecord]] = {}
    for file in files:
        name, number = f"{stem}_{Path(file).stem}", 2
        target = path.with_name(name + suffix)
        while target in targets:  # recordings of the same name from different folders
            target, number = path.with_name(f"{name}_{number}{suffix}"), number + 1
        targets[target] = [record for record in records if record.file == file]
    return targets


def export(targets: dict[Path, list[CaptionRecord]], form: str) -> None:
    """Write each file of `export_targets`.

    Raises:
        OSError: if a file cannot be written.
    """
    for target, records in targets.items():
        write_file(target, export_text(records, form))


def write_clip(path: Path, pcm: NDArray[np.int16], rate: int, start_s: float, end_s: float) -> None:
    """Write a span, in seconds, of samples (S,), int16, at `rate` hertz to a WAV file.

    Raises:
        OSError: if the file cannot be written.
    """
    samples = np.asarray(pcm[round(start_s * rate) : round(end_s * rate)], dtype="<i2")
    content = io.BytesIO()
    with wave.Wave_write(content) as writer:
        writer.setparams((1, 2, rate, len(samples), "NONE", "not compressed"))
        writer.writeframes(samples.tobytes())
    write_file(path, content.getvalue())


def wrapped(text: str) -> str:
    """Break a caption into lines for subtitles."""
    return "\n".join(textwrap.wrap(text, LINE_CHARACTERS)) or text
