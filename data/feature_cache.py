"""Disk cache of a frozen encoder's embeddings, so that training steps only compute the decoder.

There is one file per clip, named by a hash of the clip's identity, in a folder named by a hash of everything that affects the
encoder's output, so that changed clips, weights or settings never match stale entries. A file has the `.npy` format, followed by
the SHA-256 of its bytes.
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
    """Raised if a cache file is damaged; the message is one sentence."""


class FeatureCache:
    """Cache of embeddings (T, E) float32 by clip.

    Args:
        folder: root folder of the cache, shared by all encoders.
        encoder_fingerprint: hash of everything that affects the encoder's output (see `training/features.py`).

    Raises:
        OSError: the folder cannot be created.
    """

    def __init__(self, folder: Path, encoder_fingerprint: str) -> None:
        self.folder = folder / encoder_fingerprint[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep_abandoned(self.folder)

    def path(self, identity: str) -> Path:
        """Return the path of the cache file of a clip."""
        return self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npy"

    def __contains__(self, identity: str) -> bool:
        return self.path(identity).exists()

    def read(self, identity: str) -> NDArray[np.float32]:
        """Return the cached embeddings (T, E) of a clip.

        Raises:
            DamagedEntryError: the file is empty, truncated or altered; it is deleted, so that the embeddings are recomputed.
            OSError: the file cannot be read.
        """
        path = self.path(identity)
        content = path.read_bytes()
        body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            path.unlink(missing_ok=True)
            raise DamagedEntryError(
                f"{path} is damaged ({len(content):,} bytes that do not match their checksum) and was removed: its embeddings "
                "are "
                "computed again."
            )
        embeddings: NDArray[np.float32] = np.load(io.BytesIO(body), allow_pickle=False)
        return embeddings

    def write(self, identity: str, embeddings: NDArray[np.float32]) -> None:
        """Write embeddings (T, E).

        Raises:
            FileNotWrittenError: there is no space or no permission; no partial file is left.
        """
        buffer = io.BytesIO()
        np.save(buffer, embeddings.astype(np.float32, copy=False), allow_pickle=False)
        body = buffer.getvalue()
        write_file(self.path(identity), body + hashlib.sha256(body).digest())
