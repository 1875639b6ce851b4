"""Anima out of every layout, and the words for what cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import AutoencoderKLQwenImage
from diffusers.models.condition_embedders.condition_embedder_anima import AnimaTextConditioner
from diffusers.models.transformers.transformer_cosmos import CosmosTransformer3DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.architectures import load
from engine.architectures.anima import load as anima_load
from engine.architectures.anima.file import CONFIGS, RENAMES, load_denoiser, wanted_names
from engine.architectures.anima.model import AnimaModel
from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.loading.checkpoint import Checkpoint, open_checkpoint
from engine.architectures.loading.denoiser_names import renamed
from engine.architectures.running.frozen import FORMS
from engine.architectures.vae.qwen_file import diffusers_stem
from engine.networks.attach import attach_file
from engine.networks.network import Network
from engine.plan.ranks import place
from engine.plan.sites.anima import AnimaShape
from engine.schema.model import Model
from engine.schema.network import Network as NetworkOptions
from tests.tiny_anima import make_anima, tiny_anima
from tests.tiny_hunyuan_image import write_byte_tokenizer
from tests.tiny_sd3 import write_small_t5_tokenizer

NAMES = json.loads((Path(__file__).parents[1] / "lumina2_anima_names.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in all three layouts, in folders of their names, and small tokenizers."""
    folder = tmp_path_factory.mktemp("anima")
    for layout in ("diffusers", "single_file", "components"):
        make_anima(folder / layout, layout)
    write_byte_tokenizer(folder / "qwen")
    write_small_t5_tokenizer(folder / "t5")
    return folder


Open = Callable[..., AnimaModel]


@pytest.fixture
def opened(made: Path) -> Open:
    """`opened("components", vae=…)`: a fresh model; what is not given is as it should be.

    The files are given small tokenizers, which load in a moment.
    """

    def make(layout: str, *, dtype: torch.dtype = torch.float32, **options: Any) -> AnimaModel:
        here = made / layout
        paths = {"diffusers": here, "single_file": here / "tiny.safetensors"}
        parts = {"tokenizer": str(made / "qwen"), "tokenizer_2": str(made / "t5")}
        if layout == "components":
            files = {"text_encoder": "qwen", "vae": "vae"}
            parts |= {key: str(here / f"{name}.safetensors") for key, name in files.items()}
        path = str(paths.get(layout, here / "anima.safetensors"))
        given: dict[str, Any] = {"architecture": "anima", "path": path, "max_tokens": 64}
        given |= parts | options
        model = load(Loading("anima", Model(**given), torch.device("cpu"), dtype))
        assert isinstance(model, AnimaModel)
        return model

    return make


def config_of(part: str) -> dict[str, Any]:
    return json.loads((CONFIGS / part / "config.json").read_text("utf-8"))


def test_688_original_names_are_those_of_the_two_classes() -> None:
    """training-dit 7, check 18: 567 and 118, all shapes equal at full size, nothing left over."""
    shapes = {f"net.{name}": tuple(shape) for name, shape in NAMES["anima"].items()}
    assert len(shapes) == 688
    file = Checkpoint(Path("anima.safetensors"), shapes, lambda name: torch.empty(0))
    outer = {renamed(bare, RENAMES): shapes[n] for n, bare in wanted_names(file).items()}
    inner = {
        name: shapes[n] for n, name in file.below("net.llm_adapter.").items()
    }  # fmt: skip
    assert (len(outer), len(inner)) == (567, 118)
    with torch.device("meta"):
        denoiser: Any = CosmosTransformer3DModel.from_config(config_of("transformer"))
        conditioner: Any = AnimaTextConditioner.from_config(config_of("text_conditioner"))
    for names, model in ((outer, denoiser), (inner, conditioner)):
        assert names == {name: tuple(t.shape) for name, t in model.state_dict().items()}


def test_the_vaes_names_equal_the_recorded_ones() -> None:
    """training-dit 7, check 23: 123 stems, and they are the class's."""
    stems = NAMES["qwen_vae_stems"]
    assert len(stems) == 123
    assert {stem: diffusers_stem(stem) for stem in stems} == stems
    with torch.device("meta"):
        vae: Any = AutoencoderKLQwenImage.from_config(config_of("vae"))
    assert {name.rpartition(".")[0] for name in vae.state_dict()} == set(stems.values())


def test_every_layout_gives_the_same_model(opened: Open) -> None:
    """training-dit 7, check 25: a folder, separate files and one file; no network.

    The vocabularies of the files are whole, those of the folder small: they are left out.
    """
    models = [opened(layout) for layout in ("single_file", "components")]
    first = models[0]
    for role, module in models[1].components.items():
        same(first.components[role].state_dict(), module.state_dict())
    same(first.pictures.vae.state_dict(), models[1].pictures.vae.state_dict())
    assert models[1].facts.shape == first.facts.shape
    folder = opened("diffusers")
    same(first.pictures.vae.state_dict(), folder.pictures.vae.state_dict(), anything=False)
    assert folder.facts.shape == first.facts.shape
    assert [s.name for s in folder.sites] == [s.name for s in first.sites]


def same(one: dict[str, Tensor], other: dict[str, Tensor], *, anything: bool = True) -> None:
    """Hold two modules' tensors against each other; their shapes alone without `anything`."""
    assert {n: t.shape for n, t in one.items()} == {n: t.shape for n, t in other.items()}
    assert [n for n in one if anything and not torch.equal(one[n], other[n])] == []


@pytest.mark.parametrize("prefix", ["", "net.", "model.diffusion_model."])
def test_a_prefix_changes_nothing(prefix: str, made: Path, tmp_path: Path) -> None:
    tensors = load_file(made / "components/anima.safetensors")
    renamed_ = {prefix + n.removeprefix("net."): t for n, t in tensors.items()}
    renamed_ |= {f"{prefix}accum_video_sample_counter": torch.zeros(1)}
    renamed_ |= {f"{prefix}blocks.0.self_attn.attn_op._extra_state": torch.zeros(0)}
    save_file(renamed_, tmp_path / "x.safetensors")
    loaded = load_denoiser(open_checkpoint(tmp_path / "x.safetensors"), torch.float32)
    same(loaded.state_dict(), tiny_anima(vocabulary="shipped").denoiser.state_dict())


def test_a_denoiser_without_adapter_takes_one_from_a_file(
    opened: Open, made: Path, tmp_path: Path
) -> None:
    """training-dit 4.1: with its prefix or without, or from a folder of the library's."""
    tensors = load_file(made / "components/anima.safetensors")
    alone = {n: t for n, t in tensors.items() if "llm_adapter" not in n}
    adapter = {n: t for n, t in tensors.items() if "llm_adapter" in n}
    bare = {n.removeprefix("net.llm_adapter."): t for n, t in adapter.items()}
    paths = {}
    for name, content in (("alone", alone), ("adapter", adapter), ("bare", bare)):
        save_file(content, tmp_path / f"{name}.safetensors")
        paths[name] = str(tmp_path / f"{name}.safetensors")
    problem = refused(opened, "components", path=paths["alone"])
    assert "Cosmos-Predict2" in problem.message
    expected = opened("components").conditioner.state_dict()
    for name in ("adapter", "bare"):
        model = opened("components", path=paths["alone"], text_conditioner=paths[name])
        same(model.conditioner.state_dict(), expected)
        assert model.facts.refusal == ""
    folder = str(made / "diffusers/text_conditioner")
    model = opened("components", path=paths["alone"], text_conditioner=folder)
    assert model.conditioner.config["target_vocab_size"] == 100
    problem = refused(opened, "components", text_conditioner=paths["alone"])
    assert "holds no LLM adapter" in problem.message
    assert problem.field == "model.text_conditioner"


@pytest.mark.parametrize("form", FORMS)
def test_eight_bits_stay_near_and_the_adapter_is_left_alone(form: Any, opened: Open) -> None:
    """training-dit 7, check 26."""
    noisy = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    exact, packed = opened("diffusers"), opened("diffusers", weights=form)
    assert {p.dtype for p in packed.conditioner.parameters()} == {torch.float32}
    text = exact.encode_text(["a disc"])
    given = exact.context(text).detach().requires_grad_(True)
    packed.enable_gradient_checkpointing()
    answer = packed.predict_in(noisy, torch.tensor([0.4]), given)
    answer.square().sum().backward()
    assert given.grad is not None
    assert given.grad.isfinite().all()
    with torch.no_grad():
        right = exact.predict(noisy, torch.tensor([0.4]), text)
    assert 0 < (answer - right).norm() / right.norm() < 0.1


def test_a_trained_llm_adapter_changes_the_picture_from_kept_captions(opened: Open) -> None:
    """training-dit 4.3: it runs inside the step, so that what is kept stays right."""
    model = opened("diffusers")
    options = NetworkOptions(rank=2, alpha=2, train="denoiser", train_llm_adapter=True)
    placements = place(options, model.sites, "anima")
    assert sum(p.site.component == "text_conditioner" for p in placements) == 20
    network = Network.create(placements, model.components, options, 1)
    network.attach()
    with torch.no_grad():
        kept = model.encode_text(["a disc"])
    noisy = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    answer = model.predict(noisy, torch.tensor([0.4]), kept)
    answer.square().sum().backward()
    gradients: list[Any] = [
        a.up.grad for a in network.each() if a.site.component == "text_conditioner"
    ]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)


def test_merged_adapters_reach_the_llm_adapter_too(opened: Open, tmp_path: Path) -> None:
    name = "lora_unet_llm_adapter_blocks_0_mlp_0"
    down, up = torch.ones(2, 16), torch.ones(64, 2)
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    save_file(tensors, tmp_path / "a.safetensors")
    plain = opened("diffusers").conditioner.get_parameter("blocks.0.mlp.0.weight")
    model = opened("diffusers", merge=[{"file": str(tmp_path / "a.safetensors"), "weight": 0.5}])
    merged = model.conditioner.get_parameter("blocks.0.mlp.0.weight")
    assert (merged - plain - 1.0).abs().max() < 1e-5
    handle = attach_file("anima", model.components, tmp_path / "a.safetensors")
    assert (handle.used, handle.unused) == ((name,), ())


def refused(opened: Open, layout: str, **options: Any) -> ModelProblem:
    with pytest.raises(ModelProblem) as caught:
        opened(layout, **options)
    return caught.value


def test_what_is_missing_or_wrong_is_named(opened: Open, made: Path) -> None:
    vae, qwen = (str(made / f"components/{name}.safetensors") for name in ("vae", "qwen"))
    problem = refused(opened, "components", text_encoder=None, vae=None)
    assert "Qwen3 (qwen_3_06b_base.safetensors), VAE (qwen_image_vae" in problem.message
    assert (problem.field, "circlestone-labs/Anima" in problem.mend) == ("model.text_encoder", True)
    problem = refused(opened, "components", text_encoder=vae)
    assert "vae.safetensors is a VAE of Qwen-Image" in problem.message
    problem = refused(opened, "components", vae=qwen)
    assert ("qwen.safetensors is a Qwen3" in problem.message, problem.field) == (True, "model.vae")
    problem = refused(opened, "components", tokenizer=str(made))
    assert problem.field == "model.tokenizer"
    problem = refused(opened, "diffusers", dtype=torch.float16)
    assert "overflows in fp16" in problem.message


def test_parts_that_do_not_fit_each_other_are_told(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anima_load, "anima_shape", lambda configs: AnimaShape(text_width=32))
    problem = refused(opened, "diffusers")
    assert "states are 32 wide; the LLM adapter reads 1024" in problem.message
    assert problem.field == "model.text_encoder"


def test_the_kernel_without_masks_is_refused_on_a_card() -> None:
    job = Model(architecture="anima", path="a.safetensors", attention="flash")
    with pytest.raises(ModelProblem, match="takes no mask") as caught:
        load(Loading("anima", job, torch.device("cuda"), torch.bfloat16))
    assert caught.value.field == "model.attention"
