"""Embeddings of a frozen encoder: computed once a clip and kept, or computed each time without a cache folder."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from configs.schema import EncoderConfig
from data.clotho import Clip
from data.feature_cache import FeatureCache
from models.encoders.base import AudioEncoder


def encoder_fingerprint(encoder: AudioEncoder, config: EncoderConfig) -> str:
    """Hash of the encoder's weights and of every setting that changes its embeddings, 64 hexadecimal digits."""
    settings = dataclasses.asdict(config)
    for name in ("weights", "weights_sha256", "train_from_step", "frozen_layers"):  # the tensors themselves are hashed
        settings.pop(name)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    if encoder.architecture() is not None:  # its front end's settings are in no tensor
        digest.update(json.dumps(encoder.architecture(), sort_keys=True).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class FrozenFeatures:
    """Embeddings (T, E) of a clip from a frozen encoder.

    Args:
        encoder: frozen, in eval mode, on its device.
        config: the encoder's settings.
        cache: where embeddings are kept; None computes them at each call.
    """

    def __init__(self, encoder: AudioEncoder, config: EncoderConfig, cache: FeatureCache | None) -> None:
        self.encoder = encoder
        self.max_duration_s = config.max_duration_s
        self.cache = cache

    def __call__(self, clip: Clip) -> NDArray[np.float32]:
        """Embeddings of one clip, (T, E) float32.

        Raises:
            AudioError: the clip cannot be read.
        """
        if self.cache is not None and clip.identity in self.cache:
            return self.cache.read(clip.identity)
        embeddings = self._compute(clip)
        if self.cache is not None:
            self.cache.write(clip.identity, embeddings)
        return embeddings

    def fill(self, clips: Sequence[Clip], title: str) -> None:
        """Compute what the cache lacks, with a progress bar."""
        if self.cache is None:
            return
        missing = [clip for clip in clips if clip.identity not in self.cache]
        for clip in tqdm(missing, desc=title, unit="clip", disable=not missing):
            self(clip)

    @torch.no_grad()
    def _compute(self, clip: Clip) -> NDArray[np.float32]:
        device = next(self.encoder.parameters()).device
        waveform = torch.from_numpy(clip.load(self.encoder.sample_rate, self.max_duration_s)).to(device)
        self.encoder.eval()
        # One clip at a time: its numbers then cannot depend on which clips stood beside it.
        output = self.encoder(waveform[None], torch.tensor([len(waveform)], device=device))
        embeddings: NDArray[np.float32] = output.embeddings[0, : int(output.lengths[0])].float().cpu().numpy()
        return embeddings
