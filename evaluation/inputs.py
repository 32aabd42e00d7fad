"""Captions to score: predictions and references read from tables and paired, with problems reported.

Predictions: CSV with `file_name,caption_predicted`, JSON lines with the same keys or with those that inference.py writes
(`file` and `caption`), or the manifest of an unfinished run. References: CSV with `file_name,caption_1..caption_N`, or JSON
lines with `captions` (or `references`), a list, or with `caption_1` to `caption_N`.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from captioning.manifest import SUFFIX as MANIFEST_SUFFIX
from configs.json_files import parse_json
from data.clotho import split_name
from data.tables import (
    DatasetError,
    TableReport,
    has_words,
    is_usable,
    listed,
    read_rows,
    read_table,
    same_name,
    table_bytes,
    wide_encoding,
)

logger = logging.getLogger(__name__)

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
T = TypeVar("T")
U = TypeVar("U")
_NAME_KEYS = ("file_name", "file")
_CAPTION_KEYS = ("caption_predicted", "caption")


@dataclass(frozen=True)
class Corpus:
    """Predicted captions and references of the same clips.

    Attributes:
        names: N file names of the references, in NFC.
        candidates: N predicted captions, unchanged.
        references: N tuples of one or more reference captions.
    """

    names: tuple[str, ...]
    candidates: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.names)


def read_predictions(path: Path) -> dict[str, str]:
    """Read predicted captions, unchanged, by file name in NFC; empty captions are kept.

    Raises:
        DatasetError: the table is missing or has other columns or keys, a name is missing, or a file has two predictions.
    """
    predictions: dict[str, str] = {}
    twice: list[str] = []
    for line, name, caption in _prediction_rows(path):
        if not name:
            raise DatasetError(f"{path} has no file name in line {line}: expected one for every caption.")
        if name in predictions:
            twice.append(name)
        predictions[name] = caption
    if twice:
        raise DatasetError(
            f"{path} has more than one prediction for {listed(twice)}: keep one for each file (inference.py writes several with "
            "--timeline)."
        )
    if not predictions:
        raise DatasetError(
            f"{path} has no predictions (0 clips): expected file_name,caption_predicted and one row per clip."
        )
    return predictions


def _prediction_rows(path: Path) -> list[tuple[int, str, str]]:
    if path.name.endswith(MANIFEST_SUFFIX):
        return _manifest_rows(path)
    if path.suffix.lower() in JSON_SUFFIXES:
        rows = []
        for line, record in _json_lines(path):
            if "error" in record and not any(key in record for key in _CAPTION_KEYS):
                continue  # a file that inference.py could not caption
            caption = _text(_first(record, _CAPTION_KEYS, path, line), path, line)
            rows.append((line, same_name(_text(_first(record, _NAME_KEYS, path, line), path, line)), caption))
        return rows
    report = TableReport(table=path)
    columns, records = read_rows(path, report)
    column = next((name for name in _CAPTION_KEYS if name in columns), None)
    if "file_name" not in columns or column is None:
        raise DatasetError(
            f"{path} has the columns {', '.join(map(repr, columns))[:200]} but needs file_name and caption_predicted:"
            " rename them in the table's first line."
        )
    report.num_clips = len(records)
    if report.problems:
        logger.warning("%s", report.summary())
    return [
        (line, same_name(record["file_name"]), record[column]) for line, record in records if not record.get("error")
    ]


def _manifest_rows(path: Path) -> list[tuple[int, str, str]]:
    """Return the captions that an unfinished run has written; of one that is there twice, the later one."""
    rows = {}
    for line, record in _json_lines(path):
        if captions := record.get("captions"):
            try:
                rows[record["key"], record["window"]] = (
                    line,
                    same_name(_text(record["file"], path, line)),
                    captions[0][0],
                )
            except (LookupError, TypeError) as error:
                raise DatasetError(
                    f"{path} is no manifest of captions (line {line}): give a CSV file instead."
                ) from error
    return list(rows.values())


def read_references(path: Path, split: str | None = None) -> dict[str, tuple[str, ...]]:
    """Read reference captions by file name in NFC; captions without words are dropped with a warning.

    Args:
        path: table of references.
        split: value of the column `split` to select rows by, if the table has that column; None for all rows.

    Raises:
        DatasetError: the table is missing or has other columns or keys, a name occurs twice, or no row is usable.
    """
    report = TableReport(table=path)
    if path.suffix.lower() in JSON_SUFFIXES:
        references = _json_references(path, report)
    else:
        table = read_table(path, report)
        rows = [row for row in table.rows if split is None or not table.has_split or split_name(row.split) == split]
        references = {row.name: row.captions for row in rows}
    report.num_clips = len(references)
    if twice := report.names("duplicate name"):
        raise DatasetError(
            f"{path} has more than one row for {listed(twice)}: put all references of a file in one row."
        )
    if report.problems:
        logger.warning("%s", report.summary())
    if not references:
        raise DatasetError(
            f"{path} has no references (0 clips): expected file_name,caption_1..caption_N and one row per clip."
        )
    return references


def _json_references(path: Path, report: TableReport) -> dict[str, tuple[str, ...]]:
    references: dict[str, tuple[str, ...]] = {}
    for line, record in _json_lines(path):
        report.num_rows += 1
        name = same_name(_text(_first(record, _NAME_KEYS, path, line), path, line))
        found = record.get("references", record.get("captions"))
        if found is None:
            numbered = sorted(
                (key for key in record if re.fullmatch(r"caption_\d+", key)), key=lambda key: int(key[8:])
            )
            found = [record[key] for key in numbered]
        if not isinstance(found, list):
            raise DatasetError(f"{path} has no list of captions in line {line}: expected one under `captions`.")
        texts = [_text(caption, path, line).strip() for caption in found]
        if is_usable(name, list(filter(None, texts)), len(texts), references, report, line):
            references[name] = tuple(filter(has_words, texts))
    return references


def _json_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        content = table_bytes(path)
        text = content.decode(wide_encoding(content) or "utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"{path} cannot be read ({reason}): expected JSON lines in UTF-8.") from error
    records = []
    if path.name.endswith(MANIFEST_SUFFIX):
        text = text[: text.rfind("\n") + 1]  # the last line of a killed run may be incomplete
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError as error:
            raise DatasetError(
                f"{path} is not JSON lines (line {number}: {error}): write one object per line."
            ) from error
        if not isinstance(record, dict):
            raise DatasetError(f"{path} has no object in line {number}: write one object per line.")
        records.append((number, record))
    return records


def _text(value: Any, path: Path, line: int) -> str:
    if isinstance(value, dict | list | bool):
        raise DatasetError(f"{path} has {str(value)[:40]!r} in line {line}: expected a string.")
    text = "" if value is None or value != value else str(value)  # NaN differs from itself
    return text.encode("utf-8", "replace").decode(
        "utf-8"
    )  # JSON can contain unpaired surrogates, which cannot be encoded


def _first(record: Mapping[str, Any], keys: Sequence[str], path: Path, line: int) -> Any:
    for key in keys:
        if key in record:
            return record[key]
    raise DatasetError(
        f"{path} has no {keys[0]} in line {line}: expected the keys {_NAME_KEYS[0]}, {_CAPTION_KEYS[0]}."
    )


def pair(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    partial: bool = False,
    what: str = "predictions",
) -> Corpus:
    """Pair predictions with references, in the order of the references.

    Names are compared in NFC, and without folders if none matches otherwise.

    Args:
        predictions: captions by file name.
        references: reference captions by file name.
        partial: whether to use the common clips if either side lacks some, instead of raising an error.
        what: name of the predictions in messages.

    Raises:
        DatasetError: one side lacks clips of the other (unless `partial`), or there are no common clips.
    """
    predictions = _with_same_names(predictions)
    references = _with_same_names(references)
    if not any(name in references for name in predictions):
        predictions, references = _without_folders(predictions, references)
    if not any(name in references for name in predictions):
        raise DatasetError(
            f"the {what} and the references have no file name in common (0 clips): found {listed(list(predictions))} and "
            f"{listed(list(references))}; write the names of both alike, with their suffixes."
        )
    lacking = [name for name in references if name not in predictions]
    unknown = [name for name in predictions if name not in references]
    for names, problem in ((lacking, f"references without {what}"), (unknown, f"{what} without references")):
        if not names:
            continue
        found = f"found {problem}: {listed(names)}"
        if not partial:
            raise DatasetError(f"{found}; expected one for each clip: add them, or score the others with --partial.")
        logger.warning("%s; the common clips are scored.", found)
    common = tuple(name for name in references if name in predictions)
    candidates = tuple(predictions[name] for name in common)
    corpus = Corpus(common, candidates, tuple(tuple(references[name]) for name in common))
    _name_oddities(corpus, what)
    return corpus


def _with_same_names(captions: Mapping[str, T]) -> dict[str, T]:
    return {same_name(name): value for name, value in captions.items()}


def _without_folders(
    predictions: Mapping[str, T], references: Mapping[str, U]
) -> tuple[Mapping[str, T], Mapping[str, U]]:
    """Return both with names without folders (of Windows too), where these are unique; otherwise unchanged."""
    shortened = _last_parts(predictions), _last_parts(references)
    is_unique = len(shortened[0]) == len(predictions) and len(shortened[1]) == len(references)
    return shortened if is_unique else (predictions, references)


def _last_parts(captions: Mapping[str, T]) -> dict[str, T]:
    return {re.split(r"[/\\]", name)[-1]: value for name, value in captions.items()}


def _name_oddities(corpus: Corpus, what: str) -> None:
    empty = [name for name, caption in zip(corpus.names, corpus.candidates, strict=True) if not has_words(caption)]
    if empty:
        logger.warning(
            "captions without words among the %s, which score 0 in metrics of shared words: %s.", what, listed(empty)
        )
    single = [name for name, group in zip(corpus.names, corpus.references, strict=True) if len(group) == 1]
    if single:
        logger.warning("clips with a single reference, which lowers scores and widens intervals: %s.", listed(single))
    if len(corpus) == 1:
        logger.warning("only one clip: CIDEr-D and metrics based on it are undefined, and there are no intervals.")
