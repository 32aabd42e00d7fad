"""Fine-tuning of the tagger: its targets, what stays unchanged, and the run that uses it."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from configs.schema import EncoderConfig, TaggerConfig
from data.clotho import FileClip
from data.labelled.tags import tags_of
from models.encoders.base import AudioEncoder, SpecMasks
from models.encoders.build import build_encoder
from training.tagger import MEMBER_SEEDS, blend_weights, tagger_loss, tune_tagger
from training.tagger_pool import TagTargets, draw, draw_pool, read_ahead
from vocabulary.audioset import tag_ids

DOG, RAIN = tag_ids()["Dog"], tag_ids()["Rain"]


def clips_of(folder: Path, labels: list[str]) -> list[FileClip]:
    return [FileClip(folder / f"{number}.wav", (), (label,), str(number)) for number, label in enumerate(labels)]


def test_only_complete_collections_give_negative_tags() -> None:
    targets = TagTargets([clips_of(Path(), ["dog", "rain", "siren"]), clips_of(Path(), ["naildrop", "a dog barks"])])
    positive, negative = targets(["dog"])
    assert positive == set(tags_of(["dog"])) and RAIN in negative and not positive & negative
    assert targets(["a dog barks"]) == ({DOG}, set())
    positive, negative = targets(["dog", "rain"])
    assert {DOG, RAIN} <= positive and tag_ids()["Siren"] in negative
    assert targets(["dog", "a dog barks"])[1] == set()  # the second clip's collection is incomplete


def test_other_tags_are_trained_towards_the_scores_before() -> None:
    before = torch.zeros(1, 527)
    now = torch.zeros(1, 527, requires_grad=True)
    tagger_loss(now, before, [({DOG}, {RAIN})], distillation=1.0).backward()
    assert now.grad is not None
    assert now.grad[0, DOG] == -0.5 and now.grad[0, RAIN] == 0.5
    others = [number for number in range(527) if number not in (DOG, RAIN)]
    assert now.grad[0, others].abs().max() < 1e-6


@pytest.fixture
def small_encoder() -> AudioEncoder:
    """From random values, so its running statistics must follow within a few steps."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(name="mobilenet", width=0.1, train_from_step=0, frozen_layers=2))
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
    return encoder


def test_it_learns_its_labels_and_keeps_its_frozen_layers(
    small_encoder: AudioEncoder, tmp_path: Path, make_tone: Callable[..., NDArray[np.float32]]
) -> None:
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", make_tone(1.0, 32000, (300.0, 3000.0)[number % 2]), 32000)
    clips = clips_of(tmp_path, ["dog", "rain", "dog", "rain"])
    waveform = torch.from_numpy(np.stack([clip.load(32000, None) for clip in clips]))
    lengths = torch.full((4,), waveform.shape[1])
    frozen = [parameter.clone() for parameter in small_encoder.layers()[1].parameters()]

    def margin() -> float:
        with torch.no_grad():
            logits = small_encoder.eval()(waveform, lengths).logits
        assert logits is not None
        return float((logits[::2, DOG] - logits[::2, RAIN] + logits[1::2, RAIN] - logits[1::2, DOG]).mean())

    before = margin()
    tune_tagger(small_encoder, [clips], TaggerConfig(num_steps=60, pool=24, batch_size=8, learning_rate=1e-2), seed=0)
    assert margin() > before + 1.0
    assert all(torch.equal(a, b) for a, b in zip(frozen, small_encoder.layers()[1].parameters(), strict=True))
    assert not any(parameter.requires_grad for parameter in small_encoder.parameters())


def test_with_a_second_branch_that_branch_alone_is_tuned(
    tmp_path: Path, make_tone: Callable[..., NDArray[np.float32]]
) -> None:
    for number in range(2):
        soundfile.write(tmp_path / f"{number}.wav", make_tone(1.0, 32000, 400.0 * (number + 1)), 32000)
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(name="mobilenet", width=0.1, frozen_layers=6, branch_weight=0.4))
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    tune_tagger(encoder, [clips_of(tmp_path, ["dog", "rain"])], TaggerConfig(num_steps=2, pool=6, batch_size=4), seed=0)
    changed = {name for name, tensor in encoder.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[0] for name in changed} == {"branch", "branch_classifier"}


def test_the_same_seed_trains_the_same(tmp_path: Path, make_tone: Callable[..., NDArray[np.float32]]) -> None:
    for number in range(2):
        soundfile.write(tmp_path / f"{number}.wav", make_tone(1.0, 32000, 400.0 * (number + 1)), 32000)
    clips = clips_of(tmp_path, ["dog", "rain"])
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        encoder = build_encoder(EncoderConfig(name="mobilenet", width=0.1, train_from_step=0))
        tune_tagger(encoder, [clips], TaggerConfig(num_steps=2, pool=6, batch_size=4), seed=3)
        found.append(encoder.state_dict()["classifier.5.weight"])
    assert torch.equal(*found)


def test_members_are_trained_apart_and_averaged(
    small_encoder: AudioEncoder, tmp_path: Path, make_tone: Callable[..., NDArray[np.float32]]
) -> None:
    for number in range(2):
        soundfile.write(tmp_path / f"{number}.wav", make_tone(1.0, 32000, 400.0 * (number + 1)), 32000)
    clips = clips_of(tmp_path, ["dog", "rain"])
    one = TaggerConfig(num_steps=2, pool=6, batch_size=4, learning_rate=1e-2)
    trained = []
    for seed, config in ((3, one), (3 + MEMBER_SEEDS, one), (3, replace(one, members=2))):
        encoder = copy.deepcopy(small_encoder)
        tune_tagger(encoder, [clips], config, seed)
        trained.append(encoder.state_dict())
    first, second, both = trained
    assert not torch.equal(first["classifier.5.weight"], second["classifier.5.weight"])
    for name, tensor in both.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, (first[name] + second[name]) / 2)


def test_blending_goes_from_the_old_weights_to_the_new(small_encoder: AudioEncoder) -> None:
    before = copy.deepcopy(small_encoder)
    for parameter in small_encoder.parameters():
        parameter.data += 1.0
    blend_weights(small_encoder, before, 0.75)
    for new, old in zip(small_encoder.parameters(), before.parameters(), strict=True):
        assert torch.allclose(new, old + 0.75, atol=1e-6)


def test_an_encoder_split_at_its_frozen_layers_gives_the_same_scores(small_encoder: AudioEncoder) -> None:
    small_encoder.eval()
    waveform, lengths = torch.randn(2, 64000) * 0.1, torch.tensor([64000, 40000])
    waveform[1, 40000:] = 0
    masks = SpecMasks(time=torch.tensor([[[0.2, 0.4]], [[0.0, 0.0]]]), band=torch.tensor([[[0.1, 0.2]], [[0.5, 0.6]]]))
    with torch.no_grad():
        whole = small_encoder(waveform, lengths, masks).logits
        maps, frames = small_encoder.frozen_part(waveform, lengths, masks)
        assert whole is not None
        assert torch.allclose(whole, small_encoder.trained_part(maps, frames), atol=1e-6)


def test_a_pool_is_drawn_of_clips_and_mixtures_and_each_epoch_goes_through_it(
    small_encoder: AudioEncoder, tmp_path: Path, make_tone: Callable[..., NDArray[np.float32]]
) -> None:
    groups = []
    for folder, labels in ((tmp_path / "a", ["dog", "rain", "siren"]), (tmp_path / "b", ["naildrop", "a dog barks"])):
        folder.mkdir()
        groups.append(clips_of(folder, labels))
        for clip in groups[-1]:
            soundfile.write(clip.path, make_tone(1.0, 32000, 500.0), 32000)
    drawn = [draw(groups, 0, number) for number in range(40)]
    assert [len(clip.labels) for clip in drawn] == [1, 2] * 20
    assert all(len({label in ("naildrop", "a dog barks") for label in clip.labels}) == 1 for clip in drawn)
    pool = draw_pool(small_encoder.eval(), groups, TaggerConfig(pool=10, batch_size=4), seed=0)
    assert len(pool.maps) == len(pool.frames) == len(pool.before) == len(pool.known) == 10
    for epoch in range(2):
        steps = [pool.batch(2 * epoch + part, 4, seed=0) for part in range(2)]
        rows = torch.cat([batch.before for batch in steps])
        assert len(rows) == 8 and len(rows.unique(dim=0)) == 8
    assert not torch.equal(pool.batch(0, 4, seed=0).before, pool.batch(2, 4, seed=0).before)


def test_reading_ahead_keeps_the_order_and_passes_errors_on() -> None:
    assert list(read_ahead(lambda start: [np.full(1, start, np.float32)], [])) == []
    assert [int(found[0][0]) for found in read_ahead(lambda start: [np.full(1, start, np.float32)], range(5))] == [
        *range(5)
    ]
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda start: [np.full(1, 1 / start, np.float32)], [1, 0, 2]))
