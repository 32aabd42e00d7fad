"""Embeddings of a frozen encoder: computed once per clip and cached, or computed at each access without a cache."""

import dataclasses
import hashlib
import json
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info
from tqdm import tqdm

from configs.schema import EncoderConfig
from data.audio import AudioError
from data.clotho import Clip
from data.feature_cache import DamagedEntryError, FeatureCache
from models.checkpoints.published import state_sha256
from models.encoders import windows
from models.encoders.base import AudioEncoder

logger = logging.getLogger(__name__)
ClipKind = TypeVar("ClipKind", bound=Clip)


# Incremented when a code change affects the output of an encoder, its front end or audio decoding.
EMBEDDINGS_VERSION = 1


def encoder_fingerprint(encoder: AudioEncoder, config: EncoderConfig) -> str:
    """Return a hash of everything except the clip that determines a clip's embeddings, 64 hexadecimal digits.

    It covers the encoder's weights, its settings, the constants of its front end and windows, the kind of device and its
    precision, and the versions of the libraries that decode, resample and compute.
    """
    settings = dataclasses.asdict(config)
    for name in ("weights", "weights_sha256", "train_from_step", "frozen_layers"):  # the tensors themselves are hashed
        settings.pop(name)
    device = next(encoder.parameters()).device.type
    parts = {
        "version": EMBEDDINGS_VERSION,
        "settings": settings,
        "architecture": encoder.architecture(),  # an encoder of transformers has its front end's settings there
        "weights": state_sha256(encoder),
        "buffers": _buffers_sha256(encoder),
        "constants": _constants(encoder),
        "libraries": {name: version(name) for name in ("torch", "transformers", "soxr", "soundfile", "av")},
        "device": device,
        "float32": None if device == "cpu" else _float32_precision(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _buffers_sha256(encoder: AudioEncoder) -> str:
    """Return a hash of windows, mel filter banks and other tensors that are computed rather than loaded."""
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _constants(encoder: AudioEncoder) -> dict[str, dict[str, str]]:
    """Return the constants of the modules that define the encoder's classes and windows."""
    modules = [sys.modules[kind.__module__] for kind in type(encoder).__mro__ if kind.__module__.startswith("models.")]
    return {
        module.__name__: {
            name: repr(value)
            for name, value in vars(module).items()
            if name.lstrip("_").isupper() and isinstance(value, int | float | str | tuple)
        }
        for module in [*modules, windows]
    }


def _float32_precision() -> list[str]:
    """Return the float32 precision settings of accelerators: TF32 has a 10-bit mantissa instead of 23 bits."""
    backends: Any = torch.backends  # its stubs lack these settings
    return [str(part.fp32_precision) for part in (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul)]


class FrozenFeatures:
    """Embeddings (T, E) of a clip from a frozen encoder.

    Args:
        encoder: frozen encoder in evaluation mode, on its device.
        config: settings of the encoder.
        cache: cache of embeddings; None to compute them at each call.
    """

    def __init__(self, encoder: AudioEncoder, config: EncoderConfig, cache: FeatureCache | None) -> None:
        self.encoder = encoder
        self.max_duration_s = config.max_duration_s
        self.cache = cache

    def __call__(self, clip: Clip) -> NDArray[np.float32]:
        """Return the embeddings of one clip, (T, E) float32.

        Raises:
            AudioError: the clip cannot be read, or its cached file is damaged and this is a loader process, which cannot
                compute it again.
        """
        if self.cache is not None and clip.identity in self.cache:
            try:
                return self.cache.read(clip.identity)
            except DamagedEntryError as error:
                if get_worker_info() is not None and next(self.encoder.parameters()).device.type != "cpu":
                    raise AudioError(f"{clip.name}: {error}") from error
                logger.warning("%s", error)
        embeddings = self._compute(clip)
        if self.cache is not None:
            self.cache.write(clip.identity, embeddings)
        return embeddings

    def fill(self, clips: Sequence[ClipKind], title: str, skips_bad_clips: bool = False) -> list[ClipKind]:
        """Compute missing and damaged cache entries, with a progress bar.

        Args:
            clips: clips whose embeddings are needed.
            title: title of the progress bar.
            skips_bad_clips: whether unreadable clips are skipped, with a warning.

        Returns:
            The readable clips; without a cache, all clips, unchecked.

        Raises:
            AudioError: a clip cannot be read, and bad clips are not skipped.
            FileNotWrittenError: the cache is not writable; existing entries are kept.
        """
        if self.cache is None:
            return list(clips)
        good = []
        for clip in tqdm(clips, desc=title, unit="clip", disable=not clips, delay=1):
            try:
                self(clip)
            except AudioError as error:
                if not skips_bad_clips:
                    raise
                logger.warning("left out of the %s: %s", title, error)
            else:
                good.append(clip)
        return good

    @torch.no_grad()
    def _compute(self, clip: Clip) -> NDArray[np.float32]:
        device = next(self.encoder.parameters()).device
        waveform = torch.from_numpy(clip.load(self.encoder.sample_rate, self.max_duration_s)).to(device)
        self.encoder.eval()
        # One clip at a time, so that its embeddings do not depend on other clips of a batch.
        output = self.encoder(waveform[None], torch.tensor([len(waveform)], device=device))
        embeddings: NDArray[np.float32] = output.embeddings[0, : int(output.lengths[0])].float().cpu().numpy()
        return embeddings
