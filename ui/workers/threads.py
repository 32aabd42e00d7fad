"""Creation of the workers and their threads."""

import time
from dataclasses import dataclass

from PyQt6.QtCore import QCoreApplication, QMetaObject, QObject, Qt, QThread

from ui.engine.requests import Engine
from ui.sound.devices import SoundSystem
from ui.workers.captioning_worker import CaptioningWorker
from ui.workers.microphone_worker import DeviceWorker, MicrophoneWorker
from ui.workers.playback_worker import DecodingWorker, PlaybackWorker

CLOSE_S = 2.0


@dataclass(frozen=True)
class Workers:
    """All workers; `close` stops them."""

    captioning: CaptioningWorker
    microphone: MicrophoneWorker
    devices: DeviceWorker
    decoding: DecodingWorker
    playback: PlaybackWorker
    threads: tuple[QThread, ...]

    def close(self) -> bool:
        """Save the recording in progress and stop all workers; return whether all threads ended within CLOSE_S."""
        self.captioning.close()
        self.decoding.close()
        for worker in (self.microphone, self.playback):
            QMetaObject.invokeMethod(worker, "close", Qt.ConnectionType.QueuedConnection)
        until = time.monotonic() + CLOSE_S
        for thread in self.threads:
            thread.quit()  # after the events already queued
        ended = [thread.wait(max(1, round(1000 * (until - time.monotonic())))) for thread in self.threads]
        QCoreApplication.sendPostedEvents()  # deliver the workers' last signals, such as a saved recording
        self.decoding.remove_files()
        return all(ended)


def start_workers(engine: Engine, system: SoundSystem) -> Workers:
    """Create the workers and start their threads.

    Args:
        engine: the captioner.
        system: access to the sound devices.
    """
    captioning = CaptioningWorker(engine)
    microphone = MicrophoneWorker(system.open_input, engine)
    devices = DeviceWorker(system)
    decoding = DecodingWorker()
    playback = PlaybackWorker(system.open_output)
    groups: tuple[tuple[QObject, ...], ...] = ((captioning,), (microphone, devices), (decoding,), (playback,))
    threads = []
    for group in groups:
        thread = QThread()
        for worker in group:
            worker.moveToThread(thread)
        thread.start()
        threads.append(thread)
    return Workers(captioning, microphone, devices, decoding, playback, tuple(threads))
