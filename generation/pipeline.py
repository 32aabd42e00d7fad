"""Caption generation from decoder prefixes: search with rules from the tag scores, detokenization, ranking.

Shapes: B clips, T' prefix tokens, D decoder width, N sequences found after a prefix, L tokens, C tag classes, V vocabulary.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from configs.schema import DecodingConfig
from generation.calibration import Calibration
from generation.composites import join_short_captions
from generation.engine import Array, Engine, Rule, SearchSettings
from generation.logits_processors import (
    ContentWordBan,
    NamedClasses,
    SearchRules,
    SupportedWords,
    TagBonus,
    UnsupportedWordBan,
    WordTable,
)
from generation.rerank import Candidate, fit_to_tags, rank, ranks_by_tags
from generation.retrieval import CaptionStore, References
from vocabulary.audioset import wide_tags

logger = logging.getLogger(__name__)
NUM_RETRIEVED = 100  # most likely references, from which candidates are chosen
NUM_ADDED = 8  # references added to the candidates: those with the highest expected similarity to all references


@dataclass(frozen=True)
class Caption:
    """One caption.

    Attributes:
        text: the sentence.
        log_probability: natural logarithm of the probability of this sentence, including the end token.
        probability: calibrated probability, 0 to 1, that the caption names the right sounds; None if the checkpoint has no
            calibration, or if the calibration needs a similarity that is None.
        num_tokens: number of tokens, including the end token.
        similarity: expected similarity, 0 to 10, to the captions retrieved for the clip; None if none were retrieved.
    """

    text: str
    log_probability: float
    probability: float | None = None
    num_tokens: int = 1
    similarity: float | None = None

    @property
    def per_token(self) -> float:
        """Log-probability per token."""
        return self.log_probability / self.num_tokens


@dataclass(frozen=True)
class ClipCandidates:
    """Candidate captions of one clip with the data for their ranking.

    Attributes:
        captions: distinct captions in the order of the search, followed by retrieved ones.
        part_scores: (4, C) tag scores of the whole clip and its thirds; None if no tag scores are needed.
        references: captions retrieved for the tag scores; None if not needed or without a caption store.
    """

    captions: list[Caption]
    part_scores: NDArray[np.float32] | None
    references: References | None = None

    @cached_property
    def tag_scores(self) -> NDArray[np.float32] | None:
        """(C,) tag scores: the maximum over the whole clip and its thirds."""
        return None if self.part_scores is None else self.part_scores.max(axis=0)


class CaptionSearch:
    """Searches, detokenizes and ranks captions for decoder prefixes.

    Args:
        engine: language model that generates token ids.
        tokenizer: tokenizer of the decoder.
        words: word table of the tokenizer.
        token_ids: ids of the padding, begin and end tokens, with the keys "pad", "bos" and "eos".

    Attributes:
        store: caption store for `decoding.tags.consensus_weight`; None if the checkpoint has none.
    """

    def __init__(self, engine: Engine, tokenizer: Tokenizer, words: WordTable, token_ids: dict[str, int]) -> None:
        self.engine, self.tokenizer, self.words, self.token_ids = engine, tokenizer, words, token_ids
        self.store: CaptionStore | None = None

    @cached_property
    def named_classes(self) -> NamedClasses:
        """Classes named by each token; computed on first use, which takes 0.3 s."""
        return NamedClasses(self.words, self.engine.num_logits)

    @cached_property
    def supported_words(self) -> SupportedWords:
        """Words that need the support of tag scores."""
        return SupportedWords(self.words, self.named_classes)

    def captions(
        self,
        prefix: Array,
        prefix_lengths: Array,
        styles: Sequence[int],
        part_scores: NDArray[np.float32] | None,
        decoding: DecodingConfig,
        calibration: Calibration | None,
    ) -> list[list[Caption]]:
        """Return the best captions of each clip.

        Args:
            prefix: (B, T', D).
            prefix_lengths: (B,).
            styles: style number of each of the B clips.
            part_scores: (B, 4, C) tag scores of whole clips and their thirds; None if no tag scores are needed.
            decoding: settings of search and ranking.
            calibration: calibration of the probabilities; None for none.

        Returns:
            For each of the B clips a list of captions, best first.
        """
        rules = SearchRules() if part_scores is None else self._rules(part_scores.max(axis=1), decoding)
        found = self._find(prefix, prefix_lengths, rules, decoding)
        clips = [
            ClipCandidates(captions, None if part_scores is None else part_scores[row])
            for row, captions in enumerate(found)
        ]
        if _by_consensus(decoding) or (calibration is not None and calibration.uses_similarity):
            clips = [self._with_references(clip, style) for clip, style in zip(clips, styles, strict=True)]
        if _by_consensus(decoding):
            clips = self._with_retrieved(clips, prefix, prefix_lengths)
        return [self._best(clip, decoding, calibration) for clip in clips]

    def without_marks(self, ids: list[int]) -> list[int]:
        """Token ids before the end token (all if there is none), without padding."""
        words = ids[: ids.index(self.token_ids["eos"])] if self.token_ids["eos"] in ids else ids
        return [token_id for token_id in words if token_id != self.token_ids["pad"]]

    # -- search ----------------------------------------------------------------------------------------------------

    def _rules(self, scores: NDArray[np.float32], decoding: DecodingConfig) -> SearchRules:
        """Rules of the search for tag scores (B, C)."""
        banned = bonus = None
        if decoding.tags.min_score:
            banned = self.supported_words.unsupported(scores, decoding.tags.min_score)  # (B, V)
        if decoding.tags.word_bonus:
            bonus = np.float32(decoding.tags.word_bonus) * np.sqrt(scores)  # (B, C)
            bonus[:, sorted(wide_tags())] = 0.0
        return SearchRules(banned, bonus)

    def _find(
        self, prefix: Array, prefix_lengths: Array, rules: SearchRules, decoding: DecodingConfig
    ) -> list[list[Caption]]:
        """Distinct captions found for each of B prefixes, in the order of the search."""
        if decoding.method != "sample":
            ids, sums = self._search(prefix, prefix_lengths, rules, decoding)
            number = len(ids) // len(prefix)
            starts = range(0, len(ids), number)
            rows = [(ids[start : start + number], sums[start : start + number]) for start in starts]
        else:  # one clip at a time, each with the same seed, so that captions do not depend on other clips of the batch
            rows = []
            for clip in range(len(prefix)):
                one = slice(clip, clip + 1)
                with self.engine.seeded(decoding.seed):
                    clip_prefix = prefix[one, : int(prefix_lengths[clip])]
                    rows.append(self._search(clip_prefix, prefix_lengths[one], rules.of(one), decoding))
        return [
            self._read(prefix[row : row + 1], prefix_lengths[row : row + 1], *found) for row, found in enumerate(rows)
        ]

    def _search(
        self, prefix: Array, prefix_lengths: Array, rules: SearchRules, decoding: DecodingConfig
    ) -> tuple[list[list[int]], list[float]]:
        """Token ids of B * N captions found after prefixes (B, T', D), and their log-probabilities, NaN where unknown."""
        arrays = self.engine.arrays
        processors: list[Rule] = []
        if decoding.repetition_ban == "content":
            processors.append(ContentWordBan(self.words, arrays))
        if rules.banned is not None:
            processors.append(UnsupportedWordBan(rules.banned, arrays))
        if rules.bonus is not None:
            processors.append(TagBonus(rules.bonus, self.named_classes, arrays))
        return self.engine.generate(prefix, prefix_lengths, _search_settings(decoding), processors)

    def _read(
        self, prefix: Array, prefix_length: Array, found: Sequence[list[int]], log_probabilities: Sequence[float]
    ) -> list[Caption]:
        """Distinct captions among the N found after one clip's prefix (1, T', D) of length (1,), in their order.

        Unknown log-probabilities (NaN) are computed.
        """
        by_text: dict[str, tuple[list[int], float]] = {}
        for ids, known in zip(found, log_probabilities, strict=True):
            words = self.without_marks(ids)
            by_text.setdefault(self.tokenizer.decode(words).strip(), (words, known))
        unknown = [ids for ids, known in by_text.values() if math.isnan(known)]
        computed = iter(self.engine.score(prefix, prefix_length, [unknown])[0] if unknown else [])
        return [
            Caption(text, next(computed) if math.isnan(known) else known, num_tokens=len(ids) + 1)
            for text, (ids, known) in by_text.items()
        ]

    # -- ranking ---------------------------------------------------------------------------------------------------

    def _best(self, clip: ClipCandidates, decoding: DecodingConfig, calibration: Calibration | None) -> list[Caption]:
        """The best captions of one clip: beams in their order, samples by log-probability per token, or both by the tags."""
        expected = self._expected_similarity(clip)
        captions = clip.captions
        if expected is not None:
            captions = [replace(one, similarity=value) for one, value in zip(captions, expected, strict=True)]
        tag_scores = clip.tag_scores if ranks_by_tags(decoding) else None
        if decoding.method == "sample" or tag_scores is not None:
            candidates = [Candidate(one.text.lower(), one.log_probability, one.num_tokens) for one in captions]
            wanted = expected if _by_consensus(decoding) else None
            captions = [captions[number] for number in rank(candidates, tag_scores, decoding, wanted)]
        captions = captions[: decoding.num_captions]
        if calibration is None:
            return captions
        return [replace(one, probability=_probability(one, clip.tag_scores, calibration)) for one in captions]

    def _with_references(self, clip: ClipCandidates, style: int) -> ClipCandidates:
        """Add references retrieved for the clip's tag scores, if the store has captions of the style."""
        if self.store is None or clip.part_scores is None or not self.store.has_style(style):
            return clip
        return replace(clip, references=self.store.retrieve(clip.part_scores[0], style))

    def _with_retrieved(
        self, clips: Sequence[ClipCandidates], prefix: Array, prefix_lengths: Array
    ) -> list[ClipCandidates]:
        """Add retrieved captions to the candidates of B clips with prefixes (B, T', D); all are scored together."""
        retrieved = [self._retrieved(clip) for clip in clips]
        scored = self.engine.score(prefix, prefix_lengths, [[ids for _, ids in own] for own in retrieved])
        extended = []
        for clip, own, values in zip(clips, retrieved, scored, strict=True):
            added = [
                Caption(text, value, num_tokens=len(ids) + 1) for (text, ids), value in zip(own, values, strict=True)
            ]
            extended.append(replace(clip, captions=[*clip.captions, *added]))
        return extended

    def _retrieved(self, clip: ClipCandidates) -> list[tuple[str, list[int]]]:
        """The best references and joined short captions (`generation/composites.py`) of a clip, with their token ids."""
        if self.store is None or clip.references is None or clip.part_scores is None:
            return []
        known = {caption.text.lower(): None for caption in clip.captions}
        joined = join_short_captions([*known, *clip.references.captions], clip.part_scores)
        likely = [text for text in dict.fromkeys(clip.references.captions[:NUM_RETRIEVED]) if text not in known]
        expected = self.store.expected_similarity(likely, clip.references)
        best = sorted(range(len(likely)), key=lambda number: -expected[number])[:NUM_ADDED]
        added = [likely[number] for number in sorted(best)]
        texts = [*added, *(text for text in dict.fromkeys(joined) if text not in known and text not in added)]
        pieces = [(text, self.tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
        return [(text, ids) for text, ids in pieces if self.tokenizer.decode(ids).strip() == text]  # all words known

    def _expected_similarity(self, clip: ClipCandidates) -> list[float] | None:
        """Expected similarity, 0 to 10, of each candidate to the references; None without references."""
        if self.store is None or clip.references is None:
            return None
        return self.store.expected_similarity([caption.text.lower() for caption in clip.captions], clip.references)


def _by_consensus(decoding: DecodingConfig) -> bool:
    """Whether candidates are ranked by their expected similarity to retrieved captions."""
    return decoding.tags.consensus_weight > 0 and decoding.method == "beam"


def _probability(caption: Caption, tag_scores: NDArray[np.float32] | None, calibration: Calibration) -> float | None:
    """Calibrated probability of a caption; None if it needs a similarity that is not known."""
    if calibration.uses_similarity and caption.similarity is None:
        return None
    if not calibration.uses_tags or tag_scores is None:
        return calibration.probability(caption.per_token)
    fit = fit_to_tags(caption.text.lower(), tag_scores, calibration.strong_tag)
    return calibration.probability(caption.per_token, fit, caption.similarity)


def _search_settings(decoding: DecodingConfig) -> SearchSettings:
    sampling = decoding.method == "sample"
    beams = max(decoding.num_beams, decoding.num_captions) if decoding.method == "beam" else 1
    if decoding.method == "greedy" and decoding.num_captions > 1:
        logger.warning("greedy decoding gives one caption; use beam search or sampling for %d.", decoding.num_captions)
    returned = {"beam": beams, "greedy": 1, "sample": 2 * decoding.num_captions}[decoding.method]
    options: dict[str, Any] = {"temperature": decoding.temperature, "top_k": decoding.top_k, "top_p": decoding.top_p}
    return SearchSettings(
        max_new_tokens=decoding.max_tokens,
        min_new_tokens=decoding.min_tokens,
        do_sample=sampling,
        num_beams=beams,
        num_return_sequences=returned,
        length_penalty=decoding.length_penalty,
        **(options if sampling else {}),
    )
