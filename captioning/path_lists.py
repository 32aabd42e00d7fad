"""Lists of recordings: a text file with one path or URL per line, or a Parquet file with a column of them."""

from collections.abc import Iterator
from pathlib import Path

from data.tables import wide_encoding

COLUMNS = ("path", "file", "file_name", "url")
_SUFFIXES = (".txt", ".parquet")


def is_list(name: str) -> bool:
    """Return whether a name has the suffix of a list file."""
    return Path(name).suffix.lower() in _SUFFIXES and Path(name).is_file()


def read_list(name: str) -> Iterator[str]:
    """Yield the paths and URLs of a list; empty lines and lines starting with # are skipped.

    Raises:
        ValueError: the list cannot be read, is empty, or has no column of paths.
    """
    found = _parquet(name) if name.lower().endswith(".parquet") else _text(name)
    try:
        first = next(found, None)
        if first is None:
            raise ValueError(f"the list {name} is empty.")
        yield first
        yield from found
    except OSError as error:
        raise ValueError(f"the list {name} cannot be read ({error.strerror or error}).") from error


def _text(name: str) -> Iterator[str]:
    with open(name, "rb") as start:
        encoding = wide_encoding(start.read(8))  # lists of Windows
    errors = "replace" if encoding else "surrogateescape"
    with open(name, encoding=encoding or "utf-8-sig", errors=errors) as file:
        for line in map(str.strip, file):
            if line and not line.startswith("#"):
                yield line


def _parquet(name: str) -> Iterator[str]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(name)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"the list {name} is not a Parquet file ({error}).") from error
    with file:
        text = [
            field.name
            for field in file.schema_arrow
            if pyarrow.types.is_string(field.type) or pyarrow.types.is_large_string(field.type)
        ]
        column = next((column for column in COLUMNS if column in text), text[0] if len(text) == 1 else None)
        if column is None:
            raise ValueError(
                f"the list {name} has the columns {', '.join(file.schema_arrow.names)}: name that of the paths {COLUMNS[0]}."
            )
        for batch in file.iter_batches(columns=[column]):
            yield from (path for path in batch.column(0).to_pylist() if path)
