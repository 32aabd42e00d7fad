"""JSON that anyone may have written: what is wrong with it is told in a few words, never by a traceback."""

import json
from pathlib import Path
from typing import Any


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, or is nested deeper than Python follows; the message is the reason alone, so that the caller
            can put the file's name before it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}, line {error.lineno} column {error.colno}") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, is no JSON or no object; the message is the reason alone, as of `parse_json`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 from byte {error.start} on") from error
    content = parse_json(text)
    if not isinstance(content, dict):
        raise ValueError(f"a {type(content).__name__} in place of an object")
    return content
