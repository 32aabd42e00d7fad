"""Configuration: every shipped file loads, overrides apply, mistakes name the remedy."""

from pathlib import Path

import pytest

from configs.loading import (
    RETIRED,
    ConfigError,
    build_parser,
    config_to_yaml,
    load_checkpoint_config,
    load_config,
    parse_config,
    valid_keys,
)
from configs.schema import CaptionTable, Config, SimulationConfig, TagDecodingConfig

RETIRED_FILES = Path(__file__).with_name("retired")  # config.yaml of checkpoints that older versions wrote
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_file_loads_and_survives_a_round_trip(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    copy = tmp_path / "copy.yaml"
    copy.write_text(config_to_yaml(config))
    assert load_config(copy) == load_checkpoint_config(copy) == config


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("sounds_small", TagDecodingConfig(word_bonus=2.0, coverage_weight=0.5)),
        ("any_sound", TagDecodingConfig(word_bonus=3.3, coverage_weight=4.2, min_score=0.1)),
    ],
)
def test_a_checkpoint_of_an_older_version_still_loads(
    name: str, tags: TagDecodingConfig, caplog: pytest.LogCaptureFixture
) -> None:
    path = RETIRED_FILES / f"{name}.yaml"
    config = load_checkpoint_config(path)
    assert config.decoding.tags == tags
    [message] = caplog.messages
    assert all(f"{key}," in message or f"{key}." in message for key in ("decoding.strong_tag", "data.texts.held_out"))
    assert "heard_bonus" not in message and "coverage_weight" not in message  # moved, not left out
    assert ("data.texts.participles" in message) == (name == "any_sound") and "donors" not in message
    with pytest.raises(
        ConfigError, match="unknown key|data.texts.tables"
    ):  # what a person gives now has the names of now
        load_config(path)


def test_settings_of_labelled_clips_are_read_under_their_old_names() -> None:
    texts = load_checkpoint_config(RETIRED_FILES / "any_sound.yaml").data.texts
    assert texts.labelled_dirs == ("datasets/sounds", "datasets/labelled")  # a list stays whole
    assert texts.tables == (
        CaptionTable("datasets/audiocaps/train.csv", "audiocaps", (10.0, 10.0)),
        CaptionTable("datasets/clotho/clotho_captions_development.csv", "clotho", (15.0, 30.0)),
    )
    assert (texts.labelled_style, texts.labelled_mixtures, texts.labelled_repeats) == ("plain", 5000, 2)
    assert (texts.human_captions, texts.human_caption_repeats) == ("usual", 2)


def test_a_checkpoint_carries_the_settings_of_its_simulation(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: {texts: {noise: false}}\n")  # the former place of this setting
    assert load_checkpoint_config(path).data.texts.simulation == SimulationConfig(noise=False)
    assert "simulation:\n      noise: true\n      mix_slope: 0.09\n" in config_to_yaml(Config())


@pytest.mark.parametrize("durations", ["[]", "[5.0, 6.0]"])
def test_lists_beside_the_tables_become_their_entries(tmp_path: Path, durations: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"data: {{texts: {{tables: [a.csv], styles: [x], durations_s: {durations}}}}}\n")
    [table] = load_checkpoint_config(path).data.texts.tables
    assert table == CaptionTable("a.csv", "x", (10.0, 10.0) if durations == "[]" else (5.0, 6.0))
    with pytest.raises(ConfigError, match=r"data.texts.styles; each entry of data.texts.tables has its own"):
        parse_config(build_parser("test"), ["--data.texts.styles", "[x]"])
    path.write_text("data: {texts: {tables: [a.csv, b.csv], styles: [x]}}\n")
    with pytest.raises(ConfigError, match="has 2 data.texts.tables, 1 styles and 0 durations_s"):
        load_checkpoint_config(path)


@pytest.mark.parametrize("entry", ["a.csv", "{path: a.csv}", "{path: a.csv, style: x, durations_s: [1, 2]}"])
def test_a_wrong_entry_of_the_tables_is_one_sentence(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a list of tables, each \{path: FILE.csv, style: NAME") as caught:
        parse_config(build_parser("test"), ["--data.texts.tables", f"[{entry}]"])
    assert "\n" not in str(caught.value)


def test_retired_keys_are_gone_and_new_ones_are_there() -> None:
    keys = set(valid_keys())
    assert not keys & RETIRED.keys()
    assert {new for new in RETIRED.values() if new} <= keys


@pytest.mark.parametrize("text", ["captioner: [", "- 1", ""])
def test_a_checkpoints_damaged_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_checkpoint_config(tmp_path / "config.yaml")
    assert "\n" not in str(caught.value)


def test_a_checkpoints_unknown_key_is_reported(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("decoding:\n  num_beam: 2\n")
    with pytest.raises(ConfigError, match=r"unknown key decoding.num_beam .*did you mean decoding.num_beams\?"):
        load_checkpoint_config(tmp_path / "config.yaml")


def test_the_command_line_overrides_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("data:\n  batch_size: 8\n  augment:\n    mixup_alpha: 0.4\n")
    config, _ = parse_config(build_parser("test"), ["--config", str(path), "--data.augment.gain_db=3"])
    assert config.data.batch_size == 8
    assert config.data.augment.mixup_alpha == 0.4
    assert config.data.augment.gain_db == 3.0
    assert config.training == Config().training


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("data:\n  batchsize: 8\n", "data.batchsize", "data.batch_size"),
        ("trainin:\n  seed: 1\n", "trainin.seed", "training.seed"),
        ("captioner:\n  decoder:\n    num_layer: 2\n", "captioner.decoder.num_layer", "captioner.decoder.num_layers"),
        ("decoding:\n  heard_bonus: 2\n", "decoding.heard_bonus", "decoding.tags.word_bonus"),
        ("decoding:\n  least_tag: 0.1\n", "decoding.least_tag", "decoding.tags.min_score"),
    ],
)
def test_an_unknown_key_names_the_nearest_valid_one(tmp_path: Path, text: str, key: str, nearest: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"unknown key {key} .*did you mean {nearest}\?"):
        load_config(path)


def test_an_unknown_option_names_the_nearest_valid_one() -> None:
    with pytest.raises(ConfigError, match=r"unknown option --training.num_step; did you mean training.num_steps\?"):
        parse_config(build_parser("test"), ["--training.num_step", "3"])
    with pytest.raises(ConfigError, match=r"--decoding.coverage_weight; did you mean decoding.tags.coverage_weight\?"):
        parse_config(build_parser("test"), ["--decoding.coverage_weight", "3"])


def test_settings_of_tags_are_options_too() -> None:
    config, _ = parse_config(build_parser("test"), ["--decoding.tags.word_bonus", "2", "--decoding.tags.min_score=0.1"])
    assert config.decoding.tags == TagDecodingConfig(word_bonus=2.0, min_score=0.1)


@pytest.mark.parametrize("arguments", [["--data.batch_size", "many"], ["--config", "nowhere.yaml"]])
def test_a_wrong_value_or_a_missing_file_is_one_sentence(arguments: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(build_parser("test"), arguments)
    assert "\n" not in str(caught.value)


def test_valid_keys_reach_the_innermost_fields() -> None:
    assert {"training.num_steps", "data.augment.gain_db", "captioner.encoder.width"} <= set(valid_keys())


def test_help_describes_each_setting() -> None:
    text = " ".join(build_parser("Train.").format_help().split())
    assert "number of beams, 1 or more. (type: int" in text
    assert "random seed of weights, order, augmentation and dropout" in text
