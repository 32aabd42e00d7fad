"""Ids of a tokenizer's special tokens."""

from tokenizers import Tokenizer

from configs.errors import CheckpointError
from configs.special_tokens import SPECIAL_TOKENS


def special_token_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Ids of a tokenizer's padding, begin and end tokens, by the keys "pad", "bos" and "eos".

    Raises:
        CheckpointError: the tokenizer has no token by any name in SPECIAL_TOKENS for one of them.
    """
    found = {}
    for mark, names in SPECIAL_TOKENS.items():
        ids = [token_id for name in names if (token_id := tokenizer.token_to_id(name)) is not None]
        if not ids:
            raise CheckpointError(f"the tokenizer has no {mark} token: expected one of {', '.join(names)}.")
        found[mark] = ids[0]
    return found
