"""Order of sounds in captions, from words such as "then", "after" and "while"."""

import re

# Connectors between sounds. After _THEN the next sound is later; after _AFTER it is earlier, up to the comma if the sentence
# starts with it.
_THEN = (
    r"(?:and )?(?:is |are |was )?followed(?: closely| shortly| quickly| immediately)? by"
    r"|(?:and )?(?:shortly |soon )?after (?:that|which|this)|and then|then|before|afterwards?|until"
)
_AFTER = r"after|following|preceded by"
_WHILE = r"while|whilst|as|during|along with|accompanied by|with|and|over|alongside|amid|amidst|in front of"
_CONNECTORS = re.compile(rf"\b(?:(?P<then>{_THEN})|(?P<after>{_AFTER})|(?P<while>{_WHILE}))\b|(?P<comma>[,.;])")


def parts_of(caption: str) -> list[tuple[int, str]]:
    """Parts of a caption separated by connectors, in lower case, each with its turn.

    The first part has turn 0; a later part has a higher turn, an earlier one ("after ...") a lower turn.
    """
    text = caption.lower()
    marks = list(_CONNECTORS.finditer(text))
    bounds = [0, *(mark.end() for mark in marks)]
    ends = [*(mark.start() for mark in marks), len(text)]
    joins = ["", *((mark.lastgroup or "while") for mark in marks)]
    turn, latest, found = 0, 0, []
    begins_with_after = len(marks) > 0 and marks[0].lastgroup == "after" and not text[: marks[0].start()].strip()
    for start, end, join in zip(bounds, ends, joins, strict=True):
        if join == "then":
            turn = latest = latest + 1
        elif join == "after":
            turn -= 1
        elif join == "comma" and begins_with_after and turn < 0:
            turn = 0
        found.append((turn, text[start:end]))
    return found
