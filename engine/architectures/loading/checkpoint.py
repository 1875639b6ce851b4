"""One checkpoint file as named tensors, read part by part and cast while reading.

A mapped file would be counted (and kept) in memory beside the cast weights, so tensors are read
into memory of their own: the peak is the weights in their final precision plus one tensor.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.scaled_fp8 import is_beside, scales_among, unscaled
from engine.plan.fp8_scales import lost_scale, without_scale
from engine.plan.header import FileProblem, read_header

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """A file's tensors by name: their shapes now, their values on demand.

    Eight-bit weights with a scale beside them are read as what they mean; `shapes` lists no scales.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    _read: Callable[[str], Tensor] = field(repr=False)
    _scales: Mapping[str, str] = field(default_factory=dict, repr=False)

    def read(self, names: Mapping[str, str], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """Read tensors, {name in the file: name to give}; floating ones are cast to `dtype`.

        Raises:
            ModelProblem: if the file ends too early or holds numbers of an unknown format.
        """
        tensors = {}
        for stored, given in names.items():
            tensor = self._read_whole(stored)
            cast = dtype is not None and tensor.is_floating_point()
            tensors[given] = tensor.to(dtype) if cast else tensor
        return tensors

    def _read_whole(self, name: str) -> Tensor:
        tensor = self._read(name)
        scale = self._scales.get(name)
        if scale is None:
            return tensor
        try:
            return unscaled(tensor, self._read(scale))
        except ValueError as error:
            raise ModelProblem(
                f"{self.path.name} is quantized in a way that Graft cannot read ({error}).",
                "Use the file in fp8, bf16 or fp16.",
            ) from None

    def below(self, prefix: str) -> dict[str, str]:
        """All names that begin with `prefix`, and the same without it."""
        return {n: n.removeprefix(prefix) for n in self.shapes if n.startswith(prefix)}


def open_checkpoint(path: Path, field: str = "model.path") -> Checkpoint:
    """Open a `.safetensors` file, or a pickled one that holds nothing but tensors.

    Raises:
        ModelProblem: if it is neither, or broken; `field` is the job's field that named it.
    """
    if path.suffix.lower() == ".safetensors":
        return _open_safetensors(path, field)
    return _open_pickle(path, field)


def _open_safetensors(path: Path, field: str) -> Checkpoint:
    try:
        header = read_header(path)
    except FileProblem as problem:
        raise ModelProblem(str(problem), field=field) from None
    lost = lost_scale(header.entries)
    if lost is not None:
        raise ModelProblem(without_scale(path.name, lost), field=field)

    def read(name: str) -> Tensor:
        info = header.entries[name]
        dtype = _DTYPES.get(info.dtype)
        if dtype is None:
            raise ModelProblem(
                f"{path.name} holds numbers of the format {info.dtype}.",
                "Use the file in fp32, bf16 or fp16.",
                field,
            )
        raw = torch.empty(info.stop - info.start, dtype=torch.uint8)
        with path.open("rb", buffering=0) as file:
            file.seek(header.data_start + info.start)
            if len(raw) and _read_into(file, raw.numpy().data) < len(raw):
                raise ModelProblem(f"{path.name} ends too early.", "Download it again.", field)
        return raw.view(dtype).reshape(info.shape)

    shapes = {n: info.shape for n, info in header.entries.items() if not is_beside(n)}
    return Checkpoint(path, shapes, read, scales_among(header.entries))


def _read_into(file: Any, target: memoryview) -> int:
    """Fill `target`; one call may read less than asked for."""
    done = 0
    while done < len(target):
        count = file.readinto(target[done:])
        if not count:
            break
        done += count
    return done


def _open_pickle(path: Path, field: str) -> Checkpoint:
    try:
        content = _load_pickle(path)
    except pickle.UnpicklingError:
        raise ModelProblem(
            f"{path.name} holds Python objects other than tensors, which could run code.",
            "Convert it to safetensors, or use a .safetensors file of the same model.",
            field,
        ) from None
    except (RuntimeError, EOFError, ValueError, OSError, KeyError):
        raise ModelProblem(
            f"{path.name} is broken or is no checkpoint file.", "Download it again.", field
        ) from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    tensors = _tensors_in(content.items()) if isinstance(content, Mapping) else {}
    if not tensors:
        raise ModelProblem(f"{path.name} holds no model weights.", "", field)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return Checkpoint(path, shapes, tensors.__getitem__)


def _load_pickle(path: Path) -> Any:
    """Map the file if it has the newer, zipped form; read it whole if not."""
    try:
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except RuntimeError as error:
        if "mmap can only be used" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)


def _tensors_in(items: Iterable[tuple[Any, Any]]) -> dict[str, Tensor]:
    return {str(name): value for name, value in items if isinstance(value, Tensor)}
