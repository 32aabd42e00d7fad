"""Captioned data sets: three layouts, and tables with everything wrong that tables have."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.clotho import DatasetError, load_split, load_table
from data.tables import TableReport


def wav(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(1600, 0.1), 16000)


def table(path: Path, rows: list[str], header: str = "file_name,caption_1,caption_2") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def seed_layout(root: Path, clips: int = 20) -> None:
    for split, count in (("development", clips), ("evaluation", 3)):
        for number in range(count):
            wav(root / f"clotho_audio_{split}" / f"{split}{number}.wav")
        rows = [f"{split}{number}.wav,a sound,another sound" for number in range(count)]
        table(root / f"clotho_captions_{split}.csv", rows)


def test_the_seeds_layout_holds_out_development_clips(tmp_path: Path) -> None:
    seed_layout(tmp_path)
    parts = {
        split: [clip.name for clip in load_split(tmp_path, split)]
        for split in ("development", "validation", "evaluation")
    }
    assert [len(names) for names in parts.values()] == [18, 2, 3]
    assert not set(parts["development"]) & set(parts["validation"])
    assert all(name.startswith("development") for name in parts["development"] + parts["validation"])
    assert parts["validation"] == [clip.name for clip in load_split(tmp_path, "validation")]
    assert parts["validation"] != [clip.name for clip in load_split(tmp_path, "validation", seed=4)]


@pytest.mark.parametrize("folder", ["clotho_audio_{}", "{}"])
def test_clotho_2_1_uses_its_own_validation_split(tmp_path: Path, folder: str) -> None:
    for split in ("development", "validation", "evaluation"):
        wav(tmp_path / folder.format(split) / f"{split}.wav")
        table(tmp_path / f"clotho_captions_{split}.csv", [f"{split}.wav,a sound,another"])
    for split in ("development", "validation", "evaluation"):
        assert [clip.name for clip in load_split(tmp_path, split)] == [f"{split}.wav"]


@pytest.mark.parametrize("folder", ["audio", "."])
def test_any_folder_with_a_table(tmp_path: Path, folder: str) -> None:
    for number in range(4):
        wav(tmp_path / folder / f"{number}.wav")
    table(tmp_path / "captions.csv", [f"{number}.wav,a sound,another" for number in range(4)])
    clips = load_split(tmp_path, "development", 0.25)
    assert len(clips) == 3 and clips[0].captions == ("a sound", "another")
    assert len(load_split(tmp_path, "validation", 0.25)) == 1


def test_labels_are_read(tmp_path: Path) -> None:
    wav(tmp_path / "development" / "a.wav")
    table(tmp_path / "clotho_captions_development.csv", ["a.wav,a dog in rain,rain"])
    table(tmp_path / "labels.csv", ["development,a.wav,overlay,dog;rain,7"], "split,file_name,kind,labels,source_id")
    [clip] = load_split(tmp_path, "development", 0.0)
    assert clip.labels == ("dog", "rain") and clip.source_id == "7"


PROBLEMS: list[tuple[str, Callable[[Path], None], str, int]] = [
    ("missing wav", lambda root: table(root / "captions.csv", ["a.wav,x,y", "gone.wav,x,y"]), "missing file", 1),
    ("duplicate", lambda root: table(root / "captions.csv", ["a.wav,x,y", "a.wav,z,y"]), "duplicate name", 1),
    ("empty caption", lambda root: table(root / "captions.csv", ["a.wav,x,"]), "empty caption", 1),
    ("no captions", lambda root: table(root / "captions.csv", ["a.wav,x,y", "b.wav,,"]), "no captions", 1),
    ("shifted", lambda root: table(root / "captions.csv", ["a.wav,x,y", "b.wav,x, y,z"]), "too many cells", 1),
    ("trailing space", lambda root: table(root / "captions.csv", ["a.wav ,x,y"]), "spaces around name", 1),
    ("CRLF", lambda root: (root / "captions.csv").write_bytes(b"file_name,caption_1\r\na.wav,x\r\n"), "", 0),
    ("BOM", lambda root: (root / "captions.csv").write_bytes(b"\xef\xbb\xbffile_name,caption_1\na.wav,x\n"), "", 0),
    ("Latin-1", lambda root: (root / "captions.csv").write_bytes(b"file_name,caption_1\na.wav,caf\xe9\n"), "not UTF-8", 1),
    ("quoted comma", lambda root: table(root / "captions.csv", ['a.wav,"x, y","z"']), "", 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "kind", "count"), [case[1:] for case in PROBLEMS], ids=[case[0] for case in PROBLEMS]
)
def test_problems_are_counted_by_name_and_the_rest_is_used(
    tmp_path: Path, write: Callable[[Path], None], kind: str, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    wav(tmp_path / "a.wav")
    wav(tmp_path / "b.wav")
    write(tmp_path)
    report = TableReport()
    with caplog.at_level(logging.WARNING):
        clips = load_table(tmp_path / "captions.csv", tmp_path, report=report)
    assert [clip.name for clip in clips] == ["a.wav"]
    assert report.counts == ({kind: count} if kind else {})
    if kind:
        assert kind in caplog.text


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["a.wav,x"], "name,caption_1", "needs file_name"),
        (["a.wav,x"], "file_name,text", "needs file_name and caption_1"),
        (["gone.wav,x"], "file_name,caption_1", "no usable clip"),
        ([], "file_name,caption_1", "has no development clips"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, rows: list[str], header: str, message: str) -> None:
    wav(tmp_path / "a.wav")
    table(tmp_path / "captions.csv", rows, header)
    with pytest.raises(DatasetError, match=message) as caught:
        load_split(tmp_path, "development", 0.0)
    assert "\n" not in str(caught.value)


def test_no_data_set_names_the_download(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="data.download clotho"):
        load_split(tmp_path / "nowhere", "development")


def test_a_name_may_not_lead_outside(tmp_path: Path) -> None:
    wav(tmp_path / "secret.wav")
    wav(tmp_path / "set" / "a.wav")
    table(tmp_path / "set" / "captions.csv", ["../secret.wav,x,y", "a.wav,x,y"])
    assert [clip.name for clip in load_table(tmp_path / "set" / "captions.csv", tmp_path / "set")] == ["a.wav"]


def test_a_changed_file_has_a_new_identity(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav")
    table(tmp_path / "captions.csv", ["a.wav,x,y"])
    [clip] = load_table(tmp_path / "captions.csv", tmp_path)
    before = clip.identity
    soundfile.write(tmp_path / "a.wav", np.zeros(3200), 16000)
    assert clip.identity != before


def test_the_published_tables_are_whole(shared: Path, tmp_path: Path) -> None:
    for split in ("development", "validation", "evaluation"):
        (tmp_path / split).mkdir()
        source = shared / "clotho" / f"clotho_captions_{split}.csv"
        (tmp_path / source.name).write_bytes(source.read_bytes())
    for split, count in (("development", 3839), ("validation", 1045), ("evaluation", 1045)):
        clips = load_split(tmp_path, split, check=False)
        assert len(clips) == count and all(len(clip.captions) == 5 for clip in clips)
