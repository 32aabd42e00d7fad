"""Who may import whom, and that importing does nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "configs",
    "vocabulary",
    "data",
    "generation",
    "models",
    "runtime",
    "captioning",
    "training",
    "evaluation",
    "benchmarks",
    "tools",
    "ui",
)
ENTRY_SCRIPTS = tuple(sorted(path.stem for path in ROOT.glob("*.py")))
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__init__.py"
)


def test_the_import_rules_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_nothing_imports_an_entry_script() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            words = path.read_text(encoding="utf-8").split()
            imported = [after for word, after in zip(words, words[1:], strict=False) if word in ("import", "from")]
            assert not set(imported) & set(ENTRY_SCRIPTS), path


IMPORT_ALL = """
import importlib, logging, os, socket, sys, threading
import torch
def refuse(*arguments, **options):
    raise AssertionError("a module opened a connection while it was imported")
socket.socket.connect = refuse
modules = sys.argv[1:]
import transformers, accelerate, peft, librosa, sklearn, matplotlib, pandas, soundfile, av, pooch  # their own set-up is not ours
before = (dict(os.environ), torch.get_rng_state().tolist(), list(logging.getLogger().handlers), threading.active_count())
for module in modules:
    importlib.import_module(module)
after = (dict(os.environ), torch.get_rng_state().tolist(), list(logging.getLogger().handlers), threading.active_count())
for name, old, new in zip(("environment", "random state", "logging", "threads"), before, after):
    assert old == new, name
"""


@pytest.mark.slow
def test_importing_does_no_work() -> None:
    try:
        import PyQt6.QtWidgets  # noqa: F401
    except ImportError:  # Qt's own libraries are missing here
        modules = [module for module in MODULES if not module.startswith("ui.")]
    else:
        modules = MODULES
    command = [sys.executable, "-c", IMPORT_ALL, *modules, *ENTRY_SCRIPTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_widget_is_in_a_worker() -> None:
    """import-linter knows PyQt6 only as a whole; workers may use its signals and threads, not its widgets."""
    checked = 0
    for part in ("workers", "engine", "sound", "store"):
        for path in (ROOT / "ui" / part).glob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "QtWidgets" not in text and "QtGui" not in text, path
            checked += 1
    assert checked > 15


HEAVY = {
    "transformers", "accelerate", "peft", "librosa", "scipy", "sklearn", "pandas", "matplotlib", "jsonargparse", "requests",
    "pooch", "py7zr", "av", "sympy", "torch._dynamo", "torch._inductor", "torch",
}  # fmt: skip


def imported(code: str, *arguments: str) -> set[str]:
    """Which of HEAVY a new process has imported after running `code`."""
    code += "\nfinally:\n    import sys\n    print(*sys.modules, file=sys.__stderr__)"
    done = subprocess.run(
        [sys.executable, "-c", f"try:\n    {code}", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = done.stderr.splitlines()[-1].split()
    assert "encodings" in modules
    return HEAVY & {*modules, *(module.split(".")[0] for module in modules)}


def test_captioning_a_file_imports_nothing_that_it_does_not_use() -> None:
    sound = str(ROOT / "assets" / "siren.flac")
    assert imported("import sys, inference; assert inference.main(sys.argv[1:]) == 0", sound) == {"torch"}


@pytest.mark.parametrize(("command", "needs"), [("evaluate", set()), ("inference", set()), ("train", {"jsonargparse"})])
def test_help_is_there_at_once(command: str, needs: set[str]) -> None:
    assert imported(f"import sys, {command}; {command}.main(['--help'])") == needs
