"""Audio networks of transformers with frame outputs as encoders, by folder or hub id: `captioner.encoder.name: hf:NAME`.

What a frame is depends on the family:

- audio-spectrogram-transformer (AST, Gong et al., Interspeech 2021, arXiv 2104.01778): patches in frequency and time; those of
  one time are averaged over frequency. Windows of 10.24 s, filled with silence; one embedding in 0.1 s.
- whisper (Radford et al. 2022, arXiv 2212.04356): the encoder alone. Windows of 30 s, filled with silence; one in 0.02 s.
- networks that take any length and give one row of frames, such as wav2vec2, hubert, wavlm, wav2vec2-bert: windows of at
  most 30 s. Clips of one length go through together and no clip is padded, since some of these networks (wav2vec2-base, with a
  norm over time) cannot tell padding from sound. All frames are the clip's own.

Other networks with a fixed window are refused: nothing says which of their frames belong to a shorter clip. The feature
extractor is the network's own and runs on the CPU; gradients reach the network, not the waveform.

Shapes: B clips, W windows, S samples, M feature frames, F features, T frames, E encoder width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from configs.schema import EncoderConfig
from models.checkpoints.published import load_pretrained, load_settings
from models.encoders.base import PREFIX, AudioEncoder, EncoderOutput, SpecMasks, hide_spans, pad_to_minimum
from models.encoders.windows import join_output, repeat_masks, split_windows
from models.errors import CheckpointError

AST, WHISPER = "audio-spectrogram-transformer", "whisper"
LONGEST_WINDOW_S = 30.0  # of networks that take any length; their attention grows with its square
MIN_S = 0.1  # shorter clips are lengthened with silence: the convolutions of wav2vec2 need 0.025 s, AST's patches more
FBANK_SAMPLES, FBANK_HOP = 400, 160  # Kaldi's filter bank at 16 kHz, which AST takes


class TransformersEncoder(AudioEncoder):
    """A transformers audio network, its feature extractor and its way of laying out time.

    Args:
        config: `name` (or `weights` in its place) says where to load from; sample rate.
        architecture: as `architecture` gives it, where a checkpoint holds the weights.

    Raises:
        CheckpointError: nothing to load there, a network without frames, a fixed window of an unknown kind, or another
            sample rate.
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
        self.network.config.apply_spec_augment = False  # drawn by NumPy's global generator; data.augment has its own
        self.family = str(self.settings.model_type)
        self.sample_rate = int(self.extractor.sampling_rate)
        self.embedding_dim = _width(self.settings)
        self.frozen_layers = config.frozen_layers
        self.output = config.output
        self.keeps_statistics = True
        if self.family not in (AST, WHISPER) and self._has_fixed_window():
            raise CheckpointError(
                f"{config.name} ({self.family}) fills a fixed window, and nothing says which of its frames belong to a shorter "
                f"clip: of such networks {AST} and {WHISPER} are known here, and CLAP's as captioner.encoder.name htsat."
            )
        self.window_samples = self._longest_window()

    def architecture(self) -> dict[str, Any]:
        """Settings of the network and of the feature extractor, as JSON values."""
        return {"model": self.settings.to_dict(), "features": self.extractor.to_dict()}

    def layers(self) -> list[nn.Module]:
        """What comes before the blocks, as one, then each block."""
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
        """Embeddings of clips of any length, in equal windows joined in time, or their mean; no tags."""
        windows, samples, counts = split_windows(waveform.float(), lengths, self.window_samples)
        windows, samples = pad_to_minimum(windows, samples, int(MIN_S * self.sample_rate))
        masks = None if spec_masks is None else repeat_masks(spec_masks, counts)
        if self.family in (AST, WHISPER):
            embeddings, frames = self._fixed(windows, samples, masks)
        else:
            embeddings, frames = self._by_length(windows, samples, masks)
        return join_output(embeddings, frames, counts, self.output)

    def _fixed(self, windows: Tensor, samples: Tensor, masks: SpecMasks | None) -> tuple[Tensor, Tensor]:
        """Embeddings (W, T, E) of windows that all fill one length, and the clips' own frames (W,)."""
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
        )  # patches that begin within the clip
        return grid.float().mean(dim=1), frames.clamp(max=grid.shape[2])

    def _by_length(self, windows: Tensor, samples: Tensor, masks: SpecMasks | None) -> tuple[Tensor, Tensor]:
        """Embeddings (W, T, E) and their lengths (W,) of windows that go through unpadded, those of one length together."""
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
        """Frames (R, T, E) of windows (R, S) that have one length."""
        inputs = self._features(list(windows))
        name, features = _main_input(inputs)
        if masks is not None and features.dim() == 2:
            if masks.band.shape[1]:
                raise CheckpointError(
                    f"{self.family} hears waveforms, which have no bands to hide: set data.augment.band_masks to 0."
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
            raise CheckpointError(f"{self.family} gives no row of frames for a clip: choose another network.")
        if "attention_mask" in options and mask is not None and mask.shape[1] == hidden.shape[1]:
            hidden = hidden[:, : int(mask[0].sum())]  # the extractor may round its frames up to an even number
        return hidden.float()

    def _features(self, clips: Sequence[Tensor]) -> dict[str, Tensor]:
        """What the network's own feature extractor makes of clips (S,), on the network's device."""
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
        """Whether the feature extractor makes as much of one second as of two."""
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
    """The input that holds the sound, by the name that the network takes it under."""
    found = [name for name in ("input_features", "input_values") if name in inputs]
    if not found:
        raise CheckpointError(f"a feature extractor that gives {', '.join(inputs)} is not known here.")
    return found[0], inputs[found[0]]


def _rows(masks: SpecMasks | None, rows: list[int]) -> SpecMasks | None:
    return None if masks is None else SpecMasks(masks.time[rows], masks.band[rows])


def _width(settings: Any) -> int:
    if getattr(settings, "add_adapter", False):
        return int(settings.output_hidden_size)
    return int(settings.hidden_size)


def least_of_encoder(architecture: Mapping[str, Any]) -> int:
    """Parameters that a network of the settings in a checkpoint has at least: a matrix for each of its blocks."""
    settings = dict(architecture["model"])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    return int(config.hidden_size**2 * config.num_hidden_layers)


def _extractor_of(settings: dict[str, Any]) -> Any:
    name = str(settings["feature_extractor_type"])
    # The name comes from a file: nothing else of transformers is reached by it.
    extractor_class = getattr(transformers, name, None) if name.endswith("FeatureExtractor") else None
    if extractor_class is None:
        raise CheckpointError(
            f"this transformers knows no feature extractor {name}: install the version in the checkpoint's metadata."
        )
    return extractor_class.from_dict(settings)
