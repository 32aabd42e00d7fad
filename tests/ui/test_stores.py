"""History, queue and exports, without a window."""

import csv
import io
import json
from pathlib import Path

import pytest

from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption
from ui.store import history as history_module
from ui.store.caption_queue import CaptionQueue, Status
from ui.store.documents import Document, Kind, Review, Row
from ui.store.exports import EXPORT_FORMS, as_sound_event, export, export_targets, export_text, shown_text
from ui.store.history import History

RECORDS = [
    CaptionRecord(
        "walk.wav", 0.0, 5.0, (ScoredCaption("a dog barks.", -1.5), ScoredCaption("an animal is heard", -2.5))
    ),
    CaptionRecord("walk.wav", 5.0, 10.0, SILENCE),
    CaptionRecord("walk.wav", 10.0, 15.5, (ScoredCaption("rain falls & <drips>", -2.0, 0.5),)),
]


def test_a_history_survives_a_restart(tmp_path: Path) -> None:
    history = History(tmp_path / "new" / "history")
    first = history.add(Kind.RECORDING, "/sounds/one.wav")
    second = history.add(Kind.FILE, "/sounds/two.wav", RECORDS)
    first.rows = [Row(RECORDS[0], Review.ACCEPTED, "2026-11-30T10:00:00")]
    history.keep(first)
    again = History(tmp_path / "new" / "history")
    assert [entry.key for entry in again.entries] == [second.key, first.key]
    assert again.entries == history.entries
    assert again.entries[1].records == tuple(RECORDS[:1]) and again.entries[0].records == tuple(RECORDS)
    assert again.entries[1].rows == first.rows
    assert again.find("/sounds/one.wav") == again.entries[1] and again.find("nothing") is None
    names = sorted(path.name for path in (tmp_path / "new" / "history").iterdir())
    assert names == sorted(f"{key}.json" for key in (first.key, second.key))


def test_entries_from_before_probabilities_were_calibrated_are_read(tmp_path: Path) -> None:
    entry = History(tmp_path).add(Kind.FILE, "/sounds/two.wav", RECORDS)
    path = tmp_path / f"{entry.key}.json"
    content = json.loads(path.read_text())
    for record in content["records"]:
        record["captions"] = [caption[:2] for caption in record["captions"]]
    path.write_text(json.dumps(content))
    [old] = History(tmp_path).entries
    assert old.records[:2] == tuple(RECORDS[:2]) and old.records[2].captions[0].probability is None


def test_deleting_never_touches_files_of_others(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    for kind in (Kind.RECORDING, Kind.FILE, Kind.RECORDING):
        (tmp_path / f"{len(history.entries)}.wav").write_text("sound")
        history.add(kind, str(tmp_path / f"{len(history.entries)}.wav"))
    kept, foreign, own = history.entries[::-1]
    history.delete(own.key, with_recording=True)
    history.delete(foreign.key, with_recording=True)
    history.delete(kept.key)
    assert history.entries == [] and list((tmp_path / "history").iterdir()) == []
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["0.wav", "1.wav"]


def test_a_damaged_entry_is_renamed_and_reported_and_the_others_stay(tmp_path: Path) -> None:
    history = History(tmp_path)
    damaged, whole = history.add(Kind.FILE, "a.wav"), history.add(Kind.FILE, "b.wav")
    (tmp_path / f"{damaged.key}.json").write_text('{"key": ')
    again = History(tmp_path)
    assert [entry.key for entry in again.entries] == [whole.key] and "is skipped" in str(again.notice)
    assert (tmp_path / f"{damaged.key}.damaged").read_text() == '{"key": '


def test_the_oldest_entries_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "MAX_ENTRIES", 3)
    history = History(tmp_path)
    for number in range(5):
        history.add(Kind.FILE, f"{number}.wav")
    assert [entry.path for entry in History(tmp_path).entries] == ["4.wav", "3.wav", "2.wav"]


def test_a_queue_knows_status_share_and_time_left() -> None:
    now = 0.0
    documents = [Document(str(number), Kind.FILE, "", f"{number}.wav") for number in range(7)]
    queue = CaptionQueue(lambda: now)
    queue.add([documents[number] for number in (1, 2, 3, 4, 2)])
    assert len(queue.items) == 4 and queue.time_left_s is None
    now = 300.0  # a person comes back after lunch
    queue.begin()
    first = queue.next()
    assert first is not None and first.status is Status.WORKING and queue.next() is None
    now, first.share = 310.0, 0.5
    assert queue.share == 0.125 and queue.time_left_s == pytest.approx(70.0)
    first.status = Status.FAILED
    second = queue.next()
    assert second is queue.items[1] and queue.share == 0.25
    queue.clear()  # what has ended counts in its run all the same
    assert len(queue.items) == 3 and queue.share == 0.25
    queue.add([documents[6]])  # and so does what is added
    assert queue.share == 0.2
    queue.cancel()
    assert [item.status for item in queue.items] == [Status.CANCELLED] * 4
    queue.add([documents[5]])
    queue.begin()  # what was cancelled is tried again
    assert queue.share == 0.0 and queue.next() is queue.items[0]
    assert [item.status for item in queue.items[1:]] == [Status.WAITING] * 4
    queue.items[0].status = Status.DONE
    queue.clear()
    assert [item.path.name for item in queue.items] == ["3.wav", "4.wav", "6.wav", "5.wav"]


def test_exports_have_every_form() -> None:
    assert export_text(RECORDS, "txt").splitlines()[:3] == [
        "walk.wav", "00:00:00.000 - 00:00:05.000  a dog barks.", "    an animal is heard",
    ]  # fmt: skip
    assert export_text(RECORDS, "audacity").startswith("0.000000\t5.000000\ta dog barks.\n")
    assert export_text(RECORDS, "raven").splitlines()[0].startswith("Selection\tView\tChannel\tBegin Time (s)")
    rows = list(csv.DictReader(io.StringIO(export_text(RECORDS, "csv"))))
    assert [row["caption_predicted"] for row in rows] == ["a dog barks.", "silence", "rain falls & <drips>"]
    found = json.loads(export_text(RECORDS, "json"))
    assert found[0]["captions"][1] == {"text": "an animal is heard", "log_probability": -2.5}
    assert export_text(RECORDS, "srt").startswith("1\n00:00:00,000 --> 00:00:05,000\na dog barks.\n")
    assert "rain falls &amp; &lt;drips&gt;" in export_text(RECORDS, "vtt")


def test_sound_event_subtitles_are_bracketed_and_leave_silence_out() -> None:
    text = export_text(RECORDS, "srt_events")
    assert "[dog barks]" in text and "silence" not in text and text.count("-->") == 2
    assert as_sound_event("A dog barks twice.") == "[dog barks twice]"
    assert as_sound_event("the sea, and another bell") == "[sea, and another bell]"
    assert as_sound_event("theatre applause") == "[theatre applause]"


def test_files_are_written_whole_and_subtitles_one_for_each_recording(tmp_path: Path) -> None:
    other = CaptionRecord("bell.wav", 0.0, 3.0, (ScoredCaption("a bell rings", -1.0),))
    for form, kind in EXPORT_FORMS.items():
        targets = export_targets([*RECORDS, other], tmp_path / "all", form)
        export(targets, form)
        wanted = ["all_walk", "all_bell"] if kind.one_recording else ["all"]
        assert [path.name for path in targets] == [name + kind.suffix for name in wanted]
        assert "bell rings" in list(targets)[-1].read_text()
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(ValueError, match="no captions"):
        export_targets([], tmp_path / "captions.txt", "txt")


def test_two_recordings_of_one_name_get_two_subtitle_files(tmp_path: Path) -> None:
    records = [
        CaptionRecord(f"{folder}/a.wav", 0.0, 1.0, (ScoredCaption(f"sound of {folder}", -1.0),))
        for folder in ("x", "y")
    ]
    targets = export_targets(records, tmp_path / "all.srt", "srt")
    export(targets, "srt")
    assert len(targets) == 2 and "sound of y" in list(targets)[1].read_text()


def test_silence_is_shown_in_brackets() -> None:
    assert [shown_text(record) for record in RECORDS] == ["a dog barks.", "(silence)", "rain falls & <drips>"]
