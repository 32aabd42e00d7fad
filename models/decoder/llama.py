"""Llama decoder (Touvron et al. 2023, arXiv 2302.13971): generates a caption after a prefix of audio embeddings.

A decoder trained here is a `models.decoder.network.Llama`; a pretrained one is transformers' `LlamaForCausalLM`, and
transformers is imported for it alone. Shapes: B clips, R captions (several per clip are possible), T prefix tokens, L caption
tokens, D width, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from configs.errors import CheckpointError
from configs.schema import DecoderConfig
from generation.beam_search import beam_search
from generation.engine import Rule, SearchSettings
from models.decoder.kv_cache import LlamaReader
from models.decoder.network import Llama, LlamaSizes
from models.decoder.search import KnownTokens, single_search
from models.decoder.torch_arrays import TorchArrays
from models.decoder.whole_pass import lay_out, read_whole


class LlamaDecoder(nn.Module):
    """Causal language model with an audio prefix.

    Args:
        config: sizes of a new decoder, or the name of a pretrained one and whether it is frozen or has LoRA adapters.
        vocab_size: vocabulary size V of the tokenizer; a pretrained decoder can have more tokens.
        token_ids: ids of the padding, begin and end tokens, by the keys "pad", "bos" and "eos".
        architecture: transformers settings of a pretrained decoder whose weights are in the checkpoint; None otherwise.

    Attributes:
        rounds_weights: whether `generate` may round float32 weights to half precision on a CPU, which reads half the memory for
            each token; False, so that validation in training uses the weights as they are.

    Raises:
        CheckpointError: the pretrained Llama is missing or has fewer tokens than the tokenizer, or settings contradict each
            other.
    """

    def __init__(
        self,
        config: DecoderConfig,
        vocab_size: int,
        token_ids: dict[str, int],
        architecture: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        _check(config)
        self.token_ids, self.vocab_size = token_ids, vocab_size
        self.dropout = config.dropout
        self.layer_dropout = 0.0 if config.pretrained else config.dropout
        self.gradient_checkpointing = config.gradient_checkpointing
        llama: Any  # one of two classes, with adapters or without
        if architecture is None and not config.pretrained:
            llama = Llama(llama_sizes(config, vocab_size))
        else:
            from models.decoder.pretrained import pretrained_llama

            llama = pretrained_llama(config, architecture)
        if vocab_size > llama.config.vocab_size:
            raise CheckpointError(
                f"the tokenizer has {vocab_size} tokens, the decoder {config.pretrained} has {llama.config.vocab_size}: set "
                "captioner.tokenizer.kind to decoder."
            )
        self.llama = llama
        self.rounds_weights = False
        self._reader: LlamaReader | None = None

    @property
    def width(self) -> int:
        """Hidden size D."""
        return int(self.llama.config.hidden_size)

    @property
    def ties_embeddings(self) -> bool:
        """Whether input and output embeddings share one tensor."""
        return bool(self.llama.config.tie_word_embeddings)

    def architecture(self) -> dict[str, Any]:
        """Transformers settings of a pretrained decoder, as JSON values."""
        settings: dict[str, Any] = self.llama.config.to_dict()
        return settings

    def merge_lora(self) -> None:
        """Merge LoRA adapters into the weights; outputs change only by rounding."""
        if hasattr(self.llama, "merge_and_unload"):
            self.llama = self.llama.merge_and_unload()

    def forward(
        self,
        prefix: Tensor,
        prefix_lengths: Tensor,
        caption_ids: Tensor,
        clip_index: Tensor | None = None,
        caption_lengths: Tensor | None = None,
    ) -> Tensor:
        """Compute next-token logits of caption tokens.

        Args:
            prefix: (B, T, D) float projected audio embeddings.
            prefix_lengths: (B,) int64, number of valid prefix tokens of each clip, at least 1.
            caption_ids: (R, L) int64, starting with the begin token, padded on the right.
            clip_index: (R,) int64, clip of each caption; None for one caption per clip.
            caption_lengths: (R,) int64, number of leading tokens of each caption to use, at least 1; None for all.

        Returns:
            (R, L, V) logits; with `caption_lengths`, (sum of the lengths, V) for the used tokens only, row by row.
        """
        rows, longest = caption_ids.shape
        if clip_index is None:
            clip_index = torch.arange(rows, device=caption_ids.device)
        lengths = caption_lengths
        if lengths is None:
            lengths = torch.full((rows,), longest, dtype=torch.long, device=caption_ids.device)
        layout = lay_out(prefix_lengths, prefix.shape[1], lengths, longest, clip_index)
        words = self.embed(caption_ids).to(prefix.dtype)  # (R, L, D)
        hidden = read_whole(
            self.llama,
            F.dropout(prefix, self.dropout, self.training).to(self.llama.dtype),
            F.dropout(words, self.dropout, self.training).to(self.llama.dtype),
            layout,
            self.layer_dropout,
            self.gradient_checkpointing and self.training,
        )  # (W, D)
        logits: Tensor = self.llama.get_output_embeddings()(hidden)
        return logits if caption_lengths is not None else logits.unflatten(0, (rows, longest))

    def embed(self, token_ids: Tensor) -> Tensor:
        """Word embeddings (..., D) of token ids (...)."""
        embeddings: Tensor = self.llama.get_input_embeddings()(token_ids)
        return embeddings

    def begin(self, prefix: Tensor, prefix_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Append the begin token to prefixes (B, T, D): embeddings (B, T + 1, D), and their mask (B, T + 1) int64, 0 for padding.

        Padding of a shorter prefix is between prefix and begin token; positions count unmasked tokens only, so it has no effect.
        """
        begin = torch.full((len(prefix), 1), self.token_ids["bos"], device=prefix.device)
        steps = torch.arange(prefix.shape[1], device=prefix.device)
        mask = torch.cat([(steps < prefix_lengths[:, None]).long(), torch.ones_like(begin)], dim=1)
        return torch.cat([prefix, self.embed(begin).to(prefix.dtype)], dim=1).to(self.llama.dtype), mask

    @torch.no_grad()
    def generate(
        self, prefix: Tensor, prefix_lengths: Tensor, settings: SearchSettings, rules: Sequence[Rule] = ()
    ) -> tuple[Tensor, Tensor]:
        """Generate token ids after the prefix, without the begin token.

        Args:
            prefix: (B, T, D) float projected audio embeddings.
            prefix_lengths: (B,) int64, number of valid prefix tokens of each clip, at least 1.
            settings: decoding settings.
            rules: processors of the next tokens' logits.

        Returns:
            Ids (B * num_return_sequences, L') int64, padded on the right, and the log-probability of each sequence (B *
            num_return_sequences,) without the rules, including the end token; NaN for truncated sequences.
        """
        rules = list(rules)
        if self.llama.config.vocab_size > self.vocab_size:
            rules.append(KnownTokens(self.vocab_size))
        reader = self._reader_now().read(*self.begin(prefix, prefix_lengths))
        if settings.num_beams == 1 or settings.do_sample:
            return single_search(reader, self.token_ids["eos"], self.token_ids["pad"], settings, rules)
        found = beam_search(reader, TorchArrays(prefix.device), self.token_ids["eos"], settings, rules)
        kept = [hypothesis for beams in found for hypothesis in beams]
        rows = [torch.tensor(hypothesis.token_ids) for hypothesis in kept]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.token_ids["pad"])
        sums = torch.tensor([hypothesis.log_probability for hypothesis in kept])
        return ids.to(prefix.device), sums.to(prefix.device)

    def _reader_now(self) -> LlamaReader:
        """Return a reader for the network's current weights; it is rebuilt when they have changed."""
        if self._reader is None or not self._reader.is_of(self.llama, self.rounds_weights):
            self._reader = LlamaReader(self.llama, self.rounds_weights)
        return self._reader


def _check(config: DecoderConfig) -> None:
    if config.frozen and config.lora_rank:
        raise CheckpointError("captioner.decoder.frozen and lora_rank contradict each other: LoRA trains adapters.")
    if not config.pretrained and (config.frozen or config.lora_rank or config.dtype != "float32"):
        raise CheckpointError(
            "captioner.decoder.frozen, lora_rank and dtype are for pretrained decoders: set captioner.decoder.pretrained."
        )
    if config.dtype != "float32" and not (config.frozen or config.lora_rank):
        raise CheckpointError(
            "a decoder trained whole in bfloat16 loses its small updates: leave captioner.decoder.dtype at float32 and set "
            "training.mixed_precision to bf16."
        )


def llama_sizes(config: DecoderConfig, vocab_size: int) -> LlamaSizes:
    """Sizes of a new decoder.

    Raises:
        CheckpointError: the width is not a multiple of the number of heads.
    """
    if config.width % (2 * config.num_heads):
        raise CheckpointError(
            f"captioner.decoder.width is {config.width}: expected a multiple of twice the {config.num_heads} heads."
        )
    return LlamaSizes(
        vocab_size=vocab_size,
        hidden_size=config.width,
        intermediate_size=config.intermediate_width or -(-config.width * 8 // 3 // 64) * 64,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        attention_dropout=config.dropout,
        rms_norm_eps=config.rms_norm_eps,
        tie_word_embeddings=config.tie_embeddings,
    )


def least_parameters(sizes: Any) -> int:
    """Return a lower bound of the number of parameters: embeddings, and blocks without keys and values."""
    width = sizes.hidden_size
    block = width * (2 * width + 3 * sizes.intermediate_size)
    return int(sizes.vocab_size * width + sizes.num_hidden_layers * block)
