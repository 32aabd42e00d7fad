"""Audio networks of transformers as encoders, by folder or hub id: `captioner.encoder.name: hf:NAME`.

Frames depend on the family:

- audio-spectrogram-transformer (AST, Gong et al., Interspeech 2021, arXiv 2104.01778): patches in frequency and time, averaged
  over frequency. Windows of 10.24 s, padded with silence; one embedding per 0.1 s.
- whisper (Radford et al. 2022, arXiv 2212.04356): the encoder only. Windows of 30 s, padded with silence; one embedding per
  0.02 s.
- networks for inputs of any length with one sequence of frames, such as wav2vec2, hubert, wavlm, wav2vec2-bert: windows of at
  most 30 s. Clips of equal length form a batch and no clip is padded, because some of these networks (wav2vec2-base, with a norm
  over time) do not mask padding.

Other networks with a fixed window are refused, since the frames of a shorter clip cannot be identified. The network's own
feature extractor runs on the CPU; gradients reach the network, not the waveform.

Shapes: B clips, W windows, S samples, M feature frames, F features, T frames, E encoder width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from configs.errors import CheckpointError
from configs.schema import EncoderConfig
from models.checkpoints.published import load_pretrained, load_settings
from models.encoders.base import PREFIX, AudioEncoder, EncoderOutput, SpecMasks, hide_spans, pad_to_minimum
from models.encoders.windows import join_output, repeat_masks, split_windows

AST, WHISPER = "audio-spectrogram-transformer", "whisper"
LONGEST_WINDOW_S = 30.0  # for networks without a fixed window; the cost of attention is quadratic in the window
MIN_S = 0.1  # shorter clips are padded with silence: wav2vec2's convolutions need 0.025 s, AST's patches more
FBANK_SAMPLES, FBANK_HOP = 400, 160  # Kaldi filter bank at 16 kHz, AST's input


class TransformersEncoder(AudioEncoder):
    """A transformers audio network with its feature extractor.

    Args:
        config: folder or hub id in `name` (overridden by `weights`), and the sample rate.
        architecture: result of `architecture` if the weights come from a checkpoint; None otherwise.

    Raises:
        CheckpointError: the network cannot be loaded, has no frames or a fixed window of an unknown kind, or the sample
            rate does not fit.
    """

    def __init__(self, config: EncoderConfig, architecture: dict[str, Any] | None = None) -> None:
        super().__init__()
        source = config.weights or config.name.removeprefix(PREFIX)
        if architecture is not None:
            self.extractor = _extractor_of(architecture["features"])
            settings = dict(architecture["model"])
            network = AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings))
        else:
            self.extractor = load_settings(AutoFeatureExtractor, source, "audio feature extractor")
            network = load_pretrained(AutoModel, source, "audio network", unused=("masked_spec_embed",))
        if config.sample_rate != self.extractor.sampling_rate:
            raise CheckpointError(
                f"{config.name} takes {self.extractor.sampling_rate} Hz, not {config.sample_rate}: set "
                "captioner.encoder.sample_rate."
            )
        self.settings: Any = network.config
        self.network: Any = network.get_encoder() if self.settings.is_encoder_decoder else network
        self.network.config.apply_spec_augment = False  # it uses NumPy's global generator; see data.augment instead
        self.family = str(self.settings.model_type)
        self.sample_rate = int(self.extractor.sampling_rate)
        self.embedding_dim = _width(self.settings)
        self.frozen_layers = config.frozen_layers
        self.output = config.output
        self.keeps_statistics = True
        if self.family not in (AST, WHISPER) and self._has_fixed_window():
            raise CheckpointError(
                f"{config.name} ({self.family}) has a fixed window, and the frames of a shorter clip cannot be identified: of "
                f"such networks only {AST}, {WHISPER} and, as captioner.encoder.name htsat, CLAP's are supported."
            )
        self.window_samples = self._longest_window()

    def architecture(self) -> dict[str, Any]:
        """Settings of the network and the feature extractor, as JSON values."""
        return {"model": self.settings.to_dict(), "features": self.extractor.to_dict()}

    def layers(self) -> list[nn.Module]:
        """The modules before the blocks as one layer, then each block."""
        path, blocks = max(
            ((name, module) for name, module in self.network.named_modules() if isinstance(module, nn.ModuleList)),
            key=lambda item: sum(parameter.numel() for parameter in item[1].parameters()),
        )
        before = nn.ModuleList()
        for name, child in self.network.named_children():
            if name == path.split(".")[0]:
                break
            before.append(child)
        return [before, *blocks]

    def forward(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None = None) -> EncoderOutput:
        """Compute embeddings of clips of any length, in equal windows joined in time, or their mean; there are no tag logits."""
        windows, samples, counts = split_windows(waveform.float(), lengths, self.window_samples)
        windows, samples = pad_to_minimum(windows, samples, int(MIN_S * self.sample_rate))
        masks = None if spec_masks is None else repeat_masks(spec_masks, counts)
        if self.family in (AST, WHISPER):
            embeddings, frames = self._fixed(windows, samples, masks)
        else:
            embeddings, frames = self._by_length(windows, samples, masks)
        return join_output(embeddings, frames, counts, self.output)

    def _fixed(self, windows: Tensor, samples: Tensor, masks: SpecMasks | None) -> tuple[Tensor, Tensor]:
        """Embeddings (W, T, E) of windows padded to a fixed length, and their numbers of valid frames (W,)."""
        inputs = self._features([window[: int(length)] for window, length in zip(windows, samples, strict=True)])
        name, features = _main_input(inputs)
        if self.family == WHISPER:
            stride = 2 * self.extractor.hop_length  # samples; the second convolution halves the frames
            if masks is not None:  # (W, F, M)
                own = torch.div(samples, self.extractor.hop_length, rounding_mode="floor")
                features = hide_spans(features, own, masks)
            hidden = self.network(features).last_hidden_state  # (W, T, E)
            frames = -torch.div(-samples, stride, rounding_mode="floor")  # ceiling
            return hidden.float(), frames
        own = torch.div(samples - FBANK_SAMPLES, FBANK_HOP, rounding_mode="floor") + 1  # (W,) filter-bank frames
        if masks is not None:  # (W, M, F)
            features = hide_spans(features.transpose(1, 2), own, masks).transpose(1, 2)
        patches = self.network(**{name: features}).last_hidden_state[:, 2:]  # class and distillation tokens come first
        rows = (self.settings.num_mel_bins - self.settings.patch_size) // self.settings.frequency_stride + 1
        grid = patches.unflatten(1, (rows, -1))  # (W, frequency, T, E)
        frames = -torch.div(
            -own, self.settings.time_stride, rounding_mode="floor"
        )  # patches that start within the clip
        return grid.float().mean(dim=1), frames.clamp(max=grid.shape[2])

    def _by_length(self, windows: Tensor, samples: Tensor, masks: SpecMasks | None) -> tuple[Tensor, Tensor]:
        """Embeddings (W, T, E) and their lengths (W,) of unpadded windows, in batches of equal length."""
        rows_of: dict[int, list[int]] = {}
        for row, length in enumerate(samples.tolist()):
            rows_of.setdefault(length, []).append(row)
        found: dict[int, Tensor] = {}
        for length, rows in rows_of.items():
            hidden = self._whole(windows[rows, :length], _rows(masks, rows))  # (R, T, E)
            found |= dict(zip(rows, hidden, strict=True))
        parts = [found[row] for row in range(len(windows))]
        frames = torch.tensor([len(part) for part in parts], device=windows.device)
        return nn.utils.rnn.pad_sequence(parts, batch_first=True), frames

    def _whole(self, windows: Tensor, masks: SpecMasks | None) -> Tensor:
        """Embeddings (R, T, E) of windows (R, S) of equal length."""
        inputs = self._features(list(windows))
        name, features = _main_input(inputs)
        if masks is not None and features.dim() == 2:
            if masks.band.shape[1]:
                raise CheckpointError(
                    f"{self.family} takes waveforms, which have no bands to mask: set data.augment.band_masks to 0."
                )
            whole = torch.full((len(features),), features.shape[1], device=features.device)
            features = hide_spans(features[:, None], whole, masks)[:, 0]
        elif masks is not None:
            whole = torch.full((len(features),), features.shape[1], device=features.device)
            features = hide_spans(features.transpose(1, 2), whole, masks).transpose(1, 2)  # (R, M, F)
        mask = inputs.get("attention_mask")
        options = {"attention_mask": mask} if mask is not None and mask.shape == features.shape[:2] else {}
        hidden = self.network(**{name: features}, **options).last_hidden_state
        if hidden.dim() != 3:
            raise CheckpointError(f"{self.family} does not give a sequence of frames: choose another network.")
        if "attention_mask" in options and mask is not None and mask.shape[1] == hidden.shape[1]:
            hidden = hidden[:, : int(mask[0].sum())]  # the extractor may pad to an even number of frames
        return hidden.float()

    def _features(self, clips: Sequence[Tensor]) -> dict[str, Tensor]:
        """Input features of clips (S,) from the network's feature extractor, on the network's device."""
        arrays = [clip.detach().cpu().numpy() for clip in clips]
        inputs = self.extractor(arrays, sampling_rate=self.sample_rate, return_tensors="pt")
        device = next(self.network.parameters()).device
        return {
            name: (value.float() if value.is_floating_point() else value).to(device) for name, value in inputs.items()
        }

    def _longest_window(self) -> int:
        if self.family == AST:
            return FBANK_SAMPLES + FBANK_HOP * (int(self.settings.max_length) - 1)
        return int(self.extractor.n_samples) if self.family == WHISPER else int(LONGEST_WINDOW_S * self.sample_rate)

    def _has_fixed_window(self) -> bool:
        """Return whether the feature extractor returns the same shape for inputs of one and of two seconds."""
        shapes = []
        for seconds in (1, 2):
            inputs = self.extractor(
                [np.zeros(seconds * self.sample_rate, dtype=np.float32)],
                sampling_rate=self.sample_rate,
                return_tensors="pt",
            )
            shapes.append(_main_input(inputs)[1].shape)
        return bool(shapes[0] == shapes[1])


def _main_input(inputs: Mapping[str, Tensor]) -> tuple[str, Tensor]:
    """Name and value of the network's audio input."""
    found = [name for name in ("input_features", "input_values") if name in inputs]
    if not found:
        raise CheckpointError(
            f"a feature extractor with the outputs {', '.join(inputs)} is not supported: choose another network."
        )
    return found[0], inputs[found[0]]


def _rows(masks: SpecMasks | None, rows: list[int]) -> SpecMasks | None:
    return None if masks is None else SpecMasks(masks.time[rows], masks.band[rows])


def _width(settings: Any) -> int:
    if getattr(settings, "add_adapter", False):
        return int(settings.output_hidden_size)
    return int(settings.hidden_size)


def least_of_encoder(architecture: Mapping[str, Any]) -> int:
    """Lower bound of the parameters of a network with these settings: one matrix per block."""
    settings = dict(architecture["model"])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    return int(config.hidden_size**2 * config.num_hidden_layers)


def _extractor_of(settings: dict[str, Any]) -> Any:
    name = str(settings["feature_extractor_type"])
    # The name comes from a file, so it must not reach other classes of transformers.
    extractor_class = getattr(transformers, name, None) if name.endswith("FeatureExtractor") else None
    if extractor_class is None:
        raise CheckpointError(
            f"the installed transformers has no feature extractor {name}: install the version in the checkpoint's metadata."
        )
    return extractor_class.from_dict(settings)
