"""Adapters worked into a base on disk act as they do beside it (spec: networks 9, check 21)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.architectures import load
from engine.architectures.architecture import Loading
from engine.networks import attach_file
from engine.schema.architectures import ARCHITECTURES, UNET
from engine.schema.model import Model
from engine.tools.base_files import BaseFiles
from engine.tools.merge import Weighted, join, merge_into_base
from engine.tools.source import ToolProblem, open_source
from tests.tiny_sets import MAKERS
from tests.tools.adapters import make_adapter

SINGLE = ("sd1", "sd2", "sdxl", "flux", "sd3", "lumina2")
CASES = [(a, "diffusers") for a in ARCHITECTURES] + [(a, "single_file") for a in SINGLE]


def loaded(architecture: str, path: Path) -> Any:
    model = Model(architecture=architecture, path=str(path))  # pyright: ignore[reportArgumentType]
    return load(Loading(architecture, model, torch.device("cpu"), torch.float32))


@pytest.mark.parametrize(("architecture", "layout"), CASES)
def test_a_merged_model_is_the_model_with_the_adapter_merged(
    architecture: str, layout: str, tmp_path: Path
) -> None:
    base = MAKERS[architecture](tmp_path / "base", layout)
    conv_dim = 4 if architecture in UNET else None
    options = {"train_norm": True, "train_llm_adapter": True, "conv_dim": conv_dim}
    adapter = make_adapter(tmp_path / "a.safetensors", architecture, base, **options)
    source = open_source(adapter, architecture, base)
    target = tmp_path / ("merged" if layout == "diffusers" else "merged.safetensors")
    written = merge_into_base(base, [Weighted(source, 0.7)], target)
    assert written.adapters == len(source.matched.names) > 4
    assert bool(source.matched.norms) == (architecture != "sd3")  # SD3-medium has none
    assert written.notes == ()
    wanted, found = loaded(architecture, base), loaded(architecture, target)
    attach_file(architecture, wanted.components, adapter, 0.7).merge()
    plain = loaded(architecture, base)
    moved = 0
    for role, module in wanted.components.items():
        own, before = found.components[role].state_dict(), plain.components[role].state_dict()
        for name, tensor in module.state_dict().items():
            assert torch.allclose(own[name], tensor, atol=2e-3), (role, name)
            moved += not torch.allclose(tensor, before[name], atol=2e-3)
    assert moved >= len(source.matched.names)


def test_what_no_adapter_touches_stays_byte_for_byte(tmp_path: Path) -> None:
    base = MAKERS["sd1"](tmp_path / "base", "single_file")
    only = make_adapter(
        tmp_path / "a.safetensors", "sd1", base, keep=lambda p: p.site.name.endswith("attn2_to_q")
    )
    target = tmp_path / "m.safetensors"
    merge_into_base(base, [Weighted(open_source(only, "sd1", base))], target)
    before, after = load_file(base), load_file(target)
    assert before.keys() == after.keys()
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed == {n for n in before if n.endswith("attn2.to_q.weight")}


def test_several_adapters_on_one_layer_add_up(tmp_path: Path) -> None:
    base = MAKERS["sd1"](tmp_path / "base")
    files = [make_adapter(tmp_path / f"{i}.safetensors", "sd1", base, seed=i) for i in (1, 2)]
    both = [
        Weighted(open_source(f, "sd1", base), w) for f, w in zip(files, (1.0, -0.5), strict=True)
    ]
    merge_into_base(base, both, tmp_path / "merged")
    wanted = loaded("sd1", base)
    for file, weight in zip(files, (1.0, -0.5), strict=True):
        attach_file("sd1", wanted.components, file, weight).merge()
    found = loaded("sd1", tmp_path / "merged")
    for name, tensor in wanted.components["denoiser"].state_dict().items():
        assert torch.allclose(found.components["denoiser"].state_dict()[name], tensor, atol=1e-5)


def test_joined_files_are_one_that_acts_as_all(tmp_path: Path) -> None:
    base = MAKERS["sd1"](tmp_path / "base")
    files = [make_adapter(tmp_path / f"{i}.safetensors", "sd1", base, seed=i) for i in (1, 2)]
    items = [
        Weighted(open_source(f, "sd1", base), w) for f, w in zip(files, (0.8, 0.4), strict=True)
    ]
    written = join(items, tmp_path / "both.safetensors")
    joined = open_source(written.path, "sd1", base)
    assert set(joined.file.ranks.values()) == {8}
    assert joined.file.metadata["ss_network_dim"] == "8"
    assert joined.file.metadata["modelspec.merged_from"] == "1, 2"
    one, two = (item.source.matched.factors for item in items)
    for name, factors in joined.matched.factors.items():
        wanted = sum(
            w * f[name].scale * (f[name].up.flatten(1) @ f[name].down.flatten(1))
            for f, w in ((one, 0.8), (two, 0.4))
        )
        found = factors.scale * (factors.up.flatten(1) @ factors.down.flatten(1))
        assert torch.allclose(found, wanted, atol=1e-6)  # pyright: ignore[reportArgumentType]


def test_what_cannot_be_merged_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    base = MAKERS["sd1"](tmp_path / "base")
    file = make_adapter(tmp_path / "a.safetensors", "sd1", base)
    item = Weighted(open_source(file, "sd1", base))
    with pytest.raises(ToolProblem, match="already"):
        merge_into_base(base, [item], file)
    other = MAKERS["flux"](tmp_path / "flux")
    with pytest.raises(ToolProblem, match="an adapter for SD 1.x, and flux is FLUX.1"):
        merge_into_base(other, [item], tmp_path / "out")
    flux = make_adapter(tmp_path / "f.safetensors", "flux", other)
    with pytest.raises(ToolProblem, match="different models: flux, sd1"):
        join([item, Weighted(open_source(flux, "flux", other))], tmp_path / "j.safetensors")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_into_base(base, [item], tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("as_folder", [True, False])
def test_the_copy_of_the_base_tells_its_bytes_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_folder: bool
) -> None:
    monkeypatch.setattr("engine.tools.base_files._PART_BYTES", 10_000)
    folder = MAKERS["sd1"](tmp_path / "base")
    base = folder if as_folder else folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = list(folder.glob("*/*.safetensors")) if as_folder else [base]
    size = sum(file.stat().st_size for file in weights)
    target = tmp_path / ("out" if as_folder else "out.safetensors")
    told: list[tuple[int, int]] = []
    copies = BaseFiles(base).copy(target, lambda done, total: told.append((done, total)))
    assert all(old.read_bytes() == new.read_bytes() for old, new in copies.items())
    assert len(told) >= size // 10_000
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (size, size)
    file = make_adapter(tmp_path / "a.safetensors", "sd1", folder)
    item = Weighted(open_source(file, "sd1", folder))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_into_base(base, [item], tmp_path / "new", copied=stop)
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new*"))
