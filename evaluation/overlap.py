"""Metrics of shared words by pycocoevalcap: BLEU, ROUGE-L, METEOR and CIDEr-D after the PTB tokenizer.

The metrics are pycocoevalcap's own. In addition, both sides are tokenized by one Java process; the corpus values of BLEU and
METEOR, which are not means over clips, are computed for many resamples at once, since both are functions of sums over clips;
and errors of Java are reported in one sentence.

Shapes: N clips, R resamples, K statistics per clip that a metric sums.
"""

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer import ptbtokenizer
from tqdm import tqdm

from evaluation.errors import MetricError
from evaluation.java_runtime import find_java, java_environment, java_locale

BLEU_ORDER = 4
_TOKENIZER = "edu.stanford.nlp.process.PTBTokenizer"
_CHUNKS = 20  # column of METEOR's statistics
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeasureResult:
    """A metric of one system.

    Attributes:
        value: corpus value.
        per_clip: (N,) values per clip.
        resampled: (R,) corpus values of the resamples.
    """

    value: float
    per_clip: Floats
    resampled: Floats


def mean_result(per_clip: Floats, counts: Floats) -> MeasureResult:
    """Result of a metric whose corpus value is the mean over clips.

    Args:
        per_clip: (N,) values per clip.
        counts: (R, N) number of occurrences of each clip in each resample.
    """
    return MeasureResult(float(np.mean(per_clip)), per_clip, counts @ per_clip / len(per_clip))


def tokenize(captions: Sequence[Sequence[str]]) -> list[list[str]]:
    """Penn Treebank tokens of captions, in lower case and without punctuation, by one Java process.

    Args:
        captions: groups of captions; whitespace is normalised first.

    Returns:
        The same groups with tokens joined by spaces.

    Raises:
        MetricError: there is no Java, or the tokenizer fails.
    """
    java = find_java()
    lines = [" ".join(caption.split()) for group in captions for caption in group]
    # PTBTokenizer of pycocoevalcap passes them in a file in its own folder, which stays there after an error.
    command = [
        java,
        "-cp",
        str(Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)),
        _TOKENIZER,
    ]
    done = subprocess.run(
        [*command, "-preserveLines", "-lowerCase"],
        input="\n".join(lines).encode(),
        capture_output=True,
        env=java_environment(),
        check=False,
    )
    tokenized = [" ".join(filter(_is_word, line.rstrip().split(" "))) for line in done.stdout.decode().split("\n")]
    if done.returncode or len(tokenized) < len(lines):
        said = done.stderr.decode("utf-8", "replace").strip()[-300:] or "no message"
        raise MetricError(f"the PTB tokenizer failed ({said}): check that `java -version` answers.")
    rest = iter(tokenized)
    return [list(islice(rest, len(group))) for group in captions]


def _is_word(token: str) -> bool:
    return token not in ptbtokenizer.PUNCTUATIONS  # codespell:ignore


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]], counts: Floats) -> list[MeasureResult]:
    """BLEU-1 to BLEU-4 (Papineni et al., ACL 2002) with the closest reference length.

    Args:
        candidates: N tokenized captions.
        references: tokenized references of each.
        counts: (R, N) number of occurrences of each clip in each resample.
    """
    scorer = BleuScorer(n=BLEU_ORDER)
    for candidate, group in zip(candidates, references, strict=True):
        scorer += (candidate, list(group))
    values, per_clip = scorer.compute_score(option="closest", verbose=0)
    sums = counts @ np.array([_bleu_sums(clip) for clip in scorer.ctest], dtype=np.float64)  # (R, K)
    resampled = np.array([_bleu_of(row) for row in sums]).reshape(len(sums), BLEU_ORDER)
    return [
        MeasureResult(float(values[order]), np.array(per_clip[order]), resampled[:, order])
        for order in range(BLEU_ORDER)
    ]


def _bleu_sums(clip: dict[str, Any]) -> list[float]:
    length = clip["testlen"]
    closest = min((abs(reference - length), reference) for reference in clip["reflen"])[1]
    return [length, closest, *clip["guess"], *clip["correct"]]


def _bleu_of(sums: Floats) -> list[float]:
    """BLEU of summed statistics, computed by the scorer like that of a single clip."""
    guess, correct = sums[2 : 2 + BLEU_ORDER], sums[2 + BLEU_ORDER :]
    scorer = BleuScorer(n=BLEU_ORDER)
    scorer.ctest = [{"testlen": sums[0], "reflen": [sums[1]], "guess": list(guess), "correct": list(correct)}]
    scorer.crefs = [None]
    values: list[float] = scorer.compute_score(option="closest", verbose=0)[0]
    return values


def rouge_l(candidates: Sequence[str], references: Sequence[Sequence[str]], counts: Floats) -> MeasureResult:
    """ROUGE-L (Lin, 2004), 0 to 1, mean over clips; arguments as for `bleu`."""
    per_clip = Rouge().compute_score(*_as_theirs(candidates, references))[1]
    return mean_result(np.asarray(per_clip, dtype=np.float64), counts)


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]], counts: Floats) -> MeasureResult:
    """CIDEr-D (Vedantam et al., 2015, arXiv 1411.5726), 0 to 10, mean over clips; arguments as for `bleu`.

    Document frequencies are computed from all references, also for resamples, which average the same values per clip.

    Raises:
        ValueError: there are fewer than two clips, for which document frequencies are undefined.
    """
    if len(candidates) < 2:
        raise ValueError("CIDEr-D needs two clips or more.")
    per_clip = Cider().compute_score(*_as_theirs(candidates, references))[1]
    return mean_result(np.asarray(per_clip, dtype=np.float64), counts)


def _as_theirs(
    candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    return {number: list(group) for number, group in enumerate(references)}, {
        number: [candidate] for number, candidate in enumerate(candidates)
    }


class MeteorProgram(Meteor):
    """METEOR 1.5 (Denkowski and Lavie, 2014), English, normalised, as a running Java program.

    Reading its tables takes some seconds, so it is started before the captions are tokenized. It computes statistics per
    clip, and the score of any sum of such statistics.
    """

    @classmethod
    def start(cls) -> "MeteorProgram":
        """Start the program.

        Raises:
            MetricError: there is no Java.
        """
        find_java()
        with java_locale():
            return cls()

    def measure(
        self, systems: Sequence[Sequence[str]], references: Sequence[Sequence[str]], counts: Floats
    ) -> list[MeasureResult]:
        """Compute METEOR of systems and end the program.

        Args:
            systems: N tokenized captions of each system.
            references: tokenized references of each clip.
            counts: (R, N) number of occurrences of each clip in each resample.

        Raises:
            MetricError: the program fails.
        """
        try:
            return [self._measure(candidates, references, counts) for candidates in systems]
        except (ValueError, OSError) as error:
            self.meteor_p.kill()
            said = self.meteor_p.stderr.read().decode("utf-8", "replace").strip()[-300:]
            raise MetricError(
                f"METEOR's program failed ({said or error}): check that `java -version` answers."
            ) from error
        finally:
            self.close()

    def close(self) -> None:
        """End the program."""
        self.meteor_p.kill()
        self.meteor_p.wait()
        with suppress(OSError):  # unread input cannot be flushed
            self.meteor_p.stdin.close()
        self.meteor_p.stdout.close()
        self.meteor_p.stderr.close()

    def _measure(self, candidates: Sequence[str], references: Sequence[Sequence[str]], counts: Floats) -> MeasureResult:
        sums = self._clip_sums(candidates, references)  # (N, K)
        scores = self._scores(sums)
        resampled = self._scores(counts @ _summable(sums))[:-1] if len(counts) else np.zeros(0)
        return MeasureResult(float(scores[-1]), scores[:-1], resampled)

    def _clip_sums(self, candidates: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        rows = []
        clips = zip(candidates, references, strict=True)
        for candidate, group in tqdm(
            clips, desc="METEOR", total=len(candidates), unit="clip", delay=2, leave=False, position=1
        ):
            # Captions must not contain the separator; the program removes it only from candidates.
            line = self._stat(candidate, [reference.replace("|||", " ") for reference in group])
            rows.append([float(number) for number in line.split()])
        return np.array(rows, dtype=np.float64)

    def _scores(self, sums: Floats) -> Floats:
        """Scores (rows + 1,) of each row of statistics and, last, of their sum."""
        rows = [" ".join(str(number) for number in row) for row in sums.tolist()]
        self.meteor_p.stdin.write(f"EVAL ||| {' ||| '.join(rows)}\n".encode())
        self.meteor_p.stdin.flush()
        return np.array([float(self.meteor_p.stdout.readline()) for _ in range(len(rows) + 1)])


def _summable(sums: Floats) -> Floats:
    """METEOR's statistics (N, K) as it sums them: a caption matched in one chunk adds no chunk."""
    length, reference_length, chunks = (sums[:, column] for column in (0, 1, _CHUNKS))
    matches, reference_matches = (
        sums[:, 4:_CHUNKS:2].sum(axis=1),
        sums[:, 5:_CHUNKS:2].sum(axis=1),
    )  # over matching stages
    in_one_piece = (matches == length) & (reference_matches == reference_length) & (chunks == 1)
    summable = sums.copy()
    summable[in_one_piece, _CHUNKS] = 0
    return summable
