"""Caption recordings with a trained captioner.

    python inference.py rain.wav                              # the captioner that ships
    python inference.py recordings/ --format csv --output captions.csv
    python inference.py meeting.mp3 --timeline 10 --format srt
    python inference.py dog.wav --method sample --rerank clap # the candidate most alike to the sound, by CLAP
    python inference.py --ckpt_path runs/best --split evaluation --dataset_root datasets/clotho

Text lines read "file: caption". Captions go to stdout or --output, everything else to stderr. Files that cannot be read
are named and left out; the exit status is then 1.
"""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from captioning.files import expand
from captioning.options import add_captioner_options, add_decoding_options, choose_decoding, load_captioner
from captioning.recordings import NamedFile, Reader, caption_clips
from captioning.rerank_clap import add_rerank_options, load_reranker
from configs.commands import run_command
from data.caption_formats import FORMATS, merge_neighbours, write_records, write_whole
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
    parser.add_argument("--format", choices=FORMATS, default="text", dest="form")
    parser.add_argument("--output", type=Path, help="file to write; stdout without it")
    parser.add_argument(
        "--split", choices=("development", "validation", "evaluation"), help="caption a data set's split"
    )
    parser.add_argument("--dataset_root", help="the data set, for --split")
    add_decoding_options(parser)
    add_rerank_options(parser)
    return parser


def list_files(options: argparse.Namespace) -> list[NamedFile]:
    """What to caption: (name to print, path, references)."""
    if options.split:
        if not options.dataset_root or options.inputs:
            raise ValueError("--split needs --dataset_root and no other files.")
        clips = load_split(options.dataset_root, options.split)
        return [(clip.name, clip.path, clip.captions) for clip in clips]
    if not options.inputs:
        raise ValueError("nothing to caption: give recordings, folders or patterns (or --split with --dataset_root).")
    return [(name, Path(name), ()) for name in expand(options.inputs)]


def write_output(text: str, output: Path | None) -> None:
    """To stdout, or to a file that appears whole or not at all."""
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, text)


def run(options: argparse.Namespace) -> int:
    """Caption what the options name; returns the exit status."""
    if options.timeline is not None and options.timeline <= 0:
        raise ValueError("--timeline takes a window length in seconds above 0.")
    files = list_files(options)
    captioner = load_captioner(options)
    decoding = choose_decoding(captioner.config.decoding, options, captioner.config.captioner.styles)
    if options.timeline and options.timeline > captioner.max_duration_s:
        raise ValueError(f"--timeline takes at most this captioner's {captioner.max_duration_s:g} s.")
    reranker = load_reranker(options, decoding)
    if reranker:
        decoding = dataclasses.replace(decoding, num_captions=reranker.candidates)
    reader = Reader(
        captioner.sample_rate, captioner.max_duration_s, options.timeline, options.workers, track=options.track
    )
    progress = tqdm(files, desc="captioning", unit="file", delay=2, file=sys.stderr)
    records = list(caption_clips(captioner, reader.clips(progress), decoding, options.batch_size))
    if reranker:
        records = reranker.rerank(records, {name: path for name, path, _ in files})
    if options.timeline:
        records = merge_neighbours(records)
    write_output(write_records(records, options.form, with_times=bool(options.timeline)), options.output)
    if reader.num_bad:
        logger.error("%d of %d files could not be captioned.", reader.num_bad, len(files))
    return 1 if reader.num_bad or (reranker and reranker.errors) else 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
