"""SPICE (Anderson et al., ECCV 2016, arXiv 1607.08822) by its authors' program, on Java 8 and later.

The pycocoevalcap wheel contains the program and most of its libraries, but not the parser (Stanford CoreNLP 3.6.0). Problems of
the program that are solved here:

- It needs a JavaScript engine, which Java 15 removed: `java/spice_engine.jar` has a replacement with the needed functions.
- Its cache of parses uses internal Java classes, which Java 16 closed: options open them.
- Two processes that share a cache can deadlock: a lock admits one at a time.
- It can hang: there is a time limit.
"""

import json
import logging
import os
import platform
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from tqdm import tqdm

from configs.atomic_files import write_file
from evaluation.errors import MetricError
from evaluation.java_runtime import bundled_jars, class_path, find_java, java_environment, java_options, java_version

logger = logging.getLogger(__name__)

ENGINE_JAR = Path(__file__).parent / "java" / "spice_engine.jar"
LARGEST_HEAP_MB = 8192  # the authors' setting
BASE_LIMIT_S, LIMIT_PER_CAPTION_S = 300.0, 0.5  # parsing takes about 0.02 s per caption on two cores


@dataclass(frozen=True)
class SpiceSettings:
    """Settings of SPICE.

    Attributes:
        parser_jars: jars of Stanford CoreNLP 3.6.0 and its models.
        cache: cache folder for parsed captions; None for no cache.
        time_limit_s: time limit in seconds, including the wait for another run; None for 300 s plus 0.5 s per caption.
        num_threads: number of parser threads; None for one per processor.
    """

    parser_jars: Sequence[Path]
    cache: Path | None = None
    time_limit_s: float | None = None
    num_threads: int | None = None


class _CacheTroubleError(MetricError):
    """The program failed in a way that a damaged cache can cause."""


def spice(
    candidates: Sequence[str], references: Sequence[Sequence[str]], settings: SpiceSettings
) -> NDArray[np.float64]:
    """Compute SPICE of each clip.

    Args:
        candidates: N captions, tokenized as for the other metrics.
        references: references of each, tokenized likewise.
        settings: settings of the program.

    Returns:
        (N,) F1 scores of scene-graph tuples, 0 to 1.

    Raises:
        MetricError: there is no Java, the time limit is exceeded, or the program fails.
    """
    num_captions = len({*candidates, *(reference for group in references for reference in group)})
    limit = settings.time_limit_s or BASE_LIMIT_S + LIMIT_PER_CAPTION_S * num_captions
    deadline = time.monotonic() + limit
    with tempfile.TemporaryDirectory(prefix="spice-") as folder:
        clips = [
            {"image_id": number, "test": candidate, "refs": list(group)}
            for number, (candidate, group) in enumerate(zip(candidates, references, strict=True))
        ]
        inputs = Path(folder) / "captions.json"
        write_file(inputs, json.dumps(clips))
        run = _Run(find_java(), inputs, Path(folder) / "scores.json", settings, limit, deadline)
        with tqdm(total=num_captions, desc="SPICE: parsing", unit="caption", delay=1, file=sys.stderr) as bar:
            return _with_cache(run, settings.cache, Path(folder), bar)


def _with_cache(run: "_Run", cache: Path | None, folder: Path, bar: tqdm) -> NDArray[np.float64]:
    if not _cache_works_here():
        return run(None, bar)
    private = folder / "parses"  # used even without a permanent cache, since progress is read from it
    if cache is None:
        return run(private, bar)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache.with_name(f"{cache.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("another evaluation uses the cache %s; waiting for it to finish.", cache)
            lock.acquire(timeout=max(0.0, run.deadline - time.monotonic()))
    except Timeout as error:
        raise MetricError(
            f"another evaluation used the cache {cache} for the whole {run.limit_s:.0f} s: wait until it finishes, or set"
            f" another folder with --spice_cache."
        ) from error
    except OSError as error:
        logger.warning("SPICE's cache %s is not usable (%s); continuing without it.", cache, error.strerror)
        return run(private, bar)
    try:
        return run(cache, bar)
    except _CacheTroubleError as error:
        logger.warning("SPICE failed with the cache %s (%s); trying again without it.", cache, error)
        bar.reset()
        result = run(private, bar)
        shutil.rmtree(cache, ignore_errors=True)  # SPICE works without it, so the cache was damaged
        return result
    finally:
        lock.release()


def _cache_works_here() -> bool:
    # The cache's native library (lmdbjni 0.4.6) exists only for x86-64, and on Windows it allocates 100 GB at once.
    return platform.system() in ("Linux", "Darwin") and platform.machine() in ("x86_64", "AMD64")


def heap_mb() -> int:
    """Java heap limit in megabytes: three quarters of the machine's memory, at most LARGEST_HEAP_MB."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not supported on this system
        return LARGEST_HEAP_MB
    return max(1024, min(LARGEST_HEAP_MB, memory * 3 // 4 >> 20))


class _Run:
    """One run of the program, repeated without the cache if that was damaged."""

    def __init__(
        self, java: str, inputs: Path, outputs: Path, settings: SpiceSettings, limit_s: float, deadline: float
    ) -> None:
        self.java, self.inputs, self.outputs, self.settings = java, inputs, outputs, settings
        self.limit_s, self.deadline = limit_s, deadline
        self.lines: list[str] = []

    def command(self, cache: Path | None) -> list[str]:
        jars = class_path([*bundled_jars(), *self.settings.parser_jars, ENGINE_JAR])
        threads = str(self.settings.num_threads or os.cpu_count() or 1)
        base = [self.java, f"-Xmx{heap_mb()}m", *java_options(java_version(self.java)), "-cp", jars]
        files = [str(self.inputs), str(self.outputs)]
        if cache is not None:
            return [*base, "audiocaption.SpiceWithProgress", *files, str(cache), threads]
        options = ["-threads", threads, "-subset", "-silent"]
        return [*base, "edu.anu.spice.SpiceScorer", files[0], "-out", files[1], *options]

    def __call__(self, cache: Path | None, bar: tqdm) -> NDArray[np.float64]:
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
        self.lines = []
        process = subprocess.Popen(
            self.command(cache),
            stdin=subprocess.PIPE,  # the program exits with this process
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=self.inputs.parent,
            env=java_environment(),
        )
        try:
            status = self._watch(process, bar)
        finally:
            process.kill()
            process.communicate()
        if status or not self.outputs.is_file():
            self._explain(status, cache)
        return _read_scores(self.outputs)

    def _watch(self, process: "subprocess.Popen[str]", bar: tqdm) -> int:
        """Show progress until the program ends; returns its exit status."""
        assert process.stderr is not None
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_forward, args=(process.stderr, lines), daemon=True)
        reader.start()
        while True:
            try:
                line = lines.get(timeout=max(0.0, self.deadline - time.monotonic()))
            except queue.Empty:
                raise MetricError(
                    f"SPICE did not end within {self.limit_s:.0f} s ({bar.n} of {bar.total} captions parsed): allow more"
                    f" with --spice_time_limit, or leave it out with --metrics. Parsed captions are kept."
                ) from None
            if line is None:
                reader.join()
                return process.wait()
            if found := re.fullmatch(r"parsed (\d+) of (\d+)\s*", line):
                bar.update(int(found[1]) - bar.n)
                if found[1] == found[2]:
                    bar.set_description("SPICE: comparing")
            elif not line.startswith("Picked up "):  # Java's note on options in the environment
                self.lines.append(line)

    def _explain(self, status: int, cache: Path | None) -> None:
        text = "".join(self.lines)
        if "OutOfMemoryError" in text:
            raise MetricError(
                f"SPICE needs more than the {heap_mb()} MB of memory available to it: close other programs, or leave it"
                f" out with --metrics."
            )
        errors = [line.strip() for line in self.lines if re.search(r"Exception|Error|SIG[A-Z]+", line)]
        reason = errors[0][:300] if errors else (self.lines[-1].strip()[:300] if self.lines else "no message")
        if status == -signal.SIGKILL and not errors:
            reason = "it was killed, perhaps for lack of memory"
        kind = MetricError if cache is None else _CacheTroubleError
        raise kind(f"SPICE ended with status {status}: {reason}")


def _forward(stream: IO[str], lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _read_scores(path: Path) -> NDArray[np.float64]:
    with path.open(encoding="utf-8", errors="replace") as file:
        clips = json.load(file)
    scores = {clip["image_id"]: clip["scores"]["All"]["f"] for clip in clips}
    return np.array([float(scores[number]) for number in range(len(scores))], dtype=np.float64)
