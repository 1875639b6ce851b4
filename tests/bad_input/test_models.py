"""Base models and their parts in the wrong place: told at the field, before a weight is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.architectures import load
from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.running.frozen import blocks_of
from engine.plan.before_loading import problems_before_loading, sites_at_hand
from engine.plan.block_lists import swappable
from engine.plan.detect import look_at
from engine.plan.model_names import LABELS
from engine.schema.architectures import ARCHITECTURES
from engine.schema.job import Job
from tests.bad_input.conftest import PARTS, Sets
from tests.tiny import make_sd1
from tests.tiny_flux import make_flux

WRONG = ("clip", "t5", "byt5", "gemma", "qwen2.5", "qwen3", "vae_sd", "vae_flux", "vae_qwen",
         "vae_hunyuan", "picture", "adapter")  # fmt: skip


def told(job: Job) -> dict[str, str]:
    """Field → words, as `plan` and `train` tell them."""
    found = problems_before_loading(job, look_at(job.model.path))
    return {problem.path: problem.message for problem in found}


def refusal_of_loader(job: Job) -> tuple[str, str]:
    """Field and words of the loader; it may not have begun to read a part."""
    begun: list[str] = []
    cpu = torch.device("cpu")
    loading = Loading(
        job.model.architecture, job.model, cpu, torch.float32,
        report=lambda words, done, total: begun.append(words),
    )  # fmt: skip
    with pytest.raises(ModelProblem) as caught:
        load(loading)
    assert begun == []
    return caught.value.field, str(caught.value)


@pytest.mark.parametrize("given", list(ARCHITECTURES))
@pytest.mark.parametrize("wanted", list(ARCHITECTURES))
def test_a_model_of_another_architecture_is_called_by_its_name(
    sets: Sets, wanted: str, given: str
) -> None:
    job = sets.job(wanted, model={"path": str(sets.base(given))})
    if wanted == given:
        assert told(job) == {}
        return
    words = told(job)["model.path"]
    assert f"This model is {LABELS[given]} (" in words
    assert f"the job is for {LABELS[wanted]}. Choose {LABELS[given]} as architecture" in words
    field, from_loader = refusal_of_loader(job)
    assert field == "model.path"
    assert words in from_loader


@pytest.mark.parametrize(
    ("architecture", "field", "usual"),
    [
        ("flux", "text_encoder", "clip_l.safetensors"),
        ("flux", "text_encoder_2", "t5xxl_fp16.safetensors"),
        ("flux", "vae", "ae.safetensors"),
        ("sd3", "text_encoder", "clip_l.safetensors"),
        ("sd3", "text_encoder_2", "clip_g.safetensors"),
        ("sd3", "vae", "VAE"),
        ("lumina2", "text_encoder", "gemma_2_2b_fp16.safetensors"),
        ("lumina2", "vae", "ae.safetensors"),
        ("hunyuan_image", "text_encoder", "qwen_2.5_vl_7b.safetensors"),
        ("hunyuan_image", "text_encoder_2", "byt5_small_glyphxl_fp16.safetensors"),
        ("hunyuan_image", "vae", "hunyuan_image_2.1_vae_fp16.safetensors"),
        ("anima", "text_encoder", "qwen_3_06b_base.safetensors"),
        ("anima", "vae", "qwen_image_vae.safetensors"),
    ],
)
def test_a_missing_part_is_named_with_where_it_comes_from(
    sets: Sets, architecture: str, field: str, usual: str
) -> None:
    job = sets.job(architecture, model={field: None})
    words = told(job)
    assert list(words) == [f"model.{field}"]
    (message,) = words.values()
    assert usual in message
    assert "Give them in the fields of these names." in message
    assert refusal_of_loader(job) == (f"model.{field}", message)


def wrong_file(sets: Sets, kind: str) -> Path:
    """A file of each kind that there is."""
    files: dict[str, tuple[str, str]] = {
        "clip": ("flux", "text_encoder"), "t5": ("flux", "text_encoder_2"),
        "byt5": ("hunyuan_image", "text_encoder_2"), "gemma": ("lumina2", "text_encoder"),
        "qwen2.5": ("hunyuan_image", "text_encoder"), "qwen3": ("anima", "text_encoder"),
        "vae_flux": ("flux", "vae"), "vae_qwen": ("anima", "vae"),
        "vae_hunyuan": ("hunyuan_image", "vae"),
    }  # fmt: skip
    if kind == "picture":
        return sets.base("flux")
    if kind == "vae_sd":
        return sets.base("sd1")
    return sets.adapter("sd1") if kind == "adapter" else sets.part(*files[kind])


SLOTS = [(a, field) for a in PARTS for field in PARTS[a]] + [(a, "vae") for a in ("sd1", "sdxl")]


@pytest.mark.parametrize(("architecture", "field"), SLOTS)
def test_a_part_in_the_wrong_field_is_called_by_its_name(
    sets: Sets, architecture: str, field: str
) -> None:
    """A T5 given as CLIP, a VAE as T5, an adapter as VAE: every part in every field."""
    refused = []
    for kind in WRONG:
        job = sets.job(architecture, model={field: str(wrong_file(sets, kind))})
        found = told(job)
        if not found:
            continue
        assert list(found) == [f"model.{field}"], kind
        words = found[f"model.{field}"]
        assert words.startswith(wrong_file(sets, kind).name)
        assert "is wanted here. Choose " in words or "model takes" in words
        refused.append(kind)
    fits = set(WRONG) - set(refused)
    own = {"text_encoder": {"flux": "clip", "sd3": "clip", "lumina2": "gemma",
                            "hunyuan_image": "qwen2.5", "anima": "qwen3"},
           "text_encoder_2": {"flux": "t5", "sd3": "clip", "hunyuan_image": "byt5"},
           "vae": {"sd1": "vae_sd", "sdxl": "vae_sd", "flux": "vae_flux", "sd3": "vae_flux",
                   "lumina2": "vae_flux", "hunyuan_image": "vae_hunyuan", "anima": "vae_qwen"},
           "text_encoder_3": {"sd3": ""}}  # fmt: skip
    assert fits == {own[field][architecture]} - {""}


@pytest.mark.parametrize(
    ("architecture", "field", "kind", "words"),
    [
        ("flux", "text_encoder", "t5", "is a T5 text encoder, and CLIP-L is wanted here. Choose "
         "CLIP-L (clip_l.safetensors)."),
        ("sd3", "text_encoder_3", "clip", "is a CLIP text encoder, and T5-XXL is wanted here."),
        ("sd3", "text_encoder_3", "t5", "is a T5 that gives 32 numbers for a token; the picture "
         "model takes 96. Choose T5-XXL (t5xxl_fp16.safetensors)."),
        ("lumina2", "text_encoder", "qwen3", "is a Qwen3 text encoder, and Gemma 2 is wanted"),
        ("hunyuan_image", "vae", "vae_flux", "is a VAE of FLUX or SD3, and VAE is wanted here."),
        ("anima", "denoiser", "picture", "is a picture model (FLUX.1), and Picture model is"),
        ("sd1", "vae", "adapter", "is an adapter (LoRA), and VAE is wanted here. Choose a VAE made "
         "for SD 1.x."),
    ],
)  # fmt: skip
def test_loader_and_plan_say_the_same(
    sets: Sets, architecture: str, field: str, kind: str, words: str
) -> None:
    job = sets.job(architecture, model={field: str(wrong_file(sets, kind))})
    assert words in told(job)[f"model.{field}"]
    assert refusal_of_loader(job) == (f"model.{field}", told(job)[f"model.{field}"])


def test_a_folder_in_the_wrong_field_is_told_by_its_config(sets: Sets, tmp_path: Path) -> None:
    folder = make_sd1(tmp_path / "sd1")
    cases: dict[tuple[str, str], str] = {
        ("text_encoder_2", "text_encoder"): "is a CLIP text encoder, and T5-XXL is wanted",
        ("text_encoder", "vae"): "is a VAE of SD or SDXL, and CLIP-L is wanted",
        ("vae", "vae"): "is a VAE of SD or SDXL, and VAE is wanted",
    }
    for (field, part), words in cases.items():
        found = told(sets.job("flux", model={field: str(folder / part)}))
        assert words in found[f"model.{field}"]


def test_all_wrong_files_are_told_at_once(sets: Sets) -> None:
    wrong: dict[str, Any] = {
        "text_encoder": "/nowhere/clip.safetensors",
        "text_encoder_2": str(sets.part("flux", "vae")),
        "vae": str(sets.part("flux", "text_encoder_2")),
    }
    found = told(sets.job("flux", model=wrong, training={"blocks_to_swap": 40}))
    assert found["model.text_encoder"] == (
        "There is no file or folder /nowhere/clip.safetensors. Choose it again."
    )
    assert found["training.blocks_to_swap"] == (
        "Blocks to swap is 40; this model has 4 blocks, of which at most 2 can be swapped."
    )
    assert found.keys() >= {"model.text_encoder_2", "model.vae"}


def test_options_are_held_to_the_model_at_hand(sets: Sets) -> None:
    """Published FLUX.1 has 19 double blocks, this one 2."""
    job = sets.job("flux", network={"train_double_block_indices": "5"})
    words = "Double blocks: there is no block 5; they are numbered 0 to 1."
    assert told(job) == {"network.train_double_block_indices": words}
    nothing = sets.job("flux", network={"exclude_patterns": [".*"]})
    assert "train no layer at all" in told(nothing)["network"]


def test_a_whole_checkpoint_serves_for_its_parts(sets: Sets, tmp_path: Path) -> None:
    """Its VAE and its picture model can be taken; in a text encoder's field it is told."""
    whole = str(make_flux(tmp_path, "single_file"))
    for field in ("denoiser", "vae"):
        assert told(sets.job("flux", model={field: whole})) == {}
    found = told(sets.job("lumina2", model={"denoiser": whole}))
    assert "is a picture model (FLUX.1), and Picture model is wanted" in found["model.denoiser"]
    bare = told(sets.job("flux", model={"text_encoder": str(sets.base("flux"))}))
    assert "is a picture model (FLUX.1), and CLIP-L is wanted" in bare["model.text_encoder"]


@pytest.mark.parametrize("architecture", ["flux", "sd3", "lumina2", "hunyuan_image", "anima"])
def test_blocks_are_counted_from_headers_as_in_the_model(sets: Sets, architecture: str) -> None:
    job = sets.job(architecture)
    sites = sites_at_hand(job, look_at(job.model.path))
    assert sites is not None
    cpu = torch.device("cpu")
    model = load(Loading(architecture, job.model, cpu, torch.float32))
    assert swappable(sites) == len(blocks_of(model.components["denoiser"]))
