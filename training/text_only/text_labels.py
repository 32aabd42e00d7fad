"""Prediction of a clip's AudioSet labels from its human captions.

Word patterns (`vocabulary/sound_words.yaml`) find the classes that a caption names. The labels of AudioSet's annotators are
predicted by multi-label logistic regression, trained on captions of labelled clips; its features are the TF-IDF weights of
unigrams and bigrams, and the classes found by the patterns. On 2,500 held-out captions, labels at a threshold of
LABEL_PROBABILITY have a precision of 75 % and a recall of 60 %; the patterns alone have 35 % and 70 %
(`python -m benchmarks text_labels`).

Shapes: N captions, F features, C classes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from torch.nn import functional as F
from tqdm import tqdm

from configs.schema import TextsConfig
from data.captions import normalize_caption
from data.clotho import Clip
from data.labelled.tags import tags_of_any
from data.tables import DatasetError, TableReport, read_rows
from generation.retrieval import CaptionStore
from training.text_only.captions import read_captions
from vocabulary.audioset import tag_ids
from vocabulary.words import classes_of

LABEL_PROBABILITY = 0.4  # minimum probability of a predicted label
EPOCHS, BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 20, 1024, 0.05, 1e-4
MIN_DOCUMENTS = 3  # minimum document frequency of a unigram or bigram feature
START_LOGIT = -5.0  # initial bias, because most classes are rare
ROWS_AT_ONCE = 4096


class TextLabeller:
    """Predictor of the label sets of captions.

    Args:
        captions: N normalised captions of labelled clips.
        label_sets: classes of each clip, 0 to 526.
        seed: seed of the order of the training captions.
    """

    def __init__(self, captions: Sequence[str], label_sets: Sequence[Sequence[int]], seed: int) -> None:
        if len(captions) < 1 or len(captions) != len(label_sets):
            raise ValueError(f"{len(captions)} captions and {len(label_sets)} label sets: expected equal numbers.")
        self._vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), min_df=min(MIN_DOCUMENTS, len(captions)), sublinear_tf=True, token_pattern=r"\w+"
        ).fit(captions)
        features = self._features(captions)
        targets = np.zeros((len(captions), len(tag_ids())), dtype=np.float32)  # (N, C)
        for row, classes in enumerate(label_sets):
            targets[row, list(classes)] = 1.0
        self._weight = torch.zeros(features.shape[1], targets.shape[1], requires_grad=True)  # (F, C)
        self._bias = torch.full((targets.shape[1],), START_LOGIT, requires_grad=True)
        self._fit(features, targets, seed)

    def predict(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """Return label probabilities (N, C) float32, 0 to 1, of N normalised captions."""
        parts = []
        with torch.no_grad():
            for start in range(0, len(captions), ROWS_AT_ONCE):
                features = self._features(captions[start : start + ROWS_AT_ONCE])
                parts.append(torch.sigmoid(_tensor(features) @ self._weight + self._bias).numpy())
        return np.concatenate(parts) if parts else np.zeros((0, len(self._bias)), dtype=np.float32)

    def label_sets(self, captions: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the predicted classes of each of N normalised captions; empty if none reaches LABEL_PROBABILITY."""
        sets: list[tuple[int, ...]] = []
        for start in range(0, len(captions), ROWS_AT_ONCE):
            probable = self.predict(captions[start : start + ROWS_AT_ONCE]) >= LABEL_PROBABILITY
            sets += [tuple(np.flatnonzero(row).tolist()) for row in probable]
        return sets

    def _features(self, captions: Sequence[str]) -> scipy.sparse.csr_matrix:
        """Return features (N, F): TF-IDF weights, and 1 for each class found by the patterns."""
        found = [classes_of(caption) for caption in captions]
        rows = [row for row, classes in enumerate(found) for _ in classes]
        columns = [number for classes in found for number in classes]
        patterns = scipy.sparse.csr_matrix(
            (np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(len(captions), len(tag_ids()))
        )
        return scipy.sparse.hstack([self._vectorizer.transform(captions), patterns]).tocsr().astype(np.float32)

    def _fit(self, features: scipy.sparse.csr_matrix, targets: NDArray[np.float32], seed: int) -> None:
        generator = np.random.default_rng(seed)
        optimizer = torch.optim.Adam([self._weight, self._bias], lr=LEARNING_RATE)
        size = min(BATCH_SIZE, len(targets))
        steps = EPOCHS * (len(targets) // size)
        bar = tqdm(total=steps, desc="labels of captions", unit="step")
        for step in range(steps):
            if step % (len(targets) // size) == 0:
                order = generator.permutation(len(targets))
            start = step % (len(targets) // size) * size
            rows = order[start : start + size]
            logits = _tensor(features[rows]) @ self._weight + self._bias  # (B, C)
            losses = F.binary_cross_entropy_with_logits(logits, torch.from_numpy(targets[rows]), reduction="sum")
            loss = losses / size + WEIGHT_DECAY * self._weight.square().sum()
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * (1 - step / steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.update()
        bar.close()
        self._weight.requires_grad_(False)
        self._bias.requires_grad_(False)


def _tensor(matrix: scipy.sparse.csr_matrix) -> torch.Tensor:
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data),
        size=matrix.shape,
        check_invariants=False,
    )


def read_label_sets(path: Path) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Read label sets from a table with an id column and a column `audioset_labels` of display names separated by ";".

    Returns:
        Name of the id column, and the classes of each id; names that are not among AudioSet's 527 classes are omitted.

    Raises:
        DatasetError: the table or one of these columns is missing.
    """
    if not path.is_file():
        raise DatasetError(
            f"no table of label sets at {path}: give the path of a CSV file with an id and audioset_labels."
        )
    columns, records = read_rows(path, TableReport())
    others = [name for name in columns if name != "audioset_labels"]
    if "audioset_labels" not in columns or not others:
        raise DatasetError(
            f"{path} has the columns {', '.join(columns)}: expected an id of the captions and audioset_labels."
        )
    sets = {}
    for _, record in records:
        names = [name.strip() for name in record["audioset_labels"].split(";")]
        sets[record[others[0]]] = tuple(sorted({tag_ids()[name] for name in names if name in tag_ids()}))
    return others[0], sets


def read_captions_with_labels(table: Path, label_table: Path) -> tuple[list[str], list[tuple[int, ...]]]:
    """Read all normalised captions of a table and the label sets of their clips; a label set is empty if unknown.

    Raises:
        DatasetError: a table is missing or lacks a column, or no clip has a label set.
    """
    identity, sets = read_label_sets(label_table)
    captions = read_captions(table, identity)
    found = [sets.get(clip, ()) for clip, _ in captions]
    if not any(found):
        raise DatasetError(
            f"{label_table} has label sets for none of the clips of {table}: give tables of the same clips."
        )
    return [normalize_caption(text) for _, text in captions], found


def read_labelled_captions(table: Path, label_table: Path) -> tuple[list[str], list[tuple[int, ...]]]:
    """Read captions and label sets as `read_captions_with_labels`, without those of clips without a label set."""
    return _labelled_alone(*read_captions_with_labels(table, label_table))


def _labelled_alone(
    captions: Sequence[str], sets: Sequence[tuple[int, ...]]
) -> tuple[list[str], list[tuple[int, ...]]]:
    known = [(text, classes) for text, classes in zip(captions, sets, strict=True) if classes]
    return [text for text, _ in known], [classes for _, classes in known]


def build_caption_store(
    config: TextsConfig, styles: Sequence[str], labelled: Sequence[Clip], seed: int
) -> CaptionStore | None:
    """Build the caption store: captions of the first table with predicted label sets, and captions of labelled clips.

    Other tables are excluded, because the predictor is trained only on labels of the first table's captions, and their licences
    may not permit the distribution of captions in a checkpoint.

    Args:
        config: `tables` and `label_table`, whose ids refer to the first table; without a label table, None is returned.
        styles: styles of the captioner.
        labelled: training clips; those with exactly one label are added once per style of their captions, and to the style of
            the first table in any case.
        seed: seed of the predictor's training.

    Raises:
        DatasetError: a table is missing, or the ids do not match the first table.
    """
    if config.label_table and not config.tables:
        raise DatasetError("data.texts.label_table labels captions of data.texts.tables, which is empty: name a table.")
    if not config.label_table:
        return None
    first = config.tables[0]
    style = styles.index(first.style)
    captions, sets = read_captions_with_labels(Path(first.path), Path(config.label_table))
    numbers = [style] * len(captions)
    classes = TextLabeller(*_labelled_alone(captions, sets), seed).label_sets(captions)
    for text, tags, number in labelled_captions(labelled, styles, style):
        captions.append(text)
        classes.append(tags)
        numbers.append(number)
    return CaptionStore.build(captions, classes, numbers)


def labelled_captions(
    clips: Sequence[Clip], styles: Sequence[str], usual: int = 0
) -> list[tuple[str, tuple[int, ...], int]]:
    """Return (caption, classes, style number) of clips with one label, per style; style `usual` includes all of these clips."""
    found: dict[tuple[int, str], tuple[str, tuple[int, ...]]] = {}
    for clip in clips:
        if len(clip.labels) == 1 and clip.style in styles and (tags := tags_of_any(clip.labels[0])):
            found.setdefault((styles.index(clip.style), clip.identity), (normalize_caption(clip.captions[0]), tags))
    for (_, clip_identity), caption in list(found.items()):
        found.setdefault((usual, clip_identity), caption)
    return [(text, tags, style) for (style, _), (text, tags) in found.items()]
