"""Windows of clips that are longer than an encoder accepts: split, encoded separately and joined in time.

Shapes: B clips, W windows of all clips, S samples, T frames, E encoder width, C tag classes.
"""

import math

import torch
from torch import Tensor, nn

from models.encoders.base import EncoderOutput, SpecMasks, frame_mask


def split_windows(waveform: Tensor, lengths: Tensor, longest: int) -> tuple[Tensor, Tensor, list[int]]:
    """Split each clip into the smallest number of equal windows of at most `longest` samples.

    Args:
        waveform: (B, S) float.
        lengths: (B,) int64, number of samples of each clip.
        longest: maximum window length in samples.

    Returns:
        Windows (W, S') padded with zeros, their lengths (W,), and the number of windows of each clip.
    """
    samples = [max(1, value) for value in lengths.tolist()]
    counts = [-(-value // longest) for value in samples]
    if max(counts) == 1:
        return waveform, lengths, counts
    parts = []
    for row, (value, count) in enumerate(zip(samples, counts, strict=True)):
        parts += list(waveform[row, :value].split(math.ceil(value / count)))
    window_lengths = torch.tensor([len(part) for part in parts], device=lengths.device)
    return nn.utils.rnn.pad_sequence(parts, batch_first=True), window_lengths, counts


def repeat_masks(spec_masks: SpecMasks, counts: list[int]) -> SpecMasks:
    """Repeat the masks of each clip for its windows."""
    repeats = torch.tensor(counts, device=spec_masks.time.device)
    return SpecMasks(spec_masks.time.repeat_interleave(repeats, 0), spec_masks.band.repeat_interleave(repeats, 0))


def join_windows(embeddings: Tensor, frames: Tensor, counts: list[int]) -> tuple[Tensor, Tensor]:
    """Join embeddings (W, T, E) of windows in time; returns (B, T', E) and lengths (B,)."""
    if max(counts) == 1:
        return embeddings, frames
    valid = [window[: int(length)] for window, length in zip(embeddings, frames, strict=True)]
    clips, start = [], 0
    for count in counts:
        clips.append(torch.cat(valid[start : start + count]))  # (T', E)
        start += count
    lengths = torch.tensor([len(clip) for clip in clips], device=frames.device)
    return nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths


def join_output(embeddings: Tensor, frames: Tensor, counts: list[int], output: str) -> EncoderOutput:
    """Output of an encoder without a tagger from the embeddings of its windows.

    Args:
        embeddings: (W, T, E) float; values beyond the frames of a window are set to zero.
        frames: (W,) int64, number of frames of each window.
        counts: number of windows of each clip.
        output: "frames", or "clip" for the mean over each clip's frames.
    """
    embeddings, frames = join_windows(embeddings, frames, counts)
    embeddings = embeddings[:, : int(frames.max())]
    embeddings = embeddings * frame_mask(frames, embeddings.shape[1])[..., None]
    if output == "clip":
        embeddings = embeddings.sum(dim=1, keepdim=True) / frames[:, None, None]  # (B, 1, E)
        return EncoderOutput(embeddings, torch.ones_like(frames), None)
    return EncoderOutput(embeddings, frames, None)


def join_logits(logits: Tensor, counts: list[int]) -> Tensor:
    """Tag logits (B, 527) of clips: the logit of the mean probability over their windows."""
    if max(counts) == 1:
        return logits
    means = torch.stack([torch.sigmoid(part.float()).mean(dim=0) for part in logits.split(counts)])
    return torch.logit(means, eps=1e-7)
