"""Lumina-Image 2 out of every layout, and the words for what cannot be used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_lumina2 import Lumina2Transformer2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.architectures import load
from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.loading.checkpoint import open_checkpoint
from engine.architectures.lumina2.file import CONFIGS, load_denoiser, to_diffusers
from engine.architectures.lumina2.model import Lumina2Model
from engine.architectures.running.frozen import FORMS
from engine.schema.model import Model
from tests.tiny_lumina2 import make_lumina2, tiny_lumina2
from tests.tiny_sd3 import make_sd3

NAMES = json.loads((Path(__file__).parents[1] / "lumina2_anima_names.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in all three layouts, in folders of their names."""
    folder = tmp_path_factory.mktemp("lumina2")
    for layout in ("diffusers", "single_file", "components"):
        make_lumina2(folder / layout, layout)
    return folder


Open = Callable[..., Lumina2Model]


@pytest.fixture
def opened(made: Path) -> Open:
    """`opened("components", vae=…)`: a fresh model; what is not given is as it should be."""

    def make(layout: str, *, dtype: torch.dtype = torch.float32, **options: Any) -> Lumina2Model:
        here = made / layout
        paths = {"diffusers": here, "single_file": here / "tiny.safetensors"}
        if layout == "components":
            files = {"text_encoder": "gemma", "vae": "ae"}
            parts = {key: str(here / f"{name}.safetensors") for key, name in files.items()}
            options = parts | options
        path = str(paths.get(layout, here / "lumina.safetensors"))
        job = Model(**({"architecture": "lumina2", "path": path, "max_tokens": 64} | options))
        model = load(Loading("lumina2", job, torch.device("cpu"), dtype))
        assert isinstance(model, Lumina2Model)
        return model

    return make


def test_400_original_names_are_the_459_of_the_class() -> None:
    """training-dit 7, check 1: all shapes equal at full size, nothing missing or left over."""
    with torch.device("meta"):
        config = json.loads((CONFIGS / "transformer/config.json").read_text("utf-8"))
        model: Any = Lumina2Transformer2DModel.from_config(config)
        source = {name: torch.empty(shape) for name, shape in NAMES["lumina2"].items()}
    assert len(source) == 400
    del source["norm_final.weight"]
    converted = to_diffusers(source, 768)
    assert len(converted) == 459
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert {name: tensor.shape for name, tensor in converted.items()} == expected


def test_every_layout_gives_the_same_model(opened: Open) -> None:
    """training-dit 7, checks 4 and 25: names bare, prefixed and in one file; no network."""
    models = [opened(layout) for layout in ("diffusers", "single_file", "components")]
    first = models[0]
    for model in models[1:]:
        assert model.facts.shape == first.facts.shape
        assert [s.name for s in model.sites] == [s.name for s in first.sites]
        parts = [(first.denoiser, model.denoiser), (first.text_encoder, model.text_encoder)]
        for one, other in [*parts, (first.pictures.vae, model.pictures.vae)]:
            same(one.state_dict(), other.state_dict())
        texts = [m.encode_text(["a cat on a mat", ""])["states"] for m in (first, model)]
        assert torch.equal(*texts)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
def test_a_prefix_changes_nothing(prefix: str, made: Path, tmp_path: Path) -> None:
    """training-dit 7, check 4."""
    tensors = load_file(made / "components/lumina.safetensors")
    save_file({prefix + n: t for n, t in tensors.items()}, tmp_path / "x.safetensors")
    loaded = load_denoiser(open_checkpoint(tmp_path / "x.safetensors"), torch.float32)
    same(loaded.state_dict(), tiny_lumina2().denoiser.state_dict())


def test_a_denoiser_of_its_own_stands_for_the_models(
    opened: Open, made: Path, tmp_path: Path
) -> None:
    """In the original layout, and in the libraries' names."""
    path = make_lumina2(tmp_path / "other", "components", seed=3)
    other = tiny_lumina2(seed=3).denoiser.state_dict()
    same(opened("diffusers", denoiser=str(path)).denoiser.state_dict(), other)
    save_file(other, tmp_path / "library.safetensors")
    named = str(tmp_path / "library.safetensors")
    same(opened("single_file", denoiser=named).denoiser.state_dict(), other)


@pytest.mark.parametrize("form", FORMS)
def test_eight_bits_stay_near_and_let_gradients_through(form: Any, opened: Open) -> None:
    """training-dit 7, check 26."""
    noisy = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    states = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(1, 5, dtype=torch.bool)
    exact, packed = opened("diffusers"), opened("diffusers", weights=form)
    given = states.clone().requires_grad_(True)
    text = {"states": given, "states_mask": mask}
    packed.enable_gradient_checkpointing()
    answer = packed.predict(noisy, torch.tensor([0.4]), text)
    answer.square().sum().backward()
    assert given.grad is not None
    assert given.grad.isfinite().all()
    assert given.grad.abs().sum() > 0
    with torch.no_grad():
        right = exact.predict(noisy, torch.tensor([0.4]), {"states": states, "states_mask": mask})
    assert 0 < (answer - right).norm() / right.norm() < 0.1


def test_weights_are_read_in_bf16(opened: Open) -> None:
    model = opened("components", dtype=torch.bfloat16)
    assert {p.dtype for p in model.denoiser.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.text_encoder.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.pictures.vae.parameters()} == {torch.float32}


def refused(opened: Open, layout: str, **options: Any) -> ModelProblem:
    with pytest.raises(ModelProblem) as caught:
        opened(layout, **options)
    return caught.value


def test_what_is_missing_is_named_with_where_it_comes_from(opened: Open) -> None:
    problem = refused(opened, "components", vae=None)
    assert "VAE (ae.safetensors)" in problem.message
    assert problem.field == "model.vae"
    problem = refused(opened, "components", text_encoder=None, vae=None)
    assert "Gemma 2 (gemma_2_2b_fp16.safetensors), VAE" in problem.message
    assert "Comfy-Org" in problem.mend
    assert problem.field == "model.text_encoder"


def test_wrong_parts_are_called_by_their_names(opened: Open, made: Path, tmp_path: Path) -> None:
    vae, gemma = (str(made / f"components/{name}.safetensors") for name in ("ae", "gemma"))
    problem = refused(opened, "components", text_encoder=vae)
    assert "ae.safetensors is a VAE of FLUX or SD3, and Gemma 2 is wanted here." in problem.message
    assert problem.field == "model.text_encoder"
    problem = refused(opened, "components", vae=gemma)
    assert "gemma.safetensors is a Gemma text encoder, and VAE is wanted" in problem.message
    assert problem.field == "model.vae"
    problem = refused(opened, "diffusers", path=gemma)
    assert "This is a Gemma text encoder" in problem.message
    sd3 = make_sd3(tmp_path / "sd3", "diffusers")
    problem = refused(opened, "components", denoiser=str(sd3))
    assert problem.field == "model.denoiser"
    problem = refused(opened, "diffusers", path=str(sd3))
    assert "This model is SD3" in problem.message
    problem = refused(opened, "diffusers", dtype=torch.float16)
    assert "overflows in fp16" in problem.message


def test_a_tokenizer_is_looked_for_and_asked_for(
    opened: Open, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """training-dit 2.1: beside the model, in Gemma's file, in the hub's cache, named by the job."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    bare = load_file(made / "components/gemma.safetensors")
    del bare["spiece_model"]
    save_file(bare, tmp_path / "bare.safetensors")
    text = str(tmp_path / "bare.safetensors")
    problem = refused(opened, "components", text_encoder=text)
    assert "The tokenizer of Gemma 2 is not there" in problem.message
    assert "Alpha-VLLM/Lumina-Image-2.0" in problem.mend
    assert problem.field == "model.tokenizer"
    folder = made / "diffusers/tokenizer"
    expected = opened("components").encode_text(["a cat"])["states"]
    model = opened("components", text_encoder=text, tokenizer=str(folder))
    assert torch.equal(model.encode_text(["a cat"])["states"], expected)
    snapshot = tmp_path / "hub/models--Alpha-VLLM--Lumina-Image-2.0/snapshots/abc"
    shutil.copytree(folder, snapshot / "tokenizer")
    model = opened("components", text_encoder=text)
    assert torch.equal(model.encode_text(["a cat"])["states"], expected)
    problem = refused(opened, "components", tokenizer=str(made))
    assert "holds no tokenizer" in problem.message


def test_a_file_that_is_not_whole_says_what_it_lacks(
    opened: Open, made: Path, tmp_path: Path
) -> None:
    tensors = load_file(made / "components/lumina.safetensors")
    del tensors["layers.1.feed_forward.w2.weight"]
    save_file(tensors, tmp_path / "cut.safetensors")
    problem = refused(opened, "components", path=str(tmp_path / "cut.safetensors"))
    assert "layers.1.feed_forward.linear_2.weight" in problem.message
    tensors["layers.1.feed_forward.w2.weight"] = torch.zeros(192, 768)
    tensors["layers.1.feed_forward.w4.weight"] = torch.zeros(3)
    save_file(tensors, tmp_path / "more.safetensors")
    problem = refused(opened, "components", path=str(tmp_path / "more.safetensors"))
    assert "layers.1.feed_forward.linear_4.weight" in problem.message


def test_the_kernel_without_masks_is_refused_on_a_card() -> None:
    job = Model(architecture="lumina2", path="a.safetensors", attention="flash")
    with pytest.raises(ModelProblem, match="takes no mask") as caught:
        load(Loading("lumina2", job, torch.device("cuda"), torch.bfloat16))
    assert caught.value.field == "model.attention"
