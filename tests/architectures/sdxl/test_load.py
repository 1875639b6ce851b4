"""SDXL out of every layout, and what is refused by name (training-sd-flux 1.2 to 1.4)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from engine.architectures import load
from engine.architectures.architecture import Loading, ModelProblem
from engine.plan.detect import look_at
from engine.schema.model import Model
from tests.tiny import Layout
from tests.tiny_sdxl import make_sdxl, tiny_sdxl


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("file")
    return make_sdxl(made, "single_file", "v", zero_terminal_snr=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sdxl(tmp_path_factory.mktemp("folder"))


def loaded(path: Path, **options: Any) -> Any:
    job = Model(architecture="sdxl", path=str(path), **options)
    return load(Loading("sdxl", job, torch.device("cpu"), torch.float32))


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    own, expected = ours.state_dict(), theirs.state_dict()
    assert own.keys() == expected.keys()
    assert [n for n in own if own[n].is_meta or not torch.equal(own[n], expected[n])] == []


def test_a_file_gives_the_very_modules_it_was_made_of(file: Path) -> None:
    """training-sd-flux 9, check 2: bit-equal, and the projection is the file's transposed."""
    model, expected = loaded(file), tiny_sdxl(vocabulary=49408)
    assert_same(model.unet, expected.unet)
    assert_same(model.pictures.vae, expected.vae)
    assert_same(model.components["text_encoder"], expected.clip_l)
    assert_same(model.components["text_encoder_2"], expected.clip_g)
    stored = load_file(file)["conditioner.embedders.1.model.text_projection"]
    assert torch.equal(model.texts.clip_g.text_projection.weight, stored.T)
    assert model.pictures.vae.config["scaling_factor"] == 0.13025
    for module in (*model.components.values(), model.pictures.vae):
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())


def test_keys_of_the_file_tell_what_it_predicts(file: Path, tmp_path: Path) -> None:
    model = loaded(file)
    assert (model.prediction, model.zero_terminal_snr) == ("v", True)
    assert loaded(file, prediction="epsilon").prediction == "epsilon"
    tensors = {n: t for n, t in load_file(file).items() if n not in ("v_pred", "ztsnr")}
    plain = tmp_path / "plain.safetensors"
    save_file(tensors, plain)
    facts = look_at(str(plain))
    assert (facts.prediction, facts.zero_terminal_snr) == ("epsilon", False)
    save_file(tensors, plain, metadata={"modelspec.prediction_type": "v"})
    assert look_at(str(plain)).prediction == "v"


@pytest.mark.parametrize("layout", ["diffusers", "single_file", "ckpt"])
def test_every_layout_is_told_with_its_sizes(tmp_path: Path, layout: Layout) -> None:
    facts = look_at(str(make_sdxl(tmp_path, layout)))
    assert (facts.architecture, facts.refusal, facts.prediction) == ("sdxl", "", "epsilon")
    shape: Any = facts.shape
    assert (shape.block_out_channels, shape.transformer_depths) == ((32, 32, 64), (0, 2, 10))
    assert (shape.clip_l.width, shape.clip_g.width, shape.cross_attention_dim) == (32, 64, 96)


def test_sites_are_the_models_own(folder: Path) -> None:
    model = loaded(folder)
    for site in model.sites:
        for segment in site.segments:
            weight = model.components[site.component].get_parameter(f"{segment.module}.weight")
            expected = (site.rows,) if site.kind == "norm" else (site.rows, site.columns)
            assert weight.shape[:2] == expected, site.name
    default = [site.component for site in model.sites if site.default]
    assert [default.count(role) for role in model.components] == [722, 18, 18]


def changed(folder: Path, target: Path, part: str, **values: Any) -> Path:
    """A copy of the folder without weights, with a part's config changed."""
    names = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(folder, target, ignore=names)
    path = target / part
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return target


KIN = [
    ("unet/config.json", {"projection_class_embeddings_input_dim": 2560}, "the SDXL refiner"),
    ("unet/config.json", {"transformer_layers_per_block": [0, 2, 4]}, "SSD-1B"),
    ("unet/config.json", {"in_channels": 9}, "an inpainting model"),
    ("unet/config.json", {"down_block_types": ["DownBlock2D"] * 3}, "23 blocks of SDXL"),
    ("scheduler/scheduler_config.json", {"_class_name": "EDMEulerScheduler"}, "Playground 2.5"),
]


@pytest.mark.parametrize(("part", "values", "words"), KIN)
def test_its_kin_is_refused_by_name(
    folder: Path, tmp_path: Path, part: str, values: dict[str, Any], words: str
) -> None:
    path = changed(folder, tmp_path / "kin", part, **values)
    with pytest.raises(ModelProblem, match=words):
        loaded(path)


def test_a_missing_part_is_named(folder: Path, file: Path, tmp_path: Path) -> None:
    path = changed(folder, tmp_path / "part", "unet/config.json")
    shutil.rmtree(path / "text_encoder_2")
    with pytest.raises(ModelProblem, match="lacks text_encoder_2"):
        loaded(path)
    tensors = load_file(file)
    unet = {n: t for n, t in tensors.items() if n.startswith("model.")}
    save_file(unet, tmp_path / "unet.safetensors")
    with pytest.raises(ModelProblem, match="only the U-Net"):
        loaded(tmp_path / "unet.safetensors")
    lost = "conditioner.embedders.1.model.text_projection"
    save_file({n: t for n, t in tensors.items() if n != lost}, tmp_path / "lost.safetensors")
    with pytest.raises(ModelProblem, match=r"OpenCLIP-G in lost.safetensors is not whole"):
        loaded(tmp_path / "lost.safetensors")


def test_a_job_for_another_architecture_says_so(file: Path) -> None:
    job = Model(architecture="sd1", path=str(file))
    with pytest.raises(ModelProblem, match=r"is SDXL .* Choose SDXL as architecture"):
        load(Loading("sd1", job, torch.device("cpu"), torch.float32))


def test_a_layer_that_the_encoders_lack_is_refused(folder: Path) -> None:
    with pytest.raises(ModelProblem, match="only 3 layers") as caught:
        loaded(folder, clip_skip=5)
    assert caught.value.field == "model.clip_skip"
