"""A frozen encoder's embeddings on disk, so that a training step costs the decoder alone.

One `.npy` file a clip, named by a hash of the clip's identity, in a folder named by a hash of the encoder's weights and
front end: a changed clip, file or setting is a new name, never a stale value.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class FeatureCache:
    """Embeddings (T, E) float32 by clip.

    Args:
        folder: shared by all encoders.
        encoder_fingerprint: hash of everything that decides what the encoder gives (see `training/features.py`).
    """

    def __init__(self, folder: Path, encoder_fingerprint: str) -> None:
        self.folder = folder / encoder_fingerprint[:16]
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, identity: str) -> Path:
        """File of the clip with this identity."""
        return self.folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npy"

    def __contains__(self, identity: str) -> bool:
        return self.path(identity).exists()

    def read(self, identity: str) -> NDArray[np.float32]:
        """Embeddings (T, E) of a clip that is in the cache."""
        embeddings: NDArray[np.float32] = np.load(self.path(identity), allow_pickle=False)
        return embeddings

    def write(self, identity: str, embeddings: NDArray[np.float32]) -> None:
        """Keep embeddings (T, E); a reader never sees half a file."""
        path = self.path(identity)
        temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            np.save(file, embeddings.astype(np.float32, copy=False), allow_pickle=False)
        os.replace(temporary, path)
