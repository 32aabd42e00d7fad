"""The captioner that ships, on the project's own sounds and on real ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from captioning.files import DEFAULT_CHECKPOINT
from configs.schema import TagDecodingConfig
from data.audio import load_audio
from data.captions import normalize_caption
from data.clotho import load_split
from data.labelled.caption_templates import named_categories
from data.labelled.collections import read_labelled
from evaluation.invented import invented
from models.captioner import AudioCaptioner
from vocabulary.audioset import speech_tags

ROOT = Path(__file__).parents[1]


FIFTY_SOUNDS = ROOT / "checkpoints" / "sounds_small"  # the captioner of ESC-50's sounds alone
CHECKPOINTS = (DEFAULT_CHECKPOINT, FIFTY_SOUNDS)


@pytest.fixture(scope="module")
def any_sound() -> AudioCaptioner:
    return AudioCaptioner.from_pretrained(DEFAULT_CHECKPOINT)


@pytest.fixture(scope="module")
def captioner() -> AudioCaptioner:
    return AudioCaptioner.from_pretrained(FIFTY_SOUNDS)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("church_bell", "bell"),
        ("clock_tick", "clock"),
        ("siren", "siren"),
        ("sea_waves", "wave"),
    ],
)
def test_the_usual_one_names_the_projects_own_sounds(any_sound: AudioCaptioner, name: str, word: str) -> None:
    waveform = load_audio(ROOT / "assets" / f"{name}.flac", any_sound.sample_rate)
    assert word in any_sound.caption([waveform])[0][0].text


def test_the_usual_one_writes_in_both_manners(any_sound: AudioCaptioner) -> None:
    waveform = load_audio(ROOT / "assets" / "sea_waves.flac", any_sound.sample_rate)
    texts = {
        style: any_sound.caption([waveform], replace(any_sound.config.decoding, style=style))[0][0].text
        for style in ("audiocaps", "clotho")
    }
    assert texts["audiocaps"] != texts["clotho"]


@pytest.mark.parametrize(
    "settings",
    [
        {"num_captions": 8, "length_penalty": 2.0},
        {"num_captions": 8, "tags": TagDecodingConfig(coverage_weight=4.0), "repetition_ban": "none"},
        {"num_captions": 8, "max_tokens": 6},
        {"method": "greedy"},
        {"method": "sample", "num_captions": 5, "top_p": 0.9},
    ],
)
def test_what_a_search_tells_is_the_log_probability_of_the_sentence(
    any_sound: AudioCaptioner, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Whatever the rules added to it; of sentences that the short limit cuts off the search tells nothing."""
    decoding = replace(any_sound.config.decoding, **settings)
    sounds = [load_audio(ROOT / "assets" / f"{name}.flac", any_sound.sample_rate) for name in ("siren", "sea_waves")]
    told = any_sound.caption(sounds, decoding)
    generate, known = any_sound.decoder.generate, []

    def tells_nothing(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        ids, log_probabilities = generate(*arguments)
        known.extend(log_probabilities.isfinite().tolist())
        return ids, torch.full_like(log_probabilities, torch.nan)

    monkeypatch.setattr(any_sound.decoder, "generate", tells_nothing)
    computed = any_sound.caption(sounds, decoding)
    assert any(known) and all(known) == (decoding.max_tokens > 6)
    for one, other in zip(sum(told, []), sum(computed, []), strict=True):
        assert one.text == other.text and one.num_tokens == other.num_tokens
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-3)


def test_the_usual_one_says_different_things_of_real_recordings_and_invents_little(
    any_sound: AudioCaptioner, shared: Path
) -> None:
    """Every third of the recordings with human captions: sounds that no reference names are rare; see docs/results.md."""
    clips = [
        clip
        for root in ("captioned", "captioned_more")
        for clip in load_split(shared / root, "validation")
        if clip.style == "audiocaps"
    ][::3]
    captions = [
        any_sound.caption([clip.load(any_sound.sample_rate, any_sound.max_duration_s)])[0][0].text for clip in clips
    ]
    share = invented(captions, [clip.captions for clip in clips]).mean()
    assert share < 0.25  # one person's caption against the other four: 18 %
    assert len(set(captions)) > 0.7 * len(clips)


def test_the_usual_one_names_labelled_clips_and_no_speakers_whom_it_does_not_hear(
    any_sound: AudioCaptioner, shared: Path
) -> None:
    """It names about nine of ten clips of fold 4; see the model card."""
    decoding = any_sound.config.decoding
    clips = read_labelled(shared / "sounds")[1][::10]
    named = 0
    for clip in clips:
        output = any_sound.encode_clips([clip.load(any_sound.sample_rate, any_sound.max_duration_s)])
        text = any_sound.caption_embeddings(output.embeddings, output.lengths)[0][0].text
        named += clip.labels[0] in named_categories(text)
        with torch.no_grad():
            heard = any_sound.tag_scores(output.embeddings, output.lengths)[0]
        assert float(heard[sorted(speech_tags())].max()) >= decoding.tags.min_score > 0 or "speak" not in text
    assert len(clips) == 40 and named >= 32


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("church_bell", "church_bells"),
        ("clock_tick", "clock_tick"),
        ("alarm_clock", "clock_alarm"),
        ("siren", "siren"),
        ("sea_waves", "sea_waves"),
    ],
)
def test_it_names_the_projects_own_sounds(captioner: AudioCaptioner, name: str, category: str) -> None:
    waveform = load_audio(ROOT / "assets" / f"{name}.flac", captioner.sample_rate)
    assert category in named_categories(captioner.caption([waveform])[0][0].text)


def test_it_names_most_of_some_real_sounds(captioner: AudioCaptioner, shared: Path) -> None:
    """One clip of each class from the fold it was not trained on; the whole fold gives 89.5 %."""
    table = pd.read_csv(shared / "sounds" / "clips.csv")
    table = table[table["fold"] == 4].groupby("category").head(1)
    paths = [shared / "sounds" / "clips" / str(name) for name in table["file_name"]]
    waveforms = [load_audio(path, captioner.sample_rate) for path in paths]
    captions = [found[0].text for found in captioner.caption(waveforms)]
    right = [
        row in named_categories(normalize_caption(text)) for row, text in zip(table["category"], captions, strict=True)
    ]
    assert sum(right) >= 38  # of 50; 38 or fewer right would have a chance under 1 % at 89.5 %
    assert len(set(captions)) >= 45


def test_they_are_small_and_whole() -> None:
    files = [file for path in CHECKPOINTS for file in path.rglob("*") if file.is_file()]
    assert sum(path.stat().st_size for path in files) < 40_000_000
    for path in CHECKPOINTS:
        metadata = json.loads((path / "metadata.json").read_text())
        assert metadata["encoder_included"] and "CC BY-NC" in metadata["licence"]
        assert (path / "MODEL_CARD.md").is_file()


def test_their_encoders_are_fine_tuned(shared: Path) -> None:
    """The published file is not passed on: one encoder was trained further, the other holds a fine-tuned branch as well."""
    from safetensors.torch import load_file

    published = load_file(shared / "efficientat" / "mn04_as_mAP_432.safetensors")
    own = AudioCaptioner.from_pretrained(FIFTY_SOUNDS).encoder.state_dict()
    assert sum(not own[name].equal(tensor) for name, tensor in published.items() if name in own) > 50
    own = AudioCaptioner.from_pretrained(DEFAULT_CHECKPOINT).encoder.state_dict()
    assert all(own[name].equal(tensor) for name, tensor in published.items() if name in own)
    branch = {name: tensor for name, tensor in own.items() if name.startswith("branch.") and tensor.is_floating_point()}
    assert sum(not tensor.equal(published[published_name(name)]) for name, tensor in branch.items()) > 50


def published_name(name: str) -> str:
    """Name, in the published file, of a tensor of the second branch, which begins after the sixth layer."""
    _, number, *rest = name.split(".")
    return ".".join(["features", str(int(number) + 6), *rest])
