"""Read an experiment: dataclass defaults, then a YAML file, then `--section.key value` from the command line.

jsonargparse does the reading and the type checks; this module adds the nearest valid name to its complaints, and reads what
older versions wrote into checkpoints.
"""

import dataclasses
import difflib
import logging
import re
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from configs.exact import exact_config
from configs.schema import Config

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

logger = logging.getLogger(__name__)

MOST_VALUES = 100_000  # of a configuration; the largest here has some hundreds

# Keys of older checkpoints' config.yaml and what they are called now; None for a setting that is gone.
RETIRED: dict[str, str | None] = {
    "data.texts.held_out": None,
    "data.texts.participles": None,
    "data.texts.rare": None,
    "data.texts.noise": "data.texts.simulation.noise",
    "data.texts.donors": "data.texts.labelled_dirs",
    "data.texts.brief_style": "data.texts.labelled_style",
    "data.texts.brief_mixtures": "data.texts.labelled_mixtures",
    "data.texts.brief_repeats": "data.texts.labelled_repeats",
    "data.texts.peoples": "data.texts.human_captions",
    "data.texts.peoples_repeats": "data.texts.human_caption_repeats",
    "decoding.heard_bonus": "decoding.tags.word_bonus",
    "decoding.coverage_weight": "decoding.tags.coverage_weight",
    "decoding.least_tag": "decoding.tags.min_score",
    "decoding.least_music": None,
    "decoding.consensus_weight": None,  # of other beams' captions; decoding.tags.consensus_weight is of retrieved ones
    "decoding.support_weight": None,
    "decoding.order_weight": None,
    "decoding.word_weight": None,
    "decoding.odd_weight": None,
    "decoding.strong_tag": None,
    "decoding.unnamed_tag": None,
    "decoding.second_style": None,
    "decoding.second_handicap": None,
}

# Lists that older versions wrote beside data.texts.tables, one entry (durations_s: two) per table; each table has its own now.
TABLE_LISTS = ("styles", "durations_s")


class ConfigError(ValueError):
    """A setting that does not exist or does not fit; the message is one sentence for the person who wrote it."""


def build_parser(description: str) -> "ArgumentParser":
    """Parser with every field of `Config` as a dotted option and `--config FILE.yaml`."""
    from jsonargparse import ActionConfigFile, ArgumentParser  # not needed for a checkpoint's own configuration

    parser = ArgumentParser(description=description, exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file that overrides the defaults")
    parser.add_class_arguments(Config, nested_key=None, fail_untyped=True)
    return parser


def parse_config(parser: "ArgumentParser", arguments: Sequence[str]) -> "tuple[Config, Namespace]":
    """Parse `arguments` into the configuration and whatever else the caller added to the parser.

    Returns:
        The frozen configuration, and the namespace with the other options.

    Raises:
        ConfigError: unknown key (with the nearest valid one), value of a wrong type, or a file that cannot be read.
    """
    _check_option_names(parser, arguments)
    return _read(parser, lambda: parser.parse_args(list(arguments)))


def load_config(path: str | Path) -> Config:
    """Read one YAML file over the defaults, as it stands in `configs/`."""
    return parse_config(build_parser("configuration"), ["--config", str(path)])[0]


def load_checkpoint_config(path: Path) -> Config:
    """Read a checkpoint's `config.yaml`, which an older version may have written: RETIRED keys are moved or dropped.

    Raises:
        ConfigError: as `parse_config`.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ConfigError("the configuration has no sections: copy the checkpoint again.")
        _check_size(content)
        _check_sections(content, Config)
        dropped = _renew(content)
        _join_table_lists(content)
    except ConfigError:
        raise
    except Exception as error:  # YAML's own errors, and those of the values that it makes of odd texts
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ConfigError(f"the configuration cannot be read ({reason}): copy the checkpoint again.") from error
    if dropped:
        logger.warning("%s: settings of an older version are left out: %s.", path, ", ".join(dropped))
    config = exact_config(Config, content)
    if config is not None:
        return config
    parser = build_parser("configuration")  # converts what can be converted, and explains the rest
    return _read(parser, lambda: parser.parse_object(content))[0]


def config_to_yaml(config: Config) -> str:
    """The whole configuration as YAML; `load_config` reads it back."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)


def valid_keys(cls: type = Config, prefix: str = "") -> list[str]:
    """Every dotted key of the configuration, such as `training.num_steps`."""
    keys = []
    for item in dataclasses.fields(cls):
        key = f"{prefix}{item.name}"
        keys.append(key)
        if isinstance(item.type, type) and dataclasses.is_dataclass(item.type):
            keys += valid_keys(item.type, f"{key}.")
    return keys


def _read(parser: "ArgumentParser", parse: "Callable[[], Namespace]") -> "tuple[Config, Namespace]":
    """The configuration that `parse` gives, and the namespace; every complaint becomes a ConfigError."""
    try:
        namespace = parse()
        instantiated = parser.instantiate(namespace)
    except FileNotFoundError as error:
        raise ConfigError(f"the configuration file {error.filename} does not exist.") from error
    except RecursionError as error:
        raise ConfigError("the configuration is nested too deeply: write sections of key: value.") from error
    except Exception as error:  # jsonargparse raises ArgumentError, TypeError and ParserError in turn
        raise ConfigError(_explain(str(error))) from error
    fields = {item.name: instantiated[item.name] for item in dataclasses.fields(Config)}
    return Config(**fields), namespace


def _renew(content: dict[str, Any]) -> list[str]:
    """Move and drop RETIRED keys in a configuration as YAML has it; returns the dropped ones.

    A list for a setting that is a single value now had one value per style: it gives the usual style's, the first.
    """
    dropped = []
    for old, new in RETIRED.items():
        *sections, name = old.split(".")
        section: Any = content
        for part in sections:
            section = section.get(part) if isinstance(section, dict) else None
        if not isinstance(section, dict) or name not in section:
            continue
        value = section.pop(name)
        if new is None:
            dropped.append(old)
            continue
        *sections, name = new.split(".")
        section = content
        for part in sections:
            section = section.setdefault(part, {})
        takes_list = isinstance(reduce(getattr, new.split("."), Config()), tuple)
        section.setdefault(name, value[0] if isinstance(value, list) and value and not takes_list else value)
    return dropped


def _join_table_lists(content: dict[str, Any]) -> None:
    """Give each caption table its style and durations, which older versions wrote as TABLE_LISTS."""
    texts = (content.get("data") or {}).get("texts") or {}
    tables = texts.get("tables") or []
    if not any(name in texts for name in TABLE_LISTS) or not all(isinstance(path, str) for path in tables):
        return
    styles, durations = (texts.pop(name, None) or [] for name in TABLE_LISTS)
    if len(styles) != len(tables) or len(durations) not in (0, 2 * len(tables)):
        raise ConfigError(
            f"the configuration has {len(tables)} data.texts.tables, {len(styles)} styles and {len(durations)} durations_s: "
            "copy the checkpoint again."
        )
    texts["tables"] = [
        {"path": path, "style": style} | ({"duration_s": durations[2 * n : 2 * n + 2]} if durations else {})
        for n, (path, style) in enumerate(zip(tables, styles, strict=True))
    ]


def _check_size(content: Any) -> None:
    """Refuse aliases upon aliases, which a few lines of YAML turn into more values than any memory holds."""
    waiting, count = [content], 0
    while waiting:
        value = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise ConfigError(f"the configuration has more than {MOST_VALUES} values: copy the checkpoint again.")
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value


def _check_sections(content: dict[str, Any], cls: type, prefix: str = "") -> None:
    """Refuse a single value in a section's place, which jsonargparse passes over in silence."""
    for item in dataclasses.fields(cls):
        value = content.get(item.name)
        if value is None or not isinstance(item.type, type) or not dataclasses.is_dataclass(item.type):
            continue
        if not isinstance(value, dict):
            raise ConfigError(
                f"the section {prefix}{item.name} of the configuration is {str(value)[:40]!r}, expected settings in it: "
                "copy the checkpoint again."
            )
        _check_sections(value, item.type, f"{prefix}{item.name}.")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _nearest(key: str) -> str:
    if key in {f"data.texts.{name}" for name in TABLE_LISTS}:
        return "; each entry of data.texts.tables has its own path, style and duration_s."
    if renamed := RETIRED.get(key):
        return f"; did you mean {renamed}?"
    keys = valid_keys()
    found = difflib.get_close_matches(key, keys, n=1, cutoff=0.3)
    if not found:  # a bare last part, such as "lerning_rate"
        last_parts = {name.rsplit(".", 1)[-1]: name for name in keys}
        found = [last_parts[part] for part in difflib.get_close_matches(key.rsplit(".", 1)[-1], last_parts, n=1)]
    return f"; did you mean {found[0]}?" if found else "."


def _check_option_names(parser: "ArgumentParser", arguments: Sequence[str]) -> None:
    known = {option for action in parser._actions for option in action.option_strings}
    for argument in arguments:
        name = argument.split("=", 1)[0]
        if name.startswith("--") and name not in known:
            raise ConfigError(f"unknown option {name}{_nearest(name[2:])}")


def _explain(message: str) -> str:
    if 'Parser key "data.texts.tables"' in message:
        return (
            "data.texts.tables of the configuration does not fit: expected a list of tables, each "
            "{path: FILE.csv, style: NAME, duration_s: [SHORTEST, LONGEST]}."
        )
    in_group = re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message)
    at_top = re.search(r"Option '([\w.]+)' is not accepted", message)
    if in_group or at_top:
        key = ".".join(in_group.groups()) if in_group else at_top.group(1)  # type: ignore[union-attr]
        return f"unknown key {key} in the configuration{_nearest(key)}"
    return "the configuration does not fit: " + " ".join(message.split()).rstrip(".") + "."
