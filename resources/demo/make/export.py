"""Leave the trained nets as a diffusers StableDiffusionPipeline folder in fp16."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
    StableDiffusionPipeline,
)

from resources.demo.make.parts import Parts, new_scheduler


def export_model(parts: Parts, vae: AutoencoderKL, folder: Path) -> None:
    """Write model_index.json, unet, vae, text_encoder, tokenizer and scheduler into `folder`."""
    components: dict[str, Any] = {
        "vae": copy.deepcopy(vae),
        "text_encoder": copy.deepcopy(parts.text),
        "tokenizer": parts.tokenizer,
        "unet": copy.deepcopy(parts.unet),
        "scheduler": new_scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
    }
    pipeline = StableDiffusionPipeline(**components, requires_safety_checker=False)
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
