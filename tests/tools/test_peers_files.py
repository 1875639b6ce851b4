"""The tools on files that other programs wrote: biases, parts with magnitudes, PEFT's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.architectures import load
from engine.architectures.architecture import Loading
from engine.commands.tools import main_extract, main_resize
from engine.networks import AdapterProblem, attach_file
from engine.networks.factors import Factors
from engine.networks.file import read
from engine.networks.shape import shape_of
from engine.networks.start import start_network
from engine.plan.sites import sites_of
from engine.schema.model import Model
from engine.schema.network import Network as NetworkOptions
from engine.tools.convert import convert
from engine.tools.extract import extract
from engine.tools.merge import Weighted, join, merge_into_base
from engine.tools.resize import resize
from engine.tools.source import Source, ToolProblem, open_source
from tests.tiny_flux import flux_modules
from tests.tiny_sets import MAKERS
from tests.tools.adapters import make_adapter

WIDTH = 64
SINGLE = "single_transformer_blocks.0"


def delta(factors: Factors) -> Tensor:
    return factors.scale * (factors.up.float().flatten(1) @ factors.down.float().flatten(1))


def some(*shape: int) -> Tensor:
    return 0.2 * torch.randn(*shape)


def flux_file(path: Path) -> Path:
    """DoRA on two parts of a fused layer, biases on a fused layer and on a whole one."""
    torch.manual_seed(2)
    tensors = {"lora_unet_double_blocks_0_img_attn_qkv.diff_b": some(3 * WIDTH),
               f"{SINGLE}.proj_out.diff_b": some(WIDTH)}  # fmt: skip
    for module, rows in ((f"{SINGLE}.attn.to_k", WIDTH), (f"{SINGLE}.proj_mlp", 4 * WIDTH)):
        tensors[f"transformer.{module}.lora_A.weight"] = some(2, WIDTH)
        tensors[f"transformer.{module}.lora_B.weight"] = some(rows, 2)
        tensors[f"transformer.{module}.lora_magnitude_vector"] = 1 + torch.rand(rows)
    tensors["transformer.proj_out.lora_A.weight"] = some(2, WIDTH)
    tensors["transformer.proj_out.lora_B.weight"] = some(WIDTH, 2)
    save_file(tensors, path)
    return path


def states(path: Path) -> dict[str, Tensor]:
    model = Model(architecture="flux", path=str(path))
    loaded = load(Loading("flux", model, torch.device("cpu"), torch.float32))
    return loaded.components["denoiser"].state_dict()


@pytest.mark.parametrize("layout", ["diffusers", "single_file"])
def test_biases_and_parts_are_merged_into_every_base(layout: Any, tmp_path: Path) -> None:
    base = MAKERS["flux"](tmp_path / "base", layout)
    source = open_source(flux_file(tmp_path / "a.safetensors"), "flux", base)
    target = tmp_path / ("merged" if layout == "diffusers" else "merged.safetensors")
    written = merge_into_base(base, [Weighted(source, 0.5)], target)
    assert written.notes == ()
    model = Model(architecture="flux", path=str(base))
    wanted = load(Loading("flux", model, torch.device("cpu"), torch.float32)).components
    before = states(base)
    attach_file("flux", wanted, source.file.path, 0.5).merge()
    found, moved = states(target), set()
    for name, tensor in wanted["denoiser"].state_dict().items():
        assert torch.allclose(found[name], tensor, atol=2e-3), name
        if not torch.allclose(before[name], tensor, atol=2e-3):
            moved.add(name)
    qkv = {f"transformer_blocks.0.attn.to_{part}.bias" for part in "qkv"}
    assert moved == qkv | {f"{SINGLE}.attn.to_k.weight", f"{SINGLE}.proj_mlp.weight",
                           f"{SINGLE}.proj_out.bias", "proj_out.weight"}  # fmt: skip


def test_magnitudes_by_input_need_the_whole_layer(tmp_path: Path) -> None:
    """A checkpoint in the original layout has it; a folder keeps it in parts, and is refused."""
    torch.manual_seed(2)
    path, name = tmp_path / "a.safetensors", "lora_unet_single_blocks_1_linear1"
    tensors = {"lora_down.weight": some(2, WIDTH), "lora_up.weight": some(7 * WIDTH, 2),
               "dora_scale": 1 + torch.rand(1, WIDTH)}  # fmt: skip
    save_file({f"{name}.{ending}": t for ending, t in tensors.items()}, path)
    base = MAKERS["flux"](tmp_path / "base", "single_file")
    item, target = Weighted(open_source(path, "flux", base), 0.5), tmp_path / "m.safetensors"
    merge_into_base(base, [item], target)
    model = Model(architecture="flux", path=str(base))
    wanted = load(Loading("flux", model, torch.device("cpu"), torch.float32)).components
    attach_file("flux", wanted, path, 0.5).merge()
    found = states(target)
    for key, tensor in wanted["denoiser"].state_dict().items():
        assert torch.allclose(found[key], tensor, atol=2e-3), key
    folder = MAKERS["flux"](tmp_path / "folder")
    with pytest.raises(ToolProblem, match=f"{name} has DoRA magnitudes by input"):
        merge_into_base(folder, [item], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("layout", ["kohya", "comfyui"])
def test_our_layouts_keep_biases_and_parts(layout: Any, tmp_path: Path) -> None:
    base = MAKERS["flux"](tmp_path / "base")
    source = open_source(flux_file(tmp_path / "a.safetensors"), "flux", base)
    written = convert(source, tmp_path / "b.safetensors", layout)
    assert written.notes == ()
    again = open_source(written.path, "flux", base)
    assert again.matched.unused == ()
    assert set(again.matched.names) == set(source.matched.names)
    assert set(again.matched.parts) == set(source.matched.parts)
    for name, bias in source.matched.biases.items():
        assert torch.equal(again.matched.biases[name], bias)
    for name, factors in source.matched.factors.items():
        assert torch.allclose(delta(again.matched.factors[name]), delta(factors), atol=1e-6)
        if factors.magnitude is not None:
            own = again.matched.factors[name].magnitude
            assert own is not None
            assert torch.equal(own, factors.magnitude)


def test_diffusers_is_told_what_it_does_not_read(tmp_path: Path) -> None:
    base = MAKERS["flux"](tmp_path / "base")
    source = open_source(flux_file(tmp_path / "a.safetensors"), "flux", base)
    written = convert(source, tmp_path / "b.safetensors", "diffusers")
    assert "differences of biases: 2 were left out" in written.notes[0]
    assert "magnitudes: those of 2 layers" in written.notes[1]
    assert set(read(written.path).factors) == {
        f"transformer.{SINGLE}.attn.to_k", f"transformer.{SINGLE}.proj_mlp", "transformer.proj_out"
    }  # fmt: skip


def test_joined_and_resized_files_keep_their_biases(tmp_path: Path) -> None:
    torch.manual_seed(2)
    base = MAKERS["flux"](tmp_path / "base")
    path, name = tmp_path / "a.safetensors", "lora_unet_double_blocks_0_img_attn_proj"
    tensors = {"lora_down.weight": some(4, WIDTH), "lora_up.weight": some(WIDTH, 4),
               "alpha": torch.tensor(2.0), "lora_B.bias": some(WIDTH)}  # fmt: skip
    save_file({f"{name}.{ending}": t for ending, t in tensors.items()}, path)
    source = open_source(path, "flux", base)
    bias = 0.5 * tensors["lora_B.bias"]
    assert torch.allclose(source.matched.biases[name], bias)
    items = [Weighted(source, 0.5), Weighted(source, 2.0)]
    both = read(join(items, tmp_path / "both.safetensors").path)
    assert torch.allclose(both.biases[name], 2.5 * bias)
    resized, _ = resize(source, tmp_path / "small.safetensors", rank=2)
    assert torch.allclose(read(resized.path).biases[name], bias)


def peft_file(path: Path, base: Path) -> Source:
    """Diffusers' own layout, whose alpha stands in the header."""
    torch.manual_seed(2)
    name = "transformer.transformer_blocks.0.attn.to_out.0"
    settings = {"transformer.lora_alpha": 6, "transformer.r": 3}
    save_file(
        {f"{name}.lora_A.weight": some(3, WIDTH), f"{name}.lora_B.weight": some(WIDTH, 3)},
        path, metadata={"lora_adapter_metadata": json.dumps(settings)},
    )  # fmt: skip
    return open_source(path, "flux", base)


@pytest.mark.parametrize("layout", ["kohya", "diffusers", "comfyui"])
def test_pefts_alpha_counts_once_after_a_conversion(layout: Any, tmp_path: Path) -> None:
    base = MAKERS["flux"](tmp_path / "base")
    source = peft_file(tmp_path / "a.safetensors", base)
    (name,) = source.matched.factors
    assert source.matched.factors[name].scale == 2.0
    again = open_source(convert(source, tmp_path / "b.safetensors", layout).path, "flux", base)
    wanted = delta(source.matched.factors[name])
    assert torch.allclose(delta(again.matched.factors[name]), wanted, atol=1e-6)
    resized, _ = resize(source, tmp_path / "c.safetensors", rank=2)
    twice = convert(open_source(resized.path, "flux", base), tmp_path / "d.safetensors", layout)
    shrunk = delta(open_source(resized.path, "flux", base).matched.factors[name])
    assert torch.allclose(
        delta(open_source(twice.path, "flux", base).matched.factors[name]), shrunk, atol=1e-6
    )


def test_ranks_are_cut_without_the_model(tmp_path: Path) -> None:
    """The file's own names are enough where they are ours: no model of a published size is asked
    for, and the numbers are those of the file."""
    base = MAKERS["sd1"](tmp_path / "base")
    path = make_adapter(tmp_path / "cat.safetensors", "sd1", base, conv_dim=4)
    whole = read(path)
    out = tmp_path / "out.safetensors"
    assert main_extract([str(path), "--rank", "2", "--out", str(out)]) == 0
    made = read(out)
    assert made.factors.keys() == whole.factors.keys()
    for name, factors in made.factors.items():
        assert torch.equal(factors.down, whole.factors[name].down[:2])
        assert factors.down.shape[1:] == whole.factors[name].down.shape[1:]
        assert factors.up.shape[2:] == whole.factors[name].up.shape[2:]
        assert factors.alpha == whole.factors[name].alpha
    assert main_resize([str(path), "--rank", "2", "--out", str(tmp_path / "r.safetensors")]) == 0
    assert {f.rank for f in read(tmp_path / "r.safetensors").factors.values()} == {2}
    converted = convert(open_source(path, "sd1", base), tmp_path / "d.safetensors", "diffusers")
    assert main_extract([str(converted.path), "--rank", "2", "--out", str(out)]) == 1


def test_only_plain_directions_are_extracted(tmp_path: Path) -> None:
    name, path = "lora_unet_mid_block_attentions_0_proj_in", tmp_path / "a.safetensors"
    loha = {f"{name}.hada_w{s}_{p}": some(32, 2) if p == "a" else some(2, 32)
            for s in "12" for p in "ab"}  # fmt: skip
    save_file(loha, path)
    with pytest.raises(ToolProblem, match=f"{name} is no plain LoRA"):
        extract(open_source(path, "sd1", whole=False), tmp_path / "b.safetensors", 1)
    save_file({"lora_unet_down_blocks_0_resnets_0_norm1.w_norm": some(320)}, path)
    with pytest.raises(ToolProblem, match="no layers of a rank"):
        extract(open_source(path, "sd1", whole=False), tmp_path / "b.safetensors", 1)


def test_training_goes_on_from_what_it_can_hold(tmp_path: Path) -> None:
    """Biases are left out and said to be; magnitudes of parts are refused."""
    torch.manual_seed(2)
    parts = {"denoiser": flux_modules().transformer}
    sites = sites_of("flux", shape_of("flux", parts))
    name, path = "lora_unet_double_blocks_0_img_attn_proj", tmp_path / "a.safetensors"
    save_file(
        {f"{name}.lora_down.weight": some(4, WIDTH), f"{name}.lora_up.weight": some(WIDTH, 4),
         f"{name}.diff_b": some(WIDTH),
         "lora_unet_double_blocks_0_img_mlp_2.diff_b": some(WIDTH)}, path,
    )  # fmt: skip
    options = NetworkOptions(rank=4, start_from=str(path), train="denoiser")
    network, notes = start_network(options, "flux", sites, parts, 1)
    assert any("biases of 2 layers" in note for note in notes)
    down = network.weights()[f"{name}.lora_down.weight"]
    assert torch.equal(down, read(path).factors[name].down)
    options = NetworkOptions(rank=4, start_from=str(flux_file(path)), train="denoiser")
    with pytest.raises(AdapterProblem, match="parts of layers"):
        start_network(options, "flux", sites, parts, 1)
