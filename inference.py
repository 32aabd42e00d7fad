"""Caption recordings with a trained captioner.

    python inference.py rain.wav                              # the captioner that ships
    python inference.py recordings/ --format csv,parquet --output captions
    python inference.py card/ --format raven --per_recording --output tables --timeline 10
    python inference.py meeting.mp3 --timeline 10 --format srt
    python inference.py dog.wav --method sample --rerank clap # the candidate most alike to the sound, by CLAP
    python inference.py film.mp4 --merge_into film.srt --output film.sdh.srt # [dog barks] between the lines
    python inference.py --ckpt_path runs/best --split evaluation --dataset_root datasets/clotho

Text lines read "file: caption". Captions go to stdout or --output, everything else to stderr. With --output every caption is
on the disk at once, in the manifest beside the output (NAME.manifest.jsonl), and the same command again goes on from there.

Exit status: 0 all recordings are captioned; 1 some failed; 2 a mistake in the command, or nothing could be written; 130, 143
and 129 stopped by Ctrl-C, SIGTERM and SIGHUP, with all kept that is done; 141 nobody reads stdout any more.
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
from captioning.cluster.options import add_cluster_options, check_cluster
from captioning.file_store import FileStore
from captioning.formats.registry import FORMATS, check_one_recording
from captioning.merging import add_merge_options, check_merge, run_merge
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
from configs.commands import run_command
from configs.schema import Config

logger = logging.getLogger("inference")


def format_names(text: str) -> tuple[str, ...]:
    """Names of formats, separated by commas, each once."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"unknown format {name!r}: choose from {', '.join(FORMATS)}")
    return names


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", help="recordings, folders, or patterns such as 'night/*.flac'")
    parser.add_argument("--input", nargs="+", default=[], dest="more_inputs", metavar="INPUT", help="the same")
    add_captioner_options(parser)
    parser.add_argument(
        "--workers", type=int, metavar="NUMBER", help="processes that caption; as many as cores for 100 recordings each"
    )
    parser.add_argument("--timeline", type=float, metavar="SECONDS", help="caption windows of this length one by one")
    parser.add_argument(
        "--track",
        type=int,
        metavar="NUMBER",
        help="sound track of a container with several, from 1; the first without it",
    )
    parser.add_argument(
        "--split", choices=("development", "validation", "evaluation"), help="caption a data set's split"
    )
    parser.add_argument("--dataset_root", help="the data set, for --split")
    add_output_options(parser.add_argument_group("output"))
    add_cluster_options(parser)
    add_merge_options(parser)
    add_decoding_options(parser)
    add_rerank_options(parser)
    return parser


def add_output_options(group: "argparse._ArgumentGroup") -> None:
    """What is written, where, and how an earlier run is continued."""
    group.add_argument(
        "--format", type=format_names, dest="formats", metavar="NAME[,NAME...]",
        help=f"one or more of {', '.join(FORMATS)}",
    )  # fmt: skip
    group.add_argument("--output", type=Path, help="file to write, or folder for --per_recording; stdout without it")
    group.add_argument("--per_recording", action="store_true", help="one file a recording, in the input's folders")
    group.add_argument(
        "--min_probability", type=float, default=0.0, metavar="P", help="leave out less probable captions, 0 to 1"
    )
    group.add_argument(
        "--merge_gap", type=float, metavar="SECONDS",
        help="join windows of a timeline that say the same over gaps up to this; 0 without it",
    )  # fmt: skip
    group.add_argument("--restart", action="store_true", help="caption again what an earlier run captioned")
    group.add_argument("--retry_failed", action="store_true", help="try recordings again that failed in an earlier run")


def check_options(options: argparse.Namespace, source: Source, config: Config | None) -> None:
    """Refuse what cannot work, before anything long begins.

    Args:
        options: the command line's.
        source: what is to be captioned.
        config: the captioner's, where it is known already.

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
    """Refuse formats and outputs that do not go together.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    if is_stream(options.output):
        if len(options.formats) > 1 or options.per_recording:
            raise ValueError("several formats and --per_recording need --output: name a file or a folder.")
        if options.restart or options.retry_failed:
            raise ValueError("--restart and --retry_failed belong to --output: without it nothing is remembered.")
    elif options.output.is_file() and why_not(options.output) is None:
        raise ValueError(f"--output {options.output} is a recording, which it would replace: choose another file.")
    if not options.per_recording and source.at_least(2) > 1:
        for name in options.formats:
            check_one_recording(name, ("one", "another"))


def open_store(
    options: argparse.Namespace, source: Source, config: Config | None, tally: Tally
) -> StreamStore | FileStore:
    """What takes the records: stdout and devices at once, files by way of a manifest."""
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
    """Caption what the options name; returns the exit status."""
    with StopSignals() as signals:
        options.inputs += options.more_inputs
        options.formats = options.formats or (("jsonl",) if options.engine == "ray" else ("text",))
        check_cluster(options)
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
        except OutputClosed:
            logger.info("nobody reads the captions any more: stopped after %d.", tally.num_captioned)
            return 128 + 13  # as a shell tells of SIGPIPE
        if source.num_listed > 1 or tally.num_failed or source.num_left_out:
            level = logging.ERROR if tally.num_failed else logging.INFO
            logger.log(level, "%s", tally.summary(source.num_left_out))
        return 1 if tally.num_failed else 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
