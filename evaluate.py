"""Score captions as the field does, offline, with intervals and a report.

    python evaluate.py --dataset_root datasets/clotho --split evaluation --output runs/scores   # the captioner that ships
    python evaluate.py --ckpt_path checkpoints/run/cnn14_llama/best --dataset_root datasets/clotho --split evaluation
    python evaluate.py --predictions mine.csv --references clotho_captions_evaluation.csv --output runs/scores
    python evaluate.py --predictions mine.csv --references refs.csv --compare theirs.csv
    python evaluate.py --download                          # what SPICE, SPIDEr-FL and FENSE need beyond env.sh

Predictions are CSV with file_name,caption_predicted, references CSV with file_name,caption_1..caption_N; JSON lines work
too. The table goes to stdout. With --output there are also scores.json, scores_per_clip.csv, predictions.csv and
report.html, a page that holds everything, sounds included. The exit status is 1 when a file could not be captioned or a
measure broke.
"""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from captioning.options import (
    DEFAULT_CHECKPOINT,
    add_captioner_options,
    add_decoding_options,
    choose_decoding,
    load_captioner,
)
from configs.commands import run_command
from data.clotho import SPLITS, FileClip, load_split
from data.tables import FileIndex
from evaluation.inputs import Corpus, pair, read_predictions, read_references
from evaluation.measures import MEASURES, chosen
from evaluation.outputs import comparison_table, score_table, write_comparison, write_outputs
from evaluation.resources import Resources, download, user_cache
from evaluation.scores import ScoreSettings, compare, score_systems

logger = logging.getLogger("evaluate")


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    captions = parser.add_argument_group("what is scored")
    captions.add_argument("--predictions", type=Path, help="captions made anywhere; without it a split is captioned")
    captions.add_argument("--references", type=Path, help="their references; else those of --dataset_root and --split")
    captions.add_argument("--compare", type=Path, help="other predictions of the same clips, for a paired comparison")
    captions.add_argument("--dataset_root", help="a data set as train.py takes it")
    captions.add_argument(
        "--split", choices=SPLITS, help="of the data set (evaluation where not given), or of --references"
    )
    captions.add_argument(
        "--partial", action="store_true", help="score the clips that predictions and references share"
    )
    scores = parser.add_argument_group("how it is scored")
    scores.add_argument(
        "--metrics", nargs="+", default=["all"], metavar="NAME",
        help=f"all, offline (those that need Java alone), bleu, {', '.join(MEASURES)}",
    )  # fmt: skip
    scores.add_argument("--metrics_dir", type=Path, help="folder with what --download would fetch")
    scores.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples behind the 95 %% intervals")
    scores.add_argument("--resample_seed", type=int, default=0, help="seed of the resamples")
    scores.add_argument("--spice_cache", type=Path, default=user_cache() / "spice", help="folder of parsed captions")
    scores.add_argument("--spice_time_limit", type=float, metavar="SECONDS", help="after which SPICE is given up")
    output = parser.add_argument_group("what is written")
    output.add_argument("--output", type=Path, help="folder for scores, captions and the report")
    output.add_argument("--audio_dir", type=Path, help="folder of the recordings, for the report on --predictions")
    output.add_argument("--report_clips", type=int, default=6, help="best and worst clips in the report")
    output.add_argument("--download", action="store_true", help="fetch what is missing for SPICE, SPIDEr-FL and FENSE")
    add_captioner_options(parser.add_argument_group("the captioner"))
    add_decoding_options(parser)
    return parser


def check_options(options: argparse.Namespace) -> None:
    """Refuse what cannot work before anything long begins; make the output folder."""
    if options.references is not None and options.predictions is None:
        raise ValueError("--references goes with --predictions; a data set's split has its own.")
    if options.predictions is None and options.dataset_root is None:
        raise ValueError("nothing to score: give --dataset_root and --split, or --predictions and --references.")
    if options.references is None and options.dataset_root is None:
        raise ValueError("--predictions needs --references, or --dataset_root and --split to take them from.")
    if options.audio_dir and not options.audio_dir.is_dir():
        raise ValueError(f"--audio_dir {options.audio_dir} is no folder: give the one of the recordings.")
    if options.resamples < 0 or options.report_clips < 0:
        raise ValueError("--resamples and --report_clips must be 0 or more.")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)


def caption_split(options: argparse.Namespace, clips: Sequence[FileClip]) -> tuple[dict[str, str], int]:
    """Caption of each clip that can be read, and the number of the others."""
    from captioning.recordings import Reader, caption_clips  # brings torch along

    captioner = load_captioner(options)
    decoding = choose_decoding(captioner.config.decoding, options, captioner.config.captioner.styles)
    reader = Reader(captioner.sample_rate, captioner.max_duration_s, num_workers=options.workers)
    files = [(clip.name, clip.path, clip.captions) for clip in clips]
    with tqdm(total=len(files), desc="captioning", unit="clip", delay=2, file=sys.stderr) as bar:
        found = caption_clips(captioner, reader.clips(files), decoding, options.batch_size, advance=bar.update)
        return {record.file: record.caption for record in found}, reader.num_bad


def gather(options: argparse.Namespace) -> tuple[list[Corpus], dict[str, Path], int]:
    """The corpora to score (a second one with --compare), the recordings by name, and how many could not be captioned."""
    num_bad = 0
    clips: list[FileClip] = []
    if options.dataset_root:
        clips = load_split(options.dataset_root, options.split or "evaluation", check=options.predictions is None)
    recordings = {clip.name: clip.path for clip in clips}
    references: Mapping[str, Sequence[str]] = {clip.name: clip.captions for clip in clips}
    if options.references:
        references = read_references(options.references, options.split)
    if options.predictions:
        corpus = pair(read_predictions(options.predictions), references, options.partial)
    else:
        predictions, num_bad = caption_split(options, clips)
        corpus = pair(predictions, references, options.partial or num_bad > 0)
    if options.audio_dir:
        index = FileIndex(options.audio_dir)
        recordings = {name: path for name in corpus.names if (path := index.find(name))}
    systems = [corpus]
    if options.compare:
        same = dict(zip(corpus.names, corpus.references, strict=True))
        systems.append(pair(read_predictions(options.compare), same, what="compared predictions"))
    return systems, {name: path for name, path in recordings.items() if path.is_file()}, num_bad


def run(options: argparse.Namespace) -> int:
    """Score what the options name; returns the exit status."""
    if options.download:
        logger.info("everything is in %s and in the hub's cache.", download())
        return 0
    check_options(options)
    settings = ScoreSettings(
        measures=chosen(options.metrics),
        resources=Resources(options.metrics_dir),
        num_resamples=options.resamples,
        seed=options.resample_seed,
        device=options.device,
        spice_cache=options.spice_cache,
        spice_time_limit_s=options.spice_time_limit,
    )
    systems, recordings, num_bad = gather(options)
    found = score_systems(systems, settings)
    print(f"{len(systems[0])} clips\n\n{score_table(found[0])}", end="")
    comparisons = compare(found[0], found[1]) if len(found) > 1 else {}
    if comparisons:
        print(f"\nagainst {options.compare}\n\n{comparison_table(found[0], found[1], comparisons)}", end="")
    if options.output:
        from evaluation.report import Report, write_report  # brings matplotlib along

        write_outputs(options.output, systems[0], found[0])
        if comparisons:
            write_comparison(options.output, systems[1], found[1], comparisons)
        report = Report(
            subject=subject(options), corpus=systems[0], scores=found[0], recordings=recordings,
            num_resamples=options.resamples, other=systems[1] if comparisons else None,
            other_scores=found[1] if comparisons else {}, comparisons=comparisons,
            other_name=str(options.compare or ""), num_shown=options.report_clips,
        )  # fmt: skip
        write_report(options.output / "report.html", report)
        logger.info("written: %s", ", ".join(sorted(path.name for path in options.output.iterdir())))
    if num_bad:
        logger.error("%d clips could not be captioned and are not among those scored.", num_bad)
    return 1 if num_bad or any(score.failed for scores in found for score in scores.values()) else 0


def subject(options: argparse.Namespace) -> str:
    """What the report is about, in one line."""
    ships = options.ckpt_path == str(DEFAULT_CHECKPOINT)
    captioner = f"the captioner that ships ({DEFAULT_CHECKPOINT.name})" if ships else f"captioner {options.ckpt_path}"
    captions = str(options.predictions or captioner)
    truth = str(options.references or f"{options.split or 'evaluation'} split of {options.dataset_root}")
    return f"{captions}, against {truth}"


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
