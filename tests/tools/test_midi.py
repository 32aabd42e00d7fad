"""Scores that are MIDI."""

from tools.midi import TICKS, Note, midi


def test_a_score_is_a_midi_file_of_one_track() -> None:
    score = midi(19, [Note(0.0, 1.0, 60), Note(1.0, 2.0, 64)])
    assert score[:4] == b"MThd" and score[12:14] == TICKS.to_bytes(2, "big")
    track = score[score.index(b"MTrk") + 8 :]
    assert int.from_bytes(score[18:22], "big") == len(track)
    # Organ; key 60 on; a quarter (480 = 0x83 0x60) later off, key 64 on; two quarters (960 = 0x87 0x40) later off; end.
    assert track.hex(" ") == "00 c0 13 00 90 3c 64 83 60 80 3c 00 00 90 40 64 87 40 80 40 00 00 ff 2f 00"


def test_drums_have_a_channel_of_their_own_and_no_program() -> None:
    assert midi(None, [Note(0.0, 1.0, 36)])[22:26] == bytes([0, 0x99, 36, 100])


def test_a_note_may_be_struck_harder() -> None:
    assert midi(None, [Note(0.0, 1.0, 36, 120)])[22:26] == bytes([0, 0x99, 36, 120])
