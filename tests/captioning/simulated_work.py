"""What a process of a team does in the tests: it captions nothing, and ends where a name says so."""

import os
import signal
import time
from multiprocessing.connection import Connection

from captioning.jobs import Captioned, Ended
from captioning.pipeline import CaptionerInfo
from data.caption_formats import SILENCE, CaptionRecord


def work(connection: Connection, options: object, num_threads: int) -> None:
    """Tell the events of jobs one by one."""
    connection.send(("ready", CaptionerInfo(10.0, 32000, True)))
    while True:
        try:
            jobs = connection.recv()
        except EOFError:
            return
        for job in jobs:
            if job.name == "deadly":
                time.sleep(0.05)
                os.kill(os.getpid(), signal.SIGKILL)
            if job.name == "wrong":
                return connection.send(("error", "the checkpoint is damaged."))
            record = CaptionRecord(job.name, 0.0, 1.0, SILENCE)
            connection.send(("events", [Captioned(job.number, 0, record), Ended(job.number, job.name)]))


def dying(connection: Connection, options: object, num_threads: int) -> None:
    """End at once."""
    os._exit(3)
