r"""Checkpoints and tables of captions, compared on human references, another system's captions and labelled clips.

    python -m benchmarks yardstick --captioned datasets/captioned datasets/captioned_more --sounds datasets/ESC-50 \
        --labelled datasets/labelled datasets/labelled_more --left_out animals --ckpt_path checkpoints/any_sound runs/a/best \
        --captions CoNeTTE=datasets/peers/conette_captioned.csv --peer CoNeTTE --half choose --num_beams 6 \
        --output runs/yardstick.md

- Captioned clips: the validation split of each data set, by corpus and data set; corpora of several data sets are also pooled.
  CIDEr-D uses the document frequencies of the group's references. Checkpoints write in the style of the clip's corpus unless
  --style is given. "Invented" is the share of captions that name a sound which no reference names (`evaluation.invented`);
  lower is better.
- --peer: every system compared with one table of captions on their common clips, by paired bootstrap.
- Sounds: fold 4 of a data set in the layout of ESC-50, and mixtures of two of these sounds, drawn as by
  `data.labelled.mixtures` with the same seed.
- Labelled clips: by collection (first folder of the file name), how often a caption names the main class of the label.
  --left_out marks collections that no checkpoint was trained on.
- Decoding settings are options (--num_beams 6); the default is each checkpoint's own.

--half choose and --half confirm are fixed, disjoint halves of the clips: tune settings on one and confirm them on the other
(mixtures of both halves share their single sounds). Settings are tuned by the choice score (`choice_score`, over the groups of
AudioCaps), which is printed last. Intervals are 95 % bootstrap percentiles over clips.
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import yardstick_tables as tables
from benchmarks.common import add_device, add_output, caption_texts, publish
from benchmarks.judging import (
    CHOOSING,
    HALVES,
    MEASURES,
    judge_captioned,
    judge_labelled,
    judge_pairs,
    judge_sounds,
    some_of,
)
from captioning.options import add_decoding_options, choose_decoding, choose_device
from configs.checks import COUNT, POSITIVE_COUNT, outside, refuse
from configs.commands import command_parser, run_command
from data.clotho import Clip, FileClip, load_split
from data.labelled.collections import find_layout, read_labelled
from data.labelled.mixtures import make_mixtures, read_collection
from data.tables import DatasetError
from evaluation.inputs import read_predictions
from evaluation.overlap import MeasureResult
from evaluation.scores import Score, as_score
from models.captioner import AudioCaptioner

logger = logging.getLogger(__name__)

VALIDATION_FOLD = 4
CHOICE_CORPUS = "audiocaps"

Captions = dict[str, dict[str, str]]


def choice_score(
    cider_d: NDArray[np.float64], invented: NDArray[np.float64], num_clips: Sequence[int]
) -> NDArray[np.float64]:
    """Score by which settings and checkpoints are chosen; higher is better.

    It is the unweighted mean of the groups' CIDEr-D minus the share of invented captions over all their clips. The unweighted
    mean keeps the largest group from dominating; the second term counteracts naming additional sounds, which CIDEr-D rewards.

    Args:
        cider_d: (G, ...) CIDEr-D of each of G groups, 0 to 10; further dimensions are resamples.
        invented: (G, ...) share of captions that name a sound which no reference names, 0 to 1.
        num_clips: (G,) clips of each group.

    Returns:
        (...) the score, -1 to 10.
    """
    score: NDArray[np.float64] = np.mean(cider_d, axis=0) - np.average(invented, axis=0, weights=num_clips)
    return score


@dataclass(frozen=True)
class Group:
    """Captioned clips that are scored together.

    Attributes:
        name: name in tables.
        corpus: corpus of the clips, which is their style; empty if unknown.
        clips: clips of the group.
        pooled: whether the group is the union of others.
    """

    name: str
    corpus: str
    clips: list[FileClip]
    pooled: bool = False

    @property
    def chooses(self) -> bool:
        """Whether the group enters the choice score."""
        return self.corpus == CHOICE_CORPUS and not self.pooled


@dataclass(frozen=True)
class Material:
    """Clips to evaluate on.

    Attributes:
        groups: captioned clips; pooled groups last.
        sounds: labelled single sounds, then mixtures of two.
        collections: labelled clips by path within their folder, by collection.
    """

    groups: list[Group]
    sounds: list[Clip]
    collections: dict[str, dict[str, FileClip]]


def read_groups(roots: Sequence[Path], half: str) -> list[Group]:
    """Read the validation clips of captioned data sets, grouped by data set and corpus, and pooled by corpus.

    Raises:
        DatasetError: a data set cannot be read, or a clip name occurs twice.
    """
    groups: list[Group] = []
    for root in roots:
        clips = some_of(load_split(root, "validation", 0.0, 0), lambda clip: clip.name, half, None)
        for corpus in sorted({clip.style for clip in clips}):
            own = [clip for clip in clips if clip.style == corpus]
            groups.append(Group(f"{corpus or 'clips'} of {root.name}", corpus, own))
    names = [clip.name for group in groups for clip in group.clips]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetError(
            f"{len(twice)} clip names occur twice in the captioned data ({twice[0]!r}): expected each name once."
        )
    for corpus in sorted({group.corpus for group in groups}):
        parts = [group for group in groups if group.corpus == corpus and not group.pooled]
        if len(parts) > 1:
            pooled = [clip for group in parts for clip in group.clips]
            groups.append(Group(f"{corpus or 'clips'}, pooled", corpus, pooled, pooled=True))
    return groups


def read_sounds(root: Path, num_mixtures: int, half: str, limit: int | None) -> list[Clip]:
    """Single clips of the validation fold and mixtures of them: those of a half, at most `limit` of each kind."""
    folded = [sound for sound in read_collection(root) if sound.fold == VALIDATION_FOLD]
    singles = [FileClip(sound.path, (), (sound.category,), sound.source_id) for sound in folded]
    mixtures = make_mixtures(singles, num_mixtures, 0) if num_mixtures else []
    return [
        *some_of(singles, lambda clip: clip.name, half, limit),
        *some_of(mixtures, lambda clip: clip.name, half, limit),
    ]


def read_collections(roots: Sequence[Path], half: str, limit: int | None) -> dict[str, dict[str, FileClip]]:
    """Labelled clips by collection and path; a collection is the first folder of the path, or else the data set's name.

    Raises:
        DatasetError: a data set cannot be read.
    """
    found: dict[str, dict[str, FileClip]] = {}
    for root in roots:
        clips = [clip for part in read_labelled(root) for clip in part]
        layout = find_layout(root)
        assert layout is not None  # read_labelled has found it
        for clip in clips:
            path = clip.path.relative_to(layout[1])
            collection = path.parts[0] if len(path.parts) > 1 else root.name
            found.setdefault(collection, {})[path.as_posix()] = clip
    return {
        name: dict(some_of(list(clips.items()), lambda item: item[0], half, limit)) for name, clips in found.items()
    }


def caption_groups(captioner: AudioCaptioner, groups: Sequence[Group], style: str) -> dict[str, str]:
    """Best caption of each clip by name; style as for `benchmarks.common.clip_style`."""
    clips = [clip for group in groups if not group.pooled for clip in group.clips]
    return {clip.name: text for clip, text in zip(clips, caption_texts(captioner, clips, style), strict=True)}


def choose(group_scores: Sequence[Mapping[str, Score]]) -> Score:
    """Choice score of one system from its scores by group, with its interval."""
    cider_d, invented = ([scores[key] for scores in group_scores] for key in ("cider_d", "invented"))
    columns = [[score.value for score in part] for part in (cider_d, invented)]
    if not group_scores or any(value is None for column in columns for value in column):
        return Score(None)
    num_clips = [0 if score.per_clip is None else len(score.per_clip) for score in invented]
    value = choice_score(np.array(columns[0]), np.array(columns[1]), num_clips)
    drawn = [[score.resampled for score in part if score.resampled is not None] for part in (cider_d, invented)]
    resampled = choice_score(np.stack(drawn[0]), np.stack(drawn[1]), num_clips)
    return as_score(MeasureResult(float(value), np.zeros(0), resampled))


def systems_of(group: Group, groups: Sequence[Group], captions: Captions) -> Captions:
    """Captions of the systems to score on a group; on a pooled one, those with clips of at least two of its parts."""
    if not group.pooled:
        return captions
    parts = [part for part in groups if part.corpus == group.corpus and not part.pooled]
    return {
        system: said
        for system, said in captions.items()
        if sum(any(clip.name in said for clip in part.clips) for part in parts) > 1
    }


def report_captioned(
    groups: Sequence[Group], captions: Captions, peer: str | None, measures: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Sections of the report on captioned clips, and the section of the choice score, which is printed last."""
    judged = [systems_of(group, groups, captions) for group in groups]
    numbered = list(enumerate(zip(groups, judged, strict=True)))  # one seed per group
    scores = {group.name: judge_captioned(group.clips, own, measures, seed) for seed, (group, own) in numbered}
    tables.log_missing(scores)
    sections = [tables.captioned_table(scores)]
    if peer:
        pairs = {
            group.name: judge_pairs(group.clips, own, peer, measures, seed)
            for seed, (group, own) in numbered
            if peer in own
        }
        sections.append(tables.peer_table(pairs, peer))
    choosing = [group for group in groups if group.chooses]
    choices: dict[str, tuple[list[int], Score]] = {}
    for system in captions:
        own = [scores[group.name][system] for group in choosing if system in scores[group.name]]
        counts = [sum(clip.name in captions[system] for clip in group.clips) for group in choosing]
        choices[system] = (counts, choose(own))
    return sections, [tables.choice_table(choices, [len(group.clips) for group in choosing])] if choosing else []


def report(
    material: Material, captions: Captions, texts: Mapping[str, tables.Texts], options: argparse.Namespace
) -> str:
    """The whole report, as Markdown."""
    measures = [key for key in MEASURES if key in (*options.measures, *CHOOSING)]
    sections, last = (
        report_captioned(material.groups, captions, options.peer, measures) if material.groups else ([], [])
    )
    if material.sounds and texts:
        labels = [clip.labels for clip in material.sounds]
        rates = {system: judge_sounds(labels, found.sounds) for system, found in texts.items()}
        sections.append(tables.sounds_table(rates, labels))
    if material.collections and texts:
        judged = {
            system: {
                name: judge_labelled([clip.labels for clip in clips.values()], found.collections[name], seed)
                for seed, (name, clips) in enumerate(material.collections.items())
            }
            for system, found in texts.items()
        }
        sections.append(tables.labelled_table(judged, options.left_out))
    return "\n".join([tables.heading(options.half, options.limit), *sections, *last])


def read_tables(given: Sequence[str], groups: Sequence[Group]) -> Captions:
    """Read tables given as NAME=TABLE; captions of other clips than those of the groups are dropped.

    Raises:
        ValueError: an argument is not NAME=TABLE, or a table has none of the clips.
        DatasetError: a table cannot be read.
    """
    wanted = {clip.name for group in groups for clip in group.clips}
    found: Captions = {}
    for item in given:
        name, _, path = item.partition("=")
        if not name or not path or name in found:
            raise ValueError(f"found --captions {item!r}, expected NAME=TABLE.csv, each name once.")
        found[name] = {clip: text for clip, text in read_predictions(Path(path)).items() if clip in wanted}
        if not found[name]:
            raise ValueError(
                f"{path} has captions for none of the {len(wanted)} captioned clips: check its file names."
            )
    return found


def details(material: Material, captions: Captions, texts: Mapping[str, tables.Texts]) -> dict[str, Any]:
    """All captions, by clip and system."""
    groups = {
        group.name: {
            clip.name: {system: said[clip.name] for system, said in captions.items() if clip.name in said}
            for clip in group.clips
        }
        for group in material.groups
        if not group.pooled
    }
    sounds = {
        clip.name: {system: found.sounds[row] for system, found in texts.items()}
        for row, clip in enumerate(material.sounds)
    }
    collections = {
        name: {
            path: {system: found.collections[name][row] for system, found in texts.items()}
            for row, path in enumerate(clips)
        }
        for name, clips in material.collections.items()
    }
    return {"captioned": groups, "sounds": sounds, "labelled": collections}


def run(options: argparse.Namespace) -> int:
    """Evaluate all systems; returns the exit status."""
    device = choose_device(options.device)
    material = Material(
        groups=read_groups(options.captioned, options.half),
        sounds=read_sounds(options.sounds, options.mixtures, options.half, options.limit) if options.sounds else [],
        collections=read_collections(options.labelled, options.half, options.limit),
    )
    captions = read_tables(options.captions, material.groups)
    check(options, material, captions)
    texts: dict[str, tables.Texts] = {}
    for path in options.ckpt_path:
        logger.info("captioning with %s", path)
        captioner = AudioCaptioner.from_pretrained(path, device)
        captioner.config = replace(captioner.config, decoding=choose_decoding(captioner.config.decoding, options))
        captions[path] = caption_groups(captioner, material.groups, options.style or "")
        texts[path] = tables.Texts(
            sounds=caption_texts(captioner, material.sounds),
            collections={
                name: caption_texts(captioner, list(clips.values())) for name, clips in material.collections.items()
            },
        )
    publish(report(material, captions, texts, options), options.output, details(material, captions, texts))
    return 0


def check(options: argparse.Namespace, material: Material, captions: Captions) -> None:
    """Check the options before any computation.

    Raises:
        ValueError: nothing to evaluate, an unknown name, a name given twice, or a number out of range.
    """
    systems = [*captions, *options.ckpt_path]
    if not systems or not (material.groups or material.sounds or material.collections):
        raise ValueError(
            "nothing to evaluate: give --ckpt_path or --captions, and --captioned, --sounds or --labelled."
        )
    if len(set(systems)) < len(systems):
        raise ValueError(f"found the systems {', '.join(systems)}: give each name once.")
    if options.peer and options.peer not in captions:
        raise ValueError(f"found --peer {options.peer!r}, expected a name given with --captions.")
    if unknown := set(options.left_out) - set(material.collections):
        known = ", ".join(material.collections) or "none"
        raise ValueError(f"found --left_out {min(unknown)!r}, expected collections of --labelled: {known}.")
    problems = outside("--mixtures", options.mixtures, COUNT)
    if options.limit is not None:
        problems += outside("--limit", options.limit, POSITIVE_COUNT)
    refuse(problems)


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks yardstick", __doc__)
    add_device(parser)
    parser.add_argument(
        "--captioned", type=Path, nargs="+", default=[], help="data sets of captioned clips with a validation split"
    )
    parser.add_argument("--labelled", type=Path, nargs="+", default=[], help="folders of labelled clips")
    parser.add_argument(
        "--left_out", nargs="+", default=[], metavar="NAME", help="collections that no checkpoint was trained on"
    )
    parser.add_argument("--sounds", type=Path, help="labelled sounds with folds, in the layout of ESC-50")
    parser.add_argument(
        "--mixtures", type=int, default=400, help="number of mixtures of two sounds, 0 or more (default: 400)"
    )
    parser.add_argument("--ckpt_path", nargs="+", default=[], help="checkpoints to evaluate")
    parser.add_argument(
        "--captions",
        nargs="+",
        default=[],
        metavar="NAME=TABLE",
        help="captions of other systems: CSV files with file_name,caption_predicted",
    )
    parser.add_argument(
        "--peer", metavar="NAME", help="name in --captions of the system that all others are compared with"
    )
    parser.add_argument(
        "--measures", nargs="+", choices=MEASURES, default=MEASURES,
        help="measures of captioned clips (default: all); those of the choice score are always computed",
    )  # fmt: skip
    parser.add_argument(
        "--half",
        choices=HALVES,
        default="all",
        help="half of the clips to use, by a hash of their names (default: all)",
    )
    parser.add_argument(
        "--limit",
        type=int,
        help="maximum number of clips per labelled collection, of single sounds and of mixtures (default: all)",
    )
    add_output(parser, "all captions")
    add_decoding_options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)
