"""Convert, resize and extract (spec: networks 9, checks 27, 28, 35, 37)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from engine.commands.tools import file_and_weight, main_convert, main_extract, main_resize
from engine.networks.factors import Factors
from engine.networks.file import model_hash, read
from engine.networks.fusing import parts_of, without_alpha
from engine.networks.layouts import Layout
from engine.schema.architectures import ARCHITECTURES
from engine.tools.convert import convert
from engine.tools.extract import extract
from engine.tools.resize import rank_for, resize
from engine.tools.source import Source, ToolProblem, open_source
from tests.tiny_sets import MAKERS
from tests.tools.adapters import make_adapter


def delta(factors: Factors) -> torch.Tensor:
    return factors.scale * (factors.up.float().flatten(1) @ factors.down.float().flatten(1))


def source_for(architecture: str, folder: Path, **options: object) -> tuple[Source, Path]:
    base = MAKERS[architecture](folder / "base")
    file = make_adapter(folder / "cat.safetensors", architecture, base, **options)  # pyright: ignore[reportArgumentType]
    return open_source(file, architecture, base), base


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_every_layout_is_read_back_with_the_same_effect(architecture: str, tmp_path: Path) -> None:
    source, base = source_for(architecture, tmp_path, train="both")
    layouts: tuple[Layout, ...] = ("diffusers", "comfyui", "kohya")
    for layout in layouts:
        written = convert(source, tmp_path / f"{layout}.safetensors", layout)
        assert written.notes == ()
        again = open_source(written.path, architecture, base)
        assert again.matched.unused == ()
        assert again.matched.factors.keys() == source.matched.factors.keys()
        for name, factors in source.matched.factors.items():
            assert torch.allclose(delta(again.matched.factors[name]), delta(factors), atol=1e-6)


def test_our_own_layout_keeps_the_bytes(tmp_path: Path) -> None:
    source, _ = source_for("sd1", tmp_path)
    written = convert(source, tmp_path / "same.safetensors", "kohya")
    assert model_hash(written.path) == model_hash(source.file.path)
    assert read(written.path).metadata["ss_training_comment"] == "made up"


def test_a_fused_layer_falls_into_row_slices_for_diffusers(tmp_path: Path) -> None:
    """networks 9, check 27: one `down`, the rows of `up`."""
    source, _ = source_for("flux", tmp_path)
    site = next(s for s in source.sites if s.name.endswith("double_blocks_0_img_attn_qkv"))
    factors = source.matched.factors[site.name]
    parts = parts_of(site, factors)
    assert [p.rank for p in parts.values()] == [4, 4, 4]
    assert torch.equal(torch.cat([p.up for p in parts.values()]), factors.up)
    assert all(torch.equal(p.down, factors.down) for p in parts.values())


@pytest.mark.parametrize("scale", [0.03125, 0.25, 1.0, 2.0])
def test_alpha_goes_into_the_factors_by_powers_of_two(scale: float) -> None:
    factors = Factors(torch.randn(4, 8), torch.randn(16, 4), 4 * scale)
    down, up = without_alpha(factors)
    assert torch.equal(up @ down, (up @ down))
    assert torch.allclose(up @ down, delta(factors), atol=1e-6)
    ratio = (down.norm() / factors.down.norm()) / (up.norm() / factors.up.norm())
    assert 0.25 <= ratio <= 2.0


def test_resize_keeps_the_strongest_directions(tmp_path: Path) -> None:
    source, base = source_for("sd1", tmp_path)
    written, kept = resize(source, tmp_path / "small.safetensors", rank=2)
    small = open_source(written.path, "sd1", base)
    assert set(small.file.ranks.values()) == {2}
    assert small.file.metadata["ss_network_dim"] == "2"
    name, factors = next(iter(source.matched.factors.items()))
    whole = delta(factors)
    best = torch.linalg.svd(whole, full_matrices=False)
    wanted = (best.U[:, :2] * best.S[:2]) @ best.Vh[:2]
    assert torch.allclose(delta(small.matched.factors[name]), wanted, atol=1e-5)
    share = (best.S[:2].square().sum() / best.S.square().sum()).item()
    assert kept.least <= share <= 1
    assert 0 < kept.least <= kept.mean < 1


def test_resize_by_strength_takes_as_few_as_needed(tmp_path: Path) -> None:
    source, _ = source_for("sd1", tmp_path)
    _, kept = resize(source, tmp_path / "d.safetensors", energy=0.8)
    assert kept.least >= 0.8
    for name, factors in source.matched.factors.items():
        squares = torch.linalg.svdvals(delta(factors).double()).square()
        rank = kept.ranks[name]
        assert squares[:rank].sum() >= 0.8 * squares.sum() * (1 - 1e-6)
        assert rank == 1 or squares[: rank - 1].sum() < 0.8 * squares.sum()
    zero = Factors(torch.randn(4, 8), torch.zeros(16, 4), 4.0)
    assert rank_for(zero, 0.9) == 1


def test_extract_writes_every_unit_with_its_own_hashes(tmp_path: Path) -> None:
    """networks 9, check 35."""
    source, base = source_for("sd1", tmp_path)
    out = tmp_path / "out.safetensors"
    arguments = [str(source.file.path), "--model", str(base), "--unit", "1", "--out", str(out)]
    assert main_extract(arguments) == 0
    hashes = set()
    for rank in (1, 2, 3):
        made = read(tmp_path / f"out-{rank:04d}.safetensors")
        assert made.metadata["ss_network_dim"] == str(rank)
        assert made.metadata["ss_training_comment"] == (
            f"split from DyLoRA, rank 4 to {rank}; made up"
        )
        assert made.metadata["sshs_model_hash"] == model_hash(made.path)
        hashes.add(made.metadata["sshs_model_hash"])
        for name, factors in made.factors.items():
            whole = source.file.factors[name]
            assert torch.equal(factors.down, whole.down[:rank])
            assert torch.equal(factors.up, whole.up[:, :rank])
            assert factors.alpha == whole.alpha
    assert len(hashes) == 3
    assert not (tmp_path / "out-0004.safetensors").exists()


def test_extract_can_keep_the_trained_strength(tmp_path: Path) -> None:
    source, _ = source_for("sd1", tmp_path)
    written = extract(source, tmp_path / "k.safetensors", 1, keep_strength=True)
    for name, factors in read(written.path).factors.items():
        assert factors.alpha == pytest.approx(source.file.factors[name].alpha * math.sqrt(1 / 4))
    with pytest.raises(ToolProblem, match="from 1 to 3"):
        extract(source, tmp_path / "x.safetensors", 4)


def test_no_tool_writes_over_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, base = source_for("sd1", tmp_path)
    there = tmp_path / "there.safetensors"
    there.write_bytes(b"mine")
    arguments = [str(source.file.path), "--model", str(base), "--out", str(there)]
    assert main_convert([*arguments, "--to", "diffusers"]) == 1
    assert "give --overwrite" in capsys.readouterr().err
    assert there.read_bytes() == b"mine"
    assert main_resize([*arguments, "--rank", "2", "--overwrite", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"done": 1, "total": len(source.matched.factors)}
    assert lines[-2]["layers"] == len(source.matched.factors)
    assert lines[-1]["ranks"] == [2]


def test_a_weight_follows_a_colon() -> None:
    assert file_and_weight("cat.safetensors:0.8") == (Path("cat.safetensors"), 0.8)
    assert file_and_weight("cat.safetensors") == (Path("cat.safetensors"), 1.0)
    assert file_and_weight(r"C:\loras\cat.safetensors") == (Path(r"C:\loras\cat.safetensors"), 1.0)
