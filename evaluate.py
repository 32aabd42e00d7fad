"""Score captions by the metrics of audio captioning, with confidence intervals and a report.

    python evaluate.py --dataset_root datasets/clotho --split evaluation --output runs/scores
    python evaluate.py --ckpt_path checkpoints/run/cnn14_llama/best --dataset_root datasets/clotho --split evaluation
    python evaluate.py --predictions mine.csv --references clotho_captions_evaluation.csv --output runs/scores
    python evaluate.py --predictions mine.csv --references refs.csv --compare theirs.csv
    python evaluate.py --download                          # files for SPICE, SPIDEr-FL and FENSE

Predictions are CSV files with the columns file_name,caption_predicted; references are CSV files with the columns
file_name,caption_1..caption_N; JSON lines are accepted too. The table of scores is written to stdout. --output also writes
scores.json, scores_per_clip.csv, predictions.csv and report.html, a single page with sounds. Captions of a split are written
to predictions.csv.manifest.jsonl immediately, and running the same command again resumes. The exit status is 1 if a file
could not be captioned or a metric failed.
"""

from configs.stopping import StopSignals, end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from captioning.archive import Run
from captioning.file_store import FileStore
from captioning.files import shown_name
from captioning.memory_store import MemoryStore
from captioning.options import (
    DEFAULT_CHECKPOINT,
    add_captioner_options,
    add_decoding_options,
    checkpoint_config,
    option_problems,
)
from captioning.outputs import OutputPlan
from captioning.progress import Tally
from captioning.settings import caption_settings
from captioning.shown import Selection
from captioning.source import Source
from configs.atomic_files import write_file
from configs.checks import COUNT, POSITIVE, outside, refuse
from configs.commands import command_parser, run_command
from data.clotho import SPLITS, load_split
from data.tables import FileIndex
from evaluation.inputs import Corpus, pair, read_predictions, read_references
from evaluation.measures import MEASURES, chosen
from evaluation.outputs import (
    PREDICTIONS_FILE,
    check_folder,
    comparison_files,
    comparison_table,
    output_files,
    score_table,
)
from evaluation.resources import Resources, download, user_cache
from evaluation.scores import ScoreSettings, compare, score_systems

logger = logging.getLogger("evaluate")


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python evaluate.py", __doc__)
    captions = parser.add_argument_group("captions to score")
    captions.add_argument(
        "--predictions",
        type=Path,
        help="CSV or JSON lines file of captions; default: caption the split of --dataset_root",
    )
    captions.add_argument(
        "--references", type=Path, help="file of reference captions for --predictions; default: the data set's"
    )
    captions.add_argument("--compare", type=Path, help="second file of predictions for a paired comparison")
    captions.add_argument("--dataset_root", help="data set folder, in a layout that train.py reads")
    captions.add_argument(
        "--split", choices=SPLITS, help="split of the data set (default: evaluation) or of --references (default: all)"
    )
    captions.add_argument(
        "--partial", action="store_true", help="score only clips with both predictions and references"
    )
    scores = parser.add_argument_group("metrics")
    scores.add_argument(
        "--metrics", nargs="+", default=["all"], metavar="NAME",
        help=f"metrics to compute (default: all): all, offline (no download needed), bleu, {', '.join(MEASURES)}",
    )  # fmt: skip
    scores.add_argument("--metrics_dir", type=Path, help="folder of the files that --download fetches")
    scores.add_argument(
        "--resamples", type=int, default=1000, help="bootstrap resamples for 95 %% intervals, 0 or more (default: 1000)"
    )
    scores.add_argument("--resample_seed", type=int, default=0, help="random seed of the resamples (default: 0)")
    scores.add_argument(
        "--spice_cache", type=Path, default=user_cache() / "spice", help="cache folder for SPICE's parsed captions"
    )
    scores.add_argument(
        "--spice_time_limit", type=float, metavar="SECONDS", help="stop SPICE after this time, above 0 (default: never)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output", type=Path, help="folder to write scores, captions and the report to")
    output.add_argument("--audio_dir", type=Path, help="folder of the recordings of --predictions, for the report")
    output.add_argument(
        "--report_clips", type=int, default=6, help="best and worst clips in the report, 0 or more each (default: 6)"
    )
    output.add_argument(
        "--download", action="store_true", help="download the files for SPICE, SPIDEr-FL and FENSE, and exit"
    )
    captioner = parser.add_argument_group("captioner")
    add_captioner_options(captioner)
    captioner.add_argument(
        "--workers",
        type=int,
        metavar="NUMBER",
        help="number of captioning processes (default: chosen by cores and clips)",
    )
    captioner.add_argument(
        "--restart", action="store_true", help="caption all clips again; the old manifest is kept as .old"
    )
    captioner.add_argument("--retry_failed", action="store_true", help="retry clips that failed in an earlier run")
    add_decoding_options(parser)
    parser.set_defaults(  # options of inference.py
        inputs=[], engine="local", timeline=None, track=None, rerank=None, clap_weights=None, candidates=None,
        min_probability=0.0,
    )  # fmt: skip
    return parser


def check_options(options: argparse.Namespace) -> None:
    """Check the options before any computation, and create the output folder."""
    if options.references is not None and options.predictions is None:
        raise ValueError("--references needs --predictions; a data set has its own references.")
    if options.predictions is None and options.dataset_root is None:
        raise ValueError("nothing to score: give --dataset_root and --split, or --predictions and --references.")
    if options.references is None and options.dataset_root is None:
        raise ValueError("--predictions needs --references, or --dataset_root and --split.")
    if (options.restart or options.retry_failed) and (options.predictions or not options.output):
        raise ValueError(
            "--restart and --retry_failed need --output and a split to caption: else there is no manifest."
        )
    if options.audio_dir and not options.audio_dir.is_dir():
        raise ValueError(f"--audio_dir {options.audio_dir} is not a folder: give the folder of the recordings.")
    problems = [
        problem
        for name in ("resamples", "report_clips")
        for problem in outside(f"--{name}", getattr(options, name), COUNT)
    ]
    if options.spice_time_limit is not None:
        problems += outside("--spice_time_limit", options.spice_time_limit, POSITIVE)
    if options.predictions is None:
        problems += option_problems(options, checkpoint_config(options.ckpt_path))
    refuse(problems)
    if options.output:
        check_folder(options.output)


def caption_split(options: argparse.Namespace, source: Source, signals: StopSignals) -> tuple[dict[str, str], int]:
    """Caption the clips of a split; returns captions by clip name, and the number of clips that cannot be read.

    With --output each caption is in the manifest of `predictions.csv` immediately, and no clip is captioned twice.
    """
    tally = Tally()
    if not options.output:
        memory = MemoryStore()
        Run(options, source, memory, tally).caption()
        return memory.captions, tally.num_failed
    predictions = options.output / PREDICTIONS_FILE
    plan = OutputPlan(predictions, ("csv",), False, False, source.num_references, Selection())
    store = FileStore(
        plan, caption_settings(options, checkpoint_config(options.ckpt_path)), source.folder, tally,
        restart=options.restart, retry_failed=options.retry_failed,
    )  # fmt: skip
    with store:
        work = Run(options, source, store, tally)

        def stop() -> str:
            work.stop()
            return store.keep()

        signals.keep = stop
        work.caption()
    signals.keep = lambda: f"all captions are in {predictions}; the same command scores them"
    return (read_predictions(predictions) if tally.num_captioned else {}), tally.num_failed


def gather(options: argparse.Namespace, signals: StopSignals) -> tuple[list[Corpus], dict[str, Path], int]:
    """Corpora to score (two with --compare), recordings by name, and the number of clips that could not be captioned."""
    num_bad = 0
    references: Mapping[str, Sequence[str]] = {}
    recordings: dict[str, Path] = {}
    predictions: dict[str, str] = {}
    options.split = options.split or (None if options.references else "evaluation")
    if options.predictions:
        predictions = read_predictions(options.predictions)
        if options.dataset_root:
            clips = load_split(options.dataset_root, options.split or "evaluation", check=False)
            references = {clip.name: clip.captions for clip in clips}
            recordings = {clip.name: clip.path for clip in clips}
    else:
        source = Source(options)
        references = {job.name: job.references for job in source}
        recordings = {job.name: job.path for job in source}
        predictions, num_bad = caption_split(options, source, signals)
    if options.references:
        references = read_references(options.references, options.split)
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
    """Run the command; returns the exit status."""
    with StopSignals() as signals:
        if options.download:
            signals.keep = lambda: "downloaded data is kept, and the next run resumes there"
            logger.info("downloaded to %s and to the hub's cache.", download())
            return 0
        signals.keep = lambda: "nothing was scored yet"
        return score(options, signals)


def score(options: argparse.Namespace, signals: StopSignals) -> int:
    """Caption the split unless captions are given, score them and write the results; returns the exit status."""
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
    systems, recordings, num_bad = gather(options, signals)
    found = score_systems(systems, settings)
    print(f"{len(systems[0])} clips\n\n{score_table(found[0])}", end="")
    comparisons = compare(found[0], found[1]) if len(found) > 1 else {}
    if comparisons:
        print(
            f"\nagainst {shown_name(str(options.compare))}\n\n{comparison_table(found[0], found[1], comparisons)}",
            end="",
        )
    if options.output:
        from evaluation.report import Report, render  # imports matplotlib

        report = Report(
            subject=subject(options), corpus=systems[0], scores=found[0], recordings=recordings,
            num_resamples=options.resamples, other=systems[1] if comparisons else None,
            other_scores=found[1] if comparisons else {}, comparisons=comparisons,
            other_name=shown_name(str(options.compare or "")), num_shown=options.report_clips,
        )  # fmt: skip
        files = output_files(systems[0], found[0]) | {"report.html": render(report)}
        if comparisons:
            files |= comparison_files(systems[1], found[1], comparisons)
        for name, text in files.items():  # written together, so that a stop does not mix the files of two runs
            write_file(options.output / name, text)
        logger.info("written: %s", ", ".join(sorted(path.name for path in options.output.iterdir())))
    if num_bad:
        logger.error("%d clips could not be captioned and were not scored.", num_bad)
    return 1 if num_bad or any(score.failed for scores in found for score in scores.values()) else 0


def subject(options: argparse.Namespace) -> str:
    """Title of the report."""
    is_default = options.ckpt_path == str(DEFAULT_CHECKPOINT)
    captioner = f"the default captioner ({DEFAULT_CHECKPOINT.name})" if is_default else f"captioner {options.ckpt_path}"
    captions = str(options.predictions or captioner)
    truth = str(options.references or f"{options.split or 'evaluation'} split of {options.dataset_root}")
    return shown_name(f"{captions}, against {truth}")


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
