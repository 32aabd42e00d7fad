"""Caption recordings with a trained captioner.

    python inference.py rain.wav                              # the captioner that ships
    python inference.py recordings/ --format csv --output captions.csv
    python inference.py meeting.mp3 --timeline 10 --format srt
    python inference.py dog.wav --method sample --rerank clap # the candidate most alike to the sound, by CLAP
    python inference.py film.mp4 --merge_into film.srt --output film.sdh.srt # [dog barks] between the lines
    python inference.py --ckpt_path runs/best --split evaluation --dataset_root datasets/clotho

Text lines read "file: caption". Captions go to stdout or --output, each as soon as it is known, everything else to stderr.
--output NAME is written as NAME.part and renamed at the end. Files that cannot be read are named and left out; the exit
status is then 1. Ctrl-C and SIGTERM keep what is done and end with 130 and 143.
"""

from configs.stopping import StopSignals, end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import dataclasses
import logging
import math
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from captioning.files import list_recordings, shown_name
from captioning.formats.registry import FORMATS, check_one_recording
from captioning.merging import add_merge_options, check_merge, run_merge
from captioning.options import (
    add_captioner_options,
    add_decoding_options,
    checkpoint_config,
    choose_decoding,
    load_captioner,
    option_problems,
)
from captioning.output import CaptionOutput, OutputClosed
from captioning.recordings import NamedFile, Reader, caption_batches
from captioning.rerank_clap import add_rerank_options, check_rerank, load_reranker
from configs.checks import POSITIVE_COUNT, Range, outside, refuse
from configs.commands import run_command
from configs.schema import Config
from data.caption_formats import SILENCE, CaptionRecord
from data.clotho import load_split

logger = logging.getLogger("inference")


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", help="recordings, folders, or patterns such as 'night/*.flac'")
    add_captioner_options(parser)
    parser.add_argument("--timeline", type=float, metavar="SECONDS", help="caption windows of this length one by one")
    parser.add_argument(
        "--track",
        type=int,
        metavar="NUMBER",
        help="sound track of a container with several, from 1; the first without it",
    )
    parser.add_argument(
        "--format", choices=[name for name in FORMATS if name != "parquet"], default="text", dest="form"
    )
    parser.add_argument("--output", type=Path, help="file to write; stdout without it")
    add_merge_options(parser)
    parser.add_argument(
        "--split", choices=("development", "validation", "evaluation"), help="caption a data set's split"
    )
    parser.add_argument("--dataset_root", help="the data set, for --split")
    add_decoding_options(parser)
    add_rerank_options(parser)
    return parser


def list_files(options: argparse.Namespace) -> tuple[list[NamedFile], int]:
    """What to caption: (name to print, path, references); and the number of files of folders that are left out."""
    if options.split:
        if not options.dataset_root or options.inputs:
            raise ValueError("--split needs --dataset_root and no other files.")
        clips = load_split(options.dataset_root, options.split)
        return [(clip.name, clip.path, clip.captions) for clip in clips], 0
    if not options.inputs:
        raise ValueError("nothing to caption: give recordings, folders or patterns (or --split with --dataset_root).")
    found = list_recordings(options.inputs)
    files: list[NamedFile] = [(shown_name(name), Path(name), ()) for name in found.files]
    escaped = [shown for (shown, *_), name in zip(files, found.files, strict=True) if shown != name]
    if escaped:
        logger.warning("names that are not UTF-8 (%d) are written with escapes: %s.", len(escaped), escaped[0])
    if told := found.told():
        logger.warning("%s", told)
    return files, found.num_left_out


def check_options(options: argparse.Namespace, files: Sequence[NamedFile], config: Config | None) -> None:
    """Refuse what cannot work, before anything long begins.

    Args:
        options: the command line's.
        files: what is to be captioned.
        config: the captioner's, where it is known already.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    problems = option_problems(options, config)
    problems += timeline_problems(options, config.captioner.encoder.max_duration_s if config else math.inf)
    if options.track is not None:
        problems += outside("--track", options.track, POSITIVE_COUNT)
    refuse(problems)
    check_one_recording(options.form, (name for name, *_ in files))
    if options.output and options.output.is_file():
        for name, path, _ in files:
            if path.exists() and path.samefile(options.output):
                raise ValueError(f"--output {options.output} would replace {name}, which is to be captioned.")
    if config:
        check_rerank(options, choose_decoding(config.decoding, options))


def timeline_problems(options: argparse.Namespace, max_duration_s: float = math.inf) -> list[str]:
    """The problem of a window length of --timeline that is not above 0, or above a captioner's longest clip."""
    allowed = Range(0, max_duration_s, low_open=True)
    return [] if options.timeline is None else outside("--timeline", options.timeline, allowed)


class Tally:
    """Recordings done so far, counted from their records in order.

    Args:
        timeline: a recording has several records.
    """

    def __init__(self, timeline: bool) -> None:
        self.timeline = timeline
        self.num_captioned = self.num_silent = 0
        self._file, self._silent = "", False

    def count(self, records: Iterable[CaptionRecord]) -> None:
        """Count the next records."""
        for record in records:
            silent = record.captions == SILENCE
            if not self.timeline or record.file != self._file or not self.num_captioned:
                self.num_captioned += 1
                self.num_silent += silent
                self._file, self._silent = record.file, silent
            elif self._silent and not silent:  # a recording is silent if all its windows are
                self.num_silent -= 1
                self._silent = False


def caption(options: argparse.Namespace, files: Sequence[NamedFile], num_left_out: int, output: CaptionOutput) -> int:
    """Caption files; returns the exit status."""
    captioner = load_captioner(options)
    decoding = choose_decoding(captioner.config.decoding, options, captioner.config.captioner.styles)
    refuse(timeline_problems(options, captioner.max_duration_s))
    reranker = load_reranker(options, decoding)
    paths = {name: path for name, path, _ in files} if reranker else {}
    if reranker:
        decoding = dataclasses.replace(decoding, num_captions=reranker.candidates)
    reader = Reader(
        captioner.sample_rate, captioner.max_duration_s, options.timeline, options.workers, track=options.track
    )
    tally = Tally(bool(options.timeline))
    many = len(files) > 1
    bar = tqdm(total=len(files), desc="captioning", unit="file", file=sys.stderr, disable=not many)
    num_clips = 0
    with bar, logging_redirect_tqdm() if many else nullcontext():
        for finished in caption_batches(
            captioner,
            reader.clips(files),
            decoding,
            options.batch_size,
            finish=lambda record: reranker.rerank_one(record, paths[record.file]) if reranker else record,
        ):
            output.add(finished.ready, finished.ahead)
            tally.count(finished.ready)
            num_clips += finished.num_clips
            num_done = tally.num_captioned if options.timeline else num_clips
            bar.set_postfix(failed=reader.num_bad, refresh=False)
            bar.update(min(len(files), num_done + reader.num_bad) - bar.n)
        output.finish()
    if many or reader.num_bad or num_left_out:
        logger.log(
            logging.ERROR if reader.num_bad else logging.INFO,
            "captioned %d recordings, %d of them silent; %d of %d files could not be captioned; %d left out.",
            tally.num_captioned, tally.num_silent, reader.num_bad, len(files), num_left_out,
        )  # fmt: skip
    return 1 if reader.num_bad or (reranker and reranker.errors) else 0


def run(options: argparse.Namespace) -> int:
    """Caption what the options name; returns the exit status."""
    with StopSignals() as signals:
        files, num_left_out = list_files(options)
        check_options(options, files, checkpoint_config(options.ckpt_path))
        if options.merge_into:
            check_merge(options, len(files))
            return run_merge(options, files[0][1])
        output = CaptionOutput(
            options.output,
            options.form,
            timeline=bool(options.timeline),
            num_references=max(len(references) for *_, references in files),
            compared=options.rerank is not None,
        )
        signals.keep = output.keep
        try:
            with output:
                return caption(options, files, num_left_out, output)
        except OutputClosed:
            logger.info("nobody reads the captions any more: stopped after %d.", output.num_records)
            return 128 + 13  # as a shell tells of SIGPIPE


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
