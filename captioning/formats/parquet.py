"""Apache Parquet, with pyarrow. The columns are always the same, so that all parts of a data set have one schema."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from captioning.formats.base import CaptionFormat, Row, start_time
from data.caption_formats import FailedRecording

if TYPE_CHECKING:
    import pyarrow

ROWS_AT_ONCE = 65536  # rows per row group


def schema() -> "pyarrow.Schema":
    """Return the schema; all columns but `file` may be null: a failed recording has only `file` and `error`."""
    import pyarrow as pa  # takes a third of a second, and other formats do not need it

    caption = pa.struct(
        [
            ("text", pa.string()),
            ("log_probability", pa.float64()),
            ("probability", pa.float64()),
            ("similarity", pa.float64()),
        ]
    )
    return pa.schema(
        [
            pa.field("file", pa.string(), nullable=False),
            ("start_s", pa.float64()),
            ("end_s", pa.float64()),
            ("start_time", pa.timestamp("ms")),
            ("caption", pa.string()),
            ("log_probability", pa.float64()),
            ("probability", pa.float64()),
            ("similarity", pa.float64()),
            ("captions", pa.list_(caption)),
            ("references", pa.list_(pa.string())),
            ("warning", pa.string()),
            ("error", pa.string()),
        ]
    )


def to_table(rows: Sequence[Row]) -> "pyarrow.Table":
    """Convert rows to a table of `schema`."""
    import pyarrow as pa

    return pa.Table.from_pylist([_values(row) for row in rows], schema())


def _values(row: Row) -> dict[str, Any]:
    if isinstance(row, FailedRecording):
        return {"file": row.file, "start_time": start_time(row), "error": row.error}
    likeness = [*row.similarities, *[None] * (len(row.captions) - len(row.similarities))]
    captions = [
        {**caption._asdict(), "similarity": value} for caption, value in zip(row.captions, likeness, strict=True)
    ]
    best = {name: value for name, value in captions[0].items() if name != "text"}
    return {
        "file": row.file,
        "start_s": round(row.start_s, 3),
        "end_s": round(row.end_s, 3),
        "start_time": start_time(row),
        "caption": row.caption,
        **best,
        "captions": captions,
        "references": list(row.references),
        "warning": row.warning or None,
    }


class Parquet(CaptionFormat):
    """A Parquet file, compressed with Zstandard."""

    suffix = ".parquet"
    shows_failures = True

    def write(self, stream: BinaryIO, rows: Iterable[Row]) -> None:
        """See `CaptionFormat`; one row group at a time is in memory."""
        import pyarrow.parquet

        with pyarrow.parquet.ParquetWriter(stream, schema(), compression="zstd") as writer:
            for part in _parts(rows):
                writer.write_table(to_table(part))


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while part := list(islice(rest, ROWS_AT_ONCE)):
        yield part
