"""Captions of labelled clips that nothing was learnt from, one line each, to be read and judged by a person.

    python -m benchmarks.unseen --labelled datasets/labelled --held_out 100 --ckpt_path checkpoints/any_sound \
        --output benchmarks/results/unseen_sounds.md

A judgement ("right", "partly" or "wrong") that a person has written into the last column of an older table stays as long as the
caption does.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.tables import markdown_table, write_text
from configs.commands import run_command
from data.labelled.collections import read_labelled
from models.captioner import AudioCaptioner

logger = logging.getLogger(__name__)

HEADER = ["clip", "label", "caption", "judgement"]
JUDGEMENTS = ("right", "partly", "wrong")


def read_judgements(path: Path) -> dict[tuple[str, str], str]:
    """Judgements of (clip, caption) in an older table."""
    if not path.is_file():
        return {}
    rows = [
        line.strip("|").split("|") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")
    ]
    cells = [[cell.strip() for cell in row] for row in rows]
    return {(row[0], row[2]): row[3] for row in cells if len(row) == len(HEADER) and row[3] in JUDGEMENTS}


def run(options: argparse.Namespace) -> int:
    """Caption the clips that were kept out; returns the exit status."""
    captioner = AudioCaptioner.from_pretrained(options.ckpt_path)
    judged = read_judgements(options.output)
    rows = []
    for clip in tqdm(read_labelled(options.labelled, options.held_out)[1], desc="captioning", unit="clip"):
        waveform = clip.load(captioner.sample_rate, captioner.max_duration_s)
        text = captioner.caption([waveform])[0][0].text
        name = clip.path.relative_to(options.labelled / "clips").as_posix()
        rows.append([name, clip.labels[0], text, judged.get((name, text), "")])
    counts = Counter(row[3] for row in rows)
    summary = ", ".join(f"{word} {counts[word]}" for word in JUDGEMENTS) + f", not judged {counts['']}"
    write_text(options.output, f"{markdown_table(HEADER, rows)}\n{summary}.\n")
    print(summary)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=Path, required=True, help="folder of labelled clips")
    parser.add_argument("--held_out", type=int, default=100, help="clips kept out of it, as data.texts.held_out had it")
    parser.add_argument("--ckpt_path", required=True)
    parser.add_argument("--output", type=Path, required=True, help="Markdown file to write")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
