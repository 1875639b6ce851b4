from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.networks.file import Precision, hashes_of, model_hash, read, save
from engine.plan.header import FileProblem, read_header
from tests.networks.conftest import golden_file


def pair(name: str = "lora_unet_x", rank: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        f"{name}.alpha": torch.tensor(2.0),
        f"{name}.lora_down.weight": torch.randn(rank, 6),
        f"{name}.lora_up.weight": torch.randn(8, rank),
    }


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a b é.safetensors"
    save(path, pair(), {"ss_steps": "10", "modelspec.title": "cat"}, "fp32")
    file = read(path)
    factors = file.factors["lora_unet_x"]
    assert torch.equal(factors.down, pair()["lora_unet_x.lora_down.weight"])
    assert (factors.alpha, factors.rank, factors.scale) == (2.0, 4, 0.5)
    assert file.metadata["ss_steps"] == "10"
    assert (file.layout, file.variants, file.unknown, file.without_alpha) == ("kohya", (), (), ())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_round_trip_keeps_every_byte_of_the_data(tmp_path: Path) -> None:
    """Check 28: save, load, save gives the same data section and the same model hash."""
    source = golden_file("lora_r4a2.safetensors")
    theirs = safe_open(source, "pt").metadata()
    hashes = save(tmp_path / "one.safetensors", load_file(source), {"ss_a": "1"}, "fp32")
    save(tmp_path / "two.safetensors", load_file(tmp_path / "one.safetensors"), {}, "fp32")
    data = []
    for path in (source, tmp_path / "one.safetensors", tmp_path / "two.safetensors"):
        data.append(path.read_bytes()[read_header(path).data_start :])
    assert data[0] == data[1] == data[2]
    assert hashes.model == theirs["sshs_model_hash"] == model_hash(tmp_path / "two.safetensors")


def test_hashes_know_nothing_of_the_metadata(tmp_path: Path) -> None:
    """Check 28: metadata edits do not change the model hash; small files end as e3b0c442."""
    one = save(tmp_path / "one.safetensors", pair(), {"modelspec.title": "a"}, "bf16")
    two = save(tmp_path / "two.safetensors", pair(), {"ss_steps": "7"}, "bf16")
    assert one.model == two.model
    assert one.legacy == two.legacy == "e3b0c442"
    stated = read(tmp_path / "two.safetensors").metadata
    assert (stated["sshs_model_hash"], stated["sshs_legacy_hash"]) == (one.model, "e3b0c442")


def test_the_legacy_hash_is_that_of_64_kib_at_1_mib_with_ss_metadata(tmp_path: Path) -> None:
    large = {"x.lora_up.weight": torch.arange(300_000, dtype=torch.float32)}
    hashes = save(
        tmp_path / "l.safetensors", large, {"ss_steps": "1", "modelspec.title": "t"}, "fp32"
    )
    header = json.dumps(
        {
            "__metadata__": {"ss_steps": "1"},
            "x.lora_up.weight": {
                "dtype": "F32",
                "shape": [300_000],
                "data_offsets": [0, 1_200_000],
            },
        },
        separators=(",", ":"),
    ).encode()
    header += b" " * (-len(header) % 8)
    content = struct.pack("<Q", len(header)) + header + large["x.lora_up.weight"].numpy().tobytes()
    expected = hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8]
    assert hashes.legacy == expected == hashes_of(content).legacy
    assert hashes.legacy != "e3b0c442"


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", "BF16"), ("fp16", "F16"), ("fp32", "F32")]
)
def test_alpha_stays_exact_in_every_precision(
    precision: Precision, dtype: str, tmp_path: Path
) -> None:
    tensors = pair() | {"lora_unet_y.alpha": torch.tensor(257.3)}
    save(tmp_path / "a.safetensors", tensors, {}, precision)
    header = read_header(tmp_path / "a.safetensors")
    kinds = {name: info.dtype for name, info in header.entries.items()}
    assert kinds["lora_unet_x.lora_up.weight"] == dtype
    assert kinds["lora_unet_x.alpha"] == dtype  # 2 is exact everywhere
    assert kinds["lora_unet_y.alpha"] == "F32"
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.get_tensor("lora_unet_y.alpha").item() == pytest.approx(257.3)


def test_values_that_no_file_should_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, pair(), {}, "fp32")
    before = path.read_bytes()
    broken = pair()
    broken["lora_unet_x.lora_up.weight"][0, 0] = torch.nan
    with pytest.raises(FileProblem, match=r"lora_unet_x.lora_up.weight.*NaN"):
        save(path, broken, {}, "fp32")
    broken["lora_unet_x.lora_up.weight"][0, 0] = 1e6
    with pytest.raises(FileProblem, match="Save it as bf16"):
        save(path, broken, {}, "fp16")
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_last_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    save(path, pair(), {}, "fp32")
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileProblem, match="no space is left"):
        save(path, pair(rank=8), {}, "fp32")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FileProblem, match=r"taken.*was not written"):
        save(tmp_path / "taken" / "a.safetensors", pair(), {}, "fp32")


def test_broken_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    cases: list[tuple[dict[str, Tensor], str]] = []
    half = pair()
    del half["lora_unet_x.lora_up.weight"]
    cases.append((half, r"lora_unet_x.lora_down.weight has no partner"))
    cases.append((pair(rank=0), "rank 0"))
    nan = pair()
    nan["lora_unet_x.lora_down.weight"][1, 1] = torch.inf
    cases.append((nan, r"lora_unet_x.lora_down.weight holds values that are not finite"))
    odd = pair() | {"lora_unet_x.lora_up.weight": torch.randn(8, 3)}
    cases.append((odd, r"do not fit: \(4, 6\) and \(8, 3\)"))
    cases.append(({"conv_in.weight": torch.ones(2)}, "no adapter in this file"))
    for tensors, words in cases:
        save_file(tensors, path)
        with pytest.raises(FileProblem, match=words) as problem:
            read(path)
        assert "a.safetensors" in str(problem.value)
    save_file(pair(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(FileProblem, match="cut off"):
        read(path)
    path.write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(FileProblem, match="web page"):
        read(path)


def test_alphas_of_any_kind_and_none(tmp_path: Path) -> None:
    """Check 29."""
    path = tmp_path / "a.safetensors"
    tensors = pair() | {"lora_unet_x.alpha": torch.tensor(8)}
    save_file(tensors, path)
    assert read(path).factors["lora_unet_x"].scale == 2.0
    del tensors["lora_unet_x.alpha"]
    save_file(tensors, path)
    file = read(path)
    assert file.factors["lora_unet_x"].scale == 1.0
    assert file.without_alpha == ("lora_unet_x",)


def test_what_is_beyond_plain_lora_is_kept_in_sight(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    extra = {
        "lora_unet_x.dora_scale": torch.ones(8, 1),
        "lora_unet_norm.w_norm": torch.ones(8),
        "lora_unet_z.oft_blocks": torch.ones(2, 2, 2),
        "something.else": torch.ones(1),
    }
    save_file(pair() | extra, path)
    file = read(path)
    assert file.variants == ("DoRA", "OFT", "trained norm layers")
    assert file.further["lora_unet_x"] == ("dora_scale",)
    assert file.unknown == ("something.else",)
