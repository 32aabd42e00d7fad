"""Sounds of our own making: scores that are MIDI, and files that sound."""

import shutil
from pathlib import Path

import pytest
import soundfile

from benchmarks.made_sounds import PROGRAMS, SOUND_FONT, TICKS, main, midi
from data.labelled import read_labelled

missing = [name for name in PROGRAMS if shutil.which(name) is None] + [SOUND_FONT][SOUND_FONT.is_file() :]


def test_a_score_is_a_midi_file_of_one_track() -> None:
    score = midi(19, [(0.0, 1.0, 60), (1.0, 2.0, 64)])
    assert score[:4] == b"MThd" and score[12:14] == TICKS.to_bytes(2, "big")
    track = score[score.index(b"MTrk") + 8 :]
    assert int.from_bytes(score[18:22], "big") == len(track)
    # Organ; key 60 on; a quarter (480 = 0x83 0x60) later off, key 64 on; two quarters (960 = 0x87 0x40) later off; end.
    assert track.hex(" ") == "00 c0 13 00 90 3c 64 83 60 80 3c 00 00 90 40 64 87 40 80 40 00 00 ff 2f 00"


def test_drums_have_a_channel_of_their_own_and_no_program() -> None:
    assert midi(None, [(0.0, 1.0, 36)])[22:26] == bytes([0, 0x99, 36, 100])


@pytest.mark.skipif(bool(missing), reason=f"{', '.join(map(str, missing))} not installed")
def test_every_sound_is_made_and_is_heard(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path)]) == 0
    clips = read_labelled(tmp_path)[0]
    assert len(clips) == 35
    for clip in clips:
        waveform, rate = soundfile.read(clip.path)
        assert rate == 32000 and waveform.ndim == 1 and 2 < len(waveform) / rate <= 10, clip.path.name
        assert 0.6 < abs(waveform).max() <= 0.75, clip.path.name  # 3 dB below full scale
