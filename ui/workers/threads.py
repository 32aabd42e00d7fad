"""All workers on their threads."""

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
    """The workers; `close` ends them."""

    captioning: CaptioningWorker
    microphone: MicrophoneWorker
    devices: DeviceWorker
    decoding: DecodingWorker
    playback: PlaybackWorker
    threads: tuple[QThread, ...]

    def close(self) -> bool:
        """End all work now, a recording saved; tells whether every thread has ended within CLOSE_S."""
        self.captioning.close()
        self.decoding.close()
        for worker in (self.microphone, self.playback):
            QMetaObject.invokeMethod(worker, "close", Qt.ConnectionType.QueuedConnection)
        until = time.monotonic() + CLOSE_S
        for thread in self.threads:
            thread.quit()  # after what is queued already
        ended = [thread.wait(max(1, round(1000 * (until - time.monotonic())))) for thread in self.threads]
        QCoreApplication.sendPostedEvents()  # what the workers told last: a recording was saved
        self.decoding.remove_files()
        return all(ended)


def start_workers(engine: Engine, system: SoundSystem) -> Workers:
    """Make the workers and start their threads.

    Args:
        engine: the captioner.
        system: the machine's sound devices, or a test's.
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
