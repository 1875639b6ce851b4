"""How a denoiser is run: its attention kernel, its precision in previews, where it lies."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from engine.architectures.architecture import Loading, ModelProblem

KERNELS = {"flash": "FLASH_ATTENTION", "efficient": "EFFICIENT_ATTENTION",
           "cudnn": "CUDNN_ATTENTION", "math": "MATH"}  # fmt: skip
CPU_KERNELS = ("auto", "flash", "math")


def attention_context(attention: str) -> AbstractContextManager[object]:
    """Open the kernel choice by context: not every processor takes a back-end of its own."""
    if attention == "auto":
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel([getattr(SDPBackend, KERNELS[attention])])


def check_attention(attention: str, device: torch.device) -> None:
    """Refuse a kernel that the device has not.

    Raises:
        ModelProblem: naming the field.
    """
    if device.type != "cuda" and attention not in CPU_KERNELS:
        raise ModelProblem(
            f"The attention kernel '{attention}' needs an NVIDIA GPU.",
            "Set Attention to auto.",
            "model.attention",
        )


def preview_precision(denoiser: nn.Module) -> AbstractContextManager[object]:
    """The caller's autocast if there is one, else one that fits the denoiser's weights."""
    parameter = next(denoiser.parameters())
    device, dtype = parameter.device.type, parameter.dtype
    if torch.is_autocast_enabled(device) or dtype not in (torch.bfloat16, torch.float16):
        return nullcontext()
    return torch.autocast(device, dtype=dtype)


def place_denoiser(denoiser: nn.Module, loading: Loading) -> None:
    """Bring a freshly loaded denoiser to the job's device, in the form the job keeps it in."""
    nn.Module.to(denoiser, loading.device)
