"""The list of recordings to caption: files and folders, listed during captioning, or a split of a data set."""

import argparse
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from captioning.files import Recordings, common_folder, shown_name
from captioning.jobs import Job
from captioning.spool import Spool
from data.clotho import load_split

logger = logging.getLogger("inference")


class Source:
    """Recordings given on the command line.

    Args:
        options: options of the command line, with `inputs`, or `split` and `dataset_root`.

    Attributes:
        folder: absolute path of the folder that contains all recordings.
        num_references: largest number of reference captions of a recording.

    Raises:
        ValueError: nothing to caption, an argument without recordings, or options that do not go together.
        DatasetError: the data set cannot be read.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.num_references = 0
        self._jobs: list[Job] | None = None
        if options.split:
            if not options.dataset_root or options.inputs:
                raise ValueError("--split needs --dataset_root and no other files.")
            self.folder = os.path.abspath(options.dataset_root)
            clips = load_split(options.dataset_root, options.split)
            self._jobs = [Job(number, clip.name, clip.path, clip.captions) for number, clip in enumerate(clips)]
            self.num_references = max((len(clip.captions) for clip in clips), default=0)
            return
        if not options.inputs:
            raise ValueError(
                "nothing to caption: give recordings, folders or patterns (or --split with --dataset_root)."
            )
        self._recordings = Recordings(options.inputs)
        self._recordings.check()
        self.folder = common_folder(options.inputs)
        self._spool = Spool(os.fsencode(name) for name in self._recordings)

    @property
    def num_listed(self) -> int:
        """Number of recordings listed so far."""
        return len(self._jobs) if self._jobs is not None else self._spool.num_listed

    @property
    def all_listed(self) -> bool:
        """Whether the list is complete."""
        return self._jobs is not None or self._spool.finished

    @property
    def num_left_out(self) -> int:
        """Number of files in folders that have been skipped so far."""
        return 0 if self._jobs is not None else self._recordings.num_left_out

    def at_least(self, number: int) -> int:
        """Wait until `number` recordings, or all, are listed; return how many are listed, at most `number`."""
        return min(number, len(self._jobs) if self._jobs is not None else self._spool.wait(number))

    def __iter__(self) -> Iterator[Job]:
        """Yield recordings as they are listed.

        Raises:
            ValueError: an argument no longer gives any recording.
        """
        if self._jobs is not None:
            yield from self._jobs
            return
        num_escaped, first = 0, ""
        for number, name in enumerate(self._spool):
            path = os.fsdecode(name)
            shown = shown_name(path)
            if shown != path:
                num_escaped += 1
                first = first or shown
            yield Job(number, shown, Path(path))
        if num_escaped:
            logger.warning("names that are not UTF-8 (%d) are written with escapes: %s.", num_escaped, first)
        if summary := self._recordings.skipped_summary():
            logger.warning("%s", summary)
