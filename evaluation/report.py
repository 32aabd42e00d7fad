"""Self-contained HTML report: scores, distributions, best and worst clips with audio, frequent words."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tqdm import tqdm

from evaluation.inputs import Corpus
from evaluation.measures import MEASURES
from evaluation.outputs import shown, title_of
from evaluation.overlap import Floats
from evaluation.scores import Comparison, Score
from evaluation.sounds import PageSound, page_sound
from evaluation.words import frequent_words

TEMPLATE = "report.html.jinja"
HEADLINES = ("spider_fl", "spider", "fense", "cider_d", "spice", "meteor", "sbert_sim", "rouge_l", "bleu_4", "bleu_1")
NUM_HEADLINES = 4
RANKING = (
    "spider",
    "fense",
    "cider_d",
    "meteor",
    "rouge_l",
    "sbert_sim",
    "bleu_1",
)  # the first available one ranks the clips
SPREADS = ("spider", "cider_d", "spice", "meteor", "rouge_l", "fense", "sbert_sim", "words")
NUM_BINS = 20
MAX_REFERENCES = 5


@dataclass(frozen=True)
class Report:
    """Content of a report.

    Attributes:
        subject: title in one line.
        corpus: captions and references.
        scores: scores of the captions by key.
        recordings: available audio files by clip name.
        num_resamples: number of bootstrap resamples of the intervals.
        num_shown: number of best and of worst clips on the page.
        other: captions to compare with; None for none.
        other_name: name of these captions.
        other_scores: scores of these captions by key.
        comparisons: differences by key.
    """

    subject: str
    corpus: Corpus
    scores: Mapping[str, Score]
    recordings: Mapping[str, Path] = field(default_factory=dict)
    num_resamples: int = 1000
    num_shown: int = 6
    other: Corpus | None = None
    other_name: str = ""
    other_scores: Mapping[str, Score] = field(default_factory=dict)
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoreRow:
    """A line of the table; positions are in percent of the bar's width."""

    title: str
    meaning: str
    value: str
    interval: str
    place: float | None
    low: float | None
    high: float | None
    full: str
    reason: str


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram: position and height in percent of the plot, and its label."""

    left: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """Distribution of a metric's values over clips."""

    title: str
    bars: tuple[Bar, ...]
    first: str
    last: str
    median: str
    median_place: float


@dataclass(frozen=True)
class ShownClip:
    """A clip on the page."""

    name: str
    caption: str
    other_caption: str | None
    references: tuple[str, ...]
    num_more: int
    scores: tuple[tuple[str, str], ...]
    sound: PageSound | None


def render(report: Report) -> str:
    """Render the report as HTML."""
    key = next((key for key in RANKING if key in report.scores and report.scores[key].per_clip is not None), None)
    best, worst = _ranked(report, key) if key else ([], [])
    shown_clips = {
        number: clip
        for number in tqdm(
            dict.fromkeys([*best, *worst]), desc="sounds for the report", unit="clip", delay=2, file=sys.stderr
        )
        if (clip := _shown_clip(report, number))
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # captions are untrusted text
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    words = frequent_words(report.corpus.candidates, report.corpus.references)
    return environment.get_template(TEMPLATE).render(
        report=report,
        num_clips=len(report.corpus),
        num_references=sum(map(len, report.corpus.references)),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        headlines=_headlines(report.scores),
        rows=[_row(key, score) for key, score in report.scores.items()],
        comparison=_comparison_rows(report),
        histograms=[_histogram(key, report.scores[key]) for key in SPREADS if _spreads(report.scores.get(key))],
        ranked_by=title_of(key, report.scores[key]) if key else "",
        best=[shown_clips[number] for number in best],
        worst=[shown_clips[number] for number in worst],
        words=words,
        widest=max((max(word.predicted, word.referenced) for word in words), default=1.0) or 1.0,
        versions=f"pycocoevalcap {version('pycocoevalcap')}, Python {sys.version.split()[0]}",
    )


def _headlines(scores: Mapping[str, Score]) -> list[ScoreRow]:
    found = [key for key in HEADLINES if key in scores and scores[key].value is not None]
    return [_row(key, scores[key]) for key in found[:NUM_HEADLINES]]


def _row(key: str, score: Score) -> ScoreRow:
    title, meaning = title_of(key, score), MEASURES[key].meaning
    if score.value is None:
        return ScoreRow(title, meaning, "n/a", "", None, None, None, "", score.reason or "")
    interval = ""
    if score.low is not None and score.high is not None:
        interval = f"{shown(score.low, key)} to {shown(score.high, key)}"
    top = MEASURES[key].top
    if top is None:
        return ScoreRow(title, meaning, shown(score.value, key), interval, None, None, None, "", "")
    # Metrics with a maximum of 10 are mostly below 1, where differences must be visible.
    full = min(top, float(math.ceil(max(score.value, score.high or 0.0, 1e-9))))
    place, low, high = (_place(end, full) for end in (score.value, score.low, score.high))
    return ScoreRow(title, meaning, shown(score.value, key), interval, place, low, high, f"{full:g}", "")


def _place(value: float | None, full: float) -> float | None:
    return None if value is None else 100 * min(max(value / full, 0.0), 1.0)


def _comparison_rows(report: Report) -> list[dict[str, str]]:
    rows = []
    for key, result in report.comparisons.items():
        first, second = report.scores[key].value, report.other_scores[key].value
        interval, verdict = "", ""
        if result.low is not None and result.high is not None:
            interval = f"{shown(result.low, key, True)} to {shown(result.high, key, True)}"
            significant = result.low > 0 or result.high < 0
            verdict = "significant" if significant else "not significant"
        rows.append(
            {
                "title": title_of(key, report.scores[key]),
                "first": shown(first, key) if first is not None else "n/a",
                "second": shown(second, key) if second is not None else "n/a",
                "difference": shown(result.difference, key, True),
                "interval": interval,
                "verdict": verdict,
                "won": f"{100 * result.won:.0f} %" if result.won is not None else "",
                "tied": f"{100 * result.tied:.0f} %" if result.tied is not None else "",
            }
        )
    return rows


def _spreads(score: Score | None) -> bool:
    return score is not None and score.per_clip is not None and len(score.per_clip) > 1


def _histogram(key: str, score: Score) -> Histogram:
    values: Floats = np.zeros(0) if score.per_clip is None else score.per_clip
    low, high = min(0.0, float(values.min())), float(values.max()) or 1.0
    whole = np.arange(math.floor(low), math.floor(high) + 2) - 0.5  # one bin per integer
    edges = whole if key == "words" else np.linspace(low, high, NUM_BINS + 1)
    counts, edges = np.histogram(values, edges)
    span = float(edges[-1] - edges[0])
    bars = tuple(
        Bar(
            left=100 * float(left - edges[0]) / span,
            width=100 * float(right - left) / span,
            height=100 * float(count) / float(counts.max()),
            label=_bin_label(key, float(left), float(right), int(count)),
        )
        for count, left, right in zip(counts, edges, edges[1:], strict=False)
    )
    median = float(np.median(values))
    place = 100 * (median - float(edges[0])) / span
    first, last = (0.0, high) if key == "words" else (low, high)
    return Histogram(title_of(key, score), bars, _short(first), _short(last), shown(median, key), place)


def _bin_label(key: str, left: float, right: float, count: int) -> str:
    clips = f"{count} clip{'' if count == 1 else 's'}"
    if key == "words":
        return f"{round((left + right) / 2)} words: {clips}"
    return f"{shown(left, key)} to {shown(right, key)}: {clips}"


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _ranked(report: Report, key: str) -> tuple[list[int], list[int]]:
    """Indices of the best clips, best first, and of the worst, worst first, without overlap."""
    values = report.scores[key].per_clip
    order = np.argsort(-values, kind="stable").tolist() if values is not None else []
    count = min(report.num_shown, len(order) // 2)
    if len(order) == 1:
        return order[: report.num_shown], []
    return order[:count], order[::-1][:count]


def _shown_clip(report: Report, number: int) -> ShownClip:
    corpus = report.corpus
    references: Sequence[str] = corpus.references[number]
    name = corpus.names[number]
    chips = tuple(
        (MEASURES[key].title, shown(float(score.per_clip[number]), key))
        for key, score in report.scores.items()
        if score.per_clip is not None
        and key in ("spider", "cider_d", "spice", "meteor", "sbert_sim", "fense", "fer", "invented", "wrong_speakers")
    )
    return ShownClip(
        name=name,
        caption=corpus.candidates[number],
        other_caption=report.other.candidates[number] if report.other else None,
        references=tuple(references[:MAX_REFERENCES]),
        num_more=max(0, len(references) - MAX_REFERENCES),
        scores=chips,
        sound=page_sound(report.recordings[name]) if name in report.recordings else None,
    )
