"""Metrics for choosing the best checkpoint: loss on the validation split, and CIDEr-D of decoded captions."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from pycocoevalcap.cider.cider import Cider
from tqdm import tqdm

from configs.schema import DecodingConfig
from data.audio import AudioError
from data.captions import encode_caption, normalize_caption
from data.clotho import Clip
from models.captioner import AudioCaptioner
from training.batches import Collate, Sample, style_number
from training.objective import CaptioningLoss, token_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ValidationResult:
    """Metrics on the validation split.

    Attributes:
        loss: mean loss per token over all references, in nats, without label smoothing.
        cider_d: corpus CIDEr-D of the decoded captions, 0 to 10; None if there is only one clip.
        captions: decoded captions by clip name.
    """

    loss: float
    cider_d: float | None
    captions: dict[str, str]


def cider_d(candidates: dict[str, str], references: Mapping[str, Sequence[str]]) -> float | None:
    """Compute corpus CIDEr-D (Vedantam et al. 2015, arXiv 1411.5726) with pycocoevalcap, on normalised words.

    Document frequencies are those of `references`; with fewer than two clips they are meaningless, and None is returned.
    Words are split at spaces after `normalize_caption`, without Java's PTB tokenizer, which evaluate.py uses.
    """
    if len(candidates) < 2:
        return None
    truths = {name: [normalize_caption(text) for text in references[name]] for name in candidates}
    results = {name: [normalize_caption(text)] for name, text in candidates.items()}
    score: float = Cider().compute_score(truths, results)[0]
    return float(score)


@torch.no_grad()
def validate(
    captioner: AudioCaptioner,
    clips: Sequence[Clip],
    load_audio: Callable[[Clip], NDArray[np.float32]],
    takes_waveforms: bool,
    decoding: DecodingConfig,
    max_captions: int = 0,
    batch_size: int = 16,
    skips_bad_clips: bool = False,
) -> ValidationResult:
    """Validate a captioner.

    Args:
        captioner: captioner with the weights to validate.
        clips: validation clips.
        load_audio: function that returns a clip's waveform (S,) or embeddings (T, E).
        takes_waveforms: whether `load_audio` returns waveforms.
        decoding: decoding settings.
        max_captions: number of clips to decode, spread evenly over the split; 0 for all.
        batch_size: number of clips per batch.
        skips_bad_clips: whether unreadable clips are skipped, with a warning.

    Raises:
        AudioError: a clip cannot be read, and bad clips are not skipped or no clip is readable.
    """
    captioner.eval()
    objective = CaptioningLoss(captioner, label_smoothing=0.0, trains_encoder=False).eval()
    collate = Collate(captioner.token_ids["pad"])
    step = max(1, len(clips) // max_captions) if max_captions else 1
    decoded = {clip.name for clip in clips[::step]}
    loss_sum, weight_sum, num_read = 0.0, 0.0, 0
    captions: dict[str, str] = {}
    with tqdm(total=len(clips), desc="validation", unit="clip", leave=False) as bar:
        for start in range(0, len(clips), batch_size):
            read = _read(clips[start : start + batch_size], load_audio, skips_bad_clips)
            bar.update(len(clips[start : start + batch_size]))
            if not read:
                continue
            part = [clip for clip, _ in read]
            num_read += len(part)
            batch = collate([_sample(captioner, clip, audio) for clip, audio in read]).to(captioner.device)
            if takes_waveforms:
                output = captioner.encode(batch.audio, batch.lengths)
                batch = replace(batch, audio=output.embeddings, lengths=output.lengths)
            loss_sum += float(objective(batch))
            weight_sum += float(token_weights(batch).sum())
            rows = [row for row, clip in enumerate(part) if clip.name in decoded]
            if rows:
                found = captioner.caption_embeddings(
                    batch.audio[rows], batch.lengths[rows], decoding, batch.styles[rows]
                )
                captions |= {part[row].name: best[0].text for row, best in zip(rows, found, strict=True)}
    if not num_read:
        raise AudioError("none of the validation clips can be read any more: check data.dataset_root.")
    references = {clip.name: clip.captions for clip in clips}
    return ValidationResult(loss_sum / max(weight_sum, 1e-9), cider_d(captions, references), captions)


def _read(
    clips: Sequence[Clip], load_audio: Callable[[Clip], NDArray[np.float32]], skips_bad_clips: bool
) -> list[tuple[Clip, NDArray[np.float32]]]:
    read = []
    for clip in clips:
        try:
            read.append((clip, load_audio(clip)))
        except AudioError as error:
            if not skips_bad_clips:
                raise
            logger.warning("left out of this validation: %s", error)
    return read


def _sample(captioner: AudioCaptioner, clip: Clip, audio: NDArray[np.float32]) -> Sample:
    limit = captioner.config.decoding.max_tokens
    captions = [(encode_caption(captioner.tokenizer, text, limit), 1.0) for text in clip.captions]
    none = np.zeros((0, 2), dtype=np.float32)
    style = style_number(clip, captioner.config.captioner.styles)
    return Sample(clip.name, audio, captions, none, none, style=style)
