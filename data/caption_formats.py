"""Captions with times, as text, JSON lines, CSV, SubRip (SRT) and WebVTT."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

FORMATS = ("text", "jsonl", "csv", "srt", "vtt")


class ScoredCaption(NamedTuple):
    """A caption with what is known of its probability.

    Attributes:
        text: the sentence.
        log_probability: natural logarithm of the probability of exactly this sentence.
        probability: that it names the right sounds, 0 to 1; None where the captioner is not calibrated.
    """

    text: str
    log_probability: float
    probability: float | None = None


SILENCE: tuple[ScoredCaption, ...] = (
    ScoredCaption("silence", 0.0),
)  # the captions of a clip in which nothing is heard


@dataclass(frozen=True)
class CaptionRecord:
    """Captions of a clip or of a window of it.

    Attributes:
        file: as it was given.
        start_s: start in seconds.
        end_s: end in seconds.
        captions: best first.
        references: ground truths, where they are known.
        similarities: likeness of each caption to the recording, -1 to 1, where one was measured; else empty.
    """

    file: str
    start_s: float
    end_s: float
    captions: tuple[ScoredCaption, ...]
    references: tuple[str, ...] = field(default=())
    similarities: tuple[float, ...] = field(default=())

    @property
    def caption(self) -> str:
        """The best caption."""
        return self.captions[0].text


def merge_neighbours(records: Iterable[CaptionRecord]) -> list[CaptionRecord]:
    """Join records of one file that touch or overlap and say the same; the more probable one's captions stay."""
    merged: list[CaptionRecord] = []
    for record in records:
        last = merged[-1] if merged else None
        if last and (last.file, last.caption) == (record.file, record.caption) and record.start_s <= last.end_s + 1e-6:
            best = max(last, record, key=lambda found: found.captions[0].log_probability)
            end_s = max(last.end_s, record.end_s)
            merged[-1] = replace(last, end_s=end_s, captions=best.captions, similarities=best.similarities)
        else:
            merged.append(record)
    return merged


@dataclass(frozen=True)
class TableColumns:
    """Columns that a CSV table has beside those that every one has.

    Attributes:
        num_references: columns of ground truths.
        probability: whether there is a column of calibrated probabilities.
        similarity: whether there is a column of likenesses to the recording.
    """

    num_references: int = 0
    probability: bool = False
    similarity: bool = False

    @classmethod
    def of(cls, records: Iterable[CaptionRecord]) -> "TableColumns":
        """Columns that show all that is known of these records."""
        records = list(records)
        # Silence is measured, not captioned: it has no probability, and its cell stays empty.
        heard = [record.captions[0].probability for record in records if record.captions != SILENCE]
        return cls(
            num_references=max((len(record.references) for record in records), default=0),
            probability=bool(heard) and None not in heard,
            similarity=any(record.similarities for record in records),
        )


class RecordFormat:
    """Records in one of FORMATS, piece by piece: the head and all pieces one after the other are the whole text.

    Args:
        form: one of FORMATS.
        with_times: put start and end before each line of text (a timeline).
        columns: of a CSV table.

    Raises:
        ValueError: an unknown format.
    """

    def __init__(self, form: str, with_times: bool = False, columns: TableColumns | None = None) -> None:
        if form not in FORMATS:
            raise ValueError(f"unknown format {form}: one of {', '.join(FORMATS)}.")
        self.form, self.with_times, self.columns = form, with_times, columns or TableColumns()

    def head(self) -> str:
        """What stands before the first record."""
        if self.form == "csv":
            return _csv_head(self.columns)
        return "WEBVTT\n" if self.form == "vtt" else ""

    def piece(self, record: CaptionRecord, number: int) -> str:
        """One record, the `number`-th from 1."""
        if self.form == "text":
            return _text(record, self.with_times)
        if self.form == "jsonl":
            return _jsonl(record)
        if self.form == "csv":
            return _csv_row(record, self.columns)
        return _srt_cue(record, number) if self.form == "srt" else _vtt_cue(record)


def check_subtitles(form: str, files: Iterable[str]) -> None:
    """Refuse subtitles of several recordings.

    Raises:
        ValueError: the format is one of subtitles, and the names of the files differ.
    """
    if form in ("srt", "vtt") and len(set(files)) > 1:
        raise ValueError(
            f"{form} subtitles belong to one recording: caption one file at a time, or use --format jsonl."
        )


def write_records(records: Sequence[CaptionRecord], form: str, with_times: bool = False) -> str:
    """Records in one of FORMATS, ending with a line break unless empty.

    Args:
        records: in the order to write them.
        form: one of FORMATS.
        with_times: put start and end before each line of text (a timeline).

    Raises:
        ValueError: an unknown format, or subtitles of more than one file.
    """
    check_subtitles(form, (record.file for record in records))
    layout = RecordFormat(form, with_times, TableColumns.of(records))
    return layout.head() + "".join(layout.piece(record, number) for number, record in enumerate(records, 1))


def _text(record: CaptionRecord, with_times: bool) -> str:
    times = f"[{clock(record.start_s, '.')} - {clock(record.end_s, '.')}] " if with_times else ""
    likeness = [f"similarity {value:.3f}" for value in record.similarities]
    lines = [f"{record.file}: {times}{record.caption}" + (f"  ({likeness[0]})" if likeness else "")]
    if len(record.captions) > 1:
        for number, caption in enumerate(record.captions, 1):
            notes = ", ".join([_how_probable(caption), *likeness[number - 1 : number]])
            lines.append(f"    {number}. {caption.text}  ({notes})")
    lines += [f"    reference: {reference}" for reference in record.references]
    return "".join(f"{line}\n" for line in lines)


def percent(probability: float) -> str:
    """A probability, 0 to 1, as a whole percentage."""
    return f"{100 * probability:.0f} %"


def _how_probable(caption: ScoredCaption) -> str:
    if caption.probability is None:
        return f"log-probability {caption.log_probability:.2f}"
    return f"probability {percent(caption.probability)}"


def _jsonl(record: CaptionRecord) -> str:
    content: dict[str, Any] = {
        "file": record.file,
        "start_s": round(record.start_s, 3),
        "end_s": round(record.end_s, 3),
        "caption": record.caption,
        "captions": [
            {name: value for name, value in caption._asdict().items() if value is not None}
            for caption in record.captions
        ],
    }
    for entry, similarity in zip(content["captions"], record.similarities, strict=False):
        entry["similarity"] = round(similarity, 6)
    if record.references:
        content["references"] = list(record.references)
    return json.dumps(content, ensure_ascii=False) + "\n"


def _csv_line(cells: Sequence[str]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def _csv_head(columns: TableColumns) -> str:
    header = ["file_name", "start_s", "end_s", "caption_predicted", "log_probability"]
    header += ["probability"] if columns.probability else []
    header += ["similarity"] if columns.similarity else []
    return _csv_line(header + [f"caption_{number}" for number in range(1, columns.num_references + 1)])


def _csv_row(record: CaptionRecord, columns: TableColumns) -> str:
    text, score, probability = record.captions[0]
    scores = [f"{score:.4f}"]
    if columns.probability:
        scores.append("" if probability is None else f"{probability:.4f}")
    times = [f"{record.start_s:.3f}", f"{record.end_s:.3f}"]
    padding = [""] * (columns.num_references - len(record.references))
    likeness = [f"{value:.6f}" for value in record.similarities[:1]] or [""]  # of silence none is measured
    scores += likeness if columns.similarity else []
    return _csv_line([record.file, *times, text, *scores, *record.references, *padding])


def clock(seconds: float, point: str) -> str:
    """Time as hh:mm:ss and milliseconds behind `point`."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _srt_cue(record: CaptionRecord, number: int) -> str:
    gap = "\n" if number > 1 else ""
    return f"{gap}{number}\n{clock(record.start_s, ',')} --> {clock(record.end_s, ',')}\n{_one_line(record.caption)}\n"


def _vtt_cue(record: CaptionRecord) -> str:
    text = _one_line(record.caption).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"\n{clock(record.start_s, '.')} --> {clock(record.end_s, '.')}\n{text}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
