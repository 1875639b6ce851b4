"""Pictures out of the nets under training: guidance, DPM++ 2M, no pipeline needed."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from PIL import Image, ImageDraw
from torch import Tensor

from resources.demo.make.draw import SIZE
from resources.demo.make.parts import Parts, new_scheduler
from resources.demo.make.vae import SCALING, decode, to_pictures


@torch.no_grad()
def sample(
    parts: Parts,
    vae: AutoencoderKL,
    prompts: list[str],
    *,
    seed: int = 0,
    steps: int = 20,
    guidance: float = 5.0,
) -> list[Image.Image]:
    """One picture for each prompt; picture i of a seed starts from the same noise in every call."""
    scheduler: Any = DPMSolverMultistepScheduler.from_config(new_scheduler().config)
    scheduler.set_timesteps(steps)
    noise = [
        torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(1_000 * seed + number))
        for number in range(len(prompts))
    ]
    latents: Tensor = torch.stack(noise) * scheduler.init_noise_sigma
    text = parts.text(parts.tokens([*prompts, *[""] * len(prompts)])).last_hidden_state
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(latents, timestep)
        wanted, plain = parts.unet(torch.cat([scaled, scaled]), timestep, text).sample.chunk(2)
        latents = scheduler.step(plain + guidance * (wanted - plain), timestep, latents).prev_sample
    return to_pictures(decode(vae, latents / SCALING))


def grid(pictures: list[Image.Image], labels: list[str], columns: int = 8) -> Image.Image:
    """The pictures in rows, each with its label under it."""
    rows, strip = -(-len(pictures) // columns), 14
    sheet = Image.new("RGB", (columns * (SIZE + 2), rows * (SIZE + strip + 2)), (32, 32, 32))
    pen = ImageDraw.Draw(sheet)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        x, y = (number % columns) * (SIZE + 2), (number // columns) * (SIZE + strip + 2)
        sheet.paste(picture, (x, y))
        pen.text((x + 2, y + SIZE), label[:24], fill=(230, 230, 220))
    return sheet
