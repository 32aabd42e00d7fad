"""Template captions of labelled sounds name these sounds and nothing else; mixtures; the data set that is written."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data.captions import normalize_caption
from data.clotho import FileClip, load_split
from data.labelled.caption_templates import (
    SoundShape,
    describe,
    describe_mixture,
    measure,
    named_categories,
    phrases,
    short_template,
)
from data.labelled.mixtures import caption_with_templates, main, make_mixtures

CATEGORIES = sorted(phrases())
shapes = st.builds(
    SoundShape,
    bursts=st.integers(1, 9),
    active_share=st.floats(0.05, 1),
    trend_db=st.floats(-15, 15),
    lead_s=st.floats(0, 2),
    tail_s=st.floats(0, 4),
    floor_db=st.floats(-80, 0),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CATEGORIES), shapes, st.integers(0, 2**31))
def test_a_caption_names_its_sound_and_no_other(category: str, shape: SoundShape, seed: int) -> None:
    captions = describe(category, shape, np.random.default_rng(seed))
    assert len(set(captions)) == 5
    for caption in captions:
        assert named_categories(normalize_caption(caption)) == {category}
        assert 5 <= len(caption.split()) <= 26
        assert caption[0].isupper() and caption.endswith(".") and "  " not in caption and " ," not in caption


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(CATEGORIES), min_size=2, max_size=2, unique=True),
    shapes,
    shapes,
    st.sampled_from(["sequence", "overlay"]),
    st.floats(-5, 5),
    st.integers(0, 2**31),
)
def test_a_mixtures_caption_names_both(
    pair: list[str], first: SoundShape, second: SoundShape, order: str, gain_db: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    captions = describe_mixture((pair[0], first), (pair[1], second), order, gain_db, generator)
    assert len(set(captions)) == 5
    for caption in captions:
        assert named_categories(normalize_caption(caption)) == set(pair)


@pytest.mark.parametrize("category", CATEGORIES)
def test_there_are_many_ways_to_say_it(category: str) -> None:
    generator = np.random.default_rng(0)
    found = {text for _ in range(40) for text in describe(category, SoundShape(2, 0.5, 0, 0, 2, -50), generator)}
    assert len(found) >= 60


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a man saws wood while a dog barks", {"hand_saw", "dog"}),
        ("someone cuts a tree with a chain saw", {"chainsaw"}),
        ("a rooster crows at dawn", {"rooster"}),
        ("crows caw above a field", {"crow"}),
        ("fireworks and a campfire", {"fireworks", "crackling_fire"}),
        ("the ticking of an alarm clock", {"clock_tick", "clock_alarm"}),
        ("people talk in a room", set()),
    ],
)
def test_categories_in_human_captions_are_found(caption: str, expected: set[str]) -> None:
    assert named_categories(caption) == expected


def bursts(count: int, rate: int = 16000) -> np.ndarray:
    sound = np.zeros(5 * rate, np.float32)
    for number in range(count):
        start = int((0.3 + 0.9 * number) * rate)
        sound[start : start + rate // 5] = 0.3 * np.random.default_rng(number).normal(size=rate // 5)
    return sound


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_bursts_are_counted(count: int) -> None:
    shape = measure(bursts(count), 16000)
    assert shape.bursts == count
    assert shape.lead_s == pytest.approx(0.3, abs=0.05)


def test_a_steady_sound_and_silence() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 80000).astype(np.float32)
    assert measure(noise, 16000).active_share > 0.95
    assert measure(np.zeros(80000, np.float32), 16000).bursts == 0
    rising = np.concatenate([np.zeros(16000, np.float32), noise * np.linspace(0.1, 1, 80000, dtype=np.float32)])
    assert measure(rising, 16000).trend_db > 6
    assert measure(rising[::-1], 16000).trend_db < -6


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """A collection in ESC-50's layout: two sounds, folds 1 to 5."""
    root = tmp_path / "ESC-50"
    (root / "audio").mkdir(parents=True)
    (root / "meta").mkdir()
    rows = []
    for fold in range(1, 6):
        for category in ("dog", "rain"):
            name = f"{fold}-{category}.wav"
            sound = bursts(2) if category == "dog" else np.random.default_rng(fold).normal(0, 0.1, 80000)
            soundfile.write(root / "audio" / name, sound, 16000)
            rows.append({"filename": name, "fold": fold, "category": category, "src_file": f"{fold}{category}"})
    pd.DataFrame(rows).to_csv(root / "meta" / "esc50.csv", index=False)
    return root


def test_the_data_set_is_in_clothos_layout(collection: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert main(["--root", str(collection), "--output", str(output), "--mixtures", "4"]) == 0
    train, validation = load_split(output, "development"), load_split(output, "validation")
    assert len(train) == 6 and len(validation) == 2 + 4
    assert not {clip.source_id for clip in train} & {clip.source_id for clip in validation}
    assert all(len(clip.captions) == 5 for clip in [*train, *validation])
    assert {clip.labels for clip in validation if len(clip.labels) == 2} <= {("dog", "rain"), ("rain", "dog")}
    dog = next(clip for clip in train if clip.labels == ("dog",))
    assert any("twice" in caption.lower() or "two times" in caption.lower() for caption in dog.captions)
    assert main(["--root", str(collection), "--output", str(output)]) == 2  # not overwritten


def test_mixtures_are_what_they_say_and_repeat(collection: Path) -> None:
    clips = [
        FileClip(path, (), (path.stem.split("-")[1],), path.stem) for path in sorted((collection / "audio").iterdir())
    ]
    mixtures = make_mixtures(clips, 6, seed=3)
    assert [(m.order, m.labels, m.captions) for m in mixtures] == [
        (m.order, m.labels, m.captions) for m in make_mixtures(clips, 6, seed=3)
    ]
    for mixture in mixtures:
        waveform = mixture.load(16000, None)
        assert waveform.dtype == np.float32 and np.abs(waveform).max() <= 1
        assert len(set(mixture.labels)) == 2
        longest = 10 if mixture.order == "sequence" else 5
        assert 16000 <= len(waveform) <= longest * 16000
        assert len(mixture.load(16000, 1.0)) == 16000
    assert len({mixture.identity for mixture in mixtures}) == 6


def test_errors_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["--root", str(tmp_path / "none"), "--output", str(tmp_path / "out")]) == 2
    assert "data.download esc50" in caplog.text
    (tmp_path / "clips.csv").write_text("file_name,fold\na.wav,1\n")
    assert main(["--root", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "lacks the column category" in caplog.text


@pytest.mark.slow
def test_real_clips_get_captions_that_name_them(shared: Path) -> None:
    table = pd.read_csv(shared / "sounds" / "clips.csv").groupby("category").head(1)
    for row in table.itertuples():
        clip = FileClip(shared / "sounds" / "clips" / str(row.file_name), ())
        shape = measure(clip.load(16000, None), 16000)
        for caption in describe(str(row.category), shape, np.random.default_rng(0)):
            assert named_categories(normalize_caption(caption)) == {row.category}


def test_short_captions_name_both_sounds_in_their_order() -> None:
    generator = np.random.default_rng(0)
    for _ in range(60):
        text = short_template(["dog", "siren"], "sequence", generator)
        assert named_categories(normalize_caption(text)) == {"dog", "siren"}
        assert re.search(r"\b(followed by|then|before)\b", text)
        first = min(text.find(word) for word in ("dog", "woof") if word in text)
        assert first < max(text.find(word) for word in ("siren", "emergency"))
    assert named_categories(short_template(["rain"], "", generator)) == {"rain"}


def test_clips_of_known_categories_and_their_mixtures_get_template_captions(tmp_path: Path) -> None:
    labels = ["dog", "rain", "something else", "siren"]
    clips = [FileClip(tmp_path / f"{n}.wav", (), (label,), str(n)) for n, label in enumerate(labels)]
    found = caption_with_templates(clips, 4, "short", seed=0)
    assert [clip.labels for clip in found[:3]] == [("dog",), ("rain",), ("siren",)]
    assert len(found) == 7 and {clip.style for clip in found} == {"short"}
    mixture = found[3]
    assert len(mixture.captions) == 5
    assert all(named_categories(normalize_caption(text)) == set(mixture.labels) for text in mixture.captions)
    assert found == caption_with_templates(clips, 4, "short", seed=0)
