"""The header read by hand, and every way in which a file is something else."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.plan.header import FileProblem, read_header, read_numbers


def test_reads_what_safetensors_wrote(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"x": torch.zeros(2, 3, dtype=torch.float16), "alpha": torch.tensor(4.5)}
    save_file(tensors, path, metadata={"ss_network_dim": "4"})
    header = read_header(path)
    assert header.tensors == {"x": ("F16", (2, 3)), "alpha": ("F32", ())}
    assert header.metadata == {"ss_network_dim": "4"}
    assert header.parameters == 7
    assert header.size == path.stat().st_size
    assert read_numbers(header, "alpha") == [4.5]


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.int32, torch.uint8]
)
def test_numbers_of_every_format(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"alpha": torch.tensor([8, 3], dtype=dtype)}, path)
    assert read_numbers(read_header(path), "alpha") == [8.0, 3.0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello there, this is text", "not a safetensors file"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(100), "pickle"),
        (b"GGUF" + bytes(100), "GGUF"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{oh no oh no oh no", "damaged"),
        (b'\xff\x0f\x00\x00\x00\x00\x00\x00{"a": 1', "cut off in its header"),
    ],
)
def test_other_files_are_called_by_their_name(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileProblem, match=words):
        read_header(path)


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"x": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileProblem, match="cut off: it should have"):
        read_header(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="no such file"):
        read_header(tmp_path / "absent.safetensors")
    with pytest.raises(FileProblem, match="folder"):
        read_header(tmp_path)


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x10280])
def test_a_header_whose_length_begins_as_a_pickle_is_read(length: int, tmp_path: Path) -> None:
    content = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + content.ljust(length) + bytes(4))
    assert path.read_bytes().startswith(b"\x80")
    assert read_header(path).entries["x"].shape == (1,)
