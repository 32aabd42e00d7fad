"""Worker that loads and runs the captioner."""

from PyQt6.QtCore import QObject, pyqtSignal, pyqtSlot

from data.caption_formats import CaptionRecord
from ui.engine.requests import Cancelled, CaptionerChoice, CaptionRequest, Engine, EngineError


class CaptioningWorker(QObject):
    """Loads captioners and captions recordings on its thread, one request after another.

    Args:
        engine: the captioner.
    """

    loaded = pyqtSignal(object)  # CaptionerInfo
    load_failed = pyqtSignal(str)
    progress = pyqtSignal(str, float, list)  # the job's key; completed fraction, 0 to 1; captions since the last signal
    done = pyqtSignal(str, list)  # the job's key; its records
    failed = pyqtSignal(str, str)  # the job's key; error message
    cancelled = pyqtSignal(str)

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    @pyqtSlot(object)
    def load(self, choice: CaptionerChoice) -> None:
        """Load a captioner unless it is already loaded."""
        try:
            self.loaded.emit(self._engine.load(choice))
        except EngineError as error:
            self.load_failed.emit(str(error))

    @pyqtSlot(str, object)
    def caption(self, key: str, request: CaptionRequest) -> None:
        """Caption a recording; emits exactly one of `done`, `failed` and `cancelled` at the end."""

        def report(share: float, records: list[CaptionRecord]) -> None:
            self.progress.emit(key, share, records)

        try:
            self.done.emit(key, self._engine.caption_file(request, report))
        except Cancelled:
            self.cancelled.emit(key)
        except EngineError as error:
            self.failed.emit(key, str(error))

    def cancel(self) -> None:
        """Cancel captioning of the current recording; may be called from any thread."""
        self._engine.cancel()

    def close(self) -> None:
        """Stop the captioner; may be called from any thread."""
        self._engine.close()
