"""env.sh, the pins and .ci/run, with stand-ins for everything that would install."""

import os
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "lock.txt"
REQUIREMENTS = sorted(set((ROOT / "requirements").glob("*.txt")) - {LOCK})

FAKE_PYTHON = """#!/bin/sh
case "$*" in
  "-m venv --clear .venv") rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python;;
  *"-m pip"*install*) echo "$@" >> "$LOG"; [ -z "$FAIL" ] || ! echo "$*" | grep -q "$FAIL";;
  *version_info*) [ -z "$OLD" ];;
esac
"""
FAKES = {
    "fake-python": FAKE_PYTHON,
    "uname": "#!/bin/sh\necho Linux\n",
    "id": '#!/bin/sh\necho "${USER_ID:-1000}"\n',
    "sudo": "#!/bin/sh\nexit 1\n",
    "ldconfig": '#!/bin/sh\necho "$LIBRARIES"\n',
    "java": "#!/bin/sh\nexit 1\n",
    "apt-get": '#!/bin/sh\necho "apt-get $*" >> "$LOG"\n',
    "nvidia-smi": "#!/bin/sh\nexit 1\n",
}


class Checkout:
    """A copy of env.sh and its requirements, on a machine made of stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.root, self.log, self.fakes = folder / "checkout", folder / "log", folder / "fakes"
        self.root.mkdir()
        self.fakes.mkdir()
        shutil.copy(ROOT / "env.sh", self.root)
        shutil.copytree(ROOT / "requirements", self.root / "requirements")
        for name, text in FAKES.items():
            (self.fakes / name).write_text(text)
            (self.fakes / name).chmod(0o755)

    def run(self, *arguments: str, script: str = "env.sh", **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        kept = {name: value for name, value in os.environ.items() if name != "TORCH_INDEX_URL"}
        path = f"{self.fakes}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", str(self.root / script), *arguments],
            env={**kept, "PATH": path, "PYTHON": "fake-python", "LOG": str(self.log), **environment},
            cwd=self.root.parent,  # it must find its own folder
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def logged(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_torch_comes_first_and_alone_and_a_second_run_installs_nothing(checkout: Checkout) -> None:
    assert checkout.run().returncode == 0
    first, second, third = checkout.logged
    assert "-r requirements/torch.txt" in first and "core.txt" not in first and "--index-url" not in first
    assert "-r requirements/lite.txt" in second and "-c requirements/lock.txt" in second and "--no-deps" not in second
    assert "-r requirements/core.txt" in third and "-c requirements/lock.txt" in third
    again = checkout.run()
    assert again.returncode == 0 and checkout.logged == [] and "installed already" in again.stderr


def test_the_runtime_alone_is_one_file_without_dependencies(checkout: Checkout) -> None:
    done = checkout.run("--lite", USER_ID="0")
    assert done.returncode == 0 and "--engine onnx" in done.stderr
    [only] = checkout.logged
    assert "-r requirements/lite.txt --no-deps --no-compile" in only
    assert checkout.run("--lite").returncode == 0 and checkout.logged == []


def test_only_what_changed_is_installed_again(checkout: Checkout) -> None:
    checkout.run("--dev")
    with (checkout.root / "requirements" / "dev.txt").open("a") as file:
        file.write("another==1.0\n")
    assert checkout.run("--dev").returncode == 0
    assert len(checkout.logged) == 1 and "-r requirements/dev.txt" in checkout.logged[0]


def test_a_failed_install_is_tried_again(checkout: Checkout) -> None:
    assert checkout.run(FAIL="core.txt").returncode != 0
    assert checkout.run().returncode == 0
    assert len(checkout.logged) == 1 and "-r requirements/core.txt" in checkout.logged[0]


def test_torch_may_come_from_another_index(checkout: Checkout) -> None:
    checkout.run(TORCH_INDEX_URL="http://127.0.0.1/simple")
    assert ["--index-url http://127.0.0.1/simple" in line for line in checkout.logged] == [True, False, False]
    assert ["-c requirements/lock.txt" in line for line in checkout.logged] == [False, True, True]


def test_a_changed_lock_file_is_installed(checkout: Checkout) -> None:
    checkout.run()
    with (checkout.root / "requirements" / "lock.txt").open("a") as file:
        file.write("another==1.0\n")
    assert checkout.run().returncode == 0 and len(checkout.logged) == 3


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--nonsense"], {}, "unknown option --nonsense (known: --dev --ui --eval --scale --lite)"),
        (["--lite", "--dev"], {}, "--lite installs without torch and cannot be combined"),
        ([], {"OLD": "1"}, "older than 3.11"),
        ([], {"PYTHON": "no-such-python"}, "no-such-python is missing"),
        (["--ui"], {}, "sudo apt-get install -y libportaudio2 libgl1"),
        (
            ["--ui"],
            {"LIBRARIES": "libGL.so.1 (libc6)\n\tlibportaudio.so.2 (libc6)"},
            "install -y libegl1 libxkbcommon0",
        ),
    ],
)
def test_what_is_missing_is_reported_before_anything_is_installed(
    checkout: Checkout, arguments: list[str], environment: dict[str, str], message: str
) -> None:
    done = checkout.run(*arguments, **environment)
    assert done.returncode == 2 and message in done.stderr
    assert checkout.logged == []


def test_root_gets_the_system_packages_installed(checkout: Checkout) -> None:
    assert checkout.run("--eval", USER_ID="0").returncode == 0
    assert checkout.logged[:2] == ["apt-get update -qq", "apt-get install -y -qq default-jre-headless"]
    assert "-r requirements/eval.txt" in checkout.logged[-1]


def test_without_java_captioning_is_set_up_all_the_same(checkout: Checkout) -> None:
    done = checkout.run()
    assert (
        done.returncode == 0 and "for evaluate.py run this: sudo apt-get install -y default-jre-headless" in done.stderr
    )
    assert "-r requirements/core.txt" in checkout.logged[-1]
    (checkout.fakes / "apt-get").write_text('#!/bin/sh\necho "apt-get $*" >> "$LOG"\nexit 100\n')
    broken = checkout.run(USER_ID="0")
    assert broken.returncode == 0 and "that failed; for evaluate.py run this" in broken.stderr


def test_a_java_that_is_there_is_not_installed_again(checkout: Checkout) -> None:
    (checkout.fakes / "java").write_text("#!/bin/sh\nexit 0\n")
    done = checkout.run(USER_ID="0")
    assert done.returncode == 0 and not [line for line in checkout.logged if "apt-get" in line]
    assert "evaluate.py" not in done.stderr


def test_developers_get_the_window_too_and_its_libraries_where_that_may_be(checkout: Checkout) -> None:
    done = checkout.run("--dev")
    assert done.returncode == 0 and "for tests of the desktop app run this: sudo apt-get install -y" in done.stderr
    assert "libegl1" in done.stderr and not any("apt-get" in line for line in checkout.logged)
    assert "-r requirements/ui.txt" in checkout.logged[-1]
    assert checkout.run("--dev", USER_ID="0").returncode == 0
    assert [line for line in checkout.logged if line.startswith("apt-get install") and "libegl1" in line]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_exactly_and_once(path: Path) -> None:
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pins = [line for line in lines if line]
    assert pins and all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    elsewhere = "".join(other.read_text(encoding="utf-8") for other in REQUIREMENTS if other != path)
    assert not [pin for pin in pins if re.search(rf"^{re.escape(pin.split('==')[0])}==", elsewhere, re.MULTILINE)]


def locked() -> dict[str, Requirement]:
    """Requirements of the lock file that apply to this platform, by canonical name."""
    found = [Requirement(line) for line in LOCK.read_text(encoding="utf-8").splitlines()]
    return {canonicalize_name(item.name): item for item in found if item.marker is None or item.marker.evaluate()}


def test_the_lock_file_has_the_pins_and_all_their_dependencies() -> None:
    lock = locked()
    pins = [
        line.split("#")[0].strip() for path in REQUIREMENTS for line in path.read_text(encoding="utf-8").splitlines()
    ]
    waiting = [Requirement(pin) for pin in pins if pin]
    assert all(lock[canonicalize_name(pin.name)].specifier == pin.specifier for pin in waiting)
    seen: set[tuple[str, frozenset[str]]] = set()
    num_installed = 0
    while waiting:
        needed = waiting.pop()
        name, extras = canonicalize_name(needed.name), frozenset(needed.extras)
        pinned_by_torch = name.startswith(("cuda-", "nvidia-")) or name == "triton"
        if (name, extras) in seen or pinned_by_torch:
            continue
        seen.add((name, extras))
        assert name in lock, f"{name} is not in requirements/lock.txt: run make lock"
        try:
            installed = distribution(name)
        except PackageNotFoundError:  # an option of env.sh that was not given here
            continue
        num_installed += 1
        assert lock[name].specifier.contains(installed.version, prereleases=True), (
            f"{name} {installed.version}: run env.sh"
        )
        for text in installed.requires or []:
            requirement = Requirement(text)
            environments = [{"extra": extra} for extra in ("", *extras)]
            if requirement.marker is None or any(requirement.marker.evaluate(item) for item in environments):
                waiting.append(requirement)
    assert num_installed > 50


@pytest.mark.parametrize("readme", [None, "# Audio Caption\n\n```bash\nmake test\n```\n"])
def test_ci_wants_the_readmes_second_command(checkout: Checkout, readme: str | None) -> None:
    (checkout.root / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", checkout.root / ".ci")
    if readme:
        (checkout.root / "README.md").write_text(readme)
    done = checkout.run(script=".ci/run")
    assert done.returncode == 1 and "README.md" in done.stderr


@pytest.mark.parametrize("user", ["0", "1000"])
def test_ci_runs_the_readmes_second_command_last(checkout: Checkout, user: str) -> None:
    (checkout.root / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", checkout.root / ".ci")
    (checkout.root / "env.sh").write_text('echo "env.sh $*"\n')
    (checkout.root / "Makefile").write_text("lint:\n\t@echo lint\n")
    (checkout.root / "README.md").write_text(
        "<!-- command 2 -->\n```bash\necho one && echo two\n```\n```bash\nexit 3\n```\n"
    )
    for program in ("chromium", "javac", "Xvfb", "pulseaudio"):
        (checkout.fakes / program).write_text("#!/bin/sh\n")
        (checkout.fakes / program).chmod(0o755)
    done = checkout.run(script=".ci/run", USER_ID=user)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines == ["env.sh --dev --eval --scale", "lint", "README command 2: echo one && echo two", "one", "two"]
    assert not checkout.logged  # nothing was missing, so nothing was installed


def test_pre_commit_runs_what_make_lint_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    lint = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nlint:")[1].split("\n\n")[0].splitlines()[1:]
    commands = [line.strip().replace("$(PYTHON)", ".venv/bin/python") for line in lint]
    assert len(commands) == 5 and [hook["entry"] for hook in hooks] == commands
