"""CLAP: one embedding per clip in a joint space of audio and text, and similarities of captions to a recording.

Wu et al., "Large-Scale Contrastive Language-Audio Pretraining with Feature Fusion and Keyword-to-Caption Augmentation",
ICASSP 2023, arXiv 2211.06687; transformers' port and the checkpoints laion/clap-htsat-unfused, laion/clap-htsat-fused.

Shapes: B clips, W windows, S samples, N captions, L tokens, E = 512 (the joint space).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, ClapTextModelWithProjection

from configs.errors import CheckpointError
from configs.schema import EncoderConfig
from models.checkpoints.published import load_pretrained, load_settings
from models.encoders.base import EncoderOutput, SpecMasks
from models.encoders.htsat import ClapAudioEncoder, front_end_settings


class Clap(ClapAudioEncoder):
    """CLAP's audio tower: one unit vector per clip, independent of `config.output`.

    Clips longer than the window of 10 s are split into equal windows; the normalised mean of their vectors is returned.
    """

    def __init__(self, config: EncoderConfig, architecture: dict[str, Any] | None = None) -> None:
        super().__init__(config, architecture)
        self.embedding_dim = int(self.network.config.projection_dim)

    def forward(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None = None) -> EncoderOutput:
        """Compute embeddings (B, 1, E) of clips of any length; there are no tag logits."""
        output, _, counts = self.encode_windows(waveform, lengths, spec_masks)
        vectors = F.normalize(self.network.audio_projection(output.pooler_output).float(), dim=-1)  # (W, E)
        means = torch.stack([part.mean(dim=0) for part in vectors.split(counts)])  # (B, E)
        return EncoderOutput(F.normalize(means, dim=-1)[:, None], torch.ones_like(lengths), None)


class ClapScorer(nn.Module):
    """Both towers of a CLAP checkpoint, for similarities between recordings and captions.

    Args:
        source: folder or hub id of a transformers CLAP checkpoint, with its tokenizer and preprocessor_config.json.

    Raises:
        CheckpointError: the weights, tokenizer or front end are missing.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        rate = front_end_settings(source).sampling_rate
        self.audio = Clap(EncoderConfig(name="clap", weights=source, sample_rate=rate))
        self.text = load_pretrained(ClapTextModelWithProjection, source, "CLAP text network")
        self.tokenizer = load_settings(AutoTokenizer, source, "tokenizer of CLAP")
        # transformers creates an empty tokenizer if the files are missing.
        if self.tokenizer.pad_token_id != self.text.config.pad_token_id:
            raise CheckpointError(
                f"the tokenizer files of {source} are missing or belong to another network (padding id "
                f"{self.tokenizer.pad_token_id}, not {self.text.config.pad_token_id}): copy tokenizer.json beside the weights."
            )
        # RoBERTa's positions start after its padding id.
        self.max_tokens = self.text.config.max_position_embeddings - self.text.config.pad_token_id - 1
        self.eval()

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveforms, in hertz."""
        return self.audio.sample_rate

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @torch.no_grad()
    def embed_audio(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors (B, E) of waveforms (B, S) with `lengths` (B,) samples."""
        return self.audio(waveform.to(self.device), lengths.to(self.device)).embeddings[:, 0]

    @torch.no_grad()
    def embed_text(self, captions: Sequence[str]) -> Tensor:
        """Unit vectors (N, E) of captions, truncated to the 512 tokens of the text network."""
        tokens = self.tokenizer(
            list(captions), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        ).to(self.device)
        output = self.text(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return F.normalize(output.text_embeds.float(), dim=-1)

    def similarities(self, waveform: Tensor, captions: Sequence[str]) -> list[float]:
        """Cosine similarity, -1 to 1, of one clip (S,) at `sample_rate` to each caption."""
        audio = self.embed_audio(waveform[None], torch.tensor([len(waveform)]))  # (1, E)
        similarities: list[float] = (self.embed_text(captions) @ audio[0]).tolist()
        return similarities
