"""Configurations of exact types, read without jsonargparse: the same as with it, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.exact import exact_config
from configs.loading import build_parser, config_to_yaml, load_config
from configs.schema import Config

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_written_configuration_is_read_as_jsonargparse_reads_it(path: Path) -> None:
    config = load_config(path)
    content = yaml.safe_load(config_to_yaml(config))
    assert exact_config(Config, content) == config
    parser = build_parser("")
    parsed = parser.instantiate(parser.parse_object(content))
    assert exact_config(Config, content) == Config(**{name: parsed[name] for name in content})


def test_what_is_left_out_has_its_default() -> None:
    found = exact_config(Config, {"decoding": {"num_beams": 7}, "training": {"learning_rate": 1}})
    assert found is not None and found.decoding.num_beams == 7 and found.data == Config().data
    assert type(found.training.learning_rate) is float


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"decoder": {}},
        {"decoding": 3},
        {"decoding": {"num_beams": "7"}},
        {"decoding": {"num_beams": True}},
        {"decoding": {"num_beams": 7.0}},
        {"decoding": {"method": "beams"}},
        {"decoding": {"top_p": False}},
        {"training": {"betas": [0.9]}},
        {"training": {"betas": 0.9}},
        {"captioner": {"styles": ["a", 1]}},
        {"captioner": {"encoder": {"width": "wide"}}},
    ],
)
def test_any_other_value_is_left_to_jsonargparse(content: Any) -> None:
    assert exact_config(Config, content) is None
