"""Works the app as a screen reader does, through AT-SPI; started by test_screen_reader.py on the system's Python, which has `gi`.

    python3 tests/ui/screen_reader.py PYTHON FOLDER

PYTHON is the interpreter of the app. Prints a line of JSON.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib  # noqa: E402 - once its version is chosen

NAME = "Simulated Audio Caption"
announced: list[tuple[str, int]] = []  # text; 1 for polite, 2 for assertive


def wait(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Let events through until something holds; returns it."""
    until = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > until:
            raise TimeoutError(f"waited in vain; announced so far: {announced}")
        GLib.MainContext.default().iteration(False)
        time.sleep(0.01)
    return found


def walk(part: Any) -> Iterator[Any]:
    yield part
    for number in range(part.get_child_count()):
        child = part.get_child_at_index(number)
        if child is not None:
            yield from walk(child)


def find(app: Any, role: str, name: str) -> Any:
    """The showing part of this role whose name starts with `name`, or None."""
    try:
        return next(
            (
                part
                for part in walk(app)
                if part.get_role_name() == role
                and (part.get_name() or "").startswith(name)
                and part.get_state_set().contains(Atspi.StateType.SHOWING)
            ),
            None,
        )
    except GLib.Error:  # a part went while it was looked at
        return None


def press(app: Any, name: str) -> None:
    """Press a button once it can be pressed."""

    def ready() -> Any:
        part = find(app, "push button", name)
        return part if part is not None and part.get_state_set().contains(Atspi.StateType.SENSITIVE) else None

    button = wait(ready)
    action = button.get_action_iface()
    names = [action.get_action_name(number) for number in range(action.get_n_actions())]
    action.do_action(names.index("Press"))


def text_of(part: Any) -> str:
    return Atspi.Text.get_text(part.get_text_iface(), 0, -1)


def heard(start: str) -> bool:
    return any(text.startswith(start) for text, _ in announced)


def main(python: str, folder: str) -> None:
    Atspi.init()
    listener = Atspi.EventListener.new(lambda event: announced.append((str(event.any_data), event.detail1)))
    listener.register("object:announcement")
    app_process = subprocess.Popen([python, "-m", "tests.ui.simulated_app", folder])
    try:
        desktop = Atspi.get_desktop(0)
        app = wait(
            lambda: next(
                (
                    desktop.get_child_at_index(number)
                    for number in range(desktop.get_child_count())
                    if desktop.get_child_at_index(number).get_name() == NAME
                ),
                None,
            )
        )
        found: dict[str, Any] = {}
        wait(lambda: find(app, "push button", "Record Audio"))
        found["parts"] = [
            (part.get_role_name(), part.get_name())
            for part in walk(app)
            if part.get_state_set().contains(Atspi.StateType.SHOWING)
        ]
        found["threshold"] = find(app, "slider", "Input level").get_value_iface().get_current_value()
        press(app, "Open an Example")
        wait(lambda: heard("siren_then_waves.flac, "))
        found["path"] = text_of(find(app, "text", "Audio Path"))
        found["time"] = wait(lambda: find(app, "label", "00:00 / 00:")).get_name()
        play_head = find(app, "slider", "Audio Waveform")
        found["play_head"] = play_head.get_value_iface().get_maximum_value()
        play_head.get_value_iface().set_current_value(3.0)
        wait(lambda: find(app, "label", "00:03 / 00:"))
        found["picture"] = find(app, "image", "Picture") is not None
        found["visible"] = find(app, "label", "Visible: 00:00").get_name()
        press(app, "Run Model Prediction")
        wait(lambda: heard("Captioned siren_then_waves.flac"))
        found["cells"] = [
            part.get_name() for part in walk(find(app, "tree", "Captions")) if "cell" in part.get_role_name()
        ]
        found["at_play_head"] = wait(lambda: find(app, "label", "At the play head")).get_name()
        press(app, "Listen")
        wait(lambda: heard("a dog barks"))
        found["live"] = wait(lambda: find(app, "tree", "Captions")).get_child_count()
        press(app, "Stop Listening")
        wait(lambda: heard("Listening has ended."))
        press(app, "Record Audio")
        wait(lambda: any(urgency == 2 for _, urgency in announced))
        found["message"] = wait(lambda: find(app, "label", "No microphone")).get_name()
        found["announced"] = announced
        print(json.dumps(found), flush=True)
    finally:
        app_process.terminate()
        app_process.wait(10)


if __name__ == "__main__":
    main(*sys.argv[1:])
