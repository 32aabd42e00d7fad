"""Caption recordings with a trained captioner.

    python inference.py rain.wav                              # the default captioner
    python inference.py recordings/ --format csv,parquet --output captions
    python inference.py card/ --format raven --per_recording --output tables --timeline 10
    python inference.py meeting.mp3 --timeline 10 --format srt
    python inference.py dog.wav --method sample --rerank clap # the candidate most similar to the audio, by CLAP
    python inference.py film.mp4 --merge_into film.srt --output film.sdh.srt # [dog barks] between the lines
    python inference.py rain.wav --engine onnx --ckpt_path any_sound.onnx    # without torch; see export.py
    python inference.py --ckpt_path runs/best --split evaluation --dataset_root datasets/clotho

Text lines have the form "file: caption". Captions are written to stdout or --output, messages to stderr. With --output, every
caption is written to a manifest beside the output (NAME.manifest.jsonl) immediately; running the same command again resumes.

Exit status: 0 all recordings were captioned; 1 some failed; 2 invalid command, or the output is not writable; 130, 143 and 129
stopped by Ctrl-C, SIGTERM and SIGHUP, with captions so far saved; 141 the reader closed stdout.
"""

from configs.stopping import StopSignals, end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from captioning.archive import Run, timeline_problems
from captioning.cluster.object_storage import copy_folder
from captioning.cluster.options import add_cluster_options, check_cluster
from captioning.file_store import FileStore
from captioning.formats.registry import FORMATS, check_one_recording
from captioning.merging import add_merge_options, check_merge, run_merge
from captioning.onnx_engine import check_onnx
from captioning.options import (
    add_captioner_options,
    add_decoding_options,
    checkpoint_config,
    choose_decoding,
    option_problems,
)
from captioning.outputs import OutputPlan
from captioning.progress import Tally
from captioning.rerank_clap import add_rerank_options, check_rerank
from captioning.settings import caption_settings
from captioning.shown import Selection
from captioning.sniffing import why_not
from captioning.source import Source
from captioning.stream_store import OutputClosed, StreamStore, is_stream
from configs.checks import POSITIVE_COUNT, SHARE, outside, refuse
from configs.commands import command_parser, run_command
from configs.schema import Config

logger = logging.getLogger("inference")


def format_names(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of formats; duplicates are removed."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"unknown format {name!r}: choose from {', '.join(FORMATS)}")
    return names


def build_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = command_parser("python inference.py", __doc__)
    parser.add_argument("inputs", nargs="*", help="recordings, folders, or glob patterns such as 'night/*.flac'")
    parser.add_argument("--input", nargs="+", default=[], dest="more_inputs", metavar="INPUT", help="further inputs")
    add_captioner_options(parser)
    parser.add_argument(
        "--workers",
        type=int,
        metavar="NUMBER",
        help="number of captioning processes (default: chosen by cores and recordings)",
    )
    parser.add_argument("--timeline", type=float, metavar="SECONDS", help="caption consecutive windows of this length")
    parser.add_argument(
        "--track",
        type=int,
        metavar="NUMBER",
        help="audio track of a container, from 1 (default: the first)",
    )
    parser.add_argument(
        "--split",
        choices=("development", "validation", "evaluation"),
        help="caption a split of a data set (needs --dataset_root)",
    )
    parser.add_argument("--dataset_root", help="folder of the data set, for --split")
    add_output_options(parser.add_argument_group("output"))
    add_cluster_options(parser)
    add_merge_options(parser)
    add_decoding_options(parser)
    add_rerank_options(parser)
    return parser


def add_output_options(group: "argparse._ArgumentGroup") -> None:
    """Add the options for output files and resumption."""
    group.add_argument(
        "--format", type=format_names, dest="formats", metavar="NAME[,NAME...]",
        help=f"comma-separated formats: {', '.join(FORMATS)}",
    )  # fmt: skip
    group.add_argument("--output", type=Path, help="output file, or folder with --per_recording (default: stdout)")
    group.add_argument("--per_recording", action="store_true", help="one file per recording, in the input's folders")
    group.add_argument(
        "--min_probability", type=float, default=0.0, metavar="P", help="omit less probable captions, 0 (default) to 1"
    )
    group.add_argument(
        "--merge_gap", type=float, metavar="SECONDS",
        help="merge windows with equal captions over gaps up to this (default: 0)",
    )  # fmt: skip
    group.add_argument("--restart", action="store_true", help="start again; the old manifest is kept as .old")
    group.add_argument("--retry_failed", action="store_true", help="retry recordings that failed in an earlier run")


def check_options(options: argparse.Namespace, source: Source, config: Config | None) -> None:
    """Check the options before any long computation.

    Args:
        options: options of the command line.
        source: recordings to caption.
        config: configuration of the captioner, if already known.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    problems = option_problems(options, config)
    problems += timeline_problems(options, config.captioner.encoder.max_duration_s if config else math.inf)
    problems += outside("--min_probability", options.min_probability, SHARE)
    if options.track is not None:
        problems += outside("--track", options.track, POSITIVE_COUNT)
    refuse(problems)
    if options.merge_gap is not None and not (options.merge_gap >= 0 and options.timeline):
        raise ValueError("--merge_gap takes seconds, 0 or more, and joins windows: give --timeline as well.")
    check_output(options, source)
    if config:
        check_rerank(options, choose_decoding(config.decoding, options))


def check_output(options: argparse.Namespace, source: Source) -> None:
    """Check that formats and output can be combined.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    if is_stream(options.output):
        if len(options.formats) > 1 or options.per_recording:
            raise ValueError("several formats and --per_recording need --output: name a file or a folder.")
        if options.restart or options.retry_failed:
            raise ValueError("--restart and --retry_failed need --output: without it there is no manifest.")
    elif options.output.is_file() and why_not(options.output) is None:
        raise ValueError(f"--output {options.output} is a recording, which it would replace: choose another file.")
    if not options.per_recording and source.at_least(2) > 1:
        for name in options.formats:
            check_one_recording(name, ("one", "another"))


def open_store(
    options: argparse.Namespace, source: Source, config: Config | None, tally: Tally
) -> StreamStore | FileStore:
    """Return the store for records: a stream for stdout and devices, or files with a manifest."""
    timeline = bool(options.timeline)
    merge_gap_s = (options.merge_gap or 0.0) if timeline else None
    selection = Selection(options.min_probability, merge_gap_s)
    if is_stream(options.output):
        return StreamStore(
            options.output,
            options.formats[0],
            timeline=timeline,
            num_references=source.num_references,
            compared=options.rerank is not None,
            selection=selection,
        )
    plan = OutputPlan(
        options.output,
        options.formats,
        options.per_recording,
        timeline,
        source.num_references,
        selection,
        sharded=options.engine == "ray",
    )
    known = {"max_frequency_hz": config.captioner.encoder.sample_rate / 2} if config else {}
    return FileStore(
        plan,
        caption_settings(options, config),
        source.folder,
        tally,
        restart=options.restart,
        retry_failed=options.retry_failed,
        **known,
    )


def run(options: argparse.Namespace) -> int:
    """Caption the recordings of the options; return the exit status."""
    with StopSignals() as signals:
        signals.keep = lambda: "nothing was captioned yet"
        options.inputs += options.more_inputs
        options.formats = options.formats or (("jsonl",) if options.engine == "ray" else ("text",))
        check_cluster(options)
        check_onnx(options)
        source, tally = Source(options), Tally()
        config = checkpoint_config(options.ckpt_path)
        check_options(options, source, config)
        if options.merge_into:
            check_merge(options, source.at_least(2))
            return run_merge(options, next(iter(source)).path)
        store = open_store(options, source, config, tally)
        signals.keep = store.keep
        try:
            with store:
                work = Run(options, source, store, tally)

                def stop() -> str:
                    work.stop()
                    return store.keep()

                signals.keep = stop
                work.caption()
            if options.copy_to:
                copy_folder(options.output, options.copy_to)
        except OutputClosed:
            logger.info("the reader of stdout has closed it: stopped after %d captions.", tally.num_captioned)
            return 128 + 13  # the shell's exit status for SIGPIPE
        if source.num_listed > 1 or tally.num_failed or source.num_left_out:
            level = logging.ERROR if tally.num_failed else logging.INFO
            logger.log(level, "%s", tally.summary(source.num_left_out))
        return 1 if tally.num_failed else 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
