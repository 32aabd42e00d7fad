"""Synthetic sounds are written as audible clips."""

import shutil
from pathlib import Path

import pytest
import soundfile

from benchmarks.synthetic_sounds import PROGRAMS, SOUND_FONT, main
from data.labelled.collections import read_labelled

missing = [name for name in PROGRAMS if shutil.which(name) is None] + [SOUND_FONT][SOUND_FONT.is_file() :]


@pytest.mark.skipif(bool(missing), reason=f"{', '.join(map(str, missing))} not installed")
def test_every_sound_is_written_and_audible(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path)]) == 0
    clips = read_labelled(tmp_path)[0]
    assert len(clips) == 35
    for clip in clips:
        waveform, rate = soundfile.read(clip.path)
        assert rate == 32000 and waveform.ndim == 1 and 2 < len(waveform) / rate <= 10, clip.path.name
        assert 0.6 < abs(waveform).max() <= 0.75, clip.path.name  # 3 dB below full scale
