"""Scores as a text table, JSON and CSV."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from data.tables import csv_text
from evaluation.inputs import Corpus
from evaluation.measures import MEASURES
from evaluation.scores import Comparison, Score

PREDICTIONS_FILE = "predictions.csv"
NOT_ASKED = "not requested with --metrics"


def shown(value: float, key: str, signed: bool = False) -> str:
    """Format a value: counts without, lengths with one and scores with three decimals."""
    digits = {"vocabulary": 0, "words": 1}.get(key, 3)
    return f"{value:{'+' if signed else ''}.{digits}f}"


def title_of(key: str, score: Score) -> str:
    """Title of a metric, followed by the model's name if there is a choice."""
    return f"{MEASURES[key].title} ({score.model})" if score.model else MEASURES[key].title


def score_table(scores: Mapping[str, Score]) -> str:
    """Table of one system with one line per metric."""
    rows = [["metric", "value", "95 % interval"]]
    for key, score in scores.items():
        if score.value is None:
            rows.append([title_of(key, score), "n/a", score.reason or ""])
        else:
            between = (
                f"{shown(score.low, key)} to {shown(score.high, key)}"
                if score.low is not None and score.high is not None
                else ""
            )
            rows.append([title_of(key, score), shown(score.value, key), between])
    return _aligned(rows)


def comparison_table(
    scores: Mapping[str, Score], other: Mapping[str, Score], comparisons: Mapping[str, Comparison]
) -> str:
    """Table of two systems on the same clips with one line per metric."""
    rows = [["metric", "first", "second", "difference", "95 % interval", "won", "tied", "lost"]]
    for key, score in scores.items():
        result = comparisons.get(key)
        if result is None:
            rows.append([title_of(key, score), "n/a", "n/a", score.reason or other[key].reason or ""])
            continue
        interval, shares = "", ["", "", ""]
        if result.low is not None and result.high is not None:
            interval = f"{shown(result.low, key, True)} to {shown(result.high, key, True)}"
        if result.won is not None and result.tied is not None:
            shares = [f"{100 * share:.0f} %" for share in (result.won, result.tied, 1 - result.won - result.tied)]
        values = [shown(value, key) for value in (score.value, other[key].value) if value is not None]
        rows.append([title_of(key, score), *values, shown(result.difference, key, True), interval, *shares])
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    # The last cell of a line can be a long reason, which does not affect the column widths.
    num_columns = max(map(len, rows))
    widths = [
        max((len(row[column]) for row in rows if column < len(row) - 1), default=0) for column in range(num_columns)
    ]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join(cells).rstrip())
    return "".join(f"{line}\n" for line in lines)


def scores_json(scores: Mapping[str, Score]) -> str:
    """Corpus values as fractions by key; metrics without a value have null and a reason."""
    content = {}
    for key in MEASURES:
        score = scores.get(key, Score(None, reason=NOT_ASKED))
        entry: dict[str, float | str | None] = {"value": score.value, "low": score.low, "high": score.high}
        if score.model:
            entry["model"] = score.model
        if score.value is None:
            entry["reason"] = score.reason
        content[key] = entry
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def comparison_json(comparisons: Mapping[str, Comparison]) -> str:
    """Differences by key, first minus second."""
    return json.dumps({key: vars(result) for key, result in comparisons.items()}, indent=2) + "\n"


def per_clip_csv(corpus: Corpus, scores: Mapping[str, Score]) -> str:
    """One row per clip: name, caption, and the values of metrics that have values per clip."""
    keys = [key for key, score in scores.items() if score.per_clip is not None]
    columns = [score.per_clip.tolist() for score in scores.values() if score.per_clip is not None]
    rows = zip(corpus.names, corpus.candidates, *columns, strict=True)
    return csv_text(["file_name", "caption_predicted", *keys], rows)


def predictions_csv(corpus: Corpus) -> str:
    """One row per clip: name, caption, references."""
    most = max(map(len, corpus.references))
    rows = [
        [name, caption, *group, *[""] * (most - len(group))]
        for name, caption, group in zip(corpus.names, corpus.candidates, corpus.references, strict=True)
    ]
    return csv_text(["file_name", "caption_predicted", *(f"caption_{number}" for number in range(1, most + 1))], rows)


def output_files(corpus: Corpus, scores: Mapping[str, Score]) -> dict[str, str]:
    """Names and contents of scores.json, scores_per_clip.csv and predictions.csv."""
    return {
        "scores.json": scores_json(scores),
        "scores_per_clip.csv": per_clip_csv(corpus, scores),
        PREDICTIONS_FILE: predictions_csv(corpus),
    }


def comparison_files(
    other: Corpus, scores: Mapping[str, Score], comparisons: Mapping[str, Comparison]
) -> dict[str, str]:
    """Names and contents of comparison.json and the second system's other_scores_per_clip.csv."""
    return {
        "comparison.json": comparison_json(comparisons),
        "other_scores_per_clip.csv": per_clip_csv(other, scores),
    }


def check_folder(folder: Path) -> None:
    """Create a folder for results, before any long computation.

    Raises:
        ValueError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"--output {folder} is not a writable folder ({error.strerror}): choose another one."
        ) from error
