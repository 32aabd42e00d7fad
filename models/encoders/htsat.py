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

from configs.schema import EncoderConfig
from models.checkpoints.published import load_pretrained, load_settings
from models.encoders.base import AudioEncoder, EncoderOutput, SpecMasks
from models.encoders.windows import join_output, repeat_masks, split_windows
from models.errors import CheckpointError

PATCH_WIDTH = 96  # channels after the first convolution at width 1
NUM_HEADS = (4, 8, 16, 32)
DEPTHS = (2, 2, 6, 2)


@dataclass(frozen=True)
class FrontEndSettings:
    """Settings of `ClapFeatureExtractor` that decide its numbers, under its names; those of laion/clap-htsat-unfused.

    Attributes:
        sampling_rate: hertz.
        fft_window_size: samples.
        hop_length: samples.
        feature_size: F.
        frequency_min: hertz.
        frequency_max: hertz.
        max_length_s: length of the network's window, seconds.
        padding: how shorter clips fill it: "repeatpad" (whole repeats, then silence), "repeat" or "pad" (silence).
        truncation: "rand_trunc" goes with Slaney's mel bands, "fusion" with HTK's.
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
    """`ClapFeatureExtractor`'s log-mel spectrograms of clips within one window, in batches and on the clips' device."""

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
        """Decibels (B, F, M) of waveforms (B, S) with `lengths` (B,) samples, none beyond the window."""
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
        """Each clip (B, S) as it fills the network's window (B, max_samples): repeated, or with silence behind."""
        positions = torch.arange(self.max_samples, device=waveform.device)  # (max_samples,)
        period = lengths[:, None].clamp(min=1)  # (B, 1)
        filled = waveform.gather(1, (positions[None, :] % period).clamp(max=waveform.shape[1] - 1))  # (B, max_samples)
        return filled * (positions[None, :] < self._end(period))

    def hidden(self, spec_masks: SpecMasks, lengths: Tensor, num_frames: int) -> Tensor:
        """Cells (B, F, M) bool that `spec_masks` hide; a span of the clip is hidden in each of its repeats."""
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
        """Where the silence behind a clip's repeats begins, (B, 1) samples."""
        if self.settings.padding == "repeat":
            return torch.full_like(period, self.max_samples)
        if self.settings.padding == "pad":
            return period
        return torch.div(self.max_samples, period, rounding_mode="floor") * period


class ClapAudioEncoder(AudioEncoder):
    """What HTS-AT and CLAP's audio tower share: front end, windows, and the network with its sources.

    Args:
        config: sample rate, and width where there are no weights to load.
        architecture: as `architecture` gives it, where a checkpoint holds the weights.

    Raises:
        CheckpointError: another sample rate, or no such network in the folder or on the hub.
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
        """Settings of the network and of the front end, as JSON values."""
        return {"model": self.network.config.to_dict(), "features": dataclasses.asdict(self.log_mel.settings)}

    def layers(self) -> list[nn.Module]:
        """The convolution into patches, with the batch norm over bands before it, then the four stages."""
        encoder = self.network.audio_model.audio_encoder
        return [nn.ModuleList([encoder.batch_norm, encoder.patch_embed]), *encoder.layers]

    def encode_windows(
        self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None
    ) -> tuple[Any, Tensor, list[int]]:
        """The network's output for each window, their lengths (W,) in samples, and how many each clip has.

        A window is at most 10 s; checkpoints with feature fusion get each as a clip that is not longer than that, so that
        nothing is drawn at random.
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
        """What the batch norm over bands turns into zero before its scale, (F, 1)."""
        norm = self.network.audio_model.audio_encoder.batch_norm
        middle = log_mel.detach().mean(dim=(0, 2)) if norm.training else norm.running_mean  # (F,)
        return middle[:, None]


class HtsAt(ClapAudioEncoder):
    """HTS-AT: one embedding in 0.31 s, 32 in a window of 10 s, in time order.

    The network folds a spectrogram's time into four rows of an image; transformers unfolds it again after the last stage, whose
    2 x 32 patches (frequency, time) are averaged over frequency here. Every frame has seen the whole window. Clips longer than
    the window are cut into equal windows and joined in time; shorter ones fill it as CLAP was trained (repeated, then silence)
    and give the frames of their first copy.
    """

    def __init__(self, config: EncoderConfig, architecture: dict[str, Any] | None = None) -> None:
        super().__init__(config, architecture)
        self.network.audio_projection = nn.Identity()  # CLAP's joint space; see models/encoders/clap.py
        encoder = self.network.audio_model.audio_encoder
        rows, columns = (size // 2 ** (encoder.num_layers - 1) for size in encoder.patch_embed.grid_size)
        self.window_frames = columns * encoder.freq_ratio
        if rows % encoder.freq_ratio:
            raise CheckpointError(
                f"this HTS-AT's image has {rows} rows at its end, no multiple of {encoder.freq_ratio}."
            )
        self.embedding_dim = encoder.num_features
        self.output = config.output

    def forward(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None = None) -> EncoderOutput:
        """Embeddings of clips of any length, or their mean over time; no tags."""
        output, samples, counts = self.encode_windows(waveform, lengths, spec_masks)
        embeddings = output.last_hidden_state.float().mean(dim=2).transpose(1, 2)  # (W, T, E)
        frames = -torch.div(
            -samples * self.window_frames, self.log_mel.max_samples, rounding_mode="floor"
        )  # (W,) ceiling
        return join_output(embeddings, frames, counts, self.output)


def front_end_settings(source: str) -> FrontEndSettings:
    """Front end of a CLAP checkpoint, from its preprocessor_config.json.

    Raises:
        CheckpointError: no such file, or of another feature extractor.
    """
    extractor = load_settings(ClapFeatureExtractor, source, "feature extractor of CLAP (preprocessor_config.json)")
    names = [item.name for item in dataclasses.fields(FrontEndSettings)]
    if any(not hasattr(extractor, name) for name in names) or extractor.top_db is not None:
        raise CheckpointError(f"the preprocessor_config.json of {source} is not of a CLAP feature extractor.")
    return FrontEndSettings(**{name: getattr(extractor, name) for name in names})


def new_network_config(width: float) -> ClapAudioConfig:
    """HTS-AT of laion/clap-htsat-unfused with `width` times as many channels."""
    channels = NUM_HEADS[0] * max(1, round(PATCH_WIDTH * width / NUM_HEADS[0]))
    return ClapAudioConfig(
        patch_embeds_hidden_size=channels,
        hidden_size=channels * 2 ** (len(DEPTHS) - 1),
        depths=list(DEPTHS),
        num_attention_heads=list(NUM_HEADS),
    )
