"""The Java programs give the same figures in every language that a computer, or its user's Java options, may be set to."""

import os
from pathlib import Path

import numpy as np
import pytest

from evaluation.inputs import pair, read_predictions, read_references
from evaluation.java_runtime import java_environment, java_locale
from evaluation.overlap import MeteorProgram, tokenize

LANGUAGES = (("de", "DE"), ("tr", "TR"), ("ar", "EG"))  # a comma in numbers, a dotless i, digits of their own
VARIABLES = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS")


def meteor(candidates: list[str], references: list[list[str]]) -> float:
    [result] = MeteorProgram.start().measure([candidates], references, np.ones((2, len(candidates))))
    assert result.resampled.tolist() == pytest.approx([result.value] * 2)
    return result.value


@pytest.mark.slow
@pytest.mark.parametrize("language, country", LANGUAGES)
def test_meteor_in_every_language(monkeypatch: pytest.MonkeyPatch, language: str, country: str) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Duser.language={language} -Duser.country={country}")
    value = meteor(["a dog barks", "rain falls", "a car"], [["a dog barked"], ["heavy rain"], ["a car"]])
    assert value == pytest.approx(0.43724, abs=0.00001)


@pytest.mark.slow
@pytest.mark.parametrize("variable", VARIABLES)
def test_wherever_the_options_stand(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(
        variable, "-Duser.language=tr -Duser.country=TR -Duser.language.format=tr -Dfile.encoding=US-ASCII"
    )
    assert meteor(["a dog barks"], [["a dog barks"]]) == pytest.approx(1.0, abs=0.01)
    assert tokenize([["INSIDE IT IS IN: I"], ["Bär läuft"]]) == [["inside it is in i"], ["bär läuft"]]


def test_other_options_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx3g -Duser.language=de '-Duser.country=DE' -Duser.home=/tmp")
    monkeypatch.setenv("_JAVA_OPTIONS", "-Duser.country.format=DE -Dx=y")
    found = java_environment()
    assert found["JAVA_TOOL_OPTIONS"].split()[:2] == ["-Xmx3g", "-Duser.home=/tmp"]
    assert "-Duser.language=en" in found["JAVA_TOOL_OPTIONS"] and "=de" not in found["JAVA_TOOL_OPTIONS"]
    assert found["_JAVA_OPTIONS"] == "-Dx=y" and "JDK_JAVA_OPTIONS" not in found
    before = dict(os.environ)
    with java_locale():
        assert os.environ["JAVA_TOOL_OPTIONS"] == found["JAVA_TOOL_OPTIONS"]
    assert dict(os.environ) == before


@pytest.mark.slow
def test_the_tables_of_the_field(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared / "bad_inputs" / "04_meteor_locale"
    if not folder.is_dir():
        pytest.skip("needs shared/bad_inputs")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=it -Duser.country=IT")
    corpus = pair(read_predictions(folder / "pred.csv"), read_references(folder / "ref.csv"))
    candidates = [group[0] for group in tokenize([[text] for text in corpus.candidates])]
    assert meteor(candidates, tokenize(corpus.references)) == pytest.approx(0.354, abs=0.001)
