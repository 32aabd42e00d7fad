"""The README and the pages in docs/: every command is one that its program takes, and every name is one that exists."""

import contextlib
import importlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import evaluate
import export
import inference
import train
from benchmarks.__main__ import benchmarks
from configs import __version__
from configs.loading import parse_config
from configs.schema import Config

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md")
MOST_WORDS = 1500  # of the README
OTHER_PROGRAMS = (
    "pytest",
    "tests.ui.measure_stalls",
    "tests.ui.take_screenshots",
    "UI_Code.py",
)  # whose options are not asked here
FOLDERS = "assets|benchmarks|captioning|checkpoints|configs|data|docs|evaluation|generation|models|requirements|runtime"
FOLDERS += "|tests|tools|training|ui|vocabulary"


def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text(encoding="utf-8")


def commands_of(page: Path) -> list[str]:
    """Commands of a page's shell blocks: continuation lines joined, comments left out, one for each side of "&&"."""
    blocks = re.findall(r"```bash\n(.*?)```", read(page).replace("\\\n", " "), re.S)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    joined = [shlex.join(words).replace("'&&'", "&&") for words in lines if words]
    return [part.strip() for line in joined for part in line.split("&&")]


COMMANDS = [(page, command) for page in PAGES for command in commands_of(page)]


@cache
def env_options() -> set[str]:
    """Options of env.sh."""
    return set(re.findall(r"(?<=env\.sh )--\w+", (ROOT / "env.sh").read_text(encoding="utf-8")))


def check_command(command: str) -> None:
    """Refuse a command that its program would refuse.

    Raises:
        SystemExit, ConfigError, AssertionError: an option or a program that does not exist, or a value that does not fit.
    """
    words = shlex.split(command)
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # settings of the environment
        words.pop(0)
    if words[:2] == ["bash", "env.sh"]:
        assert set(words[2:]) <= env_options()
        return
    if words[0] == "make":
        assert f"\n{words[1]}:" in read(ROOT / "Makefile")
        return
    if words[0] == ".venv/bin/pre-commit":
        assert words[1:] == ["install"] and (ROOT / ".pre-commit-config.yaml").is_file()
        return
    start = next(row for row, word in enumerate(words) if word == "-m" or word.endswith(".py"))
    assert words[0] in (".venv/bin/python", ".venv/bin/torchrun")
    program, arguments = words[start], words[start + 1 :]
    if program == "-m":
        program, *arguments = arguments
    commands: dict[str, Any] = {"inference.py": inference, "evaluate.py": evaluate, "export.py": export}
    if program in commands:
        commands[program].build_parser().parse_args(arguments)
    elif program == "train.py":
        parser = train.build_parser()
        given = any(argument.split("=")[0] == "--config" for argument in arguments)
        parse_config(parser, arguments if given else ["--config", str(train.DEFAULT_CONFIG), *arguments])
    elif program in OTHER_PROGRAMS:
        assert (ROOT / program).is_file() or importlib.util.find_spec(program)
    elif program == "benchmarks":
        assert arguments[0] in benchmarks()
        importlib.import_module(f"benchmarks.{arguments[0]}").build_parser().parse_args(arguments[1:])
    else:
        importlib.import_module(program).build_parser().parse_args(arguments)


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page.stem}: {command}" for page, command in COMMANDS])
def test_a_programs_parser_takes_the_command(page: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    try:
        check_command(command)
    except SystemExit as error:
        pytest.fail(f"{page.name}: {command}: exit status {error.code}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_need_data_are_said_to(page: Path) -> None:
    for section in re.split(r"^#+ ", read(page), flags=re.M):
        if any("datasets/" in block for block in re.findall(r"```bash\n(.*?)```", section, re.S)):
            assert re.search(r"\bneed|\bdownload", re.sub(r"```.*?```", "", section, flags=re.S)), section


def test_a_wrong_command_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for command in (
        ".venv/bin/python inference.py a.wav --no_such_option 1",
        ".venv/bin/python inference.py a.wav --num_beams many",
        ".venv/bin/python train.py --training.no_such_key 1",
        ".venv/bin/python train.py --config configs/no_such_file.yaml",
        ".venv/bin/python -m benchmarks speed --no_such_option",
        ".venv/bin/python -m benchmarks no_such_name",
        ".venv/bin/python -m data.no_such_module",
        "bash env.sh --no_such_option",
    ):
        with pytest.raises((SystemExit, ValueError, AssertionError, ModuleNotFoundError)):
            check_command(command)


def test_there_are_commands_of_every_program() -> None:
    texts = [command for _, command in COMMANDS]
    for program in ("inference.py", "evaluate.py", "train.py", "UI_Code.py", "benchmarks yardstick", "data.download"):
        assert any(program in text for text in texts), program
    assert len(texts) >= 50 and len(commands_of(README)) >= 10


def test_the_readme_is_short() -> None:
    assert len(read(README).split()) <= MOST_WORDS


def test_the_readme_links_every_page() -> None:
    assert len(PAGES) >= 11
    assert [page.name for page in PAGES[1:] if f"({page.relative_to(ROOT)})" not in read(README)] == []


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", read(page), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    text = read(page)
    targets = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'src="([^"]+)"', text)]
    for target in targets:
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert "://" in target or linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def keys_of(settings: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings and of their sections."""
    for item in fields(settings):
        yield prefix + item.name
        if is_dataclass(value := getattr(settings, item.name)):
            yield from keys_of(value, f"{prefix}{item.name}.")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_modules_and_files_exist(page: Path) -> None:
    text, keys = read(page), set(keys_of(Config()))
    inline = " ".join(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S)))
    for name in re.findall(rf"(?<![\w./-])((?:{FOLDERS}|captioner|decoding)(?:\.[a-z]\w*)+)(?![\w/(])", inline):
        module, _, attribute = name.rpartition(".")
        assert (
            name in keys
            or _is_module(name)
            or (_is_module(module) and hasattr(importlib.import_module(module), attribute))
        ), name
    for name in re.findall(rf"(?<![\w./-])((?:{FOLDERS})/[\w./]*\w)", inline):
        assert (ROOT / name).exists() or name.startswith("checkpoints/my_run"), name


def _is_module(name: str) -> bool:
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.util.find_spec(name) is not None
    return False


@cache
def all_options() -> frozenset[str]:
    """Every option of every program that the pages name."""
    modules = {match for page in PAGES for match in re.findall(r"-m ([a-z_]+\.[a-z_.]*\w)", read(page))}
    found = set(env_options())
    parsers = [inference.build_parser(), evaluate.build_parser(), train.build_parser()]
    modules |= {f"benchmarks.{name}" for name in benchmarks()}
    for name in sorted(modules - set(OTHER_PROGRAMS)):
        module = importlib.import_module(name)
        if hasattr(module, "build_parser"):
            parsers.append(module.build_parser())
    for parser in parsers:
        found |= set(re.findall(r"--[a-z][\w.]*", parser.format_help()))
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_named_in_a_sentence_exist(page: Path) -> None:
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", read(page), flags=re.S))
    named = {option for code in inline for option in re.findall(r"(?<!\S)--[a-z][\w.]*", code)}
    assert {option for option in named if option != "--section.key"} <= all_options()


def test_python_in_the_readme_runs() -> None:
    [block] = re.findall(r"```python\n(.*?)```", read(README), re.S)
    assert '"dog.mp3"' in block
    block = block.replace('"dog.mp3"', repr(str(ROOT / "assets" / "siren.flac")))
    block = block.replace('"checkpoints/', f'"{ROOT}/checkpoints/')
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block, "README.md", "exec"), {})
    assert "siren" in printed.getvalue()


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load(read(ROOT / "CITATION.cff"))
    [released] = re.findall(r"^## (\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)$", read(ROOT / "CHANGELOG.md"), re.M)[:1]
    assert (citation["version"], str(citation["date-released"])) == released and released[0] == __version__
    done = subprocess.run(
        [sys.executable, "inference.py", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"Audio Caption {__version__}\n"


def test_the_readme_names_its_two_commands() -> None:
    blocks = re.findall(r"<!-- command (\d) -->\n```bash\n(.*?)\n```", read(README), re.S)
    assert [number for number, _ in blocks] == ["1", "2"]
    assert "inference.py" in blocks[0][1] and "pytest" in blocks[1][1]


@pytest.mark.slow
def test_the_readmes_first_command_captions_a_sound() -> None:
    [command] = re.findall(r"<!-- command 1 -->\n```bash\n(.*?)\n```", read(README), re.S)
    arguments = shlex.split(command.split("inference.py")[1])
    done = subprocess.run(
        [sys.executable, "inference.py", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("assets/siren_then_waves.flac: ") and "siren" in done.stdout
