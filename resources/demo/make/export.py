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
from resources.demo.make.tokenizer import write_vocabulary


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
    write_vocabulary(folder / "tokenizer")
    # transformers loads in the dtype that this file names, diffusers in fp32 unless told: without
    # this line a plain from_pretrained would mix the two.
    config = folder / "text_encoder" / "config.json"
    config.write_text(config.read_text().replace('"float16"', '"float32"'), encoding="utf-8")
