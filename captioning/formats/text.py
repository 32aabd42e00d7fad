"""Plain text: "file: caption", with alternatives and reference captions on separate lines."""

from captioning.formats.base import TextFormat, clock
from data.caption_formats import CaptionRecord, ScoredCaption, percent
from data.decoding.errors import shown


class PlainText(TextFormat):
    """Lines of text."""

    suffix = ".txt"

    def piece(self, record: CaptionRecord, number: int) -> str:
        """See `TextFormat`."""
        times = f"[{clock(record.start_s)} - {clock(record.end_s)}] " if self.layout.with_times else ""
        likeness = [f"similarity {value:.3f}" for value in record.similarities]
        lines = [f"{shown(record.file)}: {times}{record.caption}" + (f"  ({likeness[0]})" if likeness else "")]
        if len(record.captions) > 1:
            for place, caption in enumerate(record.captions, 1):
                notes = ", ".join([_how_probable(caption), *likeness[place - 1 : place]])
                lines.append(f"    {place}. {caption.text}  ({notes})")
        lines += [f"    reference: {reference}" for reference in record.references]
        return "".join(f"{line}\n" for line in lines)


def _how_probable(caption: ScoredCaption) -> str:
    if caption.probability is None:
        return f"log-probability {caption.log_probability:.2f}"
    return f"probability {percent(caption.probability)}"
