"""One JSON object per line."""

import json
from typing import Any

from captioning.formats.base import TextFormat, shown_time
from data.caption_formats import CaptionRecord, FailedRecording


def record_object(record: CaptionRecord) -> dict[str, Any]:
    """Convert a record to JSON values; probabilities and similarities are included if known."""
    content: dict[str, Any] = {
        "file": record.file,
        "start_s": round(record.start_s, 3),
        "end_s": round(record.end_s, 3),
        **({"start_time": time} if (time := shown_time(record)) else {}),
        "caption": record.caption,
        "captions": [
            {name: value for name, value in caption._asdict().items() if value is not None}
            for caption in record.captions
        ],
    }
    for entry, similarity in zip(content["captions"], record.similarities, strict=False):
        entry["similarity"] = round(similarity, 6)
    if record.references:
        content["references"] = list(record.references)
    if record.warning:
        content["warning"] = record.warning
    return content


class JsonLines(TextFormat):
    """JSON lines; a failed recording has `file` and `error`."""

    suffix = ".jsonl"
    shows_failures = True

    def piece(self, record: CaptionRecord, number: int) -> str:
        """See `TextFormat`."""
        return json.dumps(record_object(record), ensure_ascii=False) + "\n"

    def failure(self, failed: FailedRecording) -> str:
        """See `TextFormat`."""
        return json.dumps({"file": failed.file, "error": failed.error}, ensure_ascii=False) + "\n"
