"""Build spice_engine.jar from the Java sources beside this file: `python -m evaluation.java.build`.

The jar is part of the repository because many machines have no Java compiler. The build is reproducible (no times, sorted
entries), and the manifest names the compiler and the checksum of the sources, with which a test verifies the jar.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from evaluation.errors import MetricError
from evaluation.java_runtime import bundled_jars, class_path

FOLDER = Path(__file__).parent
JAR = FOLDER / "spice_engine.jar"
SERVICE = "META-INF/services/javax.script.ScriptEngineFactory"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the earliest time that zip files can store


def sources() -> list[Path]:
    """The Java sources, sorted."""
    return sorted(FOLDER.glob("audiocaption/*.java"))


def sources_checksum() -> str:
    """SHA-256 over the names and texts of the sources."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_text(encoding="utf-8").encode() + b"\0")
    return digest.hexdigest()


def compiler_version(javac: str) -> str:
    """Version of a Java compiler, such as "17.0.15"."""
    done = subprocess.run([javac, "-version"], capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).split()[-1]


def build(output: Path = JAR, javac: str | None = None) -> Path:
    """Compile the sources for Java 8 and later into a jar.

    Args:
        output: jar to write.
        javac: path of the compiler; None for the one on the search path.

    Raises:
        MetricError: there is no compiler, or it rejects the sources.
    """
    javac = javac or shutil.which("javac")
    if javac is None:
        raise MetricError("no javac is on the path: install a Java development kit (Debian: default-jdk-headless).")
    with tempfile.TemporaryDirectory() as folder:
        command = [javac, "--release", "8", "-Xlint:-options", "-cp", class_path(bundled_jars()), "-d", folder]
        done = subprocess.run([*command, *map(str, sources())], capture_output=True, text=True, check=False)
        if done.returncode:
            raise MetricError(f"javac rejects the sources: {done.stderr.strip()}")
        classes = sorted(Path(folder).rglob("*.class"))
        entries = {path.relative_to(folder).as_posix(): path.read_bytes() for path in classes}
    manifest = (
        f"Manifest-Version: 1.0\nCompiler: {compiler_version(javac)}\nSources-SHA256: {sources_checksum()[:32]}\n\n"
    )
    service = "audiocaption.JsonEngineFactory\n"
    entries = {"META-INF/MANIFEST.MF": manifest.encode(), SERVICE: service.encode(), **entries}
    with zipfile.ZipFile(output, "w") as jar:
        for name, content in entries.items():
            jar.writestr(zipfile.ZipInfo(name, _EARLIEST), content, zipfile.ZIP_DEFLATED)
    return output


if __name__ == "__main__":
    try:
        print(build())
    except MetricError as error:
        sys.exit(str(error))
