"""Tables of results, as Markdown."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from configs.atomic_files import write_file


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells, each line ending with a line break."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "".join(f"{line}\n" for line in lines)


def write_text(path: Path, text: str) -> None:
    """Write a file of results, in a folder that is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text)


def publish(table: str, output: Path | None, details: Any = None) -> None:
    """Print a table; with a file to write it to, write it, and as JSON beside it what it was made from, if that is given."""
    print(table, end="")
    if output:
        write_text(output, table)
    if output and details is not None:
        write_text(output.with_suffix(".json"), json.dumps(details, indent=1))
