"""The demo's VAE: 8x, four channels, 128 px, trained from nothing (spec: demo-model, "VAE").

Diffusers' default initialization does not learn at this size; `start_nearly_linear` is what does.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from torch import Tensor, nn

from resources.demo.make.draw import BROAD, SIZE, draw, draw_clutter

SCALING = 0.18215
CHANNELS = 4
CLUTTER_SHARE = 0.35
VALIDATION_SEED = 9_001
HAS_BF16 = torch.cpu._is_avx512_bf16_supported()
"""Whether bf16 is quick here: 1.5 times as fast as fp32 with AVX512_BF16, slower without."""


def new_vae() -> AutoencoderKL:
    """The architecture: SD 1.x's VAE at toy width, without attention."""
    config: dict[str, Any] = {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (16, 32, 64, 64),
        "layers_per_block": 1,
        "latent_channels": CHANNELS,
        "norm_num_groups": 2,
        "sample_size": SIZE,
        "scaling_factor": SCALING,
        "mid_block_add_attention": False,
    }
    return AutoencoderKL(**config)


def encode(vae: AutoencoderKL, pictures: Tensor) -> DiagonalGaussianDistribution:
    """(n, 3, h, w) in -1..1 to the distribution of unscaled latents (n, 4, h/8, w/8)."""
    encoded: tuple[DiagonalGaussianDistribution] = cast(
        Any, vae.encode(cast(Any, pictures), return_dict=False)
    )
    return encoded[0]


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Unscaled latents (n, 4, h/8, w/8) to pictures (n, 3, h, w), about -1..1."""
    decoded: tuple[Tensor] = cast(Any, vae.decode(cast(Any, latents), return_dict=False))
    return decoded[0]


def _conv(vae: AutoencoderKL, name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution called `name`."""
    module = vae.get_submodule(name)
    if not isinstance(module, nn.Conv2d) or module.bias is None:
        raise TypeError(f"{name} of the VAE is no convolution with a bias")
    return module.weight, module.bias


@torch.no_grad()
def start_nearly_linear(vae: AutoencoderKL) -> None:
    """Initialize so that the net is close to a linear one. Call once, on a fresh model.

    Residual branches start small; plain convolutions keep the variance; the two output norms get
    a constant to lean on, so that they do not normalize the brightness of a flat picture away.
    """
    for name, module in vae.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        if name.endswith("conv2"):
            module.weight.mul_(0.1)
        elif name.endswith(
            ("conv_in", "downsamplers.0.conv", "upsamplers.0.conv", "conv_shortcut")
        ):
            module.weight.mul_(math.sqrt(3))
    for half, last in (
        ("encoder", "encoder.mid_block.resnets.1"),
        ("decoder", "decoder.up_blocks.3.resnets.1"),
    ):
        norm = vae.get_submodule(f"{half}.conv_norm_out")
        if not isinstance(norm, nn.GroupNorm):
            raise TypeError(f"the VAE's {half} does not end in a group norm")
        _, bias = _conv(vae, f"{last}.conv2")
        width = norm.num_channels // norm.num_groups
        for group in range(norm.num_groups):
            bias[group * width] += 4.0
            bias[group * width + 1] -= 4.0
        norm.weight.mul_(math.sqrt(1 + 32 / width))
    weight, bias = _conv(vae, "quant_conv")
    weight[CHANNELS:].mul_(0.1)
    bias[CHANNELS:] = -6.0


def to_tensor(pictures: list[Image.Image]) -> Tensor:
    """RGB pictures of one size to (n, 3, h, w) in -1..1."""
    array = np.stack([np.asarray(picture) for picture in pictures])
    return torch.from_numpy(array).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_pictures(tensor: Tensor) -> list[Image.Image]:
    """(n, 3, h, w) in -1..1 to RGB pictures."""
    array = tensor.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(one) for one in array]


def batch(step: int, count: int, seed: int) -> Tensor:
    """The pictures of one training step, (count, 3, SIZE, SIZE): the demo's own and clutter."""
    pictures = []
    for slot in range(count):
        index = step * count + slot
        if (index * 37) % 100 < 100 * CLUTTER_SHARE:
            pictures.append(draw_clutter(seed, index))
        else:
            pictures.append(draw(seed, index, BROAD).picture)
    return to_tensor(pictures)


def crops(pictures: Tensor, size: int, seed: int) -> Tensor:
    """One random crop of `size` px from each picture."""
    generator = torch.Generator().manual_seed(seed)
    taken = []
    for picture in pictures:
        y, x = torch.randint(0, SIZE - size + 1, (2,), generator=generator).tolist()
        taken.append(picture[:, y : y + size, x : x + size])
    return torch.stack(taken)


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 + MSE + half the L1 of the two gradients."""
    difference = output - target
    edges = difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return difference.abs().mean() + difference.square().mean() + 0.5 * edges


@torch.no_grad()
def psnr(vae: AutoencoderKL, pictures: Tensor) -> float:
    """Peak signal-to-noise ratio of the copies of (n, 3, h, w) pictures in dB."""
    output = decode(vae, encode(vae, pictures).mode()).clamp(-1, 1)
    return 10 * math.log10(4 / F.mse_loss(output, pictures).item())


def train_vae(folder: Path, *, steps: int, seed: int = 1, rate: float = 2e-3) -> AutoencoderKL:
    """Train for `steps` and leave the folded VAE in `folder`/vae, a state in vae.pt.

    The rate falls over the last 60 % of the steps, and crops give way to whole pictures for the
    last 24 %. A state found in `folder` is continued.
    """
    torch.manual_seed(seed)
    vae = new_vae()
    start_nearly_linear(vae)
    cast(Any, vae).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
    step = 0
    state_file = folder / "vae.pt"
    if state_file.is_file():
        state = torch.load(state_file, weights_only=True)
        vae.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    own = to_tensor([draw(VALIDATION_SEED, index, BROAD).picture for index in range(16)])
    odd = to_tensor([draw_clutter(VALIDATION_SEED, index) for index in range(16)])
    while step < steps:
        whole = step >= 0.76 * steps
        pictures = batch(step, 4 if whole else 8, seed)
        if not whole:
            pictures = crops(pictures, SIZE // 2, step)
        warm = min(1.0, (step + 1) / 50)
        fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, (step / steps - 0.4) / 0.6))
        for group in optimizer.param_groups:
            group["lr"] = rate * warm * max(0.02, fall)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        torch.manual_seed(seed * 15_485_863 + step)  # the latents' noise, whoever resumes
        with torch.autocast("cpu", torch.bfloat16, enabled=HAS_BF16):
            posterior = encode(vae, pictures)
            output = decode(vae, posterior.sample()).float()
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        loss = reconstruction_loss(output, pictures) + 1e-3 * kl
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 200 == 0:
            scores = f"PSNR own {psnr(vae, own):.1f} clutter {psnr(vae, odd):.1f} dB"
            print(f"vae step {step} loss {loss.item():.4f} {scores}", flush=True)
            state = {"model": vae.state_dict(), "optimizer": optimizer.state_dict()}
            save_whole({**state, "step": step}, state_file)
    fold_statistics(vae, own_latents(vae, 256))
    vae.save_pretrained(folder / "vae")
    print(f"vae done: PSNR own {psnr(vae, own):.1f} clutter {psnr(vae, odd):.1f} dB", flush=True)
    return vae


def save_whole(state: dict[str, Any], file: Path) -> None:
    """Save beside `file` and rename, so that a training stopped here finds the last state whole."""
    beside = file.with_suffix(".part")
    torch.save(state, beside)
    beside.replace(file)


@torch.no_grad()
def own_latents(vae: AutoencoderKL, count: int) -> Tensor:
    """Unscaled latent means of `count` pictures of the demo's own kind, (count, 4, 16, 16)."""
    parts = []
    for start in range(0, count, 16):
        drawn = [draw(VALIDATION_SEED, 1_000 + start + slot, BROAD).picture for slot in range(16)]
        parts.append(encode(vae, to_tensor(drawn)).mode())
    return torch.cat(parts)


@torch.no_grad()
def fold_statistics(vae: AutoencoderKL, latents: Tensor) -> None:
    """Fold each channel's mean and deviation into quant_conv and post_quant_conv.

    Afterwards a latent times `SCALING` has mean 0 and variance 1, as the sampler expects, and
    what the VAE draws is unchanged.
    """
    mean = latents.mean(dim=(0, 2, 3))
    factor = 1 / (latents.std(dim=(0, 2, 3)) * SCALING)
    weight, bias = _conv(vae, "quant_conv")
    weight[:CHANNELS] *= factor[:, None, None, None]
    bias[:CHANNELS] = (bias[:CHANNELS] - mean) * factor
    bias[CHANNELS:] += 2 * factor.log()
    weight, bias = _conv(vae, "post_quant_conv")
    bias += (weight[:, :, 0, 0] * mean).sum(dim=1)
    weight /= factor[None, :, None, None]
