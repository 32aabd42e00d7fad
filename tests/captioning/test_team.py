"""Processes side by side: everything is captioned once, whichever of them ends."""

import argparse
from collections import Counter
from pathlib import Path

import pytest

from captioning import team
from captioning.jobs import Ended, Job
from captioning.team import Team
from tests.captioning import simulated_work


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_work", simulated_work.work)
    monkeypatch.setattr(team, "_PRELOADED", {"local": []})


def run(names: list[str], num_processes: int, chunk: int = 7) -> dict[int, str]:
    """Error of each recording by number; each is told once."""
    jobs = [Job(number, name, Path(name)) for number, name in enumerate(names)]
    ready: list[object] = []
    many = Team(argparse.Namespace(), num_processes, 1, ready.append)
    chunks = (jobs[start : start + chunk] for start in range(0, len(jobs), chunk))
    ends = [event for events in many.events(chunks) for event in events if isinstance(event, Ended)]
    assert len(ready) >= (1 if names else 0) and max(Counter(end.number for end in ends).values(), default=1) == 1
    assert all(not member.process.is_alive() or member.process.join(10) is None for member in many._members)
    return {end.number: end.error for end in ends}


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_everything_is_captioned_once(num_processes: int) -> None:
    assert run([f"{number}.wav" for number in range(60)], num_processes) == dict.fromkeys(range(60), "")
    assert run([], num_processes) == {}


def test_a_recording_with_which_a_process_ends_twice_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    names = [f"{number}.wav" for number in range(60)]
    for deadly in (5, 6, 31, 59):
        names[deadly] = "deadly"
    errors = run(names, 2)
    assert sorted(number for number, error in errors.items() if error) == [5, 6, 31, 59] and len(errors) == 60
    assert errors[31].startswith("the process that captioned deadly ended by SIGKILL")
    assert "captioned one by one" in caplog.text


def test_what_cannot_be_loaded_is_reported() -> None:
    with pytest.raises(RuntimeError, match="the checkpoint is damaged"):
        run(["a.wav", "wrong"], 2)


def test_a_process_that_ends_before_it_captions_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_work", simulated_work.dying)
    with pytest.raises(RuntimeError, match="a process ended with exit status 3 while it loaded"):
        run(["a.wav", "b.wav"], 2)
