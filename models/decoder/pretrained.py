"""Pretrained Llama decoders: transformers' own networks, from a folder, the hub, or the settings that a checkpoint noted."""

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM

from configs.schema import DecoderConfig
from models.checkpoints.published import load_pretrained, load_settings
from models.errors import CheckpointError


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


def pretrained_llama(config: DecoderConfig, architecture: dict[str, Any] | None = None) -> nn.Module:
    """The pretrained network that a configuration names, frozen or with adapters where it says so.

    Args:
        config: with `pretrained`.
        architecture: transformers' settings of it, where a checkpoint has its weights: they are random then.

    Raises:
        CheckpointError: nothing there that transformers can load as Llama, or not all of its weights.
    """
    dtype = getattr(torch, config.dtype)
    if architecture is None:
        llama = load_llama(str(config.pretrained), dtype)
    else:
        llama = LlamaForCausalLM(sizes_of(architecture))
        for parameter in llama.parameters():  # not the buffers: rotary frequencies need their digits
            parameter.data = parameter.data.to(dtype)
    if config.frozen:
        llama.requires_grad_(False)
    return _with_lora(llama, config.lora_rank) if config.lora_rank else llama


def sizes_of(architecture: dict[str, Any]) -> LlamaConfig:
    """Transformers' settings as they stand in a checkpoint's file."""
    return LlamaConfig.from_dict(architecture)


def _with_lora(llama: LlamaForCausalLM, rank: int) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    return get_peft_model(llama, adapters)
