"""The Java runtime of METEOR, the PTB tokenizer and SPICE, and their jars in the pycocoevalcap wheel."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from evaluation.errors import MetricError

OLDEST_JAVA = 8
_REMEDY = (
    "install one (Debian, Ubuntu: sudo apt-get install -y default-jre-headless; macOS: brew install openjdk) and check"
    " that `java -version` answers."
)
# Java packages used by SPICE's serialiser (fst) and cache (lmdbjni): closed since Java 16, absent in Java 8.
_OPENED = ("java.lang", "java.util", "java.util.concurrent", "java.math", "java.net", "java.text", "java.nio")


# The programs format numbers and change letter case by the locale, which must not give "0,35" or a dotless i.
LOCALE_OPTIONS = (
    "-Duser.language=en",
    "-Duser.country=US",
    "-Duser.variant=",
    "-Duser.script=",
    "-Dfile.encoding=UTF-8",
)
_OPTION_VARIABLES = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS")


def java_environment() -> dict[str, str]:
    """Environment of a Java program with an English locale, independent of the system and the user's Java options.

    The user's options for language, country and encoding are replaced by LOCALE_OPTIONS; the others stay.
    """
    environment = dict(os.environ)
    for name in _OPTION_VARIABLES:
        if name in environment:
            kept = re.sub(
                r"""(['"]?)-D(user\.(language|country|region|variant|script)[\w.]*|file\.encoding)=\S*\1""",
                "",
                environment[name],
            )
            environment[name] = kept.strip()
    options = " ".join(LOCALE_OPTIONS)
    environment["JAVA_TOOL_OPTIONS"] = f"{environment.get('JAVA_TOOL_OPTIONS', '')} {options}".strip()
    return environment


@contextmanager
def java_locale() -> Iterator[None]:
    """Set `java_environment` for Java programs that a library starts within the context."""
    before = {name: os.environ.get(name) for name in _OPTION_VARIABLES}
    os.environ.update({name: value for name, value in java_environment().items() if name in before})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def find_java() -> str:
    """Path of the `java` on the search path, version 8 or later.

    Raises:
        MetricError: there is none, it does not run, or it is too old.
    """
    java = shutil.which("java")
    if java is None:
        raise MetricError(f"found no java, but these metrics need Java {OLDEST_JAVA} or later: {_REMEDY}")
    if java_version(java) < OLDEST_JAVA:
        raise MetricError(f"{java} is Java {java_version(java)}, expected {OLDEST_JAVA} or later: {_REMEDY}")
    return java


def java_version(java: str) -> int:
    """Major version of a Java: 8 for "1.8.0_392", 17 for "17.0.15".

    Raises:
        MetricError: it does not run or prints no version.
    """
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MetricError(f"{java} does not run ({error}): {_REMEDY}") from error
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    if done.returncode or not found:
        raise MetricError(f"{java} does not run ({(done.stderr or done.stdout).strip()[:200]}): {_REMEDY}")
    return int(found[1])


def java_options(version: int) -> list[str]:
    """Options with which SPICE's libraries, written for Java 8, run on the given major version."""
    options = []
    if version >= 9:
        options += [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    if version >= 17:  # Java 24 and later warn about the cache's native library
        options.append("--enable-native-access=ALL-UNNAMED")
    if version >= 23:
        options.append("--sun-misc-unsafe-memory-access=allow")
    return options


def bundled_jars() -> list[Path]:
    """Jars of SPICE and its libraries in the pycocoevalcap wheel; CoreNLP's jars are not included.

    Raises:
        MetricError: pycocoevalcap is not installed or incomplete.
    """
    spec = find_spec("pycocoevalcap")
    places = list(spec.submodule_search_locations or []) if spec else []
    folder = Path(places[0]) / "spice" if places else Path("pycocoevalcap")
    jars = [folder / "spice-1.0.jar", *sorted((folder / "lib").glob("*.jar"))]
    if len(jars) < 2 or not jars[0].is_file():
        raise MetricError(f"found no SPICE in {folder}, expected it with pycocoevalcap: run bash env.sh again.")
    return [jar for jar in jars if not jar.name.startswith("stanford-corenlp")]


def class_path(jars: list[Path]) -> str:
    """Value for `java -cp`.

    Raises:
        MetricError: a path contains the separator, which Java cannot escape.
    """
    for jar in jars:
        if os.pathsep in str(jar):
            raise MetricError(f"{jar} has a {os.pathsep!r} in its path, which Java cannot read: use another folder.")
    return os.pathsep.join(map(str, jars))
