"""The pictures of a set, encoded once: latents and captions on disk, in chunks that resume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from resources.demo.make.draw import draw
from resources.demo.make.vae import HAS_BF16, SCALING, encode, save_whole, to_tensor

CHUNK = 500


@dataclass(frozen=True, slots=True)
class LatentSet:
    """Scaled latents (n, 4, 16, 16), fp32, and the caption of each."""

    latents: Tensor
    captions: list[str]

    def __add__(self, other: LatentSet) -> LatentSet:
        return LatentSet(torch.cat([self.latents, other.latents]), self.captions + other.captions)


@torch.no_grad()
def encode_set(
    vae: AutoencoderKL, folder: Path, name: str, *, seed: int, kinds: dict[str, float], count: int
) -> LatentSet:
    """Draw and encode `count` pictures of `kinds`; chunks found in `folder` are read instead."""
    folder.mkdir(parents=True, exist_ok=True)
    latents, captions = [], []
    for start in range(0, count, CHUNK):
        file = folder / f"{name}-{start:06d}.pt"
        if not file.is_file():
            drawn = [draw(seed, index, kinds) for index in range(start, min(start + CHUNK, count))]
            parts = []
            for at in range(0, len(drawn), 25):
                pictures = to_tensor([one.picture for one in drawn[at : at + 25]])
                with torch.autocast("cpu", torch.bfloat16, enabled=HAS_BF16):
                    parts.append(encode(vae, pictures).mode().float() * SCALING)
            chunk = {"latents": torch.cat(parts).half(), "captions": [one.caption for one in drawn]}
            save_whole(chunk, file)
        chunk = torch.load(file, weights_only=True)
        latents.append(chunk["latents"].float())
        captions += chunk["captions"]
    return LatentSet(torch.cat(latents), captions)
