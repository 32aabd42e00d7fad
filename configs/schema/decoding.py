"""Settings of caption generation (`decoding`)."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class TagDecodingConfig:
    """How the tag scores of a clip influence its captions; a tag's score is the maximum over the clip and its thirds.

    With coverage_weight, min_score or consensus_weight above 0, all captions found by the search are re-ranked
    (`generation/rerank.py`).

    Attributes:
        word_bonus: bonus during the search for a word of a tag that the hypothesis has not named yet, in nats times the square
            root of the tag's score, 0 or more; it does not count in re-ranking.
        coverage_weight: weight, 0 or more, of the share of the high tag scores that a caption names, in nats per token.
        min_score: minimum tag score, 0 to 1, of a named sound: captions that name a sound whose classes all score lower rank
            last, and the search does not use such words for people, speech and music; 0 for no minimum.
        consensus_weight: weight, 0 or more, of the expected similarity (CIDEr-D, 0 to 10) of a caption to reference captions
            retrieved by the tag scores (minimum Bayes risk decoding).
    """

    word_bonus: float = 0.0
    coverage_weight: float = 0.0
    min_score: float = 0.0
    consensus_weight: float = 0.0


@dataclass(frozen=True)
class DecodingConfig:
    """How captions are generated (ranges are in `configs/checks.py`).

    Attributes:
        method: "beam" search, "greedy" decoding, or "sample" for sampling.
        num_beams: number of beams, 1 or more.
        num_captions: number of captions returned per clip, best first, 1 or more.
        max_tokens: maximum caption length in tokens, 1 or more.
        min_tokens: minimum caption length in tokens, 0 to max_tokens.
        length_penalty: exponent of the length by which beam scores are divided; 1 compares means per token.
        temperature: divisor of the logits before sampling, above 0.
        top_k: sampling uses this many most probable tokens; 0 for all.
        top_p: sampling uses the smallest set of tokens with this total probability, above 0 and at most 1.
        repetition_ban: "content" forbids repeated content words, "none" allows them.
        seed: random seed of sampling.
        style: caption style, one of captioner.styles; empty for the first.
        tags: influence of tag scores.
    """

    method: Literal["beam", "greedy", "sample"] = "beam"
    num_beams: int = 3
    num_captions: int = 1
    max_tokens: int = 40
    min_tokens: int = 3
    length_penalty: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.95
    repetition_ban: Literal["content", "none"] = "content"
    seed: int = 0
    style: str = ""
    tags: TagDecodingConfig = field(default_factory=TagDecodingConfig)
