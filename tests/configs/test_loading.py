"""Configuration: every shipped file loads, overrides apply, mistakes name the remedy."""

from pathlib import Path

import pytest

from configs.loading import ConfigError, build_parser, config_to_yaml, load_config, parse_config, valid_keys
from configs.schema import Config

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_file_loads_and_survives_a_round_trip(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    copy = tmp_path / "copy.yaml"
    copy.write_text(config_to_yaml(config))
    assert load_config(copy) == config


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


@pytest.mark.parametrize("arguments", [["--data.batch_size", "many"], ["--config", "nowhere.yaml"]])
def test_a_wrong_value_or_a_missing_file_is_one_sentence(arguments: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(build_parser("test"), arguments)
    assert "\n" not in str(caught.value)


def test_valid_keys_reach_the_innermost_fields() -> None:
    assert {"training.num_steps", "data.augment.gain_db", "captioner.encoder.width"} <= set(valid_keys())
