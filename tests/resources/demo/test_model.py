from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
    StableDiffusionPipeline,
)
from PIL import Image

from engine.schema.check import check
from engine.schema.job_file import read_toml
from resources.demo.make.check import judge, subjects
from resources.demo.make.draw import draw
from resources.demo.make.parts import new_scheduler
from resources.demo.make.tokenizer import caption_words
from resources.demo.make.vae import SCALING, decode, encode, to_pictures, to_tensor
from tests.resources.demo.test_drawing import drawn

DEMO = Path(__file__).resolve().parents[3] / "resources" / "demo"


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """The shipped model in fp32."""
    loaded: Any = StableDiffusionPipeline.from_pretrained(DEMO / "model", local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_everything_fits_into_16_megabytes() -> None:
    files = [path for path in DEMO.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= 16 * 1024 * 1024


def test_unet_has_the_25_blocks_of_sd1(pipeline: Any) -> None:
    unet = pipeline.unet
    down = 1 + sum(len(block.resnets) + len(block.downsamplers or []) for block in unet.down_blocks)
    up = sum(len(block.resnets) for block in unet.up_blocks)
    assert (down, up) == (12, 12)  # conv_in counts as input block 0; the middle is the 25th
    assert unet.mid_block is not None
    with_attention = [hasattr(block, "attentions") for block in unet.down_blocks]
    assert with_attention == [True, True, True, False]
    assert [hasattr(block, "attentions") for block in unet.up_blocks] == [False, True, True, True]
    assert unet.config["cross_attention_dim"] == pipeline.text_encoder.config.hidden_size


def test_schedule_and_scaling_are_those_of_sd1(pipeline: Any) -> None:
    assert pipeline.scheduler.config.beta_schedule == "scaled_linear"
    assert pipeline.scheduler.config.prediction_type == "epsilon"
    assert pipeline.scheduler.config.beta_start == 0.00085
    assert pipeline.scheduler.config.beta_end == 0.012
    assert pipeline.vae.config.scaling_factor == SCALING
    assert torch.allclose(pipeline.scheduler.alphas_cumprod, new_scheduler().alphas_cumprod)


def test_all_parts_load_in_one_precision(pipeline: Any) -> None:
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        assert {parameter.dtype for parameter in part.parameters()} == {torch.float32}


def test_shipped_tokenizer_knows_every_caption_word(pipeline: Any) -> None:
    for word in caption_words():
        assert len(pipeline.tokenizer(word).input_ids) == 3, word
    for index in range(50):
        caption = draw(4, index, {"plain": 1.0}).caption.replace(",", " ,")
        ids = pipeline.tokenizer(caption).input_ids
        assert pipeline.tokenizer.decode(ids, skip_special_tokens=True).split() == caption.split()


def test_vae_copies_pass_the_check(pipeline: Any) -> None:
    vae: AutoencoderKL = pipeline.vae
    wanted = subjects()
    pictures = to_tensor([drawn(subject, n) for n, subject in enumerate(wanted)])
    with torch.no_grad():
        latents = encode(vae, pictures).mode()
        copies = to_pictures(decode(vae, latents))
    right = sum(judge(copy, subject).right for copy, subject in zip(copies, wanted, strict=True))
    assert right >= 30
    scaled = latents * SCALING
    assert 0.8 < scaled.std().item() < 1.25


def test_model_draws_what_it_is_told(pipeline: Any) -> None:
    wanted = subjects()[::4]
    generators = [torch.Generator().manual_seed(n) for n in range(len(wanted))]
    pictures: list[Image.Image] = pipeline(
        [subject.prompt for subject in wanted],
        num_inference_steps=20,
        guidance_scale=5.0,
        generator=generators,
    ).images
    assert pictures[0].size == (128, 128)
    verdicts = [judge(picture, subject) for picture, subject in zip(pictures, wanted, strict=True)]
    assert sum(verdict.front and verdict.back for verdict in verdicts) >= 7
    assert sum(verdict.right for verdict in verdicts) >= 6


def test_job_is_valid_and_its_folders_are_there() -> None:
    data = read_toml(DEMO / "job.toml")
    assert not check(data).problems
    roles = {}
    for folder in data["dataset"]["folders"]:
        path = Path(folder["path"])
        pictures = sorted(path.glob("*.png"))
        assert all(picture.with_suffix(".txt").is_file() for picture in pictures)
        roles[path.name] = (folder["role"], len(pictures))
    assert roles["concept"] == ("train", 12)
    assert roles["concept_held_out"] == ("validation", 6)
    assert Path(data["model"]["path"]) == DEMO / "model"
