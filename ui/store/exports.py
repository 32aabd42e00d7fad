"""Captions as files: text, CSV, JSON, SubRip and WebVTT, the latter two also as sound-event subtitles."""

import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from captioning.formats.registry import records_text
from configs.atomic_files import write_file
from data.caption_formats import SILENCE, CaptionRecord

EXPORT_FORMATS = {
    "txt": "Text (*.txt)",
    "csv": "CSV table (*.csv)",
    "json": "JSON (*.json)",
    "srt": "SubRip subtitles (*.srt)",
    "vtt": "WebVTT subtitles (*.vtt)",
}
LINE_CHARACTERS = 42  # a line of subtitles, as broadcasters' guides have it (BBC Subtitle Guidelines: 37 to 42)
_ARTICLE = re.compile(r"^(a|an|the|some)\s+", re.IGNORECASE)


def is_silence(record: CaptionRecord) -> bool:
    """Whether nothing was heard."""
    return record.captions == SILENCE


def shown_text(record: CaptionRecord) -> str:
    """A record's best caption as the window shows it."""
    return "(silence)" if is_silence(record) else record.caption


def summary(records: Sequence[CaptionRecord], most: int = 2) -> str:
    """The first different captions of a recording, and how many more there are."""
    texts = list(dict.fromkeys(shown_text(record) for record in records))
    more = f" … and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


def short_text(record: CaptionRecord) -> str:
    """A record's best caption without its first article, for narrow places."""
    return _ARTICLE.sub("", shown_text(record).strip().rstrip("."))


def as_sound_event(text: str) -> str:
    """A caption in the manner of subtitles for people who cannot hear: "a dog barks." becomes "[dog barks]"."""
    return f"[{_ARTICLE.sub('', text.strip().rstrip('.'))}]"


def sound_event_records(records: Sequence[CaptionRecord]) -> list[CaptionRecord]:
    """Records for subtitles: silence left out, captions bracketed."""
    return [
        replace(record, captions=(record.captions[0]._replace(text=as_sound_event(record.caption)),))
        for record in records
        if not is_silence(record)
    ]


def export_text(records: Sequence[CaptionRecord], form: str, sound_events: bool = False) -> str:
    """Records as the content of a file.

    Args:
        records: of one recording for subtitles, of any for the others.
        form: a key of EXPORT_FORMATS.
        sound_events: bracketed captions without silence, for subtitles.

    Raises:
        ValueError: subtitles of several recordings.
    """
    if form in ("srt", "vtt") and sound_events:
        records = sound_event_records(records)
    if form == "json":
        lines = records_text(records, "jsonl").splitlines()
        return json.dumps([json.loads(line) for line in lines], ensure_ascii=False, indent=2) + "\n"
    with_times = len(records) > len({record.file for record in records})
    return records_text(records, {"txt": "text"}.get(form, form), with_times)


def export(records: Sequence[CaptionRecord], path: Path, sound_events: bool = False) -> list[Path]:
    """Write records to a file of the form that its suffix names; subtitles of several recordings become one file each.

    Returns:
        The files written.

    Raises:
        ValueError: an unknown suffix, or nothing to write.
        OSError: a file cannot be written.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in EXPORT_FORMATS:
        raise ValueError(f"{path.name} has no known ending: use one of {', '.join(EXPORT_FORMATS)}.")
    if not records:
        raise ValueError("There are no captions to export yet: run the model first.")
    files = list(dict.fromkeys(record.file for record in records))
    if form in ("srt", "vtt") and len(files) > 1:
        texts = {}
        for file in files:
            target, number = path.with_stem(f"{path.stem}_{Path(file).stem}"), 2
            while target in texts:  # recordings of one name from several folders
                target, number = path.with_stem(f"{path.stem}_{Path(file).stem}_{number}"), number + 1
            texts[target] = export_text([record for record in records if record.file == file], form, sound_events)
    else:
        texts = {path: export_text(records, form, sound_events)}
    for target, text in texts.items():
        write_file(target, text)
    return list(texts)


def wrapped(text: str) -> str:
    """A caption in lines short enough for subtitles in large type."""
    return "\n".join(textwrap.wrap(text, LINE_CHARACTERS)) or text
