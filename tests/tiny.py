"""The tiny set: SD 1.x/2.x with the real 25-block structure at toy width and random weights.

Made in well under a second, in every layout people have: a diffusers folder, one `.safetensors` or
`.ckpt` file in the original layout. Also a few drawn pictures with captions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from tests.tiny_ldm import ldm_state_dict

Layout = Literal["diffusers", "single_file", "ckpt"]
SHIPPED_VOCABULARY = 49408
SMALL_VOCABULARY = 514  # 256 bytes, the same as word ends, two specials: every letter is a token
WIDTHS = (32, 64, 64, 64)
TEXT_WIDTH = 32


@dataclass(frozen=True)
class TinySd:
    """The three modules of a tiny model, float32, in eval mode."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel


def tiny_modules(
    architecture: str = "sd1", *, vocabulary: int = SMALL_VOCABULARY, seed: int = 0
) -> TinySd:
    """Build the modules with random weights; the same seed gives the same weights."""
    sd1 = architecture == "sd1"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=WIDTHS,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=8 if sd1 else (1, 1, 1, 1),  # pyright: ignore[reportArgumentType]
            use_linear_projection=not sd1,
        )
        vae = tiny_vae()
        config = CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=1,
            max_position_embeddings=77,
            hidden_act="quick_gelu" if sd1 else "gelu",
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1 if sd1 else 0,
        )
        text_encoder = CLIPTextModel(config)
    return TinySd(unet.eval(), vae.eval(), text_encoder.eval())


def tiny_vae(**config: Any) -> AutoencoderKL:
    """Build a VAE of four levels with random weights."""
    vae_config: dict[str, Any] = {
        "block_out_channels": (32, 32, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
    }
    return AutoencoderKL(**vae_config, **config)


def make_sd1(
    folder: Path,
    layout: Layout = "diffusers",
    prediction: Literal["epsilon", "v"] = "epsilon",
    *,
    architecture: str = "sd1",
    zero_terminal_snr: bool = False,
    variant: str | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Path:
    """Write a tiny model into `folder` and return its path: the folder, or the file in it."""
    folder.mkdir(parents=True, exist_ok=True)
    small = layout == "diffusers"
    model = tiny_modules(
        architecture, vocabulary=SMALL_VOCABULARY if small else SHIPPED_VOCABULARY, seed=seed
    )
    if dtype != torch.float32:
        modules: list[torch.nn.Module] = [model.unet, model.vae, model.text_encoder]
        for module in modules:
            module.to(dtype)
    if small:
        _write_folder(folder, model, prediction, zero_terminal_snr, variant)
        return folder
    tensors = ldm_state_dict(model.unet, model.vae, model.text_encoder, architecture)
    if layout == "ckpt":
        path = folder / "tiny.ckpt"
        torch.save({"state_dict": tensors, "global_step": 1}, path)
        return path
    path = folder / "tiny.safetensors"
    save_file(tensors, path, metadata={"modelspec.prediction_type": prediction})
    return path


def make_sd2(folder: Path, layout: Layout = "diffusers", **options: Any) -> Path:
    """Write a tiny SD 2.x model: linear projections, OpenCLIP text in a single file."""
    return make_sd1(folder, layout, architecture="sd2", **options)


def _write_folder(
    folder: Path, model: TinySd, prediction: str, zero_terminal_snr: bool, variant: str | None
) -> None:
    model.unet.save_pretrained(folder / "unet", variant=variant)
    model.vae.save_pretrained(folder / "vae", variant=variant)
    model.text_encoder.save_pretrained(folder / "text_encoder", variant=variant)
    write_scheduler(folder / "scheduler", prediction, zero_terminal_snr)
    sd1 = not model.unet.config["use_linear_projection"]
    write_small_tokenizer(folder / "tokenizer", pad="<|endoftext|>" if sd1 else "!")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "feature_extractor": [None, None],
        "safety_checker": [None, None],
        "requires_safety_checker": False,
    }
    (folder / "model_index.json").write_text(json.dumps(index))


def write_scheduler(folder: Path, prediction: str, zero_terminal_snr: bool) -> None:
    """Write the schedule that SD and SDXL are trained with."""
    DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction" if prediction == "v" else "epsilon",
        rescale_betas_zero_snr=zero_terminal_snr,
        steps_offset=1,
    ).save_pretrained(folder)


def write_small_tokenizer(folder: Path, pad: str) -> None:
    """Write a CLIP tokenizer without merges: each letter is a token; `!` is id 0, as in CLIP."""
    folder.mkdir(parents=True, exist_ok=True)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [256 + i for i in range(256 - len(printable))]
    symbols = [chr(code) for code in (*printable, *others)]
    words = [*symbols, *(s + "</w>" for s in symbols), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "pad_token": pad,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def make_pictures(
    folder: Path,
    n: int,
    sizes: tuple[tuple[int, int], ...] = ((96, 96),),
    *,
    captions: bool = True,
    seed: int = 0,
) -> list[Path]:
    """Draw `n` PNG pictures, each a colored disc on a plain ground, with `.txt` captions.

    The sizes (width, height) are taken in turn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    paths = []
    for i in range(n):
        width, height = sizes[i % len(sizes)]
        colors = torch.randint(0, 256, (2, 3), generator=generator).tolist()
        picture = Image.new("RGB", (width, height), tuple(colors[0]))
        radius = min(width, height) // 3
        ImageDraw.Draw(picture).circle((width // 2, height // 2), radius, fill=tuple(colors[1]))
        path = folder / f"picture{i:02d}.png"
        picture.save(path)
        if captions:
            path.with_suffix(".txt").write_text(f"disc {i}, plain, round, flat")
        paths.append(path)
    return paths


def named_tensors(module: torch.nn.Module) -> dict[str, Tensor]:
    """Copies of a module's parameters by name, to compare with later."""
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
