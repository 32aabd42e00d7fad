"""Short trainings without a part of the recipe."""

from pathlib import Path

import pytest
import yaml

from benchmarks import ablations


@pytest.mark.slow
def test_each_recipe_is_trained_once_and_measured_with_each_seed(
    tone_dataset: Path, labelled_sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "small.yaml"
    encoder = {"name": "mobilenet", "width": 0.1, "train_from_step": 0, "max_duration_s": 4.0}
    content = {
        "captioner": {
            "encoder": encoder,
            "tags": {"num_tags": 3},
            "decoder": {"num_layers": 1, "num_heads": 2, "width": 32},
            "tokenizer": {"kind": "bpe", "vocab_size": 120},
        },
        "data": {"dataset_root": str(tone_dataset), "batch_size": 4, "cache_dir": None},
        "training": {"tensorboard": False},
        "decoding": {"num_beams": 2, "max_tokens": 8, "tags": {"coverage_weight": 1.0, "word_bonus": 1.0}},
    }
    config.write_text(yaml.safe_dump(content))
    parts = {name: ablations.TRAININGS[name] for name in (ablations.WHOLE, "no tag scores of thirds")}
    monkeypatch.setattr(ablations, "TRAININGS", parts)
    output = tmp_path / "table.md"
    arguments = ["--config", str(config), "--recordings", str(tone_dataset), "--labelled", str(labelled_sounds)]
    arguments += [
        "--steps",
        "1",
        "--seeds",
        "0",
        "--every",
        "1",
        "--runs",
        str(tmp_path / "runs"),
        "--output",
        str(output),
    ]
    assert ablations.main(arguments) == 0
    lines = output.read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [*parts, *ablations.SEARCHES]
    assert lines[0].count("CIDEr-D") == 1 and "both of a mixture named, %" in lines[0]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("model.safetensors")}
    assert len(written) == 2
    assert ablations.main(arguments) == 0  # what is there is not trained again
    assert output.read_text().splitlines() == lines
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("model.safetensors")}


def test_a_training_that_fails_is_reported(tmp_path: Path, labelled_sounds: Path, tone_dataset: Path) -> None:
    config = tmp_path / "broken.yaml"
    config.write_text(f"data:\n  dataset_root: {tmp_path / 'nowhere'}\n")
    arguments = ["--config", str(config), "--recordings", str(tone_dataset), "--labelled", str(labelled_sounds)]
    assert ablations.main([*arguments, "--steps", "1", "--runs", str(tmp_path / "runs")]) == 2


def test_means_are_given_with_their_range() -> None:
    assert ablations.spread([0.25, 0.75], 2) == "0.50 (0.25 to 0.75)"
