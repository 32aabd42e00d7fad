"""Read a configuration: dataclass defaults, overridden by a YAML file, overridden by `--section.key value` options.

jsonargparse parses and checks types; this module adds the nearest valid name to its errors and converts configurations of older
checkpoints.
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

from configs.checks import check_config
from configs.exact import exact_config
from configs.schema import Config

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

logger = logging.getLogger(__name__)

# Maximum number of values after the expansion of YAML aliases, which could otherwise exhaust the memory. The largest
# configuration here has several hundred values.
MOST_VALUES = 100_000
LARGEST_FILE = 2**20  # bytes

# Keys in config.yaml of older checkpoints and their current names; None for removed settings.
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
    "decoding.consensus_weight": None,  # similarity to other beams, not to retrieved captions as decoding.tags.consensus_weight
    "decoding.support_weight": None,
    "decoding.order_weight": None,
    "decoding.word_weight": None,
    "decoding.odd_weight": None,
    "decoding.strong_tag": None,
    "decoding.unnamed_tag": None,
    "decoding.second_style": None,
    "decoding.second_handicap": None,
}

# Lists of older versions beside data.texts.tables with one entry (durations_s: two) per table; now they are settings of each
# table.
TABLE_LISTS = ("styles", "durations_s")


class ConfigError(ValueError):
    """A setting is unknown or invalid; the message is one sentence for the user."""


def build_parser(description: str) -> "ArgumentParser":
    """Parser with all fields of `Config` as dotted options and `--config FILE.yaml`."""
    from jsonargparse import ActionConfigFile, ArgumentParser  # not needed to load a checkpoint

    parser = ArgumentParser(description=description, exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file that overrides the defaults")
    parser.add_class_arguments(Config, nested_key=None, fail_untyped=True)
    return parser


def parse_config(parser: "ArgumentParser", arguments: Sequence[str]) -> "tuple[Config, Namespace]":
    """Parse arguments into the configuration and the options that the caller added to the parser.

    Returns:
        The configuration, and the namespace with all options.

    Raises:
        ConfigError: a key is unknown (the message names the nearest one), a value has the wrong type, or a file cannot be read.
    """
    _check_option_names(parser, arguments)
    _check_config_files(arguments)
    return _read(parser, lambda: parser.parse_args(list(arguments)))


def load_config(path: str | Path) -> Config:
    """Read a YAML file; settings not in it have their defaults."""
    return parse_config(build_parser("configuration"), ["--config", str(path)])[0]


def load_checkpoint_config(path: Path, whole: bool = False) -> Config:
    """Read the `config.yaml` of a checkpoint of this or an older version: RETIRED keys are renamed or dropped.

    Args:
        path: file to read.
        whole: whether all sections must be there, as in every checkpoint.

    Raises:
        ConfigError: as for `parse_config`.
    """
    try:
        content = _read_yaml(path)
        if not isinstance(content, dict):
            raise ConfigError("the configuration has no sections: copy the checkpoint again.")
        lacking = [item.name for item in dataclasses.fields(Config) if item.name not in content]
        if whole and lacking:
            raise ConfigError(f"the configuration has no section {lacking[0]}: copy the checkpoint again.")
        _check_sections(content, Config)
        dropped = _renew(content)
        _join_table_lists(content)
    except ConfigError:
        raise
    except Exception as error:  # errors of YAML, and of the values that it constructs
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ConfigError(f"the configuration cannot be read ({reason}): copy the checkpoint again.") from error
    if dropped:
        logger.warning("%s: settings of an older version are ignored: %s.", path, ", ".join(dropped))
    config = exact_config(Config, content)
    if config is None:
        parser = build_parser("configuration")  # converts types and reports errors
        config = _read(parser, lambda: parser.parse_object(content))[0]
    try:
        check_config(Config(captioner=config.captioner, decoding=config.decoding))
    except ValueError as error:
        raise ConfigError(f"the configuration is damaged, {error}") from error
    return config


def config_to_yaml(config: Config) -> str:
    """Serialise a configuration as YAML that `load_config` reads."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)


def valid_keys(cls: type = Config, prefix: str = "") -> list[str]:
    """All dotted keys of the configuration, such as `training.num_steps`."""
    keys = []
    for item in dataclasses.fields(cls):
        key = f"{prefix}{item.name}"
        keys.append(key)
        if isinstance(item.type, type) and dataclasses.is_dataclass(item.type):
            keys += valid_keys(item.type, f"{key}.")
    return keys


def _read(parser: "ArgumentParser", parse: "Callable[[], Namespace]") -> "tuple[Config, Namespace]":
    """Return configuration and namespace from `parse`; all errors are raised as ConfigError."""
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
    """Rename and drop RETIRED keys in parsed YAML; returns the dropped keys.

    For a former list with one value per style, the first value, that of the default style, is used.
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
    """Move TABLE_LISTS, which older versions wrote, into the entries of data.texts.tables."""
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


def _check_config_files(arguments: Sequence[str]) -> None:
    """Check that --config files can be read with bounded memory and time."""
    following = [*arguments[1:], ""]
    for argument, after in zip(arguments, following, strict=True):
        name, _, value = argument.partition("=")
        if name != "--config":
            continue
        path = Path(value or after)
        try:
            _read_yaml(path)
        except ConfigError:
            raise
        except RecursionError as error:
            raise ConfigError(f"{path} is nested too deeply: write sections of key: value.") from error
        except (OSError, ValueError, yaml.YAMLError):
            continue  # reported when the file is read


def _read_yaml(path: Path) -> Any:
    """Read a YAML file of bounded size, including its expanded aliases and merged keys.

    Raises:
        ConfigError: the file is too large, a key is repeated, of which YAML would keep the last silently, or an alias refers to a
            node that contains it.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"{path} has more than {LARGEST_FILE:,} bytes, which is too large for a configuration.")
    text = content.decode("utf-8-sig")
    sizes: dict[int, int] = {}  # number of values of each node, including repeated aliases

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            if not sizes[id(node)]:
                raise ConfigError(f"{path} has an alias that refers to a node that contains it: write the values out.")
            return sizes[id(node)]
        sizes[id(node)] = 0
        total = 1
        if isinstance(node, yaml.MappingNode):
            check_keys(node)
            total += sum(size(key) + size(value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(map(size, node.value))
        sizes[id(node)] = total
        return total

    def check_keys(node: yaml.MappingNode) -> None:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        seen: set[str] = set()
        for key in keys:
            if key.value in seen:
                raise ConfigError(
                    f"{path} has the key {key.value[:60]!r} again in line {key.start_mark.line + 1}: keep one of them."
                )
            seen.add(key.value)

    loader = yaml.SafeLoader(text)
    root = loader.get_single_node()
    if root is None:
        return None
    if size(root) > MOST_VALUES:
        raise ConfigError(f"{path} expands to more than {MOST_VALUES:,} values, too many for a configuration.")
    return loader.construct_document(root)


def _check_sections(content: dict[str, Any], cls: type, prefix: str = "") -> None:
    """Check that no section is a single value, which jsonargparse would ignore."""
    for item in dataclasses.fields(cls):
        value = content.get(item.name)
        if value is None or not isinstance(item.type, type) or not dataclasses.is_dataclass(item.type):
            continue
        if not isinstance(value, dict):
            raise ConfigError(
                f"the section {prefix}{item.name} of the configuration is {str(value)[:40]!r}, expected a section with settings: "
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
    if not found:  # only the last part, such as "lerning_rate"
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
    text = " ".join(message.split()).rstrip(".")
    return f"the configuration is invalid: {text if len(text) < 1000 else f'{text[:500]} ...'}."
