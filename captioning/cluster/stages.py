"""The stages that Ray runs on the machines of a cluster: decoding tasks and captioning actors.

Stages exchange Arrow tables with one column of pickled objects: jobs, then `Clip`s and `Read`s, then events.
"""

import argparse
import pickle
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from captioning.cluster.object_storage import is_url, local_copy
from captioning.jobs import Captioned, Job
from captioning.options import checkpoint_config, choose_decoding, load_captioner
from captioning.pipeline import CaptionerInfo
from captioning.recordings import Clip, Reader, caption_batches
from captioning.settings import checkpoint_path, checkpoint_sha256
from configs.json_files import read_json_object
from data.audio import AudioError

if TYPE_CHECKING:
    import pyarrow

_TABLE_BYTES = 16 * 2**20  # clips per table


class Read(NamedTuple):
    """The end of reading a recording.

    Attributes:
        number: number of the job.
        num_clips: number of its clips.
        error: why it could not be read completely; empty on success.
    """

    number: int
    num_clips: int
    error: str = ""


def to_table(objects: Iterable[object]) -> "pyarrow.Table":
    """Pickle objects into a table with one column."""
    import pyarrow as pa

    return pa.table({"pickled": pa.array([pickle.dumps(one, 5) for one in objects], pa.large_binary())})


def objects_of(table: "pyarrow.Table") -> list[Any]:
    """Return the objects of a table made by `to_table`."""
    return [pickle.loads(one.as_buffer()) for one in table.column("pickled")]


def decode(table: "pyarrow.Table", *, info: CaptionerInfo, options: argparse.Namespace) -> Iterator["pyarrow.Table"]:
    """Decode jobs to `Clip`s, whose `recording` is the number of the job, followed by a `Read` for each job.

    Args:
        table: table of jobs.
        info: properties of the captioner.
        options: options of the command line.
    """
    waiting: list[Clip | Read] = []
    num_bytes = 0
    for job in objects_of(table):
        for piece in _pieces(job, info, options):
            waiting.append(piece)
            num_bytes += piece.waveform.nbytes if isinstance(piece, Clip) else 0
            if num_bytes >= _TABLE_BYTES:
                yield to_table(waiting)
                waiting, num_bytes = [], 0
    if waiting:
        yield to_table(waiting)


def describe_captioner(options: argparse.Namespace) -> CaptionerInfo:
    """Return the properties of a captioner from its folder, without PyTorch; if it has none, load the captioner."""
    config = checkpoint_config(options.ckpt_path)
    if config is None or options.tagger != "own":
        captioner = load_captioner(argparse.Namespace(**vars(options) | {"device": "cpu"}))
        return CaptionerInfo(captioner.max_duration_s, captioner.sample_rate, captioner.calibration is not None)
    encoder = config.captioner.encoder
    metadata = read_json_object(checkpoint_path(options.ckpt_path) / "metadata.json")
    return CaptionerInfo(encoder.max_duration_s, encoder.sample_rate, "calibration" in metadata)


def _pieces(job: Job, info: CaptionerInfo, options: argparse.Namespace) -> Iterator[Clip | Read]:
    ends: list[Read] = []
    reader = Reader(
        info.sample_rate,
        info.max_duration_s,
        options.timeline,
        track=options.track,
        is_done=lambda _, window: window in job.windows_done,
        ended=lambda _, num_clips, error: ends.append(Read(job.number, num_clips, error)),
    )
    try:
        with local_copy(job.name if is_url(job.name) else str(job.path)) as path:
            for clip in reader.clips([(job.name, path, job.references)]):
                yield replace(clip, recording=job.number)
            [end] = ends
            yield end._replace(error=end.error.replace(str(path), job.name))  # replaces the path of the temporary copy
    except AudioError as error:
        yield Read(job.number, 0, str(error))


class CaptionActor:
    """A process with a captioner, loaded once.

    Args:
        options: options of the command line.
        checkpoint: checksum of the driver's checkpoint.

    Raises:
        RuntimeError: this machine's checkpoint has another checksum.
    """

    def __init__(self, options: argparse.Namespace, checkpoint: str) -> None:
        if checkpoint_sha256(options.ckpt_path) != checkpoint:
            raise RuntimeError(
                f"{options.ckpt_path} on {socket.gethostname()} is not the checkpoint of the machine that this command runs on: "
                "put the same checkout and checkpoint in the same place on every machine."
            )
        self._captioner = captioner = load_captioner(options)
        self._decoding = choose_decoding(captioner.config.decoding, options, captioner.config.captioner.styles)
        self._batch_size = options.batch_size
        if options.device == "cpu":
            import torch

            torch.set_num_threads(1)  # there is one actor per core

    def __call__(self, table: "pyarrow.Table") -> "pyarrow.Table":
        """Caption clips, returning `Captioned` events; `Read`s are passed on."""
        pieces = objects_of(table)
        clips = [piece for piece in pieces if isinstance(piece, Clip)]
        numbered = [replace(clip, number=number) for number, clip in enumerate(clips)]
        batches = caption_batches(self._captioner, numbered, self._decoding, self._batch_size)
        events = [Captioned(found.recording, found.window, found.record) for batch in batches for found in batch]
        return to_table([*events, *(piece for piece in pieces if isinstance(piece, Read))])
