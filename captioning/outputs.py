"""Output files from a manifest: several formats at once, as one table or as one file per recording."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from captioning.cluster.object_storage import is_url
from captioning.formats.base import ColumnFinder, Layout, Row, TableColumns
from captioning.formats.registry import FORMATS
from captioning.shown import Selection
from configs.atomic_files import new_file
from data.caption_formats import FailedRecording

MAX_NAME_BYTES = 255  # of a file name, on all common file systems
RECORDINGS_A_SHARD = 100_000
_TABLES = ("csv", "raven")  # formats whose columns depend on the rows


@dataclass(frozen=True)
class OutputPlan:
    """The output files to write.

    Attributes:
        output: a file; with several formats, its suffix is replaced by theirs; with `per_recording`, a folder.
        formats: names of formats, at least one.
        per_recording: whether to write one file per recording and format instead of one table.
        timeline: whether rows are windows with times.
        num_references: number of columns of reference captions.
        selection: rows to write.
        sharded: whether `output` is a folder for tables of RECORDINGS_A_SHARD recordings each.
    """

    output: Path
    formats: tuple[str, ...]
    per_recording: bool
    timeline: bool
    num_references: int
    selection: Selection
    sharded: bool = False

    @property
    def manifest(self) -> Path:
        """Path of the manifest."""
        return (
            self.output / "manifest.jsonl"
            if self.per_recording or self.sharded
            else Path(f"{self.output}.manifest.jsonl")
        )

    @property
    def tables(self) -> dict[str, Path]:
        """Path by format, for one table of all recordings."""
        if len(self.formats) == 1:
            return {self.formats[0]: self.output}
        stem = self.output
        for suffix in sorted((form.suffix for form in FORMATS.values()), key=len, reverse=True):
            if stem.name.lower().endswith(suffix) and stem.name.lower() != suffix:
                stem = stem.with_name(stem.name[: -len(suffix)])
                break
        return {name: Path(f"{stem}{FORMATS[name].suffix}") for name in self.formats}

    @property
    def written(self) -> str:
        """The output files, for a message."""
        if self.per_recording:
            return f"the folder {self.output}, one file per recording and format"
        if self.sharded:
            return f"the folder {self.output}"
        *others, last = map(str, self.tables.values())
        return f"{', '.join(others)} and {last}" if others else last

    def files_of(self, name: str, folder: str) -> dict[str, Path]:
        """Return the path by format, for one recording. All are below `output`.

        Args:
            name: path or URL of the recording.
            folder: absolute path of the folder that contains the recordings; its structure is preserved. For a URL, and for
                a recording outside of it (from a list of paths), that is the whole path, for a URL from its bucket or host.
        """
        relative = _relative(name, folder)
        return {name: self.output / _fitting(relative, FORMATS[name].suffix) for name in self.formats}


def _fitting(relative: str, suffix: str) -> str:
    """Append a suffix to a path; a name that would be longer than MAX_NAME_BYTES is cut and gets eight digits of its checksum."""
    parent, name = os.path.split(relative)
    content = os.fsencode(name)
    if len(content) + len(suffix) > MAX_NAME_BYTES:
        digits = hashlib.sha256(content).hexdigest()[:8]
        content = content[: MAX_NAME_BYTES - len(suffix) - len(digits) - 1]
        name = f"{content.decode('utf-8', 'ignore')}-{digits}"
    return os.path.join(parent, name + suffix)


def _relative(name: str, folder: str) -> str:
    if is_url(name):
        parts = PurePosixPath(name.partition("://")[2]).parts
    else:
        parts = Path(os.path.relpath(name, folder)).parts
        if parts[0] == os.pardir:
            parts = Path(os.path.abspath(name)).parts[1:]
    return os.path.join(*(part for part in parts if part not in (os.pardir, "/")))


def write_tables(
    plan: OutputPlan,
    rows_of: Callable[[], Iterable[Sequence[Row]]],
    num_recordings: int,
    max_frequency_hz: float,
) -> int:
    """Write one file per format with the rows of all recordings.

    Args:
        plan: output files.
        rows_of: function that returns an iterator over the rows of each recording; may be called several times.
        num_recordings: number of recordings, for the progress bar.
        max_frequency_hz: half the captioner's sample rate, in hertz.

    Returns:
        The number of captions that the selection leaves out.

    Raises:
        FileNotWrittenError: no space, or no permission; an older file of that name is kept.
        ValueError: a minimum probability for captions without probabilities.
    """
    columns = TableColumns(plan.num_references)
    if any(name in _TABLES for name in plan.formats):
        finder = ColumnFinder()
        for row in _SelectedRows(rows_of, plan.selection, num_recordings, "columns"):
            finder.see(row)
        columns = finder.columns
        columns.num_references = plan.num_references
    layout = Layout(plan.timeline, columns, max_frequency_hz)
    if plan.sharded:
        return _write_shards(plan, layout, rows_of, num_recordings)
    num_omitted = 0
    for name, path in plan.tables.items():
        rows = _SelectedRows(rows_of, plan.selection, num_recordings, path.name)
        with new_file(path) as stream:
            FORMATS[name](layout).write(stream, rows)
        num_omitted = rows.num_omitted
    return num_omitted


def _write_shards(
    plan: OutputPlan, layout: Layout, rows_of: Callable[[], Iterable[Sequence[Row]]], num_recordings: int
) -> int:
    num_omitted = 0
    suffixes = {name: FORMATS[name].suffix for name in plan.formats}
    written = set()
    with tqdm(total=num_recordings, desc="writing parts", unit="file", delay=2, file=sys.stderr) as bar:
        recordings = iter(rows_of())
        for number in count():
            part = list(islice(recordings, RECORDINGS_A_SHARD))
            if not part:
                break
            rows = [row for found in part for row in plan.selection.rows(found)]
            num_omitted += sum(map(plan.selection.num_omitted, part))
            for name, suffix in suffixes.items():
                path = plan.output / f"captions-{number:05d}{suffix}"
                with new_file(path) as stream:
                    FORMATS[name](layout).write(stream, rows)
                written.add(path)
            bar.update(len(part))
    for suffix in suffixes.values():  # shards of an earlier, longer list
        for path in set(plan.output.glob(f"captions-[0-9]*{suffix}")) - written:
            path.unlink()
    return num_omitted


def write_recording(plan: OutputPlan, files: dict[str, Path], rows: Sequence[Row], max_frequency_hz: float) -> None:
    """Write the files of one recording. They are not synced to disk, since they can be made again from the manifest.

    Args:
        plan: rows to write.
        files: path by format.
        rows: rows of the recording.
        max_frequency_hz: half the captioner's sample rate, in hertz.

    Raises:
        FileNotWrittenError: no space, or no permission.
        ValueError: a minimum probability for captions without probabilities.
    """
    shown = plan.selection.rows(rows)
    columns = TableColumns.of(shown)
    columns.probability, columns.num_references = True, plan.num_references  # the same in all files
    layout = Layout(plan.timeline, columns, max_frequency_hz)
    failed = bool(shown) and all(isinstance(row, FailedRecording) for row in shown)
    for name, path in files.items():
        if failed and not FORMATS[name].shows_failures:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path, synced=False) as stream:
            FORMATS[name](layout).write(stream, shown)


class _SelectedRows:
    """The selected rows of all recordings, with a progress bar.

    Attributes:
        num_omitted: number of captions left out so far.
    """

    def __init__(
        self, rows_of: Callable[[], Iterable[Sequence[Row]]], selection: Selection, num_recordings: int, title: str
    ) -> None:
        self._rows_of, self._selection = rows_of, selection
        self._num_recordings, self._title = num_recordings, title
        self.num_omitted = 0

    def __iter__(self) -> Iterator[Row]:
        title = f"writing {self._title}"
        with tqdm(total=self._num_recordings, desc=title, unit="file", delay=2, file=sys.stderr) as bar:
            for rows in self._rows_of():
                self.num_omitted += self._selection.num_omitted(rows)
                yield from self._selection.rows(rows)
                bar.update()


def check_writable(plan: OutputPlan) -> None:
    """Check early that the output can be written.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    if plan.sharded:
        return
    if plan.per_recording:
        if plan.output.exists() and not plan.output.is_dir():
            raise ValueError(f"--output {plan.output} is a file: with --per_recording name a folder.")
        return
    for path in plan.tables.values():
        if path.is_dir():
            raise ValueError(f"--output {path} is a folder: name a file, or add --per_recording.")
