"""Self-critical training: of the captions that a beam search finds for a clip, the better ones become more probable.

Cross-entropy teaches every word of one person's sentence alike; what captions are judged by is which sounds they name. Rennie et
al., "Self-critical sequence training", CVPR 2017, arXiv 1612.00563, take the score itself as reward. Beams in place of samples:
Cornia et al., "Meshed-Memory Transformer", CVPR 2020, arXiv 1912.08226. The mean of a clip's other captions is the baseline: Luo,
"A Better Variant of Self-Critical Sequence Training", arXiv 2003.09971.

Shapes: B clips, K captions found for each, L tokens.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data.captions import normalize_caption
from models.captioner import AudioCaptioner
from models.decoder.search import SearchSettings
from training.batches import Batch, pad_captions

LONGEST_NGRAM = 4
SIGMA = 6.0  # of the penalty for lengths that differ
END = "</s>"  # counts as a word, or captions that break off would score as well

Ngrams = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class _Vector:
    """Weights of n-grams for each n, their norms, and the number of bigrams."""

    weights: tuple[dict[tuple[str, ...], float], ...]
    norms: tuple[float, ...]
    length: int


class CiderReward:
    """CIDEr-D (Vedantam et al. 2015, arXiv 1411.5726) with the document frequencies of a corpus.

    Equal to pycocoevalcap's, which knows no other document frequencies than those of the references themselves.

    Args:
        corpus: for each clip its captions, as words.
    """

    def __init__(self, corpus: Iterable[Sequence[Sequence[str]]]) -> None:
        frequencies: Ngrams = Counter()
        num_clips = 0
        for captions in corpus:
            num_clips += 1
            frequencies.update({ngram for words in captions for ngram in count_ngrams(words)})
        # N-grams of one clip weigh as much as those of none.
        self.logs = {ngram: math.log(count) for ngram, count in frequencies.items() if count > 1}
        self.most = math.log(max(1, num_clips))

    def __call__(self, words: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """Score of a caption against references, 0 to 10."""
        candidate = self._vector(words)
        return sum(self._likeness(candidate, self._vector(reference)) for reference in references) / len(references)

    def _vector(self, words: Sequence[str]) -> _Vector:
        weights: tuple[dict[tuple[str, ...], float], ...] = tuple({} for _ in range(LONGEST_NGRAM))
        for ngram, count in count_ngrams(words).items():
            weights[len(ngram) - 1][ngram] = count * (self.most - self.logs.get(ngram, 0.0))
        norms = tuple(math.sqrt(sum(value**2 for value in of_n.values())) for of_n in weights)
        return _Vector(weights, norms, max(0, len(words) - 1))

    def _likeness(self, one: _Vector, other: _Vector) -> float:
        total = 0.0
        for own, theirs, norm, their_norm in zip(one.weights, other.weights, one.norms, other.norms, strict=True):
            shared = sum(min(value, theirs[ngram]) * theirs[ngram] for ngram, value in own.items() if ngram in theirs)
            total += shared / (norm * their_norm) if norm and their_norm else shared
        penalty = math.exp(-((one.length - other.length) ** 2) / (2 * SIGMA**2))
        return 10 * penalty * total / LONGEST_NGRAM


def count_ngrams(words: Sequence[str]) -> Ngrams:
    """N-grams of 1 to 4 words and how often each comes."""
    return Counter(
        tuple(words[start : start + n]) for n in range(1, LONGEST_NGRAM + 1) for start in range(len(words) - n + 1)
    )


def words_of(caption: str) -> list[str]:
    """The words of a caption as the reward counts them, its end among them."""
    return [*normalize_caption(caption).split(), END]


@torch.no_grad()
def find_captions(
    captioner: AudioCaptioner, batch: Batch, reward: CiderReward, num_beams: int, max_tokens: int
) -> tuple[Batch, float]:
    """A batch whose captions are those that the captioner finds, weighted by their advantage; and the mean reward.

    Args:
        captioner: left in evaluation mode.
        batch: clips with their captions, which are the references.
        reward: of a caption.
        num_beams: K, at least 2.
        max_tokens: longest caption, without marks.
    """
    captioner.eval()
    begin, end, pad = (captioner.token_ids[mark] for mark in ("bos", "eos", "pad"))
    prefix, lengths = captioner.prefix(batch.audio, batch.lengths, batch.styles)
    settings = SearchSettings(max_tokens, num_beams=num_beams, num_return_sequences=num_beams)
    found, _ = captioner.decoder.generate(prefix, lengths, settings)  # (B * K, L)
    rows = [[*captioner.search.without_marks(ids), *[end] * (end in ids)] for ids in found.tolist()]
    references: list[list[list[str]]] = [[] for _ in batch.names]
    for clip, ids in zip(batch.clip_index.tolist(), batch.caption_ids.tolist(), strict=True):
        references[clip].append(words_of(captioner.tokenizer.decode(ids)))
    texts = captioner.tokenizer.decode_batch(rows)
    scores = torch.tensor(
        [
            reward(words_of(text) if ids[-1] == end else normalize_caption(text).split(), references[row // num_beams])
            for row, (text, ids) in enumerate(zip(texts, rows, strict=True))
        ]
    ).reshape(-1, num_beams)  # (B, K)
    weighted = replace(
        batch,
        caption_ids=pad_captions([[begin, *ids] for ids in rows], pad).to(found.device),
        caption_lengths=torch.tensor([len(ids) + 1 for ids in rows], device=found.device),
        caption_weights=advantages(scores).flatten().to(found.device),
        clip_index=torch.arange(len(rows), device=found.device) // num_beams,
    )
    return weighted, float(scores.mean())


def advantages(scores: Tensor) -> Tensor:
    """How much better each score (B, K) is than the mean of the others in its row."""
    others = (scores.sum(dim=1, keepdim=True) - scores) / (scores.shape[1] - 1)
    return scores - others
