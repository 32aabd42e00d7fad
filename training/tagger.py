"""The encoder's tagger trained further on labelled clips, before anything else and without forgetting what it knew.

What a clip is labelled with is taught as heard, the other classes of its collection as not heard; for all that the labels do
not speak of, the tagger's own scores as they were are the targets (distillation: Li, Hoiem, "Learning without Forgetting",
arXiv 1606.09282). Half of the clips are mixtures of two, drawn anew each time.

Shapes: B clips, S samples, C tag classes.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from configs.schema import AugmentConfig, TaggerConfig
from data.augment import augment_waveform, draw_spans, sample_generator
from data.clotho import FileClip
from data.sounds import Mixture, draw_mixture
from data.tags import tags_of
from models.encoder import NUM_AUDIOSET_CLASSES, AudioEncoder, SpecMasks
from training.batches import pad_arrays
from training.optimisation import cosine_factor
from vocabulary.words import classes_of

AUGMENTATION = AugmentConfig(gain_db=6.0)
LONGEST_S = 10.0  # read of a clip
TIME_MASKS, BAND_MASKS = (1, 0.15), (2, 0.1)  # SpecAugment: spans, and the longest as a share


class TagTargets:
    """What is known of which tags in a labelled clip.

    Args:
        collections: labelled clips, a list for each collection. In one whose labels all have tags of `sound_phrases.yaml` a
            clip without a label of the others does not have their tags.
    """

    def __init__(self, collections: Sequence[Sequence[FileClip]]) -> None:
        self._judged: dict[str, tuple[int, ...]] = {}
        for clips in collections:
            labels = {label for clip in clips for label in clip.labels}
            whole = all(tags_of([label]) for label in labels)
            judged = tags_of(sorted(labels)) if whole else ()
            self._judged |= dict.fromkeys(labels, judged)

    def __call__(self, labels: Sequence[str]) -> tuple[set[int], set[int]]:
        """Tags that are heard, and tags that are not, in a clip (or a mixture) of these labels."""
        heard: set[int] = set()
        for label in labels:
            heard.update(tags_of([label]) or classes_of(label)[:1])
        judged = [set(self._judged.get(label, ())) for label in labels]
        return heard, set.intersection(*judged) - heard if judged else set()


def tune_tagger(
    encoder: AudioEncoder, collections: Sequence[Sequence[FileClip]], config: TaggerConfig, seed: int
) -> None:
    """Train an encoder's tagger in place; its `frozen_layers` stay as they are.

    Args:
        encoder: on its device.
        collections: labelled clips to learn from.
        config: how long and how fast.
        seed: decides everything that is drawn.
    """
    device = next(encoder.parameters()).device
    teacher = copy.deepcopy(encoder).eval().requires_grad_(False)
    encoder.set_trained(True)
    encoder.train()
    targets = TagTargets(collections)
    clips = [clip for group in collections for clip in group]
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    losses = []
    bar = tqdm(range(config.num_steps), desc="tagger", unit="step")
    for step in bar:
        torch.manual_seed(seed * 1_000_003 + step)
        drawn = [draw(clips, seed, step, row) for row in range(config.batch_size)]
        generator = sample_generator(seed, step, config.batch_size)
        waveforms = [load(clip, encoder.sample_rate, config, generator) for clip in drawn]
        waveform, lengths = pad_arrays(waveforms)
        waveform, lengths = waveform.to(device), lengths.to(device)
        masks = SpecMasks(
            time=torch.from_numpy(np.stack([draw_spans(*TIME_MASKS, generator) for _ in drawn])).to(device),
            band=torch.from_numpy(np.stack([draw_spans(*BAND_MASKS, generator) for _ in drawn])).to(device),
        )
        with torch.no_grad():
            before = teacher(waveform, lengths).logits
        now = encoder(waveform, lengths, masks).logits
        assert before is not None and now is not None
        loss = tagger_loss(now, before, [targets(clip.labels) for clip in drawn], config.distillation)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_factor(step, config.num_steps, config.num_steps // 20)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        bar.set_postfix_str(f"loss {np.mean(losses[-20:]):.3f}", refresh=False)
    blend_weights(encoder, teacher, config.blend)
    encoder.set_trained(False)
    encoder.eval()


@torch.no_grad()
def blend_weights(encoder: AudioEncoder, before: AudioEncoder, share: float) -> None:
    """Move an encoder's weights back towards what they were: Wortsman et al., arXiv 2109.01903."""
    old = before.state_dict()
    for name, tensor in encoder.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(old[name], 1 - share)


def draw(clips: Sequence[FileClip], seed: int, step: int, row: int) -> FileClip | Mixture:
    """The clip or mixture at a row of a step's batch: a quarter are sequences, a quarter overlays."""
    generator = sample_generator(seed, step, row)
    if row % 2 == 0:
        return clips[int(generator.integers(len(clips)))]
    return draw_mixture(clips, "sequence" if row % 4 == 1 else "overlay", f"{step}/{row}", generator)


def load(
    clip: FileClip | Mixture, sample_rate: int, config: TaggerConfig, generator: np.random.Generator
) -> NDArray[np.float32]:
    """A clip's waveform (S,), or a random piece of one that is longer than the configuration allows, at a random level."""
    waveform = clip.load(sample_rate, LONGEST_S)
    longest = int(config.max_duration_s * sample_rate)
    start = int(generator.integers(max(1, len(waveform) - longest + 1)))
    return augment_waveform(waveform[start : start + longest], sample_rate, AUGMENTATION, generator)


def tagger_loss(now: Tensor, before: Tensor, known: Sequence[tuple[set[int], set[int]]], distillation: float) -> Tensor:
    """Binary cross-entropy of tags, summed over classes, the mean over clips.

    Args:
        now: (B, C) logits.
        before: (B, C) logits of the tagger as it was.
        known: for each clip the tags that are heard and those that are not.
        distillation: weight of the tags that nothing is known of.
    """
    targets = torch.sigmoid(before.float())
    weights = torch.full_like(targets, distillation)
    for row, (heard, not_heard) in enumerate(known):
        for tags, value in ((heard, 1.0), (not_heard, 0.0)):
            index = torch.tensor(sorted(tags), dtype=torch.long, device=targets.device)
            targets[row, index], weights[row, index] = value, 1.0
    losses = F.binary_cross_entropy_with_logits(now.float(), targets, reduction="none")  # (B, C)
    assert now.shape[1] == NUM_AUDIOSET_CLASSES
    return (losses * weights).sum() / len(now)
