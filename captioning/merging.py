"""`inference.py --merge_into`: the sounds of a recording's pauses go between the lines of its subtitles."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from captioning.recordings import Clip, caption_clips
from captioning.sound_subtitles import Span, pauses, place_labels, windows
from captioning.subtitle_files import SubtitleFile
from configs.schema import DecodingConfig
from data.audio import audio_duration_s, stream_parts

if TYPE_CHECKING:
    from models.captioner import AudioCaptioner

logger = logging.getLogger(__name__)

WINDOW_S = 5.0  # where --timeline gives none


def merge_sounds(
    captioner: "AudioCaptioner",
    decoding: DecodingConfig,
    path: Path,
    subtitles: SubtitleFile,
    *,
    window_s: float = WINDOW_S,
    batch_size: int = 8,
    track: int | None = None,
    min_probability: float = 0.0,
) -> bytes:
    """The subtitles with labels of sounds.

    Args:
        captioner: the model.
        decoding: how to search.
        path: the recording.
        subtitles: the recording's.
        window_s: longest part of a pause that is captioned at once, seconds.
        batch_size: parts at once.
        track: which of a container's sound tracks, from 1; None: the first.
        min_probability: captions whose probability is known and lower give no label, 0 to 1.

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
    sure = [record for record in records if (record.captions[0].probability or 1.0) >= min_probability]
    labels, num_spoken = place_labels(sure)
    logger.info(
        "%d labels in %d pauses (%.0f s); %d of %d parts have speech and so no label.",
        len(labels), len(free), sum(end_s - start_s for start_s, end_s in free), num_spoken, len(records),
    )  # fmt: skip
    return subtitles.merged(labels)


def _clips(path: Path, sample_rate: int, parts: list[Span], track: int | None) -> Iterator[Clip]:
    for number, (start_s, waveform) in enumerate(stream_parts(path, sample_rate, parts, track)):
        yield Clip(number, str(path), start_s, start_s + len(waveform) / sample_rate, waveform)
