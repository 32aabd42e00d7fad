"""How fast recordings are captioned on one core and by several processes and batch sizes, and what memory many of them take.

    python -m benchmarks archive --clips datasets/captioned/clips --output benchmarks/results/archive.md

All settings are run in alternation, several rounds, on the same clips, and compared within their round, so that other load
on the machine affects them alike; each is compared with one process on one core, which reads files and captions them in
turn. A process that may use several cores reads files on another one. The rate is measured from the moment when all
captioners are loaded. CPU time per clip depends less on other load. Memory is the peak of a separate process that lists,
records and writes simulated recordings, with everything but the network, and of another one that resumes the finished run.
Hours and cost of archives are computed from the CPU time per clip of one process on one core, not measured.
"""

import argparse
import contextlib
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tqdm import tqdm

from captioning.file_store import FileStore
from captioning.files import expand
from captioning.jobs import Captioned, Ended, Event, Job
from captioning.options import add_captioner_options, add_decoding_options
from captioning.outputs import OutputPlan
from captioning.pipeline import CaptionerInfo
from captioning.progress import Tally
from captioning.rerank_clap import add_rerank_options
from captioning.shown import Selection
from captioning.spool import Spool
from captioning.team import Team
from configs.commands import command_parser, run_command
from data.caption_formats import CaptionRecord, ScoredCaption

logger = logging.getLogger(__name__)

HEADING = ("cores", "processes", "batch size", "clips/s", "beside one core", "CPU s per clip", "captions changed")
MACHINES = (2, 16, 64)
ARCHIVE_CLIPS = 10_000_000


class Setting(NamedTuple):
    """Number of processes, clips per batch, and whether all threads share one core."""

    num_processes: int
    batch_size: int
    one_core: bool = False


ONE_CORE = Setting(1, 8, one_core=True)  # what the others are compared with


class Timing(NamedTuple):
    """One run: clips per second, CPU seconds per clip, and the captions by number."""

    rate: float
    cpu_s: float
    captions: dict[int, str]


def measure(clips: Sequence[Path], ckpt_path: str, setting: Setting) -> Timing:
    """Caption clips by processes of one thread each; timed from when all of them have a captioner.

    Raises:
        ValueError: hardly any clip was left when the captioners were loaded.
    """
    parser = argparse.ArgumentParser()
    for add in (add_captioner_options, add_decoding_options, add_rerank_options):
        add(parser)
    parser.set_defaults(timeline=None, track=None, min_probability=0.0)
    num_processes, batch_size, one_core = setting
    options = parser.parse_args(["--ckpt_path", ckpt_path, "--device", "cpu", "--batch_size", str(batch_size)])
    jobs = [Job(number, path.name, path) for number, path in enumerate(clips)]
    ends: list[float] = []
    captions: dict[int, str] = {}
    ready: list[
        tuple[float, int, float]
    ] = []  # time, clips captioned so far and CPU time, when each captioner was loaded

    def loaded(info: CaptionerInfo) -> None:
        if one_core:
            _share_one_core([os.getpid(), *team.process_ids])
        ready.append((time.monotonic(), len(ends), _cpu_s(team)))

    team = Team(options, num_processes, 1, loaded)
    size = max(1, min(8 * batch_size, len(jobs) // (2 * num_processes)))
    chunks = iter([jobs[start : start + size] for start in range(0, len(jobs), size)])
    cpu_s = 0.0
    cores = os.sched_getaffinity(0)
    try:
        for events in team.events(chunks):
            for event in events:
                if isinstance(event, Captioned):
                    captions[event.number] = event.record.caption
                else:
                    ends.append(time.monotonic())
            cpu_s = _cpu_s(team)
    finally:
        os.sched_setaffinity(0, cores)
    if len(ready) < num_processes or len(ends) - ready[-1][1] < 2:
        raise ValueError(f"{len(clips)} clips were captioned before all processes were loaded: give more.")
    begin, num_before, cpu_before_s = ready[-1]
    number = len(ends) - num_before
    return Timing(number / (ends[-1] - begin), (cpu_s - cpu_before_s) / number, captions)


def _share_one_core(process_ids: Sequence[int]) -> None:
    """Let all threads of processes, and those that they start later, run on one core only."""
    core = min(os.sched_getaffinity(0))
    for pid in process_ids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread), {core})


def _cpu_s(team: Team) -> float:
    """CPU time that the processes of a team have taken, in seconds."""
    ticks = 0
    for pid in team.process_ids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # in user and in kernel mode, proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def _peak_mb() -> float:
    """Peak memory of this process, in megabytes.

    On Linux `ru_maxrss` of a new process is not below the memory of the process that started it, which loaded a captioner.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def simulate(num_recordings: int, folder: Path) -> dict[str, float]:
    """List, record and write simulated recordings, or resume a finished run of them.

    Args:
        num_recordings: number of recordings.
        folder: folder of the output; with the manifest of an earlier call, that run is resumed.

    Returns:
        Peak memory of this process and size of the manifest in megabytes, wall-clock and CPU time in seconds, and the number of
        recordings that were done before.
    """
    begin = time.monotonic()
    tally = Tally()
    plan = OutputPlan(folder / "captions.csv", ("csv",), False, False, 0, Selection())
    store = FileStore(plan, {}, str(folder), tally)
    names = (b"/archive/site%03d/SITE_20240131_%06d.wav" % (n // 100_000, n) for n in range(num_recordings))
    jobs: list[Job] = []
    for number, name in enumerate(tqdm(Spool(names), total=num_recordings, delay=2, unit="file")):
        jobs.append(Job(number, name.decode(), Path(os.fsdecode(name))))
        if len(jobs) == 256 or number == num_recordings - 1:
            for events in _simulated(store.pending(jobs)):
                store.take(events)
                tally.add(events)
            jobs = []
    store.finish()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "peak_mb": _peak_mb(),
        "manifest_mb": plan.manifest.stat().st_size / 1e6,
        "seconds": time.monotonic() - begin,
        "cpu_s": used.ru_utime + used.ru_stime,
        "num_before": tally.num_before,
    }


def _simulated(jobs: Sequence[Job]) -> Iterator[list[Event]]:
    captions = (ScoredCaption("a dog barks while rain falls on a roof in the distance", -12.3456, 0.5),)
    for start in range(0, len(jobs), 64):
        events: list[Event] = []
        for job in jobs[start : start + 64]:
            events += [
                Captioned(job.number, 0, CaptionRecord(job.name, 0.0, 10.0, captions)),
                Ended(job.number, job.name),
            ]
        yield events


def run(options: argparse.Namespace) -> int:
    """Measure, and write the tables; returns the exit status."""
    if options.simulate:
        print(json.dumps(simulate(options.simulate, options.folder)))
        return 0
    from benchmarks.common import markdown_table, publish  # with torch, which would count as memory above

    found = [Path(name) for name in expand([options.clips])]
    clips = [found[number % len(found)] for number in range(options.num_clips)]
    settings = [ONE_CORE] + [Setting(number, size) for number in options.processes for size in options.batch_sizes]
    runs: dict[Setting, list[Timing]] = {setting: [] for setting in settings}
    begun = os.getloadavg()[0]
    for number in tqdm(range(options.rounds * len(settings)), desc="captioning", unit="run"):
        setting = settings[number % len(settings)]
        runs[setting].append(measure(clips, options.ckpt_path, setting))
    rows = []
    for setting, timings in runs.items():
        ratios = [one.rate / other.rate for one, other in zip(timings, runs[ONE_CORE], strict=True)]
        changed = sum(timings[0].captions[key] != text for key, text in runs[ONE_CORE][0].captions.items())
        cells = (f"{median(one.rate for one in timings):.1f}", f"{median(ratios):.2f}")
        cores = 1 if setting.one_core else os.cpu_count()
        rows.append(
            (str(cores), str(setting.num_processes), str(setting.batch_size), *cells)
            + (f"{median(one.cpu_s for one in timings):.3f}", f"{changed} of {len(clips)}")
        )
    text = markdown_table(HEADING, rows)
    text += f"\n{len(clips)} clips, {options.rounds} rounds in turn, {os.cpu_count()} cores, one thread a process; "
    text += f"load average {begun:.1f} before and {os.getloadavg()[0]:.1f} after.\n"
    text += _memory(options.recordings) + _computed(median(timing.cpu_s for timing in runs[ONE_CORE]), options.price)
    publish(text, options.output)
    return 0


def _memory(numbers: Sequence[int]) -> str:
    from benchmarks.common import markdown_table

    rows = []
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmarks", "archive", "--simulate", str(number), "--folder", folder]
            for run in ("new", "resumed"):
                found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
                cells = [f"{found[name]:.0f}" for name in ("peak_mb", "manifest_mb", "cpu_s", "seconds")]
                rows.append((f"{number:,}", run, *cells))
    heading = ("simulated recordings", "run", "peak memory, MB", "manifest, MB", "CPU s", "s")
    return "\n" + markdown_table(heading, rows) if rows else ""


def _computed(cpu_s: float, price: float) -> str:
    from benchmarks.common import markdown_table

    rows = []
    for cores in MACHINES:
        hours = ARCHIVE_CLIPS * cpu_s / cores / 3600
        rows.append((str(cores), f"{hours:,.0f}", f"{hours * cores * price:,.0f}"))
    heading = ("cores", f"hours for {ARCHIVE_CLIPS:,} clips", f"cost at {price:g} dollars a core hour")
    return (
        "\nComputed, not measured: every core takes the CPU time per clip that one process on one core takes here.\n\n"
        + markdown_table(heading, rows)
    )


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks archive", __doc__)
    parser.add_argument("--ckpt_path", default="checkpoints/any_sound", help="captioner to measure")
    parser.add_argument("--clips", help="folder of recordings; they are used again where there are too few")
    parser.add_argument("--num_clips", type=int, default=192, help="clips captioned in each run")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="numbers of processes")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 8, 32], help="clips captioned at once")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each setting, in turn")
    parser.add_argument("--recordings", type=int, nargs="*", default=[100_000], help="simulated recordings, for memory")
    parser.add_argument("--price", type=float, default=0.05, help="US dollars for an hour of a core")
    parser.add_argument(
        "--simulate", type=int, default=0, help="only simulate recordings, in --folder; printed as JSON"
    )
    parser.add_argument("--folder", type=Path, help="output folder of --simulate; a finished run in it is resumed")
    parser.add_argument("--output", type=Path, metavar="FILE", help="Markdown file to write the tables to")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)
