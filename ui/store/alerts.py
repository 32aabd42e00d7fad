"""Words that a person wants to be told of when they are heard."""

import re
from collections.abc import Sequence


def alert_words(text: str) -> tuple[str, ...]:
    """The words of a comma-separated list, in lower case."""
    return tuple(word for part in text.split(",") if (word := " ".join(part.casefold().split())))


def heard_words(words: Sequence[str], caption: str) -> list[str]:
    """Those of the words that a caption has, as whole words; a plural counts as its word."""
    text = caption.casefold()
    return [word for word in words if re.search(rf"\b{re.escape(word)}(s|es)?\b", text)]
