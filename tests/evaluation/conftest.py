"""Published scores, the parser's jars, and the Javas of this machine."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from evaluation.inputs import Corpus
from evaluation.resources import Resources


def absent(what: str) -> None:
    """Skip a test because something is missing."""
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def published(shared: Path) -> pd.DataFrame:
    """1,045 captions of Clotho evaluation with references and scores as Labbé et al. (arXiv 2309.00454) published them."""
    return pd.read_csv(shared / "fixtures" / "published_scores_clotho_evaluation.csv")


@pytest.fixture(scope="session")
def published_corpus(published: pd.DataFrame) -> Corpus:
    return corpus_of(published)


def corpus_of(table: pd.DataFrame) -> Corpus:
    references = table[[f"caption_{number}" for number in range(1, 6)]].to_numpy().tolist()
    return Corpus(tuple(table.file_name), tuple(table.caption_predicted), tuple(tuple(group) for group in references))


@pytest.fixture(scope="session")
def parser_jars(shared: Path) -> list[Path]:
    return Resources(shared / "metrics").parser_jars()


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def javas() -> list[str]:
    """Folders of the `java` programs on this machine, one for each installation."""
    installed = sorted(Path("/usr/lib/jvm").glob("*/bin/java")) if Path("/usr/lib/jvm").is_dir() else []
    found = {str(path.resolve()): str(path.parent) for path in installed}
    if not found and (java := shutil.which("java")):
        found = {java: str(Path(java).parent)}
    return sorted(found.values())
