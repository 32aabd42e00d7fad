"""AudioCaptioner: the one road from a waveform to its captions that every command walks.

Shapes: B clips, S samples, T frames, T' prefix tokens, R captions, L tokens, E encoder width, D decoder width.
"""

import json
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
from transformers import LlamaConfig

from configs.checks import check_decoding, check_style
from configs.json_files import read_json_object
from configs.loading import ConfigError, config_to_yaml, load_checkpoint_config
from configs.schema import Config, DecodingConfig
from configs.special_tokens import SPECIAL_TOKENS
from models.checkpoints.folder import (
    ARCHITECTURE_FILE,
    CONFIG_FILE,
    ENCODER_FILE,
    METADATA_FILE,
    MODEL_FILE,
    STORE_FILE,
    TOKENIZER_FILE,
    checkpoint_folder,
    read_metadata,
    read_tensors,
    read_tokenizer,
    write_checkpoint,
)
from models.checkpoints.mini_audio_caption import read_parts
from models.decoder.llama import LlamaDecoder, least_parameters, llama_config
from models.decoder.projection import Projection
from models.decoder.tag_prefix import TagPrefix, part_logits, part_scores, tag_scores
from models.encoders.base import AudioEncoder, EncoderOutput, SpecMasks
from models.encoders.build import build_encoder, published_source, weights_sha256
from models.encoders.transformers_audio import least_of_encoder
from models.errors import CheckpointError
from models.generation.calibration import CALIBRATION_KEY, Calibration
from models.generation.logits_processors import WordTable
from models.generation.pipeline import Caption, CaptionSearch
from models.generation.rerank import asks_tagger
from models.generation.retrieval import CaptionStore


def special_token_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Ids of a tokenizer's padding, begin and end tokens, under "pad", "bos" and "eos".

    Raises:
        CheckpointError: the tokenizer has none of the names known for one of them.
    """
    found = {}
    for mark, names in SPECIAL_TOKENS.items():
        ids = [token_id for name in names if (token_id := tokenizer.token_to_id(name)) is not None]
        if not ids:
            raise CheckpointError(f"the tokenizer has no {mark} token: expected one of {', '.join(names)}.")
        found[mark] = ids[0]
    return found


class AudioCaptioner(nn.Module):
    """Encoder, projection and Llama decoder with their tokenizer.

    Args:
        config: the experiment; `config.captioner` builds the networks, `config.decoding` is the default search.
        tokenizer: turns token ids into text; its padding, begin and end tokens go by the names in SPECIAL_TOKENS.
        architecture: a pretrained decoder's settings, where a checkpoint holds its weights.
        encoder_architecture: settings of an encoder of transformers, where a checkpoint holds its weights.
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
        self.token_ids = special_token_ids(tokenizer)
        words = WordTable(tokenizer)
        self.encoder = build_encoder(parts.encoder, encoder_architecture)
        self.decoder = LlamaDecoder(parts.decoder, len(words.texts), self.token_ids, architecture)
        self.search = CaptionSearch(self.decoder, tokenizer, words, self.token_ids)
        self.projection = Projection(parts.projection, self.encoder.embedding_dim, self.decoder.width)
        self.style_embed = nn.Embedding(len(parts.styles), self.decoder.width) if parts.styles else None
        self.tag_prefix = TagPrefix(parts.tags, self.decoder.width) if parts.tags.num_tags else None
        if self.tag_prefix is not None and parts.encoder.output != "frames":
            raise CheckpointError(
                "tags are read off frame embeddings: set captioner.encoder.output to frames, or captioner.tags.num_tags to 0."
            )
        if self.tag_prefix is None and parts.projection.kind == "none":
            raise CheckpointError(
                "the decoder would hear nothing: set captioner.tags.num_tags or captioner.projection.kind."
            )
        if self.tag_prefix is not None and not self.encoder.has_tagger:
            raise CheckpointError(f"{parts.encoder.name} has no tagger: set captioner.tags.num_tags to 0.")

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms that the captioner takes, in hertz."""
        return self.encoder.sample_rate

    @property
    def max_duration_s(self) -> float:
        """Longest clip that is captioned at once, in seconds."""
        return self.config.captioner.encoder.max_duration_s

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.decoder.parameters()).device

    @property
    def has_tagger(self) -> bool:
        """Whether `tag_scores` can be asked for: tags are read off frame embeddings."""
        return self.encoder.has_tagger and self.config.captioner.encoder.output == "frames"

    @property
    def calibration(self) -> Calibration | None:
        """How probable it is that a caption names the right sounds, where the checkpoint's metadata tells.

        Raises:
            CheckpointError: the metadata's calibration cannot be read, or asks a tagger or a caption store that is not there.
        """
        if CALIBRATION_KEY not in self.metadata:
            return None
        calibration = Calibration.from_dict(self.metadata[CALIBRATION_KEY])
        if calibration.uses_tags and not self.has_tagger:
            raise CheckpointError(
                "the checkpoint's calibration asks the tagger, which this encoder lacks, or with "
                "captioner.encoder.output clip cannot be asked: fit it anew with python -m benchmarks.calibration."
            )
        if calibration.uses_similarity and self.search.store is None:
            raise CheckpointError(
                "the checkpoint's calibration asks for retrieved captions, and it has no caption store: "
                "fit it anew with python -m benchmarks.calibration."
            )
        return calibration

    def encode(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None = None) -> EncoderOutput:
        """Audio embeddings (B, T, E) of zero-padded waveforms (B, S) with `lengths` (B,) samples."""
        return self.encoder(waveform, lengths, spec_masks)

    def forward(
        self,
        audio_embeddings: Tensor,
        lengths: Tensor,
        caption_ids: Tensor,
        clip_index: Tensor | None = None,
        styles: Tensor | None = None,
    ) -> Tensor:
        """Logits (R, L, V) of the token after each of `caption_ids` (R, L); `clip_index` (R,) names their clips."""
        prefix, prefix_lengths = self.prefix(audio_embeddings, lengths, styles)
        return self.decoder(prefix, prefix_lengths, caption_ids, clip_index)

    def style_number(self, name: str) -> int:
        """Number of a style by its name; 0, the usual one, for an empty name.

        Raises:
            ValueError: the captioner has no such style.
        """
        check_style(name, self.config.captioner.styles)
        return self.config.captioner.styles.index(name) if name else 0

    def prefix(self, audio_embeddings: Tensor, lengths: Tensor, styles: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the decoder sees of clips' audio embeddings: style, tags, then frames.

        Args:
            audio_embeddings: (B, T, E).
            lengths: (B,).
            styles: (B,) int64 numbers of styles; None takes the first.

        Returns:
            Prefix tokens (B, T', D) and their number for each clip (B,).
        """
        if self.config.captioner.projection.kind == "none":
            frames = audio_embeddings.new_zeros(len(lengths), 0, self.decoder.width)
            frame_lengths = torch.zeros_like(lengths)
        else:
            frames, frame_lengths = self.projection(audio_embeddings, lengths)
            hidden = self.config.captioner.projection.clip_dropout
            if self.training and self.tag_prefix is not None and hidden:
                frame_lengths = frame_lengths * (torch.rand(len(lengths), device=lengths.device) >= hidden)
        before = []
        if self.style_embed is not None:
            numbers = torch.zeros_like(lengths) if styles is None else styles
            before.append(self.style_embed(numbers)[:, None])  # (B, 1, D)
        if self.tag_prefix is not None:
            with torch.no_grad(), _without_dropout(self.encoder):  # the tagger learns from labels alone
                logits = part_logits(self.encoder, audio_embeddings, lengths)
            before.append(self.tag_prefix(logits))  # (B, K, D)
        if not before:
            return frames, frame_lengths
        tokens = torch.cat([part.to(frames.dtype) for part in before], dim=1)
        return torch.cat([tokens, frames], dim=1), frame_lengths + tokens.shape[1]

    def use_tagger(self, encoder: AudioEncoder) -> None:
        """Hear with another tagger of AudioSet's classes, whose scores the decoder takes as it took its own's.

        A calibration was fitted on its own's, so it is dropped.

        Raises:
            CheckpointError: the decoder was trained on its own encoder's frames as well.
        """
        if self.config.captioner.projection.kind != "none":
            raise CheckpointError(
                "this captioner's decoder was trained on its own encoder's frames: it takes no other tagger."
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
            waveforms: mono float32 arrays (S,) at `sample_rate`, each at most `max_duration_s` long.
            decoding: how to search; None takes the checkpoint's own.

        Returns:
            For each clip its captions, best first.

        Raises:
            ValueError: a decoding setting does not fit.
        """
        check_decoding(decoding or self.config.decoding, self.config.captioner.styles)
        if not waveforms:
            return []
        output = self.encode_clips(waveforms)
        return self.caption_embeddings(output.embeddings, output.lengths, decoding)

    @torch.no_grad()
    def encode_clips(self, waveforms: Sequence[NDArray[np.float32]]) -> EncoderOutput:
        """Audio embeddings of clips as `caption` takes them, at least one."""
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        padded = torch.zeros(len(waveforms), int(lengths.max()))  # (B, S)
        for row, waveform in enumerate(waveforms):
            padded[row, : len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform))
        self._settle()
        return self.encode(padded.to(self.device), lengths.to(self.device))

    @torch.no_grad()
    def caption_embeddings(
        self,
        audio_embeddings: Tensor,
        lengths: Tensor,
        decoding: DecodingConfig | None = None,
        styles: Tensor | None = None,
    ) -> list[list[Caption]]:
        """Caption clips whose audio embeddings (B, T, E) and lengths (B,) are known already.

        `styles` (B,) gives each clip a style of its own; without it, all have `decoding.style`.

        Raises:
            ValueError: a decoding setting does not fit.
        """
        self._settle()
        decoding = decoding or self.config.decoding
        check_decoding(decoding, self.config.captioner.styles)
        if styles is None:
            styles = torch.full_like(lengths, self.style_number(decoding.style))
        calibration = self.calibration
        asked = asks_tagger(decoding) or (calibration is not None and calibration.uses_tags)
        scores = self.part_scores(audio_embeddings, lengths) if asked and self.has_tagger else None  # (B, P, C)
        prefix, prefix_lengths = self.prefix(audio_embeddings, lengths, styles)
        return self.search.captions(prefix, prefix_lengths, styles, scores, decoding, calibration)

    def _settle(self) -> None:
        """Leave training mode; `eval` alone visits 400 modules, 4 ms for each clip."""
        if any(module.training for module in (self, self.encoder, self.decoder, self.projection)):
            self.eval()

    def part_scores(self, audio_embeddings: Tensor, lengths: Tensor) -> Tensor:
        """Probability of each tag in the whole clip and its thirds (B, P, C), of embeddings (B, T, E)."""
        return part_scores(self.encoder, audio_embeddings, lengths)

    def tag_scores(self, audio_embeddings: Tensor, lengths: Tensor) -> Tensor:
        """Probability of each tag (B, C), the highest of the whole clip and its thirds, of embeddings (B, T, E)."""
        return tag_scores(self.encoder, audio_embeddings, lengths)

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def owned_state(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint holds: all but those of a frozen encoder read from a published file."""
        state = self.state_dict()
        if self.encoder_is_borrowed:
            state = {name: tensor for name, tensor in state.items() if not name.startswith("encoder.")}
        if self.decoder.ties_embeddings:  # one tensor under two names; safetensors wants it once
            state = {name: tensor for name, tensor in state.items() if not name.endswith("lm_head.weight")}
        return state

    @property
    def encoder_is_borrowed(self) -> bool:
        """Whether the encoder stays as a published file gave it, so that a checkpoint only names that file."""
        encoder = self.config.captioner.encoder
        training = self.config.training
        trained = (
            encoder.train_from_step is not None or training.tagger.num_steps > 0 or training.start_from is not None
        )
        return published_source(encoder) is not None and not trained

    def save_pretrained(
        self,
        path: str | Path,
        metadata: Mapping[str, Any] | None = None,
        state: Mapping[str, Tensor] | None = None,
        training_state: Any = None,
    ) -> None:
        """Write a checkpoint folder that `from_pretrained` reads.

        Args:
            path: folder to write, replaced whole if it exists.
            metadata: what to note beside versions and checksums: step, metrics, data, licence.
            state: tensors to save in place of the current ones, such as their moving average.
            training_state: what training needs to resume.
        """
        config = self.config
        if self.encoder_is_borrowed and not config.captioner.encoder.weights_sha256:
            digest = weights_sha256(config.captioner.encoder, self.encoder)
            encoder = replace(config.captioner.encoder, weights_sha256=digest)
            config = replace(config, captioner=replace(config.captioner, encoder=encoder))
        texts = {CONFIG_FILE: config_to_yaml(config), TOKENIZER_FILE: self.tokenizer.to_str(pretty=False)}
        if config.captioner.decoder.pretrained:
            texts[ARCHITECTURE_FILE] = json.dumps(self.decoder.architecture(), indent=1, sort_keys=True)
        encoder_architecture = None if self.encoder_is_borrowed else self.encoder.architecture()
        if encoder_architecture is not None:
            texts[ENCODER_FILE] = json.dumps(encoder_architecture, indent=1, sort_keys=True)
        content = {**self.metadata, **(metadata or {}), "encoder_included": not self.encoder_is_borrowed}
        owned = {name: (state or {}).get(name, tensor) for name, tensor in self.owned_state().items()}
        store = None if self.search.store is None else self.search.store.tensors
        write_checkpoint(Path(path), owned, texts, content, training_state, store)

    @classmethod
    def from_pretrained(
        cls, path_or_hub_id: str | Path, device: str | torch.device = "cpu", encoder_weights: str | None = None
    ) -> "AudioCaptioner":
        """Load a captioner.

        Args:
            path_or_hub_id: checkpoint folder (or a run's folder, whose best one is taken), a `step=N.pth` file written
                by qiuqiangkong/mini_audio_caption, or the id of a repository on the Hugging Face hub.
            device: where to put it.
            encoder_weights: published encoder file to use in place of the path in the checkpoint.

        Raises:
            CheckpointError: nothing there, damaged, newer than this program, or not fitting its configuration.
        """
        path = Path(path_or_hub_id)
        if path.is_file():
            config, tokenizer, weights = read_parts(path, encoder_weights)
            captioner = cls(config, tokenizer)
            captioner.decoder.llama.load_state_dict(weights.llama.state_dict())
            captioner.projection.layers.load_state_dict(weights.projection)
            return captioner.to(device).eval()
        if not path.is_dir():
            path = _from_hub(str(path_or_hub_id))
        path = checkpoint_folder(path)
        metadata = read_metadata(path)
        config, tokenizer = cls.read_config(path), read_tokenizer(path)
        architecture, encoder_architecture = (_read_json(path / name) for name in (ARCHITECTURE_FILE, ENCODER_FILE))
        config_to_build = _config_to_build(config, metadata, encoder_weights)
        with _named(path, "built from what its files say"):
            tensors = read_tensors(path)
            _check_size(path, tensors, config, tokenizer, architecture, encoder_architecture)
            captioner = cls(config_to_build, tokenizer, architecture, encoder_architecture)
            captioner.load_state(tensors, path)
        if STORE_FILE in metadata["files"]:
            with _named(path / STORE_FILE, "read as a caption store"):
                captioner.search.store = CaptionStore(read_tensors(path, STORE_FILE))
        captioner.config, captioner.metadata = config, metadata
        with _named(path / METADATA_FILE, "read"):
            _ = captioner.calibration  # one that cannot be read is told now
        return captioner.to(device).eval()

    def merge_lora(self) -> None:
        """Add LoRA's adapters to the decoder's weights, so that a saved copy needs no peft and captions a little faster.

        What it says stays the same, up to the rounding of the weights' own dtype.
        """
        self.decoder.merge_lora()
        decoder = self.config.captioner.decoder
        decoder = replace(decoder, lora_rank=0, frozen=decoder.frozen or decoder.dtype != "float32")
        self.config = replace(self.config, captioner=replace(self.config.captioner, decoder=decoder))

    @staticmethod
    def read_config(path: Path) -> Config:
        """The configuration in a checkpoint folder.

        Raises:
            CheckpointError: it is missing, damaged, or has settings that do not exist.
        """
        try:
            return load_checkpoint_config(path / CONFIG_FILE)
        except ConfigError as error:
            raise CheckpointError(f"{path / CONFIG_FILE}: {error}") from error

    def load_buffers(self, path: Path) -> None:
        """Take running statistics (batch norm) from a checkpoint folder; weights stay as they are."""
        tensors = read_tensors(path)
        for name, buffer in self.named_buffers():
            if name in tensors:
                buffer.copy_(tensors[name])

    def load_state(self, tensors: Mapping[str, Tensor], source: Path) -> None:
        """Put a checkpoint's tensors in place; every one that the checkpoint owns must be there and fit."""
        own = self.state_dict()
        unfit = [
            name
            for name, tensor in tensors.items()
            if name not in own
            or own[name].shape != tensor.shape
            or own[name].is_floating_point() != tensor.is_floating_point()
        ]
        needed = set(own) if any(name.startswith("encoder.") for name in tensors) else set(self.owned_state())
        missing = sorted(name for name in needed - set(tensors) if not name.endswith("lm_head.weight"))
        if unfit or missing:
            raise CheckpointError(
                f"{source} does not fit its configuration: {(unfit + missing)[0]} is missing or unlike."
            )
        self.load_state_dict(dict(tensors), strict=False)


@contextmanager
def _without_dropout(module: nn.Module) -> Iterator[None]:
    """In evaluation mode, whatever the mode before and after."""
    training = module.training
    if training:
        module.eval()
    try:
        yield
    finally:
        if training:
            module.train()


@contextmanager
def _named(path: Path, what: str) -> Iterator[None]:
    """Tell whatever goes wrong with a file's content in one sentence with its name; `what` says what could not be done."""
    try:
        yield
    except CheckpointError as error:
        if str(path) in str(error):
            raise
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # settings of any kind reach any line of any network
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise CheckpointError(
            f"{path} cannot be {what} ({type(error).__name__}: {reason}): copy the checkpoint again."
        ) from error


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return read_json_object(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy the checkpoint again.") from error


def _check_size(
    path: Path,
    tensors: Mapping[str, Tensor],
    config: Config,
    tokenizer: Tokenizer,
    architecture: Mapping[str, Any] | None,
    encoder_architecture: Mapping[str, Any] | None,
) -> None:
    """Refuse settings of networks larger than the weights beside them, before they take all of the memory."""
    decoder = config.captioner.decoder
    asked = {}
    if architecture is not None:
        asked[ARCHITECTURE_FILE] = least_parameters(LlamaConfig.from_dict(dict(architecture)))
    elif not decoder.pretrained:  # else its own folder says how large it is
        asked[CONFIG_FILE] = least_parameters(llama_config(decoder, tokenizer.get_vocab_size()))
    if encoder_architecture is not None:
        asked[ENCODER_FILE] = least_of_encoder(encoder_architecture)
    found = sum(tensor.numel() for tensor in tensors.values())
    for name, least in asked.items():
        if least > found:
            raise CheckpointError(
                f"{path / name} describes a network of {least:,} parameters or more, but {MODEL_FILE} holds {found:,}: "
                "copy the checkpoint again."
            )


def _config_to_build(config: Config, metadata: Mapping[str, Any], encoder_weights: str | None) -> Config:
    """The configuration with the encoder's file where it is now, or without it where the checkpoint has its weights."""
    encoder = config.captioner.encoder
    if metadata.get("encoder_included", True):
        encoder = replace(encoder, weights=None, weights_sha256=None)
    elif encoder_weights:
        encoder = replace(encoder, weights=encoder_weights)
    return replace(config, captioner=replace(config.captioner, encoder=encoder))


def _from_hub(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download  # slow to import and seldom needed
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(hub_id))
    except (OSError, HfHubHTTPError, HFValidationError, ValueError) as error:
        raise CheckpointError(
            f"no checkpoint folder is at {hub_id}, and the hub has none of that name or cannot be reached: check the path."
        ) from error
