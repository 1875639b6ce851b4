"""FLUX.1 out of every layout, and what is said of files that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.architectures import load
from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.flux.file import CONFIGS, _parts, _taken
from engine.architectures.flux.model import FluxModel
from engine.plan.detect import look_at
from engine.plan.sites.flux import FLUX_DEV, FLUX_SCHNELL, FluxShape, flux_sites
from engine.schema.model import Merge, Model
from tests.tiny import SHIPPED_VOCABULARY, make_sd1
from tests.tiny_flux import (
    PREFIXES,
    TinyFlux,
    files_beside,
    flux_modules,
    make_flux,
    original_parts,
)

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`tiny("components", "schnell")` → its path; made once for each set of arguments."""
    made: dict[tuple[str, str], Path] = {}

    def make(layout: str = "diffusers", variant: str = "dev") -> Path:
        if (layout, variant) not in made:
            folder = tmp_path_factory.mktemp("flux")
            made[layout, variant] = make_flux(folder, layout, variant)  # pyright: ignore[reportArgumentType]
        return made[layout, variant]

    return make


@pytest.fixture(scope="module")
def modules() -> TinyFlux:
    """What the files of the original layouts hold."""
    return flux_modules(vocabulary=SHIPPED_VOCABULARY)


def load_path(path: Path, *, dtype: torch.dtype = torch.float32, **options: Any) -> FluxModel:
    job = Model(architecture="flux", path=str(path), **options)
    model = load(Loading("flux", job, torch.device("cpu"), dtype))
    assert isinstance(model, FluxModel)
    return model


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    mine, other = ours.state_dict(), theirs.state_dict()
    assert mine.keys() == other.keys()
    assert [n for n in mine if not torch.equal(mine[n], other[n])] == []


# Layouts


@pytest.mark.parametrize("layout", ["diffusers", "components", "single_file"])
@pytest.mark.parametrize("variant", ["dev", "schnell"])
def test_every_layout_gives_the_same_frozen_model(tiny: Make, layout: str, variant: str) -> None:
    """training-sd-flux 9, check 3: with and without prefix, halves swapped, none on meta."""
    path = tiny(layout, variant)
    model = load_path(path, **(files_beside(path) if layout == "components" else {}))
    small = {} if layout == "diffusers" else {"vocabulary": SHIPPED_VOCABULARY}
    made = flux_modules(variant, **small)
    assert_same(model.transformer, made.transformer)
    assert_same(model.pictures.vae, made.vae)
    assert_same(model.encoders.clip, made.clip)
    assert_same(model.encoders.t5, made.t5)
    assert model.pictures.vae.config["shift_factor"] == 0.1159
    assert model.facts.variant == variant
    assert model.options.t5_max_tokens == {"dev": 512, "schnell": 256}[variant]
    assert set(model.components) == {"denoiser", "text_encoder", "text_encoder_2"}
    for module in (*model.components.values(), model.pictures.vae):
        assert not module.training
        assert not any(p.requires_grad or p.is_meta for p in module.parameters())


def test_sites_are_the_models_own(tiny: Make) -> None:
    model = load_path(tiny("diffusers", "schnell"))
    for site in model.sites:
        component = model.components[site.component]
        for segment in site.segments:
            weight = component.get_parameter(f"{segment.module}.weight")
            columns = () if site.kind == "norm" else (site.columns,)
            last = max(s.target[1] for s in site.segments if s.module == segment.module)
            assert weight.shape == (last, *columns)
    default = [site.component for site in model.sites if site.default]
    assert default.count("denoiser") == 2 * 10 + 2 * 3
    assert default.count("text_encoder") == 12


def test_the_original_layout_is_read_as_diffusers_reads_it() -> None:
    """Against its converter, which knows one width: rows as published, one column."""
    shape = FluxShape(double=1, single=1)
    original: dict[str, Tensor] = {}
    count = 0
    for name, parts in _parts(shape).items():
        stops = [part.rows[1] for part in parts if part.rows is not None]
        site = next((s for s in flux_sites(shape) if f"{s.original}." in name), None)
        rows = max(stops) if stops else site.rows if site is not None else 6144
        size = (rows, 1) if name.endswith("weight") else (rows,)
        original[name] = torch.arange(count, count + rows, dtype=torch.float32).reshape(size)
        count += rows
    theirs = single_file_utils.convert_flux_transformer_checkpoint_to_diffusers(dict(original))
    ours = {
        part.name: _taken(original[name], part)
        for name, parts in _parts(shape).items()
        for part in parts
    }
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_pruned_depths_are_counted(modules: TinyFlux, tiny: Make, tmp_path: Path) -> None:
    """training-sd-flux 1.2: the file says how many blocks there are."""
    tensors = original_parts(modules)["transformer"]
    gone = ("double_blocks.1.", "single_blocks.1.")
    save_file(
        {n: t for n, t in tensors.items() if not n.startswith(gone)}, tmp_path / "p.safetensors"
    )
    beside = files_beside(tiny("components"))
    model = load_path(tmp_path / "p.safetensors", **beside)
    assert len(model.transformer.transformer_blocks) == 1
    assert len(model.transformer.single_transformer_blocks) == 1
    assert sum(s.default and s.component == "denoiser" for s in model.sites) == 13


def test_another_picture_model_beside_a_whole_one(
    modules: TinyFlux, tiny: Make, tmp_path: Path
) -> None:
    """A finetune in the libraries' names, in a file of its own, or a folder."""
    other = flux_modules(seed=5).transformer
    save_file(dict(other.state_dict()), tmp_path / "finetune.safetensors")
    other.save_pretrained(tmp_path / "folder")
    for name in ("finetune.safetensors", "folder"):
        model = load_path(tiny(), denoiser=str(tmp_path / name))
        assert_same(model.transformer, other)


@pytest.mark.parametrize("scaled", [False, True])
def test_eight_bit_files(modules: TinyFlux, tiny: Make, tmp_path: Path, scaled: bool) -> None:
    """Plain fp8 and ComfyUI's with scales load by casting, off by under 3 %."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in original_parts(modules)["transformer"].items():
        if name.endswith("weight") and tensor.ndim == 2:
            scale = tensor.abs().max() / 448 if scaled else torch.ones(())
            tensors[name] = (tensor / scale).to(torch.float8_e4m3fn)
            if scaled:
                tensors[name.replace("weight", "scale_weight")] = scale
        else:
            tensors[name] = tensor
    path = tmp_path / "fp8.safetensors"
    save_file({PREFIXES["transformer"] + n: t for n, t in tensors.items()}, path)
    model = load_path(path, dtype=torch.bfloat16, **files_beside(tiny("components")))
    assert {p.dtype for p in model.transformer.parameters()} == {torch.bfloat16}
    ours, theirs = model.transformer.state_dict(), modules.transformer.state_dict()
    errors = [float((ours[n].float() - theirs[n]).norm() / theirs[n].norm()) for n in ours]
    assert 0.01 < max(errors) < 0.03


def test_adapters_are_merged(tiny: Make, tmp_path: Path) -> None:
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    down, up = torch.randn(2, 64), torch.randn(192, 2)
    save_file({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up},
              tmp_path / "a.safetensors")  # fmt: skip
    merge = [Merge(file=str(tmp_path / "a.safetensors"), weight=0.5)]
    before, after = load_path(tiny()), load_path(tiny(), merge=merge)
    there = "transformer_blocks.0.attn.to_k.weight"
    moved = after.transformer.get_parameter(there) - before.transformer.get_parameter(there)
    assert torch.allclose(moved, 0.5 * (up @ down)[64:128], atol=1e-5)


# What is told


def test_missing_components_are_named_together(tiny: Make) -> None:
    path = tiny("components")
    with pytest.raises(ModelProblem) as problem:
        load_path(path, text_encoder=files_beside(path)["text_encoder"])
    assert "T5-XXL (t5xxl_fp16.safetensors), VAE (ae.safetensors)" in problem.value.message
    assert "CLIP-L" not in problem.value.message
    assert "comfyanonymous/flux_text_encoders" in problem.value.mend
    assert problem.value.field == "model.text_encoder_2"


@pytest.mark.parametrize(
    ("field", "given", "words"),
    [
        ("text_encoder", "text_encoder_2", "t5xxl.safetensors is a T5 text encoder"),
        ("text_encoder_2", "text_encoder", "clip_l.safetensors is a CLIP text encoder"),
        ("text_encoder_2", "vae", "ae.safetensors is a VAE"),
    ],
)
def test_a_component_in_the_wrong_field_is_called_by_its_name(
    tiny: Make, field: str, given: str, words: str
) -> None:
    path = tiny("components")
    files = files_beside(path)
    with pytest.raises(ModelProblem, match=words) as problem:
        load_path(path, **(files | {field: files[given]}))
    assert problem.value.field == f"model.{field}"


def test_a_vae_of_four_channels_is_refused(tiny: Make, tmp_path: Path) -> None:
    sd = make_sd1(tmp_path / "sd")
    with pytest.raises(ModelProblem, match="is a VAE of SD or SDXL") as problem:
        load_path(tiny(), vae=str(sd / "vae"))
    assert problem.value.field == "model.vae"


def test_a_file_that_is_not_whole_is_told_before_it_is_read(
    modules: TinyFlux, tiny: Make, tmp_path: Path
) -> None:
    tensors = original_parts(modules)["transformer"]
    beside = files_beside(tiny("components"))
    lacking = {n: t for n, t in tensors.items() if n != "single_blocks.1.linear2.bias"}
    save_file(lacking, tmp_path / "lacking.safetensors")
    with pytest.raises(ModelProblem, match=r"not whole.*single_blocks\.1\.linear2\.bias"):
        load_path(tmp_path / "lacking.safetensors", **beside)
    save_file(tensors | {"control_in.weight": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(ModelProblem, match=r"1 tensors more than FLUX\.1, such as control_in"):
        load_path(tmp_path / "more.safetensors", **beside)


def test_models_that_are_not_trained_are_refused_by_name(
    modules: TinyFlux, tiny: Make, tmp_path: Path
) -> None:
    tensors = original_parts(modules)["transformer"]
    beside = files_beside(tiny("components"))
    for name, changed, words in (
        ("fill", {"img_in.weight": torch.zeros(64, 384)}, "FLUX Fill"),
        ("nf4", {"img_in.weight.absmax": torch.zeros(1)}, "quantized copy"),
        ("chroma", {"distilled_guidance_layer.in_proj.bias": torch.zeros(1)}, "Chroma"),
    ):
        save_file(tensors | changed, tmp_path / f"{name}.safetensors")
        with pytest.raises(ModelProblem, match=words):
            load_path(tmp_path / f"{name}.safetensors", **beside)


def test_the_mask_and_the_flash_kernel_do_not_go_together(tiny: Make) -> None:
    job = Model(architecture="flux", path=str(tiny()), t5_attention_mask=True, attention="flash")
    with pytest.raises(ModelProblem, match="cannot leave T5's padding out") as problem:
        load(Loading("flux", job, torch.device("cuda"), torch.float32))
    assert problem.value.field == "model.attention"


def test_files_are_told_without_loading(tiny: Make) -> None:
    """The plan sees the variant and the sizes of every layout."""
    for layout, how in (("diffusers", "diffusers"), ("components", "single_file")):
        for variant in ("dev", "schnell"):
            facts = look_at(str(tiny(layout, variant)))
            assert (facts.architecture, facts.variant, facts.layout) == ("flux", variant, how)
            assert facts.refusal == ""
            assert isinstance(facts.shape, FluxShape)
            assert (facts.shape.width, facts.shape.double, facts.shape.single) == (64, 2, 2)


def test_parts_are_reported_in_order(tiny: Make) -> None:
    seen: list[tuple[str, int, int]] = []
    job = Model(architecture="flux", path=str(tiny()))
    report = lambda *told: seen.append(told)  # noqa: E731
    load(Loading("flux", job, torch.device("cpu"), torch.float32, report=report))
    assert [done for _, done, _ in seen] == [0, 1, 2, 3, 4, 5]
    assert {total for *_, total in seen} == {5}


def test_tensors_of_the_file_are_not_kept(tiny: Make) -> None:
    """Each weight owns just its rows of what was read, and is written back as it was."""
    path = tiny("single_file")
    stored = load_file(path)["model.diffusion_model.single_blocks.0.linear1.weight"]
    transformer = load_path(path).transformer
    names = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    parts: list[Tensor] = [
        transformer.get_parameter(f"single_transformer_blocks.0.{n}.weight") for n in names
    ]
    assert torch.equal(torch.cat(parts), stored)


@pytest.mark.parametrize(("shape", "billions"), [(FLUX_DEV, 11.901), (FLUX_SCHNELL, 11.891)])
def test_the_published_models_are_covered_to_the_last_tensor(
    shape: FluxShape, billions: float
) -> None:
    """training-sd-flux 9, check 27: 11.901 B numbers; every parameter comes from one place."""
    config = json.loads((CONFIGS / "transformer" / "config.json").read_text("utf-8"))
    with torch.device("meta"):
        model: Any = FluxTransformer2DModel.from_config(
            config | {"guidance_embeds": shape.guidance}
        )
    covered = [part.name for parts in _parts(shape).values() for part in parts]
    assert sorted(covered) == sorted(model.state_dict())
    assert sum(p.numel() for p in model.parameters()) / 1e9 == pytest.approx(billions, abs=6e-4)
