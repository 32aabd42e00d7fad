"""Folders of labelled clips, for the tagger, the sound bank of text-only training, and template captions.

A folder contains either `clips.csv`, with the columns `file_name`, `category` or `label`, and optionally `fold`, and the
subfolder `clips/`; or ESC-50's layout (`meta/esc50.csv` and `audio/`). An optional column `tags` of AudioSet classes, separated
by ";", overrides the label.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from data.clotho import FileClip
from data.tables import DatasetError, FileIndex, TableReport, read_rows, same_name
from vocabulary.audioset import tag_ids

logger = logging.getLogger(__name__)

LAST_TRAINING_FOLD = 3


def find_layout(root: Path) -> tuple[Path, Path, str] | None:
    """Return the table, the folder of clips and the column of file names of a collection; None if it has no table."""
    layouts = (
        (root / "meta" / "esc50.csv", root / "audio", "filename"),
        (root / "clips.csv", root / "clips", "file_name"),
    )
    return next((layout for layout in layouts if layout[0].is_file()), None)


def read_labelled(root: Path, held_out: int = 0, left_out: Sequence[str] = ()) -> tuple[list[FileClip], list[FileClip]]:
    """Return the training clips and the held-out clips, in the order of the table.

    Args:
        root: folder of the collection.
        held_out: number of held-out clips in a collection without folds, chosen by a hash of their names. In a collection with
            folds, all folds after the third are held out.
        left_out: names of collections without folds that are held out entirely; the name is the first folder in a file name.

    Raises:
        DatasetError: the table or a column is missing, or a tag is not an AudioSet class.
    """
    layout = find_layout(root)
    if layout is None:
        raise DatasetError(f"{root} has neither clips.csv nor meta/esc50.csv: give a folder of labelled clips.")
    table, folder, name = layout
    report = TableReport()
    columns, records = read_rows(table, report)
    label = next((column for column in ("tags", "category", "label") if column in columns), None)
    if name not in columns or label is None:
        raise DatasetError(
            f"{table} has the columns {', '.join(columns)}: expected {name} and tags, category or label."
        )
    report.num_clips = len(records)
    if report.problems:
        logger.warning("%s", report.summary())
    rows = [record | {name: same_name(record[name])} for _, record in records]
    if "fold" in columns:
        folds = [fold_of(table, line, record["fold"]) for line, record in records]
        held_out_names = {row[name] for row, fold in zip(rows, folds, strict=True) if fold > LAST_TRAINING_FOLD}
    else:
        ranked = sorted((row[name] for row in rows), key=lambda cell: hashlib.sha256(cell.encode()).digest())
        held_out_names = set(ranked[:held_out]) | {cell for cell in ranked if cell.split("/")[0] in left_out}
    cells = {row[name]: row[label].split(";") if label == "tags" else [row[label]] for row in rows}
    if label == "tags" and (unknown := {tag.strip() for tags in cells.values() for tag in tags} - tag_ids().keys()):
        raise DatasetError(
            f"{table} has the tag {min(unknown)}, which is not a class of AudioSet: see vocabulary/audioset_tags.txt."
        )
    index = FileIndex(folder)
    clips = {
        cell: FileClip(index.find(cell) or folder / cell, (), tuple(tag.strip() for tag in tags))
        for cell, tags in cells.items()
    }
    return (
        [clip for cell, clip in clips.items() if cell not in held_out_names],
        [clip for cell, clip in clips.items() if cell in held_out_names],
    )


def fold_of(table: Path, line: int, cell: str) -> int:
    """Parse the fold number of a clip.

    Raises:
        DatasetError: the cell is not an integer.
    """
    try:
        return int(cell)
    except ValueError:
        raise DatasetError(f"{table} has the fold {cell!r} in line {line}: expected a whole number.") from None
