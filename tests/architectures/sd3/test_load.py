"""Loading SD3 and SD3.5 from every layout, and what is said of files that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from safetensors.torch import load_file, save_file
from torch import nn

from engine.architectures import load
from engine.architectures.architecture import Loading, ModelProblem
from engine.architectures.sd3.file import transformer_config
from engine.architectures.sd3.model import Sd3Model
from engine.plan.detect import look_at, mismatch
from engine.plan.sites.sd3_shape import VARIANTS as VARIANTS_BY_NAME
from engine.plan.sites.sd3_shape import Sd3Shape, sd3_shape, sd3_shape_of_names
from engine.schema.model import Model
from tests.tiny import make_sd1
from tests.tiny_sd3 import (
    CLIP_G_WIDTH,
    CLIP_L_WIDTH,
    CONTEXT_WIDTH,
    WIDTH,
    Variant,
    make_sd3,
    original_names,
    tiny_sd3,
)

VARIANTS: tuple[Variant, ...] = ("medium", "3.5-medium", "3.5-large")


def loaded(path: Path, dtype: torch.dtype = torch.float32, **fields: Any) -> Sd3Model:
    job = Model(architecture="sd3", path=str(path), **fields)
    model = load(Loading("sd3", job, torch.device("cpu"), dtype))
    assert isinstance(model, Sd3Model)
    return model


def beside(path: Path) -> dict[str, Any]:
    """The fields that name the files of a `components` layout."""
    names = {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"}
    names["vae"] = "vae"
    return {field: str(path.parent / f"{name}.safetensors") for field, name in names.items()}


def assert_equal(found: nn.Module, wanted: nn.Module) -> None:
    theirs = dict(wanted.state_dict())
    ours = dict(found.state_dict())
    assert ours.keys() == theirs.keys()
    assert [n for n in theirs if not torch.equal(ours[n], theirs[n])] == []
    assert not any(tensor.is_meta for tensor in ours.values())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every part of SD3-medium in a file of its own; returns the transformer's."""
    return make_sd3(tmp_path_factory.mktemp("sd3"), "components")


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_original_layout_is_what_the_library_converts(variant: Variant) -> None:
    """The tiny file against diffusers' converter: q, k and v, and the swapped halves."""
    state = tiny_sd3(variant).transformer.state_dict()
    converted = convert_sd3_transformer_checkpoint_to_diffusers(original_names(state))
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_file_holds_what_the_folder_holds(variant: Variant, tmp_path: Path) -> None:
    """training-sd-flux 9, check 4: the three structures, bit for bit, from a whole checkpoint."""
    model = loaded(make_sd3(tmp_path, "single_file", variant=variant))
    wanted = tiny_sd3(variant, clip_vocabulary=49408, t5_vocabulary=32128)
    assert_equal(model.transformer, wanted.transformer)
    assert_equal(model.pictures.vae, wanted.vae)
    assert_equal(model.encoders.clip_l, wanted.clip_l)
    assert_equal(model.encoders.clip_g, wanted.clip_g)
    assert model.encoders.t5 is not None
    assert_equal(model.encoders.t5, wanted.t5)
    assert model.facts.variant == variant
    assert dict(model.transformer.config)["dual_attention_layers"] == (
        [0, 1] if variant == "3.5-medium" else []
    )


def test_a_folder_loads_and_its_sites_fit(tmp_path: Path) -> None:
    model = loaded(make_sd3(tmp_path, variant="3.5-medium"))
    assert_equal(model.transformer, tiny_sd3("3.5-medium").transformer)
    for site in model.sites:
        host = model.components[site.component]
        for segment in site.segments:
            shape = host.get_parameter(f"{segment.module}.weight").shape
            assert shape[0] >= segment.target[1]
            assert shape[1:] == (() if site.kind == "norm" else (site.columns, *shape[2:]))
    assert {s.component for s in model.sites} == {
        "denoiser", "text_encoder", "text_encoder_2", "text_encoder_3",
    }  # fmt: skip


def test_the_files_that_people_have_load_together(files: Path) -> None:
    model = loaded(files, **beside(files))
    wanted = tiny_sd3(clip_vocabulary=49408, t5_vocabulary=32128)
    assert_equal(model.transformer, wanted.transformer)
    assert_equal(model.pictures.vae, wanted.vae)
    assert_equal(model.encoders.clip_g, wanted.clip_g)


def test_without_t5_its_tokens_are_zeros(files: Path) -> None:
    fields = beside(files)
    del fields["text_encoder_3"]
    model = loaded(files, **fields, t5_max_tokens=40)
    assert "text_encoder_3" not in model.components
    assert not any(site.component == "text_encoder_3" for site in model.sites)
    context, _ = model.context(model.encode_text(["a cat"]))
    assert context.shape == (1, 77 + 40, CONTEXT_WIDTH)
    assert bool((context[:, 77:] == 0).all())


def test_clip_l_is_projected_by_the_identity(files: Path, tmp_path: Path) -> None:
    """training-sd-flux 1.4: whatever the file says."""
    state = load_file(files.parent / "clip_l.safetensors")
    state["text_projection.weight"] = torch.full((CLIP_L_WIDTH, CLIP_L_WIDTH), 3.0)
    save_file(state, tmp_path / "clip_l.safetensors")
    fields: dict[str, Any] = beside(files) | {"text_encoder": str(tmp_path / "clip_l.safetensors")}
    projection = loaded(files, **fields).encoders.clip_l.text_projection.weight
    assert torch.equal(projection, torch.eye(CLIP_L_WIDTH))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_smaller_files_are_cast(files: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    state = {name: t.to(dtype) for name, t in load_file(files).items()}
    path = tmp_path / "small.safetensors"
    save_file(state, path)
    model = loaded(path, torch.bfloat16, **beside(files))
    weight = model.transformer.transformer_blocks[0].get_parameter("attn.to_k.weight")
    qkv = state["joint_blocks.0.x_block.attn.qkv.weight"]
    assert torch.equal(weight, qkv[WIDTH : 2 * WIDTH].to(torch.bfloat16))


def test_all_missing_parts_are_told_at_once(files: Path) -> None:
    with pytest.raises(ModelProblem) as caught:
        loaded(files)
    for part in ("CLIP-L (clip_l.safetensors)", "OpenCLIP-G (clip_g.safetensors)", "VAE"):
        assert part in caught.value.message
    assert caught.value.field == "model.text_encoder"


@pytest.mark.parametrize(
    ("field", "given", "words"),
    [
        ("text_encoder", "t5xxl", "is a T5 text encoder, and CLIP-L is wanted"),
        ("text_encoder_3", "clip_g", "is a CLIP text encoder, and T5-XXL is wanted"),
        ("vae", "clip_l", "is a CLIP text encoder, and VAE is wanted"),
        ("denoiser", "clip_l", "CLIP"),
    ],
)
def test_a_part_given_for_another_is_named(files: Path, field: str, given: str, words: str) -> None:
    fields: dict[str, Any] = beside(files) | {field: str(files.parent / f"{given}.safetensors")}
    with pytest.raises(ModelProblem) as caught:
        loaded(files, **fields)
    assert words in str(caught.value)
    assert caught.value.field == f"model.{field}"


def test_encoders_of_other_widths_are_refused(files: Path) -> None:
    fields = beside(files)
    fields["text_encoder_2"] = fields["text_encoder"]
    with pytest.raises(ModelProblem, match="give 64 numbers for a caption; this model takes 80"):
        loaded(files, **fields)
    assert CLIP_L_WIDTH + CLIP_G_WIDTH == 80


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("shallower", "not whole|tensors more"),
        ("without a tensor", "not whole"),
        ("with one more", "tensors more"),
    ],
)
def test_a_transformer_that_is_not_whole_is_an_error(
    files: Path, tmp_path: Path, change: str, words: str
) -> None:
    """training-sd-flux 9, check 4: an error of ours, never a warning."""
    state = load_file(files)
    if change == "shallower":
        state = {n: t for n, t in state.items() if not n.startswith("joint_blocks.1.")}
    elif change == "without a tensor":
        del state["joint_blocks.0.x_block.mlp.fc2.bias"]
    else:
        state["joint_blocks.0.x_block.mlp.fc3.weight"] = torch.zeros(2, 2)
    path = tmp_path / "broken.safetensors"
    save_file(state, path)
    with pytest.raises(ModelProblem, match=words):
        loaded(path, **beside(files))


def test_a_model_of_another_architecture_is_called_by_its_name(tmp_path: Path) -> None:
    path = make_sd1(tmp_path, "single_file")
    with pytest.raises(ModelProblem, match=r"This model is SD 1\.x"):
        loaded(path)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("layout", ["diffusers", "single_file", "components"])
def test_variant_and_sizes_are_seen_before_loading(
    variant: Variant, layout: Any, tmp_path: Path
) -> None:
    """training-sd-flux 1.3: with and without prefix, in both layouts."""
    facts = look_at(str(make_sd3(tmp_path, layout, variant=variant)))
    assert (facts.architecture, facts.variant, facts.refusal) == ("sd3", variant, "")
    assert isinstance(facts.shape, Sd3Shape)
    assert (facts.shape.width, facts.shape.context_width) == (WIDTH, CONTEXT_WIDTH)
    assert facts.shape.layers == (3 if variant == "3.5-medium" else 2)
    assert facts.shape.position_side == 12
    assert mismatch(facts, "sd3") == ""
    if layout != "components":
        assert facts.shape.clip_g.width == CLIP_G_WIDTH
        assert facts.shape.t5 is not None
        assert facts.shape.t5.width == CONTEXT_WIDTH


@pytest.mark.parametrize(
    ("variant", "billions"), [("medium", 2.03), ("3.5-medium", 2.24), ("3.5-large", 8.06)]
)
def test_the_published_sizes_are_read_off_the_tensors(variant: str, billions: float) -> None:
    """training-sd-flux 1.1: the library's own model of these sizes, in the original names."""
    shape = VARIANTS_BY_NAME[variant]
    with torch.device("meta"):
        transformer = SD3Transformer2DModel(**transformer_config(shape))
    assert round(sum(p.numel() for p in transformer.parameters()) / 1e9, 2) == billions
    names = {n: tuple(t.shape) for n, t in original_names(transformer.state_dict()).items()}
    assert sd3_shape_of_names(names) == shape
    assert sd3_shape({"denoiser": dict(transformer.config)}) == shape
