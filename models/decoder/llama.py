"""Llama decoder: writes the caption after a prefix of audio embeddings.

The network is transformers' `LlamaForCausalLM` (Touvron et al. 2023, arXiv 2302.13971); this module gives it the audio
prefix. Shapes: B clips, R captions (a clip may have several), T prefix tokens, L caption tokens, D width, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
)

from configs.schema import DecoderConfig
from models.checkpoints.published import load_pretrained, load_settings
from models.decoder.beam_search import beam_search
from models.decoder.kv_cache import LlamaReader
from models.errors import CheckpointError


class LlamaDecoder(nn.Module):
    """Causal language model with an audio prefix.

    Args:
        config: sizes of a new decoder, or the name of a pretrained one, and how that is trained: whole, frozen, or by LoRA.
        vocab_size: V, the tokenizer's; a pretrained decoder may know more tokens.
        token_ids: ids of the padding, begin and end tokens, under "pad", "bos" and "eos".
        architecture: transformers' settings of a pretrained decoder whose weights a checkpoint holds, so that its folder
            is not needed again.

    Raises:
        CheckpointError: no Llama checkpoint there, one of fewer tokens than the tokenizer's, or settings that contradict.
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
        dtype = getattr(torch, config.dtype)
        if architecture is not None:
            llama = LlamaForCausalLM(LlamaConfig.from_dict(architecture))
            for parameter in llama.parameters():  # not the buffers: rotary frequencies need their digits
                parameter.data = parameter.data.to(dtype)
        else:
            llama = load_llama(config.pretrained, dtype) if config.pretrained else _new_llama(config, vocab_size)
        if vocab_size > llama.config.vocab_size:
            raise CheckpointError(
                f"the tokenizer has {vocab_size} tokens, the decoder {config.pretrained} knows {llama.config.vocab_size}: set "
                "captioner.tokenizer.kind to decoder."
            )
        # A checkpoint's own habits of generating (temperatures, penalties, lengths) would fill what a search leaves open.
        llama.generation_config = GenerationConfig()
        if config.dropout and not config.pretrained:
            _drop_residuals(llama, config.dropout)
        if config.gradient_checkpointing:
            llama.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        if config.frozen:
            llama.requires_grad_(False)
        self.llama: Any = _with_lora(llama, config.lora_rank) if config.lora_rank else llama
        self._reader: LlamaReader | None = None

    @property
    def width(self) -> int:
        """D, the decoder's hidden size."""
        return int(self.llama.config.hidden_size)

    @property
    def ties_embeddings(self) -> bool:
        """Whether input and output word embeddings are one tensor."""
        return bool(self.llama.config.tie_word_embeddings)

    def architecture(self) -> dict[str, Any]:
        """Transformers' settings of the network, as JSON values."""
        settings: dict[str, Any] = self.llama.config.to_dict()
        return settings

    def merge_lora(self) -> None:
        """Add LoRA's adapters to the weights that they adapt and drop them; what the decoder says stays the same."""
        if hasattr(self.llama, "merge_and_unload"):
            self.llama = self.llama.merge_and_unload()

    def forward(
        self, prefix: Tensor, prefix_lengths: Tensor, caption_ids: Tensor, clip_index: Tensor | None = None
    ) -> Tensor:
        """Logits of the token after each caption token.

        Args:
            prefix: (B, T, D) float projected audio embeddings.
            prefix_lengths: (B,) int64, valid prefix tokens of each clip, at least 1.
            caption_ids: (R, L) int64, starting with the begin token, padded on the right.
            clip_index: (R,) int64, the clip that each caption belongs to; None when R = B, one each.

        Returns:
            (R, L, V) logits.
        """
        if clip_index is not None:
            prefix, prefix_lengths = prefix[clip_index], prefix_lengths[clip_index]  # (R, T, D), (R,)
        embeddings, mask = self.input_embeddings(prefix, prefix_lengths, caption_ids)
        position_ids = (mask.cumsum(dim=1) - 1).clamp(min=0)  # (R, T + L)
        hidden = self.llama.get_decoder()(
            inputs_embeds=embeddings.to(self.llama.dtype),
            attention_mask=mask,
            position_ids=position_ids,
            use_cache=False,
        ).last_hidden_state  # (R, T + L, D)
        return self.llama.get_output_embeddings()(hidden[:, prefix.shape[1] :])  # (R, L, V)

    def input_embeddings(self, prefix: Tensor, prefix_lengths: Tensor, caption_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Prefix and caption as one sequence of embeddings (R, T + L, D), and its attention mask (R, T + L).

        Padding of a shorter prefix stays between prefix and caption; it is masked, and positions are counted over what
        is not masked, so that it changes nothing.
        """
        words = self.llama.get_input_embeddings()(caption_ids).to(prefix.dtype)  # (R, L, D)
        embeddings = torch.cat([prefix, words], dim=1)  # (R, T + L, D)
        embeddings = F.dropout(embeddings, self.dropout, self.training)
        frames = torch.arange(prefix.shape[1], device=prefix.device)
        prefix_mask = frames[None, :] < prefix_lengths[:, None]  # (R, T)
        mask = torch.cat([prefix_mask, torch.ones_like(caption_ids, dtype=torch.bool)], dim=1)  # (R, T + L)
        return embeddings, mask.long()

    @torch.no_grad()
    def generate(
        self,
        prefix: Tensor,
        prefix_lengths: Tensor,
        generation_config: GenerationConfig,
        logits_processor: LogitsProcessorList | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Token ids found after the prefix, the begin token left out: by beams, or as transformers' `generate` does.

        Args:
            prefix: (B, T, D).
            prefix_lengths: (B,) int64.
            generation_config: how to search; the ids of the three marks are filled in here. Of beams it gives the number,
                how many are returned, the length penalty and the least and most new tokens.
            logits_processor: further rules.

        Returns:
            Ids (B * num_return_sequences, L') int64, padded on the right, and the log-probability of each sequence (B *
            num_return_sequences,) without the further rules, the end token's included; not a number where it was cut off.
        """
        begin = torch.full((prefix.shape[0], 1), self.token_ids["bos"], dtype=torch.long, device=prefix.device)
        embeddings, mask = self.input_embeddings(prefix, prefix_lengths, begin)
        processors = LogitsProcessorList(logits_processor or [])
        if self.llama.config.vocab_size > self.vocab_size:
            processors.append(KnownTokens(self.vocab_size))
        generation_config.pad_token_id = self.token_ids["pad"]
        generation_config.bos_token_id = self.token_ids["bos"]
        generation_config.eos_token_id = self.token_ids["eos"]
        generation_config.return_dict_in_generate = True
        generation_config.output_logits = True
        embeddings = embeddings.to(self.llama.dtype)
        if (generation_config.num_beams or 1) > 1 and not generation_config.do_sample:
            return self._beams(embeddings, mask, generation_config, processors)
        found = self.llama.generate(
            inputs_embeds=embeddings,
            attention_mask=mask,
            generation_config=generation_config,
            logits_processor=processors,
        )
        return found.sequences, self._log_probabilities(found.sequences, found.logits)

    def _beams(
        self, embeddings: Tensor, mask: Tensor, config: GenerationConfig, rules: LogitsProcessorList
    ) -> tuple[Tensor, Tensor]:
        """What `generate` returns, found by beams after embeddings (B, T + 1, D) with their mask."""
        found = beam_search(
            self._reader_now().read(embeddings, mask),
            self.token_ids["eos"],
            num_beams=config.num_beams,
            max_tokens=config.max_new_tokens,
            min_tokens=config.min_new_tokens or 0,
            length_penalty=1.0 if config.length_penalty is None else config.length_penalty,
            rules=rules,
        )
        kept = [hypothesis for beams in found for hypothesis in beams[: config.num_return_sequences or 1]]
        rows = [torch.tensor(hypothesis.token_ids) for hypothesis in kept]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.token_ids["pad"])
        sums = torch.tensor([hypothesis.log_probability for hypothesis in kept])
        return ids.to(embeddings.device), sums.to(embeddings.device)

    def _reader_now(self) -> LlamaReader:
        """What reads as the network does with its weights of now; made anew when they have changed."""
        if self._reader is None or not self._reader.is_of(self.llama):
            self._reader = LlamaReader(self.llama)
        return self._reader

    def _log_probabilities(self, ids: Tensor, logits: tuple[Tensor, ...]) -> Tensor:
        """Log-probabilities (N,) of sequences (N, L) by the logits (N, V) of each step."""
        ends = ids == self.token_ids["eos"]  # (N, L)
        going_on = ends.cumsum(dim=1) - ends.long() == 0  # up to the end token, and with it
        gained = torch.stack(
            [
                scores.float().log_softmax(dim=1).gather(1, ids[:, step, None])[:, 0]
                for step, scores in enumerate(logits)
            ],
            dim=1,
        )  # (N, L)
        total = gained.where(going_on, gained.new_zeros(())).sum(dim=1)
        return torch.where(ends.any(dim=1), total, torch.nan)


class KnownTokens(LogitsProcessor):
    """Forbids token ids that the tokenizer lacks: the vocabulary of a published decoder is often padded to a round size.

    Args:
        vocab_size: vocabulary size of the tokenizer.
    """

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores (R, V) with those of ids from `vocab_size` on set to minus infinity."""
        scores = scores.clone()
        scores[:, self.vocab_size :] = -torch.inf
        return scores


def load_llama(name: str, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    """Pretrained Llama weights from a folder or the hub, never by unpickling code.

    Raises:
        CheckpointError: nothing there that transformers can load as Llama, or not all of its weights.
    """
    settings = load_settings(AutoConfig, name, "Llama checkpoint")
    if settings.model_type != "llama":
        raise CheckpointError(
            f"{name} is of type {settings.model_type}, not llama: give a folder or hub id of a Llama."
        )
    return load_pretrained(LlamaForCausalLM, name, "Llama checkpoint", dtype)


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


def llama_config(config: DecoderConfig, vocab_size: int) -> LlamaConfig:
    """Transformers' settings of a new decoder."""
    intermediate = config.intermediate_width or -(-config.width * 8 // 3 // 64) * 64
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=config.width,
        intermediate_size=intermediate,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_heads,
        max_position_embeddings=config.max_positions,
        attention_dropout=config.dropout,
        rms_norm_eps=config.rms_norm_eps,
        tie_word_embeddings=config.tie_embeddings,
        pad_token_id=None,
    )


def least_parameters(config: LlamaConfig) -> int:
    """Parameters that a Llama of these settings has at least: its embeddings, and its blocks without keys and values."""
    width = config.hidden_size
    block = width * (2 * width + 3 * config.intermediate_size)
    return int(config.vocab_size * width + config.num_hidden_layers * block)


def _new_llama(config: DecoderConfig, vocab_size: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(llama_config(config, vocab_size))


def _drop_residuals(llama: LlamaForCausalLM, probability: float) -> None:
    """Drop values of what each block adds to its residual stream, as Vaswani et al. (2017, section 5.4) do."""

    def drop(module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (F.dropout(output[0], probability, module.training), *output[1:])
        return F.dropout(output, probability, module.training)

    for layer in llama.model.layers:
        layer.self_attn.register_forward_hook(drop)
        layer.mlp.register_forward_hook(drop)


def _with_lora(llama: LlamaForCausalLM, rank: int) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    return get_peft_model(llama, adapters)
