"""`inference.py --merge_into`: add sound labels to the subtitles of a recording, in the pauses between their lines."""

import argparse
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from captioning.options import choose_decoding, load_captioner
from captioning.recordings import Clip, caption_clips
from captioning.sound_subtitles import Span, pauses, place_labels, windows
from captioning.subtitle_files import SubtitleFile
from configs.atomic_files import write_file
from configs.schema import DecodingConfig
from data.audio import audio_duration_s, stream_parts
from data.caption_formats import CaptionRecord

if TYPE_CHECKING:
    from captioning.captioner import Captioner

logger = logging.getLogger(__name__)

WINDOW_S = 5.0  # window length in seconds without --timeline
MIN_PROBABILITY = 0.6  # high, since a wrong label is worse than none


def add_merge_options(parser: argparse.ArgumentParser) -> None:
    """Add the option --merge_into."""
    parser.add_argument(
        "--merge_into",
        type=Path,
        metavar="SUBTITLES",
        help="write this recording's subtitles (srt, vtt, ass) with sounds in brackets between their lines",
    )


def check_merge(options: argparse.Namespace, num_files: int) -> None:
    """Raise an error for options that cannot be combined with --merge_into.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    if num_files != 1:
        raise ValueError(f"--merge_into takes one recording, that of its subtitles, but found {num_files}.")
    if options.rerank or options.num_captions not in (None, 1):
        raise ValueError("--merge_into writes one label for a sound: leave out --rerank and --num_captions.")
    if options.output and options.output.exists() and options.output.samefile(options.merge_into):
        raise ValueError(f"--output {options.output} would replace the given subtitles: choose another name.")


def run_merge(options: argparse.Namespace, path: Path) -> int:
    """Merge sound labels of one recording into the subtitles given by --merge_into; return the exit status."""
    subtitles = SubtitleFile(options.merge_into)
    captioner = load_captioner(options)
    merged = merge_sounds(
        captioner,
        choose_decoding(captioner.config.decoding, options, captioner.config.captioner.styles),
        path,
        subtitles,
        window_s=options.timeline or WINDOW_S,
        batch_size=options.batch_size,
        track=options.track,
        min_probability=options.min_probability or MIN_PROBABILITY,
    )
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_file(options.output, merged)
    else:
        sys.stdout.buffer.write(merged)
        sys.stdout.flush()
    return 0


def merge_sounds(
    captioner: "Captioner",
    decoding: DecodingConfig,
    path: Path,
    subtitles: SubtitleFile,
    *,
    window_s: float = WINDOW_S,
    batch_size: int = 8,
    track: int | None = None,
    min_probability: float = MIN_PROBABILITY,
) -> bytes:
    """Return the subtitles with added sound labels.

    Args:
        captioner: captioning model.
        decoding: decoding settings.
        path: path of the recording.
        subtitles: subtitles of the recording.
        window_s: longest part of a pause captioned as one clip, in seconds.
        batch_size: number of clips per batch.
        track: audio track of a container, from 1; None for the first.
        min_probability: minimum probability of a caption, 0 to 1; less probable captions give no label.

    Raises:
        AudioError: the recording cannot be read.
    """
    duration_s = audio_duration_s(path, track)
    lines = subtitles.spans()
    if (last_s := max(end_s for _, end_s in lines)) > duration_s + 1:
        logger.warning(
            "the last line of %s ends at %.0f s, but %s at %.0f s: do they belong together?",
            subtitles.path, last_s, path, duration_s,
        )  # fmt: skip
    free = pauses(lines, duration_s)
    parts = windows(free, min(window_s, captioner.max_duration_s - 1))
    with tqdm(total=len(parts), desc="captioning pauses", unit="part", file=sys.stderr, disable=not parts) as bar:
        clips = _clips(path, captioner.sample_rate, parts, track)
        records = list(caption_clips(captioner, clips, decoding, batch_size, advance=bar.update))
    sure = [record for record in records if _probability(record) >= min_probability]
    labels, num_speech = place_labels(sure)
    logger.info(
        "%d labels in %d pauses; of %d captions %d name speech and %d are less probable than %g, which give no label.",
        len(labels), len(free), len(records), num_speech, len(records) - len(sure), min_probability,
    )  # fmt: skip
    return subtitles.merged(labels)


def _clips(path: Path, sample_rate: int, parts: list[Span], track: int | None) -> Iterator[Clip]:
    for number, (start_s, waveform) in enumerate(stream_parts(path, sample_rate, parts, track)):
        yield Clip(number, str(path), start_s, start_s + len(waveform) / sample_rate, waveform)


def _probability(record: CaptionRecord) -> float:
    """Return the caption's probability, 0 to 1; 1 if it is unknown, and for silence."""
    probability = record.captions[0].probability
    return 1.0 if probability is None else probability
