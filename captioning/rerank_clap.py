"""Re-rank candidate captions by their CLAP similarity to the recording.

The captioner generates `--candidates` captions, CLAP's two encoders compare each with the recording at CLAP's sample rate, and
the most similar captions are kept. Re-ranking as in Wu et al., "Improving Audio Captioning Models with Fine-grained Audio
Features, Text Embedding Supervision, and LLM Mix-up Augmentation", ICASSP 2024, arXiv 2309.17352, by similarity alone.
"""

import argparse
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from captioning.options import choose_device
from configs.schema import DecodingConfig
from data.audio import AudioError, load_audio
from data.caption_formats import SILENCE, CaptionRecord

if TYPE_CHECKING:
    from models.encoders.clap import ClapScorer

logger = logging.getLogger(__name__)

DEFAULT_WEIGHTS = "laion/clap-htsat-unfused"


def add_rerank_options(parser: argparse.ArgumentParser) -> None:
    """Add the re-ranking options."""
    group = parser.add_argument_group("re-ranking")
    group.add_argument(
        "--rerank", choices=("clap",), help="re-rank candidate captions by their similarity to the audio"
    )
    group.add_argument("--clap_weights", default=DEFAULT_WEIGHTS, help="CLAP checkpoint: folder or Hub id")
    group.add_argument("--candidates", type=int, default=10, help="candidates per clip, 2 or more (default: 10)")


class ClapReranker:
    """Re-ranks candidate captions with CLAP.

    Args:
        scorer: CLAP's audio and text encoders.
        candidates: number of candidate captions per clip, 2 or more.
        num_captions: number of captions to keep.
        track: captioned audio track of a container, from 1.

    Raises:
        ValueError: fewer than two candidates, or fewer than `num_captions`.
    """

    def __init__(self, scorer: "ClapScorer", candidates: int, num_captions: int, track: int = 1) -> None:
        _check_candidates(candidates, num_captions)
        self.scorer, self.candidates, self.num_captions, self.track = scorer, candidates, num_captions, track
        self.errors: list[str] = []

    def rerank(self, records: Sequence[CaptionRecord], paths: Mapping[str, Path]) -> list[CaptionRecord]:
        """Return records with the captions most similar to their part of the recording, best first, and their similarities.

        Silent records are unchanged. For a recording that can no longer be read, an error is noted and the order is unchanged.

        Args:
            records: records with all candidates.
            paths: path of the recording, by `CaptionRecord.file`.
        """
        return [self.rerank_one(record, paths[record.file]) for record in records]

    def rerank_one(self, record: CaptionRecord, path: Path) -> CaptionRecord:
        """Re-rank one record of the recording at `path`, as `rerank` does."""
        import torch  # the import takes seconds, and the options do not need it

        if record.captions == SILENCE:
            return record
        try:
            waveform = load_audio(
                path,
                self.scorer.sample_rate,
                start_s=record.start_s,
                max_duration_s=record.end_s - record.start_s,
                track=self.track,
            )
        except AudioError as error:
            self.errors.append(str(error))
            logger.error("not re-ranked: %s", error)
            return dataclasses.replace(record, captions=record.captions[: self.num_captions])
        found = self.scorer.similarities(torch.from_numpy(waveform), [caption.text for caption in record.captions])
        best = sorted(range(len(found)), key=lambda index: -found[index])[: self.num_captions]
        captions = tuple(record.captions[index] for index in best)
        return dataclasses.replace(record, captions=captions, similarities=tuple(found[index] for index in best))


def _check_candidates(candidates: int, num_captions: int) -> None:
    if candidates < 2 or candidates < num_captions:
        raise ValueError(f"--candidates {candidates} is too small: give 2 or more, and at least --num_captions.")


def check_rerank(options: argparse.Namespace, decoding: DecodingConfig) -> None:
    """Check that re-ranking has several candidates to choose from.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    if options.rerank is None:
        return
    if decoding.method == "greedy":
        raise ValueError(
            "--rerank needs several candidates, and greedy decoding gives one: use --method sample or beam."
        )
    _check_candidates(options.candidates, decoding.num_captions)


def load_reranker(options: argparse.Namespace, decoding: DecodingConfig) -> ClapReranker | None:
    """Return the re-ranker given on the command line; None without `--rerank`.

    Raises:
        ValueError: there are too few candidates.
        CheckpointError: the CLAP checkpoint does not exist.
    """
    if options.rerank is None:
        return None
    check_rerank(options, decoding)
    from models.encoders.clap import ClapScorer

    scorer = ClapScorer(options.clap_weights).to(choose_device(options.device))
    track = getattr(options, "track", None) or 1
    return ClapReranker(scorer, options.candidates, decoding.num_captions, track)
