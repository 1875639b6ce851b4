"""How a denoiser is run: its attention kernel, its precision in previews, where it lies."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.running.four_bits import check_four_bits, four_bits_of
from engine.architectures.running.frozen import FORMS, Form, FrozenLinear, blocks_of, pack_block

KERNELS = {"flash": "FLASH_ATTENTION", "efficient": "EFFICIENT_ATTENTION",
           "cudnn": "CUDNN_ATTENTION", "math": "MATH"}  # fmt: skip
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
HOME = torch.device("cpu")
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


def text_encoder_dtype(loading: Loading) -> torch.dtype:
    """The precision in which a text encoder is read: the job's own, or the denoiser's."""
    return DTYPES.get(loading.model.text_encoder_weights, loading.dtype)


def place_denoiser(denoiser: nn.Module, loading: Loading) -> None:
    """Keep a freshly loaded denoiser in the job's form, and bring it to the device.

    Blocks that are to be swapped stay in the computer's memory; so does all of it where it has to
    wait for the encoders, until `fetch_denoiser`. Packing is done on the device, layer by layer.
    """
    away = _away(denoiser, loading)
    for block in blocks_of(denoiser):
        waits = block in away or loading.denoiser_waits
        _pack(block, loading.model.weights, HOME if block in away else loading.device)
        if waits and loading.model.weights != "nf4":
            block.to(HOME)
    if not loading.denoiser_waits:
        fetch_denoiser(denoiser, loading)


def fetch_denoiser(denoiser: nn.Module, loading: Loading) -> None:
    """Bring a denoiser to the device, but for the blocks that are to be swapped."""
    stays = {id(module) for block in _away(denoiser, loading) for module in block.modules()}
    for module in denoiser.modules():
        if id(module) not in stays:
            module._apply(lambda tensor: tensor.to(loading.device), recurse=False)


def _away(denoiser: nn.Module, loading: Loading) -> list[nn.Module]:
    blocks = blocks_of(denoiser)
    return blocks[len(blocks) - loading.blocks_away :]


def place_text_encoder(encoder: nn.Module, loading: Loading) -> None:
    """Bring a text encoder to the job's device, in the form the job keeps it in."""
    for block in blocks_of(encoder):
        _pack(block, loading.model.text_encoder_weights, loading.device)
    nn.Module.to(encoder, loading.device)


def _pack(block: nn.Module, kept_as: str, device: torch.device) -> None:
    if kept_as in FORMS:
        form: Form = kept_as  # pyright: ignore[reportAssignmentType]
        pack_block(block, device, lambda linear: FrozenLinear(linear, form))
    elif kept_as == "nf4":
        check_four_bits(device)
        pack_block(block, device, lambda linear: four_bits_of(linear, device))
