"""HTS-AT, CLAP's audio network, as an encoder of frames.

Chen et al., "HTS-AT: A Hierarchical Token-Semantic Audio Transformer for Sound Classification and Detection", ICASSP 2022,
arXiv 2202.00874; Wu et al., "Large-Scale Contrastive Language-Audio Pretraining", ICASSP 2023, arXiv 2211.06687. The network
is transformers' `ClapAudioModel`; weights: laion/clap-htsat-unfused or laion/clap-htsat-fused on the hub.

Shapes: B clips, W windows, S samples, F mel bands, M mel frames, T frames, E = 768 x width.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ClapAudioConfig, ClapAudioModelWithProjection, ClapFeatureExtractor
from transformers.audio_utils import mel_filter_bank

from configs.errors import CheckpointError
from configs.schema import EncoderConfig
from models.checkpoints.published import load_pretrained, load_settings
from models.encoders.base import AudioEncoder, EncoderOutput, SpecMasks
from models.encoders.windows import join_output, repeat_masks, split_windows

PATCH_WIDTH = 96  # channels after the first convolution at width 1
NUM_HEADS = (4, 8, 16, 32)
DEPTHS = (2, 2, 6, 2)


@dataclass(frozen=True)
class FrontEndSettings:
    """Settings of `ClapFeatureExtractor`, under its names; the defaults are those of laion/clap-htsat-unfused.

    Attributes:
        sampling_rate: sample rate in hertz.
        fft_window_size: window length in samples.
        hop_length: hop length in samples.
        feature_size: number of mel bands F.
        frequency_min: lowest frequency in hertz.
        frequency_max: highest frequency in hertz.
        max_length_s: length of the network's window in seconds.
        padding: padding of shorter clips: "repeatpad" (whole repeats, then silence), "repeat" or "pad" (silence).
        truncation: "rand_trunc" implies Slaney mel bands, "fusion" HTK mel bands.
    """

    sampling_rate: int = 48000
    fft_window_size: int = 1024
    hop_length: int = 480
    feature_size: int = 64
    frequency_min: float = 50.0
    frequency_max: float = 14000.0
    max_length_s: float = 10.0
    padding: str = "repeatpad"
    truncation: str = "rand_trunc"


class ClapLogMel(nn.Module):
    """Log-mel spectrograms equal to those of `ClapFeatureExtractor`, for batches of clips within one window, on any device."""

    window: Tensor
    mel_bank: Tensor

    def __init__(self, settings: FrontEndSettings) -> None:
        super().__init__()
        self.settings = settings
        self.max_samples = int(settings.max_length_s * settings.sampling_rate)
        fused = settings.truncation == "fusion"
        bank = mel_filter_bank(
            num_frequency_bins=settings.fft_window_size // 2 + 1,
            num_mel_filters=settings.feature_size,
            min_frequency=settings.frequency_min,
            max_frequency=settings.frequency_max,
            sampling_rate=settings.sampling_rate,
            norm=None if fused else "slaney",
            mel_scale="htk" if fused else "slaney",
        )
        self.register_buffer("window", torch.hann_window(settings.fft_window_size), persistent=False)
        self.register_buffer("mel_bank", torch.from_numpy(bank.T).float().contiguous(), persistent=False)  # (F, bins)

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Compute log-mel spectrograms (B, F, M), in decibels, of waveforms (B, S) of `lengths` (B,) samples."""
        settings = self.settings
        filled = self.fill(waveform, lengths)  # (B, max_samples)
        spectrum = torch.stft(
            filled,
            settings.fft_window_size,
            settings.hop_length,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()  # (B, bins, M)
        return 10.0 * torch.log10((self.mel_bank @ power).clamp(min=1e-10))  # (B, F, M)

    def fill(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Extend clips (B, S) to the network's window (B, max_samples), by repetition or silence."""
        positions = torch.arange(self.max_samples, device=waveform.device)  # (max_samples,)
        period = lengths[:, None].clamp(min=1)  # (B, 1)
        filled = waveform.gather(1, (positions[None, :] % period).clamp(max=waveform.shape[1] - 1))  # (B, max_samples)
        return filled * (positions[None, :] < self._end(period))

    def hidden(self, spec_masks: SpecMasks, lengths: Tensor, num_frames: int) -> Tensor:
        """Mask (B, F, M) bool of the cells in `spec_masks`; a span of the clip is masked in all its repeats."""
        settings = self.settings
        samples = torch.arange(num_frames, device=lengths.device) * settings.hop_length  # (M,)
        period = lengths[:, None].clamp(min=1)  # (B, 1)
        shares = (samples[None, :] % period) / period  # (B, M), 0 to 1 within the clip
        own = samples[None, :] < self._end(period)
        spans = spec_masks.time[..., None]  # (B, K, 2, 1)
        in_time = ((shares[:, None] >= spans[:, :, 0]) & (shares[:, None] < spans[:, :, 1])).any(dim=1) & own  # (B, M)
        bands = torch.arange(settings.feature_size, device=lengths.device) / settings.feature_size  # (F,)
        edges = spec_masks.band[..., None]  # (B, N, 2, 1)
        in_band = ((bands >= edges[:, :, 0]) & (bands < edges[:, :, 1])).any(dim=1)  # (B, F)
        return in_time[:, None, :] | in_band[:, :, None]

    def _end(self, period: Tensor) -> Tensor:
        """Sample (B, 1) at which the silence after a clip's repeats begins."""
        if self.settings.padding == "repeat":
            return torch.full_like(period, self.max_samples)
        if self.settings.padding == "pad":
            return period
        return torch.div(self.max_samples, period, rounding_mode="floor") * period


class ClapAudioEncoder(AudioEncoder):
    """Base of HTS-AT and CLAP's audio tower: front end, windows and loading of the network.

    Args:
        config: sample rate, weights, and the width of a network without weights.
        architecture: result of `architecture` if the weights come from a checkpoint; None otherwise.

    Raises:
        CheckpointError: the sample rate does not fit, or the folder or hub has no such network.
    """

    def __init__(self, config: EncoderConfig, architecture: dict[str, Any] | None = None) -> None:
        super().__init__()
        if architecture is not None:
            settings = FrontEndSettings(**architecture["features"])
            network = ClapAudioModelWithProjection(ClapAudioConfig.from_dict(architecture["model"]))
        elif config.weights is not None:
            settings = front_end_settings(config.weights)
            network = load_pretrained(ClapAudioModelWithProjection, config.weights, "CLAP audio network")
        else:
            settings = FrontEndSettings()
            network = ClapAudioModelWithProjection(new_network_config(1.0 if config.width is None else config.width))
        if config.sample_rate != settings.sampling_rate:
            raise CheckpointError(
                f"{config.name} takes {settings.sampling_rate} Hz, not {config.sample_rate}: set captioner.encoder.sample_rate."
            )
        self.sample_rate = settings.sampling_rate
        self.frozen_layers = config.frozen_layers
        self.keeps_statistics = config.weights is not None or config.train_from_step != 0
        self.log_mel = ClapLogMel(settings)
        self.network: Any = network

    def architecture(self) -> dict[str, Any]:
        """Settings of the network and the front end, as JSON values."""
        return {"model": self.network.config.to_dict(), "features": dataclasses.asdict(self.log_mel.settings)}

    def layers(self) -> list[nn.Module]:
        """The patch embedding, including the batch norm over bands, and the four stages."""
        encoder = self.network.audio_model.audio_encoder
        return [nn.ModuleList([encoder.batch_norm, encoder.patch_embed]), *encoder.layers]

    def encode_windows(
        self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None
    ) -> tuple[Any, Tensor, list[int]]:
        """Network output for each window, window lengths (W,) in samples, and the number of windows of each clip.

        Windows are at most 10 s long. Checkpoints with feature fusion process each window as a short clip, which involves no
        random choice.
        """
        windows, samples, counts = split_windows(waveform, lengths, self.log_mel.max_samples)
        samples = samples.clamp(min=1)
        with torch.autocast(waveform.device.type, enabled=False):  # powers of quiet sounds underflow in half precision
            log_mel = self.log_mel(windows.float(), samples)  # (W, F, M)
            if spec_masks is not None:
                hidden = self.log_mel.hidden(repeat_masks(spec_masks, counts), samples, log_mel.shape[2])
                log_mel = torch.where(hidden, self._middle(log_mel), log_mel)
        is_longer = torch.zeros(len(windows), 1, dtype=torch.bool, device=waveform.device)
        features = log_mel.transpose(1, 2)[:, None]  # (W, 1, M, F)
        return self.network.audio_model(features, is_longer=is_longer), samples, counts

    def _middle(self, log_mel: Tensor) -> Tensor:
        """Values (F, 1) that the batch norm over bands centres to zero."""
        norm = self.network.audio_model.audio_encoder.batch_norm
        middle = log_mel.detach().mean(dim=(0, 2)) if norm.training else norm.running_mean  # (F,)
        return middle[:, None]


class HtsAt(ClapAudioEncoder):
    """HTS-AT: one embedding per 0.31 s, 32 per window of 10 s, in time order.

    The network arranges a spectrogram in time as four rows of an image; transformers reverses this after the last stage, whose
    2 x 32 patches (frequency, time) are averaged over frequency here. Every frame depends on the whole window. Longer clips
    are split into equal windows and joined in time; shorter clips are repeated and padded as in CLAP's training, and the
    frames of the first copy are returned.
    """

    def __init__(self, config: EncoderConfig, architecture: dict[str, Any] | None = None) -> None:
        super().__init__(config, architecture)
        self.network.audio_projection = nn.Identity()  # projection to CLAP's joint space; see models/encoders/clap.py
        encoder = self.network.audio_model.audio_encoder
        rows, columns = (size // 2 ** (encoder.num_layers - 1) for size in encoder.patch_embed.grid_size)
        self.window_frames = columns * encoder.freq_ratio
        if rows % encoder.freq_ratio:
            raise CheckpointError(
                f"the last stage of this HTS-AT has {rows} rows, expected a multiple of {encoder.freq_ratio}: use another one."
            )
        self.embedding_dim = encoder.num_features
        self.output = config.output

    def forward(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None = None) -> EncoderOutput:
        """Compute embeddings of clips of any length, or their mean over time; there are no tag logits."""
        output, samples, counts = self.encode_windows(waveform, lengths, spec_masks)
        embeddings = output.last_hidden_state.float().mean(dim=2).transpose(1, 2)  # (W, T, E)
        frames = -torch.div(
            -samples * self.window_frames, self.log_mel.max_samples, rounding_mode="floor"
        )  # (W,) ceiling
        return join_output(embeddings, frames, counts, self.output)


def front_end_settings(source: str) -> FrontEndSettings:
    """Read the front end of a CLAP checkpoint from its preprocessor_config.json.

    Raises:
        CheckpointError: the file is missing or belongs to another feature extractor.
    """
    extractor = load_settings(ClapFeatureExtractor, source, "feature extractor of CLAP (preprocessor_config.json)")
    names = [item.name for item in dataclasses.fields(FrontEndSettings)]
    if any(not hasattr(extractor, name) for name in names) or extractor.top_db is not None:
        raise CheckpointError(f"the preprocessor_config.json of {source} does not describe a CLAP feature extractor.")
    return FrontEndSettings(**{name: getattr(extractor, name) for name in names})


def new_network_config(width: float) -> ClapAudioConfig:
    """Configuration of laion/clap-htsat-unfused's HTS-AT with `width` times as many channels."""
    channels = NUM_HEADS[0] * max(1, round(PATCH_WIDTH * width / NUM_HEADS[0]))
    return ClapAudioConfig(
        patch_embeds_hidden_size=channels,
        hidden_size=channels * 2 ** (len(DEPTHS) - 1),
        depths=list(DEPTHS),
        num_attention_heads=list(NUM_HEADS),
    )
