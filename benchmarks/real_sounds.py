"""Captions of real recordings with human references, beside baselines, for each manner of captions on its own.

    python -m benchmarks.real_sounds --dataset_root datasets/captioned \
        --ckpt_path checkpoints/any_sound checkpoints/sounds_small \
        --texts datasets/audiocaps/train.csv datasets/clotho/clotho_captions_development.csv \
        --output benchmarks/results/real_sounds.md

A captioner that knows styles writes in the manner of each clip's corpus (`corpus` in the data set's table). The baselines hear
with the first captioner's tagger: a template of its two strongest tags, and the training caption whose named classes are most
like its scores. Document frequencies of CIDEr-D are those of the clips of one corpus. "Sounds named" is the share of the classes
named by two references or more that the caption names too.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.tables import markdown_table, publish
from configs.commands import run_command
from data.captions import normalize_caption
from data.clotho import FileClip, load_split
from evaluation.inputs import Corpus
from evaluation.scores import Score, ScoreSettings, score_systems
from models.captioner import AudioCaptioner
from models.encoders.base import EncoderOutput
from training.batches import style_number
from training.text_only.captions import read_text_clips
from vocabulary.audioset import speech_tags, tag_names, wide_tags
from vocabulary.words import classes_of, main_classes

logger = logging.getLogger(__name__)

MEASURES = ("cider_d", "meteor", "rouge_l", "words")
HEADER = [
    "clips",
    "captioner",
    "CIDEr-D",
    "METEOR",
    "ROUGE-L",
    "sounds named, %",
    "speech alone, %",
    "distinct",
    "words",
]


@torch.no_grad()
def listen(captioner: AudioCaptioner, clips: Sequence[FileClip]) -> list[EncoderOutput]:
    """Encode clips one by one."""
    show = tqdm(clips, desc="listening", unit="clip")
    return [captioner.encode_clips([clip.load(captioner.sample_rate, captioner.max_duration_s)]) for clip in show]


def caption(captioner: AudioCaptioner, clips: Sequence[FileClip], heard: Sequence[EncoderOutput]) -> list[str]:
    """The best caption of each clip, in the manner of its corpus."""
    captions = []
    for clip, output in zip(tqdm(clips, desc="captioning", unit="clip"), heard, strict=True):
        style = style_number(clip, captioner.config.captioner.styles)
        numbers = torch.full_like(output.lengths, style)
        captions.append(captioner.caption_embeddings(output.embeddings, output.lengths, styles=numbers)[0][0].text)
    return captions


def template(scores: Tensor) -> str:
    """The two strongest tags that are not wide, as a sentence."""
    strongest = [int(number) for number in scores.argsort(descending=True) if int(number) not in wide_tags()][:2]
    return normalize_caption(" and ".join(tag_names()[number] for number in strongest))


def nearest(
    scores: Sequence[Tensor], styles: Sequence[str], tables: Sequence[str], manners: Sequence[str]
) -> list[str]:
    """For each clip the caption of its manner whose named classes are most like its tag scores (cosine of square roots).

    The tables are those of the first manners; a captioner may know more.
    """
    texts = [text for path, style in zip(tables, manners, strict=False) for text in read_text_clips(Path(path), style)]
    named = torch.zeros(len(texts), len(tag_names()))
    for row, text in enumerate(tqdm(texts, desc="classes of texts", unit="caption")):
        named[row, list(classes_of(text.captions[0]))] = 1.0
    named = torch.nn.functional.normalize(named, dim=1)
    found = []
    for vector, style in zip(scores, styles, strict=True):
        own = torch.tensor([text.style == style for text in texts])
        likeness = (named @ vector.sqrt()).masked_fill(~own, -1.0)
        found.append(normalize_caption(texts[int(likeness.argmax())].captions[0]))
    return found


def named_by_people(clip: FileClip) -> set[int]:
    """Classes that two references or more name."""
    counts = Counter(number for reference in clip.captions for number in main_classes(reference))
    return {number for number, count in counts.items() if count >= 2}


def naming_rate(captions: Sequence[str], clips: Sequence[FileClip]) -> float:
    """Mean over clips of the share of classes, named by two references or more, that the caption names too."""
    shares = []
    for text, clip in zip(captions, clips, strict=True):
        if wanted := named_by_people(clip):
            shares.append(len(wanted & set(classes_of(text))) / len(wanted))
    return float(np.mean(shares)) if shares else float("nan")


def cells(
    corpus: str, name: str, clips: Sequence[FileClip], captions: Sequence[str], scores: dict[str, Score]
) -> list[str]:
    """One row of the table."""

    def interval(key: str) -> str:
        score = scores[key]
        return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"

    speech = np.mean([bool(classes_of(text)) and set(classes_of(text)) <= speech_tags() for text in captions])
    return [
        f"{len(clips)} of {corpus}",
        name,
        *(interval(key) for key in MEASURES[:3]),
        "n/a" if np.isnan(rate := naming_rate(captions, clips)) else f"{100 * rate:.1f}",
        f"{100 * speech:.1f}",
        str(len(set(captions))),
        f"{np.mean([len(text.split()) for text in captions]):.1f}",
    ]


def run(options: argparse.Namespace) -> int:
    """Score captioners and baselines on the clips of each corpus; returns the exit status."""
    clips = load_split(options.dataset_root, "validation", 0.0, 0)
    captions: dict[str, list[str]] = {}
    for number, path in enumerate(options.ckpt_path):
        captioner = AudioCaptioner.from_pretrained(path)
        heard = listen(captioner, clips)
        captions[path] = caption(captioner, clips, heard)
        if number == 0:
            with torch.no_grad():
                scores = [captioner.tag_scores(item.embeddings, item.lengths)[0] for item in heard]
            captions["template of two tags"] = [template(vector) for vector in scores]
            if options.texts:
                manners = captioner.config.captioner.styles
                styles = [clip.style for clip in clips]
                captions["nearest training caption"] = nearest(scores, styles, options.texts, manners)
    table = []
    for corpus in sorted({clip.style for clip in clips}):
        rows = [row for row, clip in enumerate(clips) if clip.style == corpus]
        own = [clips[row] for row in rows]
        names, references = tuple(clip.name for clip in own), tuple(clip.captions for clip in own)
        systems = [Corpus(names, tuple(said[row] for row in rows), references) for said in captions.values()]
        found = score_systems(systems, ScoreSettings(measures=MEASURES))
        for name, system, score in zip(captions, systems, found, strict=True):
            table.append(cells(corpus, name, own, system.candidates, score))
    content = {clip.name: {name: said[row] for name, said in captions.items()} for row, clip in enumerate(clips)}
    publish(markdown_table(HEADER, table), options.output, content)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_root", required=True, help="captioned clips with a validation split")
    parser.add_argument(
        "--ckpt_path",
        nargs="+",
        required=True,
        help="captioners; the first one's tagger serves the baselines",
    )
    parser.add_argument(
        "--texts", nargs="*", default=[], help="caption tables of the first captioner's styles, in their order"
    )
    parser.add_argument("--output", type=Path, help="Markdown file to write; captions go beside it as JSON")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
