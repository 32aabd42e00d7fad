"""Problems of a table, and errors for data sets that cannot be used."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

NAMES_SHOWN = 3  # names per kind of problem in a summary
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"  # zero-width characters, common in text copied from web pages


class DatasetError(ValueError):
    """Raised if a data set cannot be used; the message is one sentence with the problem, the expectation and the remedy."""


def same_name(name: str) -> str:
    """Return a file name in NFC without surrounding spaces and zero-width characters, for comparison."""
    return unicodedata.normalize("NFC", name.strip().strip(_INVISIBLE).strip())


# How programs write an empty cell; pandas reads all of these as missing.
_MISSING = frozenset(["nan", "none", "null", "n/a", "#n/a", "<na>", "nat"])


def has_words(caption: str) -> bool:
    """Return whether a caption contains a letter, and is not the mark of a missing value, such as "nan"."""
    return any(map(str.isalpha, caption)) and caption.strip().lower() not in _MISSING


@dataclass(frozen=True)
class Problem:
    """Problem of a table.

    Attributes:
        kind: Kind of problem, such as "missing file" or "duplicate name".
        name: File name of the clip, or other text that identifies the row.
        line: Line of the table, counted from 1.
    """

    kind: str
    name: str
    line: int


@dataclass
class TableReport:
    """All problems of a table.

    Attributes:
        table: Path of the table; None before it is read. Default: None.
        num_rows: Number of rows, without the header and empty rows. Default: 0.
        num_clips: Number of usable clips. Default: 0.
        problems: Problems in the order found. Default: empty.
    """

    table: Path | None = None
    num_rows: int = 0
    num_clips: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind."""
        return dict(Counter(problem.kind for problem in self.problems))

    def add(self, kind: str, name: str, line: int) -> None:
        """Add a problem."""
        self.problems.append(Problem(kind, name, line))

    def names(self, kind: str) -> list[str]:
        """Return the file names with problems of one kind."""
        return [problem.name for problem in self.problems if problem.kind == kind]

    def summary(self) -> str:
        """Return one line with the number of usable clips, and the count and first names of each kind of problem."""
        parts = []
        for kind, count in self.counts.items():
            parts.append(f"{kind}: {listed(self.names(kind), count)}")
        problems = f"; {'; '.join(parts)}" if parts else ""
        return f"{self.table}: {self.num_rows} rows, {self.num_clips} usable clips{problems}"


def listed(names: Sequence[str], count: int | None = None) -> str:
    """Format names for a message.

    Args:
        names: File names; at most NAMES_SHOWN are shown, and names of 256 characters or more are shortened to 60.
        count: Number to show; None for the number of names. Default: None.

    Returns:
        The count, followed by the first names in parentheses.
    """
    count = len(names) if count is None else count
    shown = ", ".join(repr(name if len(name) < 256 else f"{name[:60]}...") for name in names[:NAMES_SHOWN])
    return f"{count} ({shown}{', ...' if count > NAMES_SHOWN else ''})"
