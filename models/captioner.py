"""AudioCaptioner: from waveforms to captions; every command uses this class.

Shapes: B clips, S samples, T frames, T' prefix tokens, R captions, L tokens, E encoder width, D decoder width.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from configs.checks import check_decoding, check_style
from configs.errors import NOT_FINITE, CheckpointError
from configs.schema import Config, DecodingConfig
from generation.calibration import CALIBRATION_KEY, Calibration, calibration_of
from generation.logits_processors import WordTable
from generation.pipeline import Caption, CaptionSearch
from generation.rerank import asks_tagger
from generation.token_ids import special_token_ids
from models.checkpoints import captioner_files
from models.decoder.engine import TorchEngine
from models.decoder.llama import LlamaDecoder
from models.decoder.projection import Projection
from models.decoder.tag_prefix import TagPrefix
from models.encoders.base import AudioEncoder, EncoderOutput, SpecMasks
from models.encoders.build import build_encoder, published_source
from models.encoders.tagging import part_logits, part_scores, tag_scores

# Number of clips encoded at once on a CPU: feature maps of four clips fit into its cache; 32 take twice as long per clip.
ENCODED_TOGETHER = 4


class AudioCaptioner(nn.Module):
    """Audio encoder, projection and Llama decoder with their tokenizer.

    Args:
        config: experiment; `config.captioner` defines the networks, `config.decoding` the default search.
        tokenizer: sub-word tokenizer whose padding, begin and end tokens have names in SPECIAL_TOKENS.
        architecture: settings of a pretrained decoder whose weights are in the checkpoint; None otherwise.
        encoder_architecture: settings of a transformers encoder whose weights are in the checkpoint; None otherwise.

    Attributes:
        encoder_is_published: whether the encoder keeps the published weights that its settings name, so that a checkpoint
            stores their checksum in their place; set it to False if training changes them.

    Raises:
        CheckpointError: the settings contradict each other, or published weights are missing or damaged.
    """

    def __init__(
        self,
        config: Config,
        tokenizer: Tokenizer,
        architecture: dict[str, Any] | None = None,
        encoder_architecture: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        parts = config.captioner
        self.config = config
        self.tokenizer = tokenizer
        self.metadata: dict[str, Any] = {}
        self.encoder_is_published = (
            published_source(parts.encoder) is not None and parts.encoder.train_from_step is None
        )
        self.token_ids = special_token_ids(tokenizer)
        words = WordTable(tokenizer)
        self.encoder = build_encoder(parts.encoder, encoder_architecture)
        self.decoder = LlamaDecoder(parts.decoder, len(words.texts), self.token_ids, architecture)
        self.search = CaptionSearch(TorchEngine(self.decoder), tokenizer, words, self.token_ids)
        self.projection = Projection(parts.projection, self.encoder.embedding_dim, self.decoder.width)
        self.style_embed = nn.Embedding(len(parts.styles), self.decoder.width) if parts.styles else None
        self.tag_prefix = TagPrefix(parts.tags, self.decoder.width) if parts.tags.num_tags else None
        if self.tag_prefix is not None and parts.encoder.output != "frames":
            raise CheckpointError(
                "tag scores need frame embeddings: set captioner.encoder.output to frames, or captioner.tags.num_tags to 0."
            )
        if self.tag_prefix is None and parts.projection.kind == "none":
            raise CheckpointError(
                "the decoder would receive no audio: set captioner.tags.num_tags or captioner.projection.kind."
            )
        if self.tag_prefix is not None and not self.encoder.has_tagger:
            raise CheckpointError(f"{parts.encoder.name} has no tagger: set captioner.tags.num_tags to 0.")

    @property
    def sample_rate(self) -> int:
        """Sample rate of input waveforms, in hertz."""
        return self.encoder.sample_rate

    @property
    def max_duration_s(self) -> float:
        """Longest clip that `caption` accepts, in seconds."""
        return self.config.captioner.encoder.max_duration_s

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.decoder.parameters()).device

    @property
    def has_tagger(self) -> bool:
        """Whether `tag_scores` is available: the encoder has a tagger and returns frame embeddings."""
        return self.encoder.has_tagger and self.config.captioner.encoder.output == "frames"

    @property
    def calibration(self) -> Calibration | None:
        """Calibration of caption probabilities from the checkpoint's metadata; None without one.

        Raises:
            CheckpointError: the calibration cannot be read, or needs a tagger or a caption store that is missing.
        """
        return calibration_of(self.metadata, self.has_tagger, self.search.store is not None)

    def encode(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None = None) -> EncoderOutput:
        """Encode zero-padded waveforms (B, S) of `lengths` (B,) samples; see `AudioEncoder.forward`."""
        return self.encoder(waveform, lengths, spec_masks)

    def forward(
        self,
        audio_embeddings: Tensor,
        lengths: Tensor,
        caption_ids: Tensor,
        clip_index: Tensor | None = None,
        styles: Tensor | None = None,
        caption_lengths: Tensor | None = None,
    ) -> Tensor:
        """Compute next-token logits.

        Args:
            audio_embeddings: (B, T, E) float.
            lengths: (B,) int64, frames of each clip.
            caption_ids: (R, L) int64 tokens, starting with the begin token.
            clip_index: (R,) int64, the clip of each caption; None for one caption per clip.
            styles: (B,) int64 style numbers; None for the first style.
            caption_lengths: (R,) int64, number of leading tokens of each caption to use; None for all.

        Returns:
            (R, L, V) logits of the token after each of `caption_ids`; with `caption_lengths`, (sum of the lengths, V) for the
            used tokens only.
        """
        prefix, prefix_lengths = self.prefix(audio_embeddings, lengths, styles)
        return self.decoder(prefix, prefix_lengths, caption_ids, clip_index, caption_lengths)

    def style_number(self, name: str) -> int:
        """Index of a style; an empty name is the default style, 0.

        Raises:
            ValueError: the captioner has no such style.
        """
        check_style(name, self.config.captioner.styles)
        return self.config.captioner.styles.index(name) if name else 0

    def prefix(self, audio_embeddings: Tensor, lengths: Tensor, styles: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Build the decoder's prefix: style token, tag tokens, then projected frames.

        Args:
            audio_embeddings: (B, T, E) float.
            lengths: (B,) int64, frames of each clip.
            styles: (B,) int64 style numbers; None for the first style.

        Returns:
            Prefix tokens (B, T', D) float and the number of valid ones of each clip (B,) int64.
        """
        if self.config.captioner.projection.kind == "none":
            frames = audio_embeddings.new_zeros(len(lengths), 0, self.decoder.width)
            frame_lengths = torch.zeros_like(lengths)
        else:
            frames, frame_lengths = self.projection(audio_embeddings, lengths)
            probability = self.config.captioner.projection.clip_dropout
            if self.training and self.tag_prefix is not None and probability:
                frame_lengths = frame_lengths * (torch.rand(len(lengths), device=lengths.device) >= probability)
        before = []
        if self.style_embed is not None:
            numbers = torch.zeros_like(lengths) if styles is None else styles
            before.append(self.style_embed(numbers)[:, None])  # (B, 1, D)
        if self.tag_prefix is not None:
            with torch.no_grad(), _without_dropout(self.encoder):  # the captioning loss does not train the tagger
                logits = part_logits(self.encoder, audio_embeddings, lengths)
            before.append(self.tag_prefix(logits))  # (B, K, D)
        if not before:
            return frames, frame_lengths
        tokens = torch.cat([part.to(frames.dtype) for part in before], dim=1)
        return torch.cat([tokens, frames], dim=1), frame_lengths + tokens.shape[1]

    def use_tagger(self, encoder: AudioEncoder) -> None:
        """Replace the encoder by another tagger of AudioSet's classes; the decoder receives its scores.

        The calibration, which was fitted to the scores of the previous tagger, is dropped.

        Raises:
            CheckpointError: the decoder also takes frame embeddings, or the encoder has no tagger.
        """
        if self.config.captioner.projection.kind != "none":
            raise CheckpointError(
                "this captioner's decoder also takes frame embeddings of its own encoder: its tagger cannot be replaced."
            )
        if not encoder.has_tagger:
            raise CheckpointError("this encoder has no tagger of AudioSet's classes: use cnn14 or mobilenet.")
        self.encoder = encoder.to(self.device).eval()
        self.metadata = {key: value for key, value in self.metadata.items() if key != CALIBRATION_KEY}

    @torch.no_grad()
    def caption(
        self, waveforms: Sequence[NDArray[np.float32]], decoding: DecodingConfig | None = None
    ) -> list[list[Caption]]:
        """Caption clips.

        Args:
            waveforms: mono float32 arrays (S,) in -1 to 1 at `sample_rate`, each at most `max_duration_s` long.
            decoding: decoding settings; None for those of the checkpoint.

        Returns:
            Captions of each clip, best first.

        Raises:
            ValueError: decoding settings are out of range or contradict each other.
            CheckpointError: the embeddings are not finite, because weights are damaged.
        """
        check_decoding(decoding or self.config.decoding, self.config.captioner.styles)
        if not waveforms:
            return []
        output = self.encode_clips(waveforms)
        if not bool(torch.isfinite(output.embeddings).all()):
            raise CheckpointError(NOT_FINITE)
        return self.caption_embeddings(output.embeddings, output.lengths, decoding)

    @torch.no_grad()
    def encode_clips(self, waveforms: Sequence[NDArray[np.float32]]) -> EncoderOutput:
        """Encode at least one waveform, given as for `caption`."""
        self._settle()
        together = ENCODED_TOGETHER if self.device.type == "cpu" else len(waveforms)
        parts = [
            self.encode(*self._padded(waveforms[start : start + together]))
            for start in range(0, len(waveforms), together)
        ]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _padded(self, waveforms: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
        """Return waveforms as a zero-padded batch (B, S) on the device, and their lengths (B,)."""
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        padded = torch.zeros(len(waveforms), int(lengths.max()))
        for row, waveform in enumerate(waveforms):
            padded[row, : len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform))
        return padded.to(self.device), lengths.to(self.device)

    @torch.no_grad()
    def caption_embeddings(
        self,
        audio_embeddings: Tensor,
        lengths: Tensor,
        decoding: DecodingConfig | None = None,
        styles: Tensor | None = None,
    ) -> list[list[Caption]]:
        """Caption clips from their audio embeddings.

        Args:
            audio_embeddings: (B, T, E) float.
            lengths: (B,) int64, frames of each clip.
            decoding: decoding settings; None for those of the checkpoint.
            styles: (B,) int64 style numbers; None for `decoding.style`.

        Returns:
            Captions of each clip, best first.

        Raises:
            ValueError: decoding settings are out of range or contradict each other.
        """
        self._settle()
        decoding = decoding or self.config.decoding
        check_decoding(decoding, self.config.captioner.styles)
        if styles is None:
            styles = torch.full_like(lengths, self.style_number(decoding.style))
        calibration = self.calibration
        needed = asks_tagger(decoding) or (calibration is not None and calibration.uses_tags)
        scores = self.part_scores(audio_embeddings, lengths) if needed and self.has_tagger else None  # (B, P, C)
        prefix, prefix_lengths = self.prefix(audio_embeddings, lengths, styles)
        read_scores = None if scores is None else scores.cpu().numpy()  # rules and ranking read single values
        return self.search.captions(prefix, prefix_lengths, styles.tolist(), read_scores, decoding, calibration)

    def _settle(self) -> None:
        """Switch to evaluation mode if needed; calling `eval` for each clip would visit 400 modules, which takes 4 ms."""
        if any(module.training for module in (self, self.encoder, self.decoder, self.projection)):
            self.eval()

    def part_scores(self, audio_embeddings: Tensor, lengths: Tensor) -> Tensor:
        """Tag scores (B, P, C), 0 to 1, of whole clips and their thirds, from embeddings (B, T, E) and lengths (B,)."""
        return part_scores(self.encoder, audio_embeddings, lengths)

    def tag_scores(self, audio_embeddings: Tensor, lengths: Tensor) -> Tensor:
        """Tag scores (B, C), 0 to 1, the maximum over whole clips and their thirds, from embeddings (B, T, E)."""
        return tag_scores(self.encoder, audio_embeddings, lengths)

    def owned_state(self) -> dict[str, Tensor]:
        """Return the tensors that a checkpoint stores: all except those of an encoder with published weights."""
        return captioner_files.owned_state(self)

    def save_pretrained(
        self,
        path: str | Path,
        metadata: Mapping[str, Any] | None = None,
        state: Mapping[str, Tensor] | None = None,
        training_state: Any = None,
    ) -> None:
        """Write a checkpoint folder that `from_pretrained` loads; see `models.checkpoints.captioner_files.save`."""
        captioner_files.save(self, Path(path), metadata, state, training_state)

    @classmethod
    def from_pretrained(
        cls,
        path_or_hub_id: str | Path,
        device: str | torch.device = "cpu",
        encoder_weights: str | None = None,
        rounds_weights: bool = True,
    ) -> "AudioCaptioner":
        """Load a captioner.

        Args:
            path_or_hub_id: checkpoint folder, a run's folder (its best checkpoint is loaded), a `step=N.pth` file of
                qiuqiangkong/mini_audio_caption, or a repository id on the Hugging Face hub.
            device: device to load to.
            encoder_weights: published weights file of the encoder, replacing the path in the checkpoint.
            rounds_weights: whether the search on a CPU rounds the decoder's float32 weights to half precision, which reads half
                the memory for each token. The weights themselves, and those that a checkpoint is saved with, do not change.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, of a newer version, or does not fit its configuration.
        """
        captioner = captioner_files.load(cls, path_or_hub_id, encoder_weights).to(device).eval()
        captioner.decoder.rounds_weights = rounds_weights
        return captioner

    def merge_lora(self) -> None:
        """Merge LoRA adapters into the decoder's weights: a saved copy needs no peft and decodes slightly faster.

        Outputs change only by rounding to the weights' dtype.
        """
        self.decoder.merge_lora()
        decoder = self.config.captioner.decoder
        decoder = replace(decoder, lora_rank=0, frozen=decoder.frozen or decoder.dtype != "float32")
        self.config = replace(self.config, captioner=replace(self.config.captioner, decoder=decoder))


def _joined(parts: Sequence[EncoderOutput]) -> EncoderOutput:
    """Concatenate the outputs of parts of a batch."""
    longest = max(part.embeddings.shape[1] for part in parts)
    embeddings = [F.pad(part.embeddings, (0, 0, 0, longest - part.embeddings.shape[1])) for part in parts]
    logits = [part.logits for part in parts if part.logits is not None]
    lengths = torch.cat([part.lengths for part in parts])
    return EncoderOutput(torch.cat(embeddings), lengths, torch.cat(logits) if logits else None)


@contextmanager
def _without_dropout(module: nn.Module) -> Iterator[None]:
    """Set a module to evaluation mode within the context and restore its mode afterwards."""
    training = module.training
    if training:
        module.eval()
    try:
        yield
    finally:
        if training:
            module.train()
