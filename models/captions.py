"""From what a decoder sees of clips to their captions: search by the rules of the tags, reading, ranking.

Shapes: B clips, P = M * B prefixes (B clips in each of M manners), T' prefix tokens, D decoder width, N sequences found after a
prefix, L tokens, C tag classes, V vocabulary.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from transformers import GenerationConfig, LogitsProcessorList

from configs.schema import DecodingConfig
from models.calibration import Calibration
from models.decoding import (
    ContentWordBan,
    DoubtfulWords,
    HeardWordBonus,
    NamedClasses,
    SearchRules,
    UnheardWordBan,
    WordTable,
)
from models.llama import LlamaDecoder
from models.ranking import Candidate, captions_of_unnamed, fit_to_tags, rank, ranks_by_tags
from vocabulary.audioset import wide_tags

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caption:
    """One caption.

    Attributes:
        text: the sentence.
        log_probability: natural logarithm of the probability of exactly this sentence, the end token included.
        probability: that it names the right sounds, 0 to 1; None where the checkpoint has no calibration.
        num_tokens: its tokens, the end token included.
    """

    text: str
    log_probability: float
    probability: float | None = None
    num_tokens: int = 1

    @property
    def per_token(self) -> float:
        """Log-probability divided by the tokens."""
        return self.log_probability / self.num_tokens


class CaptionSearch:
    """Finds, reads and ranks captions after prefixes.

    Args:
        decoder: writes token ids.
        tokenizer: turns them into text.
        words: of the tokenizer.
        token_ids: ids of the padding, begin and end tokens, under "pad", "bos" and "eos".
        styles: names of the manners of writing; none where there is one only.
    """

    def __init__(
        self,
        decoder: LlamaDecoder,
        tokenizer: Tokenizer,
        words: WordTable,
        token_ids: dict[str, int],
        styles: Sequence[str],
    ) -> None:
        self.decoder, self.tokenizer, self.words = decoder, tokenizer, words
        self.token_ids, self.styles = token_ids, styles

    @cached_property
    def named_classes(self) -> NamedClasses:
        """The classes that tokens name; made when they are first asked for, which takes 0.3 s."""
        return NamedClasses(self.words)

    @cached_property
    def doubtful_words(self) -> DoubtfulWords:
        """Tokens that are words for people, their sounds, and music."""
        return DoubtfulWords(self.words, self.named_classes)

    def captions(
        self,
        prefix: Tensor,
        prefix_lengths: Tensor,
        styles: Tensor,
        heard: Tensor | None,
        decoding: DecodingConfig,
        calibration: Calibration | None,
    ) -> list[list[Caption]]:
        """The best captions of clips.

        Args:
            prefix: (P, T', D), first those of B clips in their own manner, then, where there is one, those in the second.
            prefix_lengths: (P,).
            styles: (P,) int64, the manner of each.
            heard: (B, 4, C) probabilities of the tags in whole clips and their thirds; None where no tagger is asked.
            decoding: how to search and rank.
            calibration: of their probabilities.

        Returns:
            For each of B clips its captions, best first.
        """
        clips = len(prefix) if heard is None else len(heard)
        scores = None if heard is None else heard.amax(dim=1)  # (B, C)
        rules = SearchRules() if scores is None else self._rules(scores, styles, decoding)
        found = self._find(prefix, prefix_lengths, rules, decoding)
        own, second = found[:clips], found[clips:] or [[]] * clips
        ours: list[list[Caption]] = [[]] * clips
        if scores is not None and decoding.unnamed_tag and decoding.method == "beam" and ranks_by_tags(decoding):
            ours = [
                self._captions_of_unnamed(captions, tags, decoding.unnamed_tag, prefix[row], prefix_lengths[row])
                for row, (captions, tags) in enumerate(zip(own, scores, strict=True))
            ]
        nothing: list[Tensor | None] = [None] * clips
        whole = nothing if scores is None else list(scores)
        thirds = list(heard[:, 1:]) if heard is not None and decoding.order_weight else nothing
        weights = self._by_style("word_weight", decoding.word_weight)[styles[:clips].cpu()].tolist()  # (B,)
        return [
            self._rank(captions, others, written, decoding, weight, tags, times, calibration)
            for captions, others, written, weight, tags, times in zip(
                own, second, ours, weights, whole, thirds, strict=True
            )
        ]

    def score(self, prefix: Tensor, prefix_length: Tensor, caption_ids: list[list[int]]) -> list[float]:
        """Log-probability of each caption (token ids without marks) after one clip's prefix (T', D)."""
        bos, eos, pad = (self.token_ids[mark] for mark in ("bos", "eos", "pad"))
        longest = max(map(len, caption_ids)) + 1
        inputs = torch.full((len(caption_ids), longest), pad, device=prefix.device)  # (R, L)
        targets = torch.full_like(inputs, -100)
        for row, ids in enumerate(caption_ids):
            inputs[row, : len(ids) + 1] = torch.tensor([bos, *ids])
            targets[row, : len(ids) + 1] = torch.tensor([*ids, eos])
        clips = torch.zeros(len(caption_ids), dtype=torch.long, device=prefix.device)
        logits = self.decoder(prefix[None], prefix_length[None], inputs, clips).float()
        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=-100)  # (R, L)
        return [-value for value in losses.sum(dim=1).tolist()]

    def without_marks(self, ids: list[int]) -> list[int]:
        """Token ids before the end token, or all where there is none, without padding."""
        words = ids[: ids.index(self.token_ids["eos"])] if self.token_ids["eos"] in ids else ids
        return [token_id for token_id in words if token_id != self.token_ids["pad"]]

    # -- search ----------------------------------------------------------------------------------------------------

    def _rules(self, scores: Tensor, styles: Tensor, decoding: DecodingConfig) -> SearchRules:
        """What tag scores (B, C) ask of a search after each of P prefixes in manners (P,)."""
        unheard = bonus = None
        manners = len(styles) // len(scores)
        if decoding.least_tag or decoding.least_music:
            unheard = self.doubtful_words.unheard(scores, decoding.least_tag, decoding.least_music)  # (B, V)
            unheard = unheard.repeat(manners, 1)  # (P, V)
        if np.any(decoding.heard_bonus):
            amounts = self._by_style("heard_bonus", decoding.heard_bonus).to(scores.device)
            bonus = amounts[styles][:, None] * scores.sqrt().repeat(manners, 1)  # (P, C)
            bonus[:, sorted(wide_tags())] = 0.0
        return SearchRules(unheard, bonus)

    def _by_style(self, name: str, amount: float | tuple[float, ...]) -> Tensor:
        """One number for each style of a setting that has one for all, or one for each."""
        if isinstance(amount, (int, float)):
            return torch.full((max(1, len(self.styles)),), float(amount))
        if len(amount) != len(self.styles):
            raise ValueError(
                f"decoding.{name} has {len(amount)} number(s), but the captioner {len(self.styles)} styles: "
                "give one number, or one for each style."
            )
        return torch.tensor(amount)

    def _find(
        self, prefix: Tensor, prefix_lengths: Tensor, rules: SearchRules, decoding: DecodingConfig
    ) -> list[list[Caption]]:
        """Distinct captions found after each of P prefixes, in the order in which the search gives them."""
        if decoding.method != "sample":
            ids, sums = self._search(prefix, prefix_lengths, rules, decoding)  # (P * N, L), (P * N,)
            rows = list(zip(ids.reshape(len(prefix), -1, ids.shape[-1]), sums.reshape(len(prefix), -1), strict=True))
        else:  # one clip at a time, each from the same seed, so that a clip's captions do not depend on its neighbours
            rows = []
            for clip in range(len(prefix)):
                one = slice(clip, clip + 1)
                with torch.random.fork_rng(devices=[prefix.device] if prefix.is_cuda else []):
                    torch.manual_seed(decoding.seed)
                    clip_prefix = prefix[one, : int(prefix_lengths[clip])]
                    rows.append(self._search(clip_prefix, prefix_lengths[one], rules.of(one), decoding))
        return [self._read(prefix[row], prefix_lengths[row], *found) for row, found in enumerate(rows)]

    def _search(
        self, prefix: Tensor, prefix_lengths: Tensor, rules: SearchRules, decoding: DecodingConfig
    ) -> tuple[Tensor, Tensor]:
        """Ids (P * N, L) found after prefixes (P, T', D), and their log-probabilities (P * N,), not a number where not known."""
        processors = LogitsProcessorList()
        if decoding.repetition_ban == "content":
            processors.append(ContentWordBan(self.words))
        if rules.unheard is not None:
            processors.append(UnheardWordBan(rules.unheard))
        if rules.bonus is not None:
            processors.append(HeardWordBonus(rules.bonus, self.named_classes))
        return self.decoder.generate(prefix, prefix_lengths, _generation_config(decoding), processors)

    def _read(self, prefix: Tensor, length: Tensor, found: Tensor, log_probabilities: Tensor) -> list[Caption]:
        """Distinct captions of those found (N, L) after one clip's prefix (T', D), in their order.

        Log-probabilities (N,) that are not known are computed.
        """
        by_text: dict[str, tuple[list[int], float]] = {}
        for ids, known in zip(found.tolist(), log_probabilities.tolist(), strict=True):
            words = self.without_marks(ids)
            by_text.setdefault(self.tokenizer.decode(words).strip(), (words, known))
        unknown = [ids for ids, known in by_text.values() if math.isnan(known)]
        computed = iter(self.score(prefix, length, unknown) if unknown else [])
        return [
            Caption(text, next(computed) if math.isnan(known) else known, num_tokens=len(ids) + 1)
            for text, (ids, known) in by_text.items()
        ]

    # -- ranking ---------------------------------------------------------------------------------------------------

    def _captions_of_unnamed(
        self, captions: list[Caption], tag_scores: Tensor, least: float, prefix: Tensor, length: Tensor
    ) -> list[Caption]:
        """Sentences of ours for what is heard best of all that none of the captions names, after one clip's prefix (T', D)."""
        told = []
        for text in captions_of_unnamed([caption.text.lower() for caption in captions], tag_scores, least):
            ids = self.tokenizer.encode(text, add_special_tokens=False).ids
            if self.tokenizer.decode(ids).strip() == text:  # the decoder has pieces for all its words
                told.append((text, ids))
        scored = self.score(prefix, length, [ids for _, ids in told]) if told else []
        return [Caption(text, value, num_tokens=len(ids) + 1) for (text, ids), value in zip(told, scored, strict=True)]

    def _rank(
        self,
        captions: list[Caption],
        second: list[Caption],
        ours: list[Caption],
        decoding: DecodingConfig,
        word_weight: float,
        tag_scores: Tensor | None,
        thirds: Tensor | None,
        calibration: Calibration | None,
    ) -> list[Caption]:
        """The best captions of one clip: beams in their order, samples most probable a token first, or both by the tags.

        Those of the second manner that the first one has not are candidates too, with a handicap, and so are sentences of ours.
        """
        known = {caption.text for caption in captions}
        others = [caption for caption in second if caption.text not in known]
        by_tags = ranks_by_tags(decoding) and tag_scores is not None
        if decoding.method == "sample" or by_tags:
            found = [(captions, 0.0, False), (others, decoding.second_handicap, False), (ours, 0.0, True)]
            candidates = [
                Candidate(caption.text.lower(), caption.log_probability, caption.num_tokens, handicap, written)
                for group, handicap, written in found
                for caption in group
            ]
            captions = captions + others + ours
            captions = [
                captions[number]
                for number in rank(candidates, tag_scores if by_tags else None, decoding, word_weight, thirds)
            ]
        captions = captions[: decoding.num_captions]
        if calibration is None:
            return captions
        return [replace(caption, probability=_probability(caption, tag_scores, calibration)) for caption in captions]


def _probability(caption: Caption, tag_scores: Tensor | None, calibration: Calibration) -> float:
    """Probability that a caption names the right sounds."""
    if not calibration.uses_tags or tag_scores is None:
        return calibration.probability(caption.per_token)
    return calibration.probability(
        caption.per_token, fit_to_tags(caption.text.lower(), tag_scores, calibration.strong_tag)
    )


def _generation_config(decoding: DecodingConfig) -> GenerationConfig:
    sampling = decoding.method == "sample"
    beams = max(decoding.num_beams, decoding.num_captions) if decoding.method == "beam" else 1
    if decoding.method == "greedy" and decoding.num_captions > 1:
        logger.warning("greedy decoding gives one caption; use beam search or sampling for %d.", decoding.num_captions)
    returned = {"beam": beams, "greedy": 1, "sample": 2 * decoding.num_captions}[decoding.method]
    options: dict[str, Any] = {"temperature": decoding.temperature, "top_k": decoding.top_k, "top_p": decoding.top_p}
    return GenerationConfig(
        max_new_tokens=decoding.max_tokens,
        min_new_tokens=decoding.min_tokens,
        do_sample=sampling,
        num_beams=beams,
        num_return_sequences=returned,
        length_penalty=decoding.length_penalty,
        **(options if sampling else {}),
    )
