"""Caption recordings with a trained captioner.

    python inference.py rain.wav                              # the captioner that ships
    python inference.py recordings/ --format csv --output captions.csv
    python inference.py meeting.mp3 --timeline 10 --format srt
    python inference.py --ckpt_path runs/best --split evaluation --dataset_root datasets/clotho

Text lines read "file: caption". Captions go to stdout or --output, everything else to stderr. Files that cannot be read
are named and left out; the exit status is then 1.
"""

import argparse
import dataclasses
import glob
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from configs.schema import DecodingConfig
from data.audio import AudioError, Waveform, audio_duration_s, find_audio_files, is_silent, load_audio, stream_audio
from data.caption_formats import FORMATS, CaptionRecord, merge_neighbours, write_records
from data.clotho import load_split
from models.captioner import AudioCaptioner

logger = logging.getLogger("inference")
DEFAULT_CHECKPOINT = Path(__file__).parent / "checkpoints" / "sounds_small"
SILENCE = (("silence", 0.0),)
BUFFER_BATCHES = 8  # clips are sorted by length within this many batches


@dataclass(frozen=True)
class Clip:
    """A waveform (S,) that waits for its captions, with its place in the output."""

    number: int
    file: str
    start_s: float
    end_s: float
    waveform: Waveform
    references: tuple[str, ...] = ()


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", help="recordings, folders, or patterns such as 'night/*.flac'")
    parser.add_argument(
        "--ckpt_path", default=str(DEFAULT_CHECKPOINT), help="checkpoint folder, step=N.pth file or hub id"
    )
    parser.add_argument(
        "--encoder_weights", help="the encoder's published weights, where the checkpoint only names them"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--batch_size", type=int, default=8, help="clips captioned at once")
    parser.add_argument("--timeline", type=float, metavar="SECONDS", help="caption windows of this length one by one")
    parser.add_argument("--format", choices=FORMATS, default="text", dest="form")
    parser.add_argument("--output", type=Path, help="file to write; stdout without it")
    parser.add_argument(
        "--split", choices=("development", "validation", "evaluation"), help="caption a data set's split"
    )
    parser.add_argument("--dataset_root", help="the data set, for --split")
    search = parser.add_argument_group("decoding (the checkpoint's own settings where not given)")
    for item in dataclasses.fields(DecodingConfig):
        default = item.default
        choices = {"method": ("beam", "greedy", "sample"), "repetition_ban": ("content", "none")}.get(item.name)
        search.add_argument(f"--{item.name}", type=type(default), choices=choices, help=f"for example {default}")
    return parser


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes CUDA, then Apple's MPS, then the CPU."""
    if name != "auto":
        device = torch.device(name)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"no CUDA device is here for --device {name}: use --device cpu.")
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_decoding(own: DecodingConfig, options: argparse.Namespace) -> DecodingConfig:
    """The checkpoint's decoding settings, with what the command line gives in their place."""
    given = {item.name: getattr(options, item.name) for item in dataclasses.fields(DecodingConfig)}
    decoding = dataclasses.replace(own, **{name: value for name, value in given.items() if value is not None})
    if decoding.num_captions < 1 or decoding.num_beams < 1 or decoding.temperature <= 0:
        raise ValueError("--num_captions and --num_beams must be 1 or more, and --temperature above 0.")
    return decoding


def expand(inputs: Sequence[str]) -> list[str]:
    """Files that arguments name: themselves, those in a folder, or those a pattern matches."""
    files: list[str] = []
    for argument in inputs:
        if os.path.isdir(argument):
            found = [str(path) for path in find_audio_files(argument)]
            if not found:
                raise ValueError(f"the folder {argument} holds no audio files.")
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            found = sorted(glob.glob(argument, recursive=True))
            if not found:
                raise ValueError(f"no file matches {argument}.")
        else:
            found = [argument]
        files += found
    return files


class Reader:
    """Clips of files, decoded one after another; those that cannot be read are named and counted.

    Args:
        sample_rate: hertz.
        max_duration_s: longest clip without a timeline.
        timeline_s: window length in seconds, or None for one clip a file.
    """

    def __init__(self, sample_rate: int, max_duration_s: float, timeline_s: float | None) -> None:
        self.sample_rate, self.max_duration_s, self.timeline_s = sample_rate, max_duration_s, timeline_s
        self.num_bad = 0
        self._number = 0

    def clips(self, files: Iterable[tuple[str, Path, tuple[str, ...]]]) -> Iterator[Clip]:
        """Clips of (name to print, path, references) triples."""
        for name, path, references in files:
            try:
                for start_s, waveform in self._windows(path):
                    end_s = start_s + len(waveform) / self.sample_rate
                    yield Clip(self._number, name, start_s, end_s, waveform, references)
                    self._number += 1
            except AudioError as error:
                self.num_bad += 1
                logger.error("%s", error)

    def _windows(self, path: Path) -> Iterator[tuple[float, Waveform]]:
        if self.timeline_s:
            yield from stream_audio(path, self.sample_rate, self.timeline_s)
            return
        waveform = load_audio(path, self.sample_rate, max_duration_s=self.max_duration_s)
        if (
            len(waveform) >= self.max_duration_s * self.sample_rate
            and audio_duration_s(path) > self.max_duration_s + 0.05
        ):
            logger.warning(
                "%s is %.0f s long; its first %.0f s are captioned: --timeline 10 captions all of it in windows.",
                path, audio_duration_s(path), self.max_duration_s,
            )  # fmt: skip
        yield 0.0, waveform


def caption_clips(
    captioner: AudioCaptioner, clips: Iterable[Clip], decoding: DecodingConfig, batch_size: int
) -> Iterator[CaptionRecord]:
    """Captions of clips in their order; within a buffer, clips of like length share a batch. Silence is not guessed at."""
    buffer: list[Clip] = []
    for clip in clips:
        buffer.append(clip)
        if len(buffer) == batch_size * BUFFER_BATCHES:
            yield from _caption_buffer(captioner, buffer, decoding, batch_size)
            buffer = []
    yield from _caption_buffer(captioner, buffer, decoding, batch_size)


def _caption_buffer(
    captioner: AudioCaptioner, buffer: Sequence[Clip], decoding: DecodingConfig, batch_size: int
) -> list[CaptionRecord]:
    found: dict[int, tuple[tuple[str, float], ...]] = {
        clip.number: SILENCE for clip in buffer if is_silent(clip.waveform)
    }
    heard = sorted((clip for clip in buffer if clip.number not in found), key=lambda clip: len(clip.waveform))
    for start in range(0, len(heard), batch_size):
        part = heard[start : start + batch_size]
        for clip, captions in zip(part, captioner.caption([clip.waveform for clip in part], decoding), strict=True):
            found[clip.number] = tuple((caption.text, caption.log_probability) for caption in captions)
    return [CaptionRecord(clip.file, clip.start_s, clip.end_s, found[clip.number], clip.references) for clip in buffer]


def list_files(options: argparse.Namespace) -> list[tuple[str, Path, tuple[str, ...]]]:
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
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.part")
    temporary.write_text(text, encoding="utf-8", newline="")
    os.replace(temporary, output)


def load_captioner(options: argparse.Namespace) -> AudioCaptioner:
    """The captioner that the command line names, on its device."""
    return AudioCaptioner.from_pretrained(options.ckpt_path, choose_device(options.device), options.encoder_weights)


def run(options: argparse.Namespace) -> int:
    """Caption what the options name; returns the exit status."""
    if options.timeline is not None and options.timeline <= 0:
        raise ValueError("--timeline takes a window length in seconds above 0.")
    files = list_files(options)
    captioner = load_captioner(options)
    decoding = choose_decoding(captioner.config.decoding, options)
    if options.timeline and options.timeline > captioner.max_duration_s:
        raise ValueError(f"--timeline takes at most this captioner's {captioner.max_duration_s:g} s.")
    reader = Reader(captioner.sample_rate, captioner.max_duration_s, options.timeline)
    progress = tqdm(files, desc="captioning", unit="file", delay=2, file=sys.stderr)
    records = list(caption_clips(captioner, reader.clips(progress), decoding, options.batch_size))
    if options.timeline:
        records = merge_neighbours(records)
    write_output(write_records(records, options.form, with_times=bool(options.timeline)), options.output)
    if reader.num_bad:
        logger.error("%d of %d files could not be captioned.", reader.num_bad, len(files))
    return 1 if reader.num_bad else 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    options = build_parser().parse_args(arguments)
    try:
        return run(options)
    except (ValueError, OSError, RuntimeError) as error:
        logger.error("%s", error)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
