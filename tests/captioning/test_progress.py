"""What a run prints: repeated warnings are limited, and reasons of failures are counted."""

import logging

import pytest

from captioning.jobs import Captioned, Ended
from captioning.progress import ProgressBar, Tally, WarningLimit
from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption

logger = logging.getLogger("reader")


def long(number: int) -> None:
    logger.warning("%s is %d s long", f"{number}.wav", 60)


@pytest.mark.parametrize("shown", [False, True])
def test_a_warning_of_every_recording_is_printed_a_few_times(caplog: pytest.LogCaptureFixture, shown: bool) -> None:
    with ProgressBar(shown):
        for number in range(50):
            long(number)
            logger.info("%d is done", number)
        logger.warning("the disk is nearly full")
        logger.warning("%s", "c.wav is truncated", extra={"kind": "%s is truncated"})
        logger.error("d.wav is empty")
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told[:20] == [f"{number}.wav is 60 s long" for number in range(20)]
    assert told[20:] == [
        "the disk is nearly full",
        "c.wav is truncated",
        "d.wav is empty",
        "30 more of these warnings were not printed: 0.wav is 60 s long",
    ]
    caplog.clear()
    long(51)  # outside a run nothing is held back
    assert [record.getMessage() for record in caplog.records] == ["51.wav is 60 s long"]


def test_two_handlers_of_one_record_agree() -> None:
    limit = WarningLimit(1)
    records = [logging.LogRecord("reader", logging.WARNING, "", 0, "%s is long", (name,), None) for name in "ab"]
    assert [limit.filter(record) for record in (records[0], records[0], records[1], records[1])] == [
        True, True, False, False
    ]  # fmt: skip
    assert limit.summary() == ["1 more of these warnings were not printed: a is long"]


def test_the_summary_has_the_reasons_of_earlier_failures() -> None:
    tally = Tally()
    for name in ("a.wav", "b.wav"):
        tally.add_before("failed", name, f"{name} is empty (0 bytes).")
    tally.add_before("silent")
    record = CaptionRecord("d.wav", 0.0, 1.0, (ScoredCaption("rain", -1.0),))
    tally.add([Captioned(3, 0, record), Ended(3, "d.wav"), Ended(4, "e.wav", "e.wav is too short: 0.01 s.")])
    tally.add([Captioned(5, 0, CaptionRecord("f.wav", 0.0, 1.0, SILENCE)), Ended(5, "f.wav")])
    assert tally.summary(2) == (
        "captioned 3 recordings, 2 of them silent; 3 failed (2 x is empty (0 bytes); 1 x is too short); 2 left out. "
        "3 of these were done before. --retry_failed tries those that failed before again."
    )
