"""Alert words: words in live captions that trigger a notification."""

import re
from collections.abc import Sequence


def alert_words(text: str) -> tuple[str, ...]:
    """Split a comma-separated list into lower-case words."""
    return tuple(word for part in text.split(",") if (word := " ".join(part.casefold().split())))


def matching_words(words: Sequence[str], caption: str) -> list[str]:
    """Return the words that occur in a caption as whole words, in singular or plural."""
    text = caption.casefold()
    return [word for word in words if re.search(rf"\b{re.escape(word)}(s|es)?\b", text)]
