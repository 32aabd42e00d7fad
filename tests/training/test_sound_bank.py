"""The sound bank: classes of real clips, and synthetic embeddings."""

from pathlib import Path

import numpy as np
import torch

from configs.schema import EncoderConfig, SimulationConfig
from data.clotho import FileClip
from models.encoders.build import build_encoder
from training.text_only.sound_bank import build_sound_bank, mean_tag_logits, synthesise_embeddings
from vocabulary.audioset import tag_ids

DOG = tag_ids()["Dog"]


def test_the_tagger_detects_the_class_of_synthetic_embeddings() -> None:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(name="mobilenet", width=0.1)).eval().requires_grad_(False)
    means = torch.randn(60, encoder.embedding_dim)
    logits = mean_tag_logits(encoder, means)
    counts = [100] * 527
    counts[DOG] = 0
    frames, classes = synthesise_embeddings(encoder, means, logits, counts, SimulationConfig(min_synthetic=0), seed=0)
    assert len(frames) == 8 and all(DOG in own for own in classes)
    scores = torch.sigmoid(
        mean_tag_logits(encoder, torch.stack([torch.from_numpy(frame.mean(axis=0)) for frame in frames]))
    )
    assert scores[:, DOG].mean() > torch.sigmoid(logits[:, DOG]).mean() + 0.05


def test_clips_have_the_classes_of_their_labels_unless_the_tagger_ranks_them_far_behind() -> None:
    config = SimulationConfig(synthetic_steps=2, max_label_rank=60)
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(name="mobilenet", width=0.1)).eval().requires_grad_(False)
    clips = [FileClip(Path(f"{number}.wav"), (), ("dog",)) for number in range(40)]
    frames = {clip: np.random.default_rng(n).normal(size=(4, encoder.embedding_dim)) for n, clip in enumerate(clips)}
    bank = build_sound_bank(clips, lambda clip: frames[clip].astype(np.float32), encoder, config, seed=0)
    assert bank.num_real == 40 and len(bank.frames) > 40
    ranks = mean_tag_logits(encoder, torch.stack([torch.from_numpy(f.mean(0)).float() for f in frames.values()]))
    expected = (ranks.argsort(dim=1, descending=True).argsort(dim=1)[:, DOG] < 60).tolist()
    assert [DOG in own for own in bank.classes_of_clip[:40]] == expected
    for c, numbers in bank.clips_of_class.items():
        assert [number for number, own in enumerate(bank.classes_of_clip) if c in own] == numbers.tolist()
