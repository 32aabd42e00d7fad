"""Tables as people save them: quotation marks that swallow rows, other separators, a Mac's names, captions that say nothing."""

import gzip
import json
import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

import evaluate
from benchmarks.yardstick import Group, read_tables
from captioning.path_lists import read_list
from data.clotho import load_split, load_table
from data.labelled.collections import read_labelled
from data.labelled.mixtures import read_collection
from data.tables import DatasetError, FileIndex, TableReport, csv_files, read_rows, read_table
from evaluation.inputs import pair, read_predictions, read_references
from training.text_only.captions import read_captions, read_text_clips
from training.text_only.text_labels import read_label_sets

NFC, NFD = "forêt.wav", unicodedata.normalize("NFD", "forêt.wav")
assert NFC != NFD


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}{end}" for line in lines), encoding="utf-8", newline="")
    return path


def tone(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.sin(np.arange(16000) / 20).astype(np.float32), 16000)
    return path


# -- quotation marks -----------------------------------------------------------------------------------------------------

CAPTIONS = "file_name,caption_1,caption_2"
ROWS = [
    "a.wav,a dog barks,rain falls",
    "b.wav,wind blows,a car",
    "c.wav,a bell rings,birds sing",
    "d.wav,waves,thunder",
]
UNCLOSED = {
    "to the end of the file": (3, [*ROWS[:1], 'b.wav,"wind blows,a car', *ROWS[2:]]),
    "in the last row": (5, [*ROWS[:3], 'd.wav,"waves,thunder']),
    "in the first row": (2, ['a.wav,"a dog barks,rain falls', *ROWS[1:]]),
    "in a file name": (3, [ROWS[0], '"b.wav,wind blows,a car', *ROWS[2:]]),
    "until a quoted caption": (3, [ROWS[0], 'b.wav,"wind blows,a car', 'c.wav,"a bell, ringing",birds', ROWS[3]]),
    "until an empty quoted one": (3, [ROWS[0], 'b.wav,"wind blows,a car', 'c.wav,"",birds', ROWS[3]]),
    "until a stray mark": (3, [ROWS[0], 'b.wav,"wind blows,a car', ROWS[2], 'd.wav,waves",thunder']),
    "until a stray mark in the next row": (2, ['a.wav,"a dog barks,rain falls', 'b.wav,wind blows",a car', *ROWS[2:]]),
    "after a cell of two lines": (4, [ROWS[0], 'b.wav,"wind', 'blows","a car', *ROWS[2:]]),
    "around many rows": (2, ['a.wav,"a dog,x', *(f"{number}.wav,a car passes by,a dog" for number in range(9000)), 'z.wav,x",y']),
}  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("case", UNCLOSED)
def test_a_quotation_mark_that_swallows_rows_is_named_by_its_line(tmp_path: Path, case: str, end: str) -> None:
    line, rows = UNCLOSED[case]
    table = write(tmp_path / "captions.csv", CAPTIONS, *rows, end=end)
    for read in (read_references, lambda path: read_table(path, TableReport())):
        with pytest.raises(DatasetError, match=f"captions.csv has a quotation mark in line {line} that is not closed"):
            read(table)


READERS: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "predictions": ("file_name,caption_predicted", "{0}.wav,{1}", read_predictions),
    "captions by id": ("id,youtube,start,caption", "{0},yt{0},30,{1}", lambda path: read_text_clips(path, "x")),
    "captions to label": ("id,caption", "{0},{1}", lambda path: read_captions(path, "id")),
    "label sets": ("id,audioset_labels", "{0},{1}", read_label_sets),
    "labelled clips": ("file_name,label", "{0}.wav,{1}", lambda path: read_labelled(path.parent)),
    "collection": (
        "file_name,category,fold,freesound_id", "{0}.wav,{1},1,2", lambda path: read_collection(path.parent),
    ),
    "labels of a data set": (
        "split,file_name,kind,labels,source_id", "development,{0}.wav,single,{1},{0}",
        lambda path: load_split(path.parent, "development"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("closing", ["", '"'])
def test_every_table_is_read_so(tmp_path: Path, kind: str, closing: str) -> None:
    header, row, read = READERS[kind]
    texts = ["dog", '"a dog barks', "rain", "siren", f"bell{closing}", "dog"]
    place = tmp_path / "set" / "labels.csv" if kind == "labels of a data set" else tmp_path / "clips.csv"
    if kind == "labels of a data set":
        write(tmp_path / "set" / "captions.csv", CAPTIONS, *ROWS)
        tone(tmp_path / "set" / "a.wav")
    write(place, header, *(row.format(number, text) for number, text in enumerate(texts)))
    with pytest.raises(DatasetError, match=f"{place.name} has a quotation mark in line 3 "):
        read(place)


@pytest.mark.parametrize(
    "row, caption",
    [
        ('a.wav,"a dog barks,\nthen a cat meows",x', "a dog barks,\nthen a cat meows"),
        ('a.wav,"a dog\nbarks\nin the rain, twice\nor more",x', "a dog\nbarks\nin the rain, twice\nor more"),
        ('a.wav,"a man says ""stop"", twice",x', 'a man says "stop", twice'),
        ('a.wav,"Stop" shouts a man,x', "Stop shouts a man"),
        ('a.wav,a 12" record plays,x', 'a 12" record plays'),
        ('a.wav,"one, two, three",x', "one, two, three"),
    ],
)
def test_quotation_marks_that_lose_nothing_are_read(tmp_path: Path, row: str, caption: str) -> None:
    table = write(tmp_path / "captions.csv", CAPTIONS, row, ROWS[1])
    found = read_references(table)
    assert found["a.wav"][0] == caption and found["b.wav"] == ("wind blows", "a car")


# -- separators ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("before", ["", "sep=\n", '"sep="\n', "SEP=\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_are_read(tmp_path: Path, separator: str, before: str, encoding: str) -> None:
    rows = [["file_name", "caption_predicted"], ["a.wav", "a dog; then, rain"], ["é.wav", "wind"]]
    lines = [separator.join(f'"{cell}"' if {*";,"} & {*cell} else cell for cell in row) for row in rows]
    text = before.replace("=", f"={separator}") + "\r\n".join(lines)
    (tmp_path / "p.csv").write_bytes(text.encode(encoding))
    assert read_predictions(tmp_path / "p.csv") == {"a.wav": "a dog; then, rain", "é.wav": "wind"}


def test_lines_are_counted_with_the_one_before_the_columns(tmp_path: Path) -> None:
    table = write(tmp_path / "p.csv", "sep=;", "file_name;caption_predicted", "a.wav;x", ";y")
    with pytest.raises(DatasetError, match="no file name in line 4"):
        read_predictions(table)
    write(table, "sep=;", "file_name;caption_predicted", "a.wav;x", 'b.wav;"y', "c.wav;z")
    with pytest.raises(DatasetError, match="quotation mark in line 4"):
        read_predictions(table)


def test_semicolons_inside_cells_of_a_table_with_commas(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "id,audioset_labels", "1,Dog;Bark;Animal", "2,Rain")
    assert read_rows(table, TableReport())[1][0][1] == {"id": "1", "audioset_labels": "Dog;Bark;Animal"}


def test_a_spreadsheet_is_named_for_what_it_is(tmp_path: Path) -> None:
    for name, content in (
        ("t.xlsx", b"PK\x03\x04\x14\x00"),
        ("t.xls", b"\xd0\xcf\x11\xe0\xa1"),
        ("t.csv", b"a\0,\0b\0"),
        ("t.csv.gz", gzip.compress(TABLE.encode())),
        ("t.parquet", b"PAR1"),
    ):
        (tmp_path / name).write_bytes(content + bytes(200))
        kinds = "is a spreadsheet|has zero bytes|is compressed|is Parquet"
        with pytest.raises(DatasetError, match=rf"{name} ({kinds}).*save the table as CSV"):
            read_predictions(tmp_path / name)


# -- names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table, disk", [(NFC, NFD), (NFD, NFC), (NFC, NFC), (NFD, NFD)])
@pytest.mark.parametrize("folder", ["", "été/"])
def test_names_of_a_mac_in_data_sets(tmp_path: Path, table: str, disk: str, folder: str) -> None:
    there = "NFD" if disk == NFD else "NFC"
    tone(tmp_path / "audio" / unicodedata.normalize(there, folder) / disk)
    there = "NFD" if table == NFD else "NFC"
    cell = unicodedata.normalize(there, folder) + table
    write(tmp_path / "captions.csv", "file_name,caption_1", f"{cell},wind in the trees")
    write(tmp_path / "labels.csv", "split,file_name,kind,labels,source_id", f"train,{folder + NFD},single,wind,77")
    for clips in (
        load_split(tmp_path, "development", 0.0),
        load_table(tmp_path / "captions.csv", tmp_path / "audio"),
    ):
        assert [clip.name for clip in clips] == [NFC] and clips[0].path.is_file()
    assert load_split(tmp_path, "development", 0.0)[0].source_id == "77"
    references = {clip.name: clip.captions for clip in load_split(tmp_path, "development", 0.0, check=False)}
    assert len(pair({disk: "wind"}, references)) == 1


@pytest.mark.parametrize("table, disk", [(NFC, NFD), (NFD, NFC)])
def test_names_of_a_mac_in_labelled_clips(tmp_path: Path, table: str, disk: str) -> None:
    tone(tmp_path / "clips" / "été" / disk)
    folder = unicodedata.normalize("NFC" if table == NFC else "NFD", "été")
    write(tmp_path / "clips.csv", "file_name,category,fold,freesound_id", f"{folder}/{table},dog,1,5")
    assert read_labelled(tmp_path)[0][0].path.is_file()
    assert read_collection(tmp_path)[0].path.is_file()


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("ours, theirs", [(NFC, NFD), (NFD, NFC), (f"x/{NFD}", NFC)])
def test_names_of_a_mac_in_what_is_scored(tmp_path: Path, suffix: str, ours: str, theirs: str) -> None:
    predictions = write(tmp_path / "p.csv", "file_name,caption_predicted", f"{ours},wind")
    references = write(tmp_path / "r.csv", "file_name,caption_1", f"{theirs},a breeze")
    if suffix == "jsonl":
        predictions = write(tmp_path / "p.jsonl", json.dumps({"file": ours, "caption": "wind"}))
        references = write(tmp_path / "r.jsonl", json.dumps({"file": theirs, "captions": ["a breeze"]}))
    assert pair(read_predictions(predictions), read_references(references)).candidates == ("wind",)
    assert pair({ours: "wind"}, {theirs: ["a breeze"]}).candidates == ("wind",)


def test_the_two_forms_of_a_name_are_one_name(tmp_path: Path) -> None:
    table = write(tmp_path / "r.csv", "file_name,caption_1", f"{NFC},wind", f"{NFD},rain")
    with pytest.raises(DatasetError, match="more than one row"):
        read_references(table)
    write(table, "file_name,caption_predicted", f"{NFC},wind", f"{NFD},rain")
    with pytest.raises(DatasetError, match="more than one prediction"):
        read_predictions(table)


def test_names_of_a_mac_in_the_yardsticks_tables(tmp_path: Path) -> None:
    tone(tmp_path / NFD)
    write(tmp_path / "captions.csv", "file_name,caption_1", f"{NFD},wind")
    clips = load_split(tmp_path, "development", 0.0)
    table = write(tmp_path / "p.csv", "file_name,caption_predicted", f"{NFC},wind")
    for name in (NFC, NFD):
        write(table, "file_name,caption_predicted", f"{name},wind")
        assert read_tables([f"peer={table}"], [Group("all", "", clips)])["peer"] == {clips[0].name: "wind"}


def test_a_recording_is_found_by_either_form(tmp_path: Path) -> None:
    tone(tmp_path / NFD)
    assert FileIndex(tmp_path).find(NFC) and not FileIndex(tmp_path).find(f"../{tmp_path.name}x/{NFC}")
    assert FileIndex(tmp_path / "nowhere").find(NFC) is None


# -- captions that say nothing, or far too much --------------------------------------------------------------------------


def test_captions_without_words_and_very_long_ones_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = " ".join(["rain"] * 300)
    for name in "abcd":
        tone(tmp_path / f"{name}.wav")
    write(tmp_path / "captions.csv", CAPTIONS, "a.wav,...,a dog", f"b.wav,{long},rain", "c.wav,?!,—", ROWS[3])
    report = TableReport()
    with caplog.at_level(logging.WARNING):
        clips = load_split(tmp_path, "development", 0.0, report=report)
    assert [clip.captions for clip in clips] == [("a dog",), (long, "rain"), ("waves", "thunder")]
    assert report.counts == {
        "caption without words": 1, "caption of more than 60 words": 1, "captions without words": 1,
    }  # fmt: skip
    assert "caption without words: 1 ('a.wav')" in caplog.text and "more than 60 words: 1 ('b.wav')" in caplog.text
    caplog.clear()
    assert set(read_references(tmp_path / "captions.csv")) == {"a.wav", "b.wav", "d.wav"}
    assert "caption without words: 1 ('a.wav')" in caplog.text


def test_they_are_counted_in_tables_of_texts_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = " ".join(["rain"] * 300)
    table = write(tmp_path / "t.csv", "caption", "a dog barks", "...", long)
    assert len(read_text_clips(table, "x")) == 2
    assert "caption without words: 1" in caplog.text and "more than 60 words: 1" in caplog.text


def test_references_without_words_in_json_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [{"file": "a.wav", "captions": ["...", "a dog"]}, {"file": "b.wav", "captions": ["-"]}]
    assert read_references(write(tmp_path / "r.jsonl", *map(json.dumps, lines))) == {"a.wav": ("a dog",)}
    assert "caption without words: 1" in caplog.text and "captions without words: 1" in caplog.text


# -- JSON lines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"file":' * 50_000,
        "1" * 5000,
        '{"file": "a.wav", "caption": ["a dog"], "captions": [["a dog"]]}',
        '{"file": {}, "caption": "x"}',
    ],
    ids=["deep list", "deep object", "digits", "list", "object"],
)
def test_json_lines_that_cannot_be_meant(tmp_path: Path, line: str) -> None:
    good = json.dumps({"file": "b.wav", "caption": "x", "captions": ["x"]})
    path = write(tmp_path / "p.jsonl", good, line)
    for read in (read_predictions, read_references):
        with pytest.raises(DatasetError, match=r"p\.jsonl .*line 2") as told:
            read(path)
        assert "\n" not in str(told.value)


def test_half_a_character_in_json(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", '{"file": "a.wav", "caption": "a \\ud83d dog"}')
    assert read_predictions(path) == {"a.wav": "a ? dog"}


def test_damaged_folds_are_named(tmp_path: Path) -> None:
    write(tmp_path / "clips.csv", "file_name,category,fold,freesound_id", "a.wav,dog,1,5", "b.wav,dog,one,6")
    for read in (read_labelled, read_collection):
        with pytest.raises(DatasetError, match=r"clips.csv has the fold 'one' in line 3"):
            read(tmp_path)


# -- the inputs of the field ---------------------------------------------------------------------------------------------


@pytest.fixture
def bad_inputs(shared: Path) -> Path:
    if not (shared / "bad_inputs").is_dir():
        pytest.skip("needs shared/bad_inputs")
    return shared / "bad_inputs"


def test_the_quotation_mark_of_the_field(bad_inputs: Path) -> None:
    with pytest.raises(DatasetError, match=r"clotho_captions_development.csv has a quotation mark in line 4"):
        load_split(bad_inputs / "03_quote_dataset", "development")
    assert len(load_split(bad_inputs / "03_quote_dataset", "validation")) == 2


def test_the_mac_and_the_semicolons_of_the_field(bad_inputs: Path) -> None:
    folder = bad_inputs / "11_nfd"
    assert len(pair(read_predictions(folder / "pred_nfd.csv"), read_references(folder / "ref_nfc.csv"))) == 3
    assert len(read_predictions(bad_inputs / "16_semicolons" / "semi_pred.csv")) == 3


def test_evaluate_ends_with_the_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    predictions = write(tmp_path / "p.csv", "file_name,caption_predicted", "a.wav,x", 'b.wav,"y', "c.wav,z", "d.wav,u")
    references = write(tmp_path / "r.csv", "file_name,caption_1", "a.wav,x", "b.wav,y", "c.wav,z", "d.wav,u")
    arguments = ["--predictions", str(predictions), "--references", str(references), "--metrics", "bleu"]
    assert evaluate.main(arguments) == 2
    assert "p.csv has a quotation mark in line 3" in caplog.text


TABLE = "file_name,caption_predicted\na.wav,a dog barks\nb.wav,rain falls down\n"
READ_AS = {"a.wav": "a dog barks", "b.wav": "rain falls down"}
UNUSUAL = {
    "UTF-8 with a mark": b"\xef\xbb\xbf" + TABLE.encode(),
    "UTF-16": TABLE.encode("utf-16"),
    "UTF-16 in big order": b"\xfe\xff" + TABLE.encode("utf-16-be"),
    "UTF-32": TABLE.encode("utf-32"),
    "UTF-32 in big order": b"\0\0\xfe\xff" + TABLE.encode("utf-32-be"),
    "UTF-16 without a mark": TABLE.encode("utf-16-le"),
    "UTF-16 in big order without a mark": TABLE.encode("utf-16-be"),
    "two marks": b"\xef\xbb\xbf" * 2 + TABLE.encode(),
    "empty lines first": b"\r\n \n" + TABLE.encode(),
    "an empty line and a separator first": b"\nsep=|\n" + TABLE.replace(",", "|").encode(),
    "CR and LF": TABLE.replace("\n", "\r\n").encode(),
    "CR alone": TABLE.replace("\n", "\r").encode(),
    "vertical bars": TABLE.replace(",", "|").encode(),
    "empty lines": TABLE.replace("\n", "\n\n").encode(),
    "spaces": TABLE.replace(",", " , ").replace("falls down", "falls down ").encode(),
    "capitals": TABLE.replace("file_name", "File_Name").encode(),
    "an index": "".join(f"{number},{line}" for number, line in enumerate(TABLE.splitlines(True))).encode(),
    "the end mark of DOS": TABLE.encode() + b"\x1a",
    "no line break at the end": TABLE.rstrip().encode(),
    "characters without width": TABLE.replace("a.wav", "\u200ba.wav\ufeff").encode(),
    "all quoted": "\n".join('"' + line.replace(",", '","') + '"' for line in TABLE.splitlines()).encode(),
}


@pytest.mark.parametrize("kind", list(UNUSUAL))
def test_unusual_tables_are_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.csv").write_bytes(UNUSUAL[kind])
    found = read_predictions(tmp_path / "a.csv")
    assert {name: text.strip() for name, text in found.items()} == READ_AS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TABLE.encode() + b"\0\0\0", "zero bytes"),
        (b"", "first line"),
        (b"\n\n", "first line"),
        (b"file_name,caption_predicted\n", "no predictions"),
        (TABLE.replace("file_name", "caption_predicted").encode(), "each once"),
        (TABLE.replace("rain", "r" * 10**6).encode(), "line 3"),
        (b"\xff" * 999, "needs file_name"),
        (b"# made by me\n" + TABLE.encode(), "needs file_name"),
    ],
)
def test_what_is_no_table_of_predictions_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=message) as error:
        read_predictions(tmp_path / "a.csv")
    assert str(tmp_path / "a.csv") in str(error.value) and len(str(error.value)) < 600 and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["zero", "zero.jsonl"])
def test_a_table_that_never_ends(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "MAX_TABLE_BYTES", 1 << 20)
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(DatasetError, match=f"{name} has more than 1,048,576 bytes"):
        read_predictions(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_lines_and_lists_of_windows(tmp_path: Path, encoding: str) -> None:
    lines = '{"file": "a.wav", "caption": "d\xf6gs"}\r\n{"file": "b.wav", "caption": "rain"}\r\n'
    (tmp_path / "p.jsonl").write_bytes(lines.encode(encoding))
    assert read_predictions(tmp_path / "p.jsonl") == {"a.wav": "d\xf6gs", "b.wav": "rain"}
    (tmp_path / "list.txt").write_bytes("clip/\xe9.wav\r\n\r\n# end\r\nb.wav\r\n".encode(encoding))
    assert list(read_list(str(tmp_path / "list.txt"))) == ["clip/\xe9.wav", "b.wav"]


@pytest.mark.parametrize("folders", [("/data/x/", ""), ("C:\\clips\\", ""), ("", "audio/"), ("D:\\a\\", "audio/b/")])
def test_folders_in_the_names_of_one_side_or_both(folders: tuple[str, str]) -> None:
    predictions, references = ({f"{folder}{name}": name for name in ("a.wav", "b.wav")} for folder in folders)
    corpus = pair(predictions, {name: (caption,) for name, caption in references.items()})
    assert corpus.names == ("a.wav", "b.wav") and corpus.candidates == corpus.names


def test_names_without_a_match_are_shown_in_one_sentence() -> None:
    with pytest.raises(DatasetError, match=r"no file name in common .*'a.flac', 'b.flac'.*'a.wav', 'b.wav'.*suffixes"):
        pair({"a.flac": "x", "b.flac": "y"}, {"a.wav": ("x",), "b.wav": ("y",)})


def test_rows_that_are_reported_of_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_bytes(TABLE.replace("dog", "d\xf6g").encode("latin-1"))
    assert read_predictions(tmp_path / "a.csv")["a.wav"] == "a d\xf6g barks"
    assert "2 rows, 2 usable clips; not UTF-8: 1 ('a.wav')" in caplog.text
