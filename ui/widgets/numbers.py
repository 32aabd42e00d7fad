"""Numbers, times and probabilities in the form of the user's locale."""

import math
import re

from PyQt6.QtCore import QLocale

from data.caption_formats import ScoredCaption

_NUMBER = re.compile(r"(?<![\w.,-])\d+(?:,\d{3})*(?:\.\d+)?(?= (?:s|h|dB|Hz|hours|samples|bytes|times)\b)")


def _digits(text: str) -> str:
    """Write the digits of a text as the user's locale does."""
    zero = QLocale().zeroDigit()
    return text if zero == "0" else text.translate({ord("0") + number: chr(ord(zero) + number) for number in range(10)})


def localised(sentence: str) -> str:
    """Format the numbers with a unit in a sentence of a library, such as "2.5 s", in the user's locale."""

    def number(match: re.Match[str]) -> str:
        whole, _, decimals = match[0].replace(",", "").partition(".")
        return decimal(float(f"{whole}.{decimals or 0}"), len(decimals))

    return _NUMBER.sub(number, sentence)


def minutes_seconds(seconds: float) -> str:
    """Format a time, seconds, as mm:ss, or as h:mm:ss from one hour on."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    clock = f"{rest // 60:02d}:{rest % 60:02d}"
    return _digits(f"{hours}:{clock}" if hours else clock)


def decimal(value: float, decimals: int = 1) -> str:
    """Format a number with this number of decimals in the user's locale."""
    return QLocale().toString(float(value), "f", decimals)


def per_cent(share: float) -> str:
    """Format a fraction, 0 to 1, as an integer percentage in the user's locale."""
    return f"{decimal(100 * share, 0)} {QLocale().percent()}"


def time_span(start_s: float, end_s: float) -> str:
    """Format a time span, seconds, as "mm:ss – mm:ss", with tenths if both ends lie in the same second."""
    ends = [minutes_seconds(start_s), minutes_seconds(end_s)]
    if ends[0] == ends[1]:
        tenths = (round(10 * start_s), round(10 * end_s))
        ends = [f"{minutes_seconds(time // 10)}{QLocale().decimalPoint()}{_digits(str(time % 10))}" for time in tenths]
    return " – ".join(ends)


def probability_text(caption: ScoredCaption) -> str:
    """Format a caption's probability in per cent: calibrated, as an integer, else the sentence's, with two digits."""
    if caption.probability is not None:
        return per_cent(caption.probability)
    share = QLocale().toString(100 * math.exp(caption.log_probability), "g", 2)
    return f"{share} {QLocale().percent()}"


def probability_tip(caption: ScoredCaption) -> str:
    """Return the tooltip that explains a caption's probability."""
    what = "of exactly this sentence" if caption.probability is None else "that this caption names the right sounds"
    return f"Probability {what}: {probability_text(caption)} (log-probability {decimal(caption.log_probability, 2)})"
