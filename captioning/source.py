"""The list of recordings to caption: of files and folders, listed while captioning goes on, or of a data set's split."""

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
    """Recordings that the command line names.

    Args:
        options: with `inputs`, or `split` and `dataset_root`.

    Attributes:
        folder: what all of them are in, absolute.
        num_references: the most ground truths of one.

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
        """Recordings that are listed so far."""
        return len(self._jobs) if self._jobs is not None else self._spool.num_listed

    @property
    def all_listed(self) -> bool:
        """Whether these are all."""
        return self._jobs is not None or self._spool.finished

    @property
    def num_left_out(self) -> int:
        """Files of folders that are not captioned, so far."""
        return 0 if self._jobs is not None else self._recordings.num_left_out

    def at_least(self, number: int) -> int:
        """Wait until so many recordings, or all, are listed; returns how many of them there are, `number` at most."""
        return min(number, len(self._jobs) if self._jobs is not None else self._spool.wait(number))

    def __iter__(self) -> Iterator[Job]:
        """Recordings, as they become known.

        Raises:
            ValueError: an argument has none any more.
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
        if told := self._recordings.told():
            logger.warning("%s", told)
