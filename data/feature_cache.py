"""A cache on disk for a frozen encoder's embeddings, so that a training step only computes the decoder.

One file per clip, named by a hash of the clip's identity, in a folder named by a hash of all that decides what the encoder
gives: a changed clip, file or setting is a new name, never a stale value. A file is an `.npy` file with the SHA-256 of its
bytes behind it.
"""

import hashlib
import io
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.atomic_files import sweep_abandoned, write_file

logger = logging.getLogger(__name__)
_DIGEST_BYTES = 32


class DamagedEntryError(ValueError):
    """A file of the cache is damaged; the message is one sentence."""


class FeatureCache:
    """Cache of embeddings (T, E) float32 by clip.

    Args:
        folder: cache folder, shared by all encoders.
        encoder_fingerprint: hash of everything that decides what the encoder gives (see `training/features.py`).

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, folder: Path, encoder_fingerprint: str) -> None:
        self.folder = folder / encoder_fingerprint[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep_abandoned(self.folder)

    def path(self, identity: str) -> Path:
        """File of the clip with this identity."""
        return self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npy"

    def __contains__(self, identity: str) -> bool:
        return self.path(identity).exists()

    def read(self, identity: str) -> NDArray[np.float32]:
        """Return the cached embeddings (T, E) of a clip.

        Raises:
            DamagedEntryError: the file is empty, truncated or changed; it is removed, so that it is computed again.
            OSError: it cannot be read.
        """
        path = self.path(identity)
        content = path.read_bytes()
        body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            path.unlink(missing_ok=True)
            raise DamagedEntryError(
                f"{path} is damaged ({len(content):,} bytes that do not have their checksum) and was removed: its embeddings "
                "are computed again."
            )
        embeddings: NDArray[np.float32] = np.load(io.BytesIO(body), allow_pickle=False)
        return embeddings

    def write(self, identity: str, embeddings: NDArray[np.float32]) -> None:
        """Write embeddings (T, E).

        Raises:
            FileNotWrittenError: no space, or no permission; nothing of the file is left.
        """
        buffer = io.BytesIO()
        np.save(buffer, embeddings.astype(np.float32, copy=False), allow_pickle=False)
        body = buffer.getvalue()
        write_file(self.path(identity), body + hashlib.sha256(body).digest())
