"""Pretrained Llama decoders: transformers networks from a folder, the hub, or the settings in a checkpoint."""

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM

from configs.errors import CheckpointError
from configs.schema import DecoderConfig
from models.checkpoints.published import load_pretrained, load_settings


def load_llama(name: str, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    """Load a pretrained Llama from a folder or the hub, without executing code in it.

    Raises:
        CheckpointError: transformers cannot load it as a Llama, or weights are missing.
    """
    settings = load_settings(AutoConfig, name, "Llama checkpoint")
    if settings.model_type != "llama":
        raise CheckpointError(
            f"{name} is of type {settings.model_type}, not llama: give a folder or hub id of a Llama."
        )
    return load_pretrained(LlamaForCausalLM, name, "Llama checkpoint", dtype)


def pretrained_llama(config: DecoderConfig, architecture: dict[str, Any] | None = None) -> nn.Module:
    """Build the pretrained network of a configuration, frozen or with LoRA adapters if configured.

    Args:
        config: decoder configuration with `pretrained`.
        architecture: transformers settings if the weights come from a checkpoint; the network then has random weights.

    Raises:
        CheckpointError: transformers cannot load it as a Llama, or weights are missing.
    """
    dtype = getattr(torch, config.dtype)
    if architecture is None:
        llama = load_llama(str(config.pretrained), dtype)
    else:
        llama = LlamaForCausalLM(sizes_of(architecture))
        for parameter in llama.parameters():  # not the buffers: rotary frequencies need float32
            parameter.data = parameter.data.to(dtype)
    if config.frozen:
        llama.requires_grad_(False)
    return _with_lora(llama, config.lora_rank) if config.lora_rank else llama


def sizes_of(architecture: dict[str, Any]) -> LlamaConfig:
    """Transformers settings from a checkpoint's file."""
    return LlamaConfig.from_dict(architecture)


def _with_lora(llama: LlamaForCausalLM, rank: int) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    return get_peft_model(llama, adapters)
