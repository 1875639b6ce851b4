"""A base model's weights on disk, found by layer and rewritten in place of a copy.

Nothing is converted: a file keeps its layout, its precision and every tensor that no adapter
touches, byte for byte. One tensor is in memory at a time.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from engine.networks.adapter import host_segments
from engine.networks.spellings import original_paths
from engine.plan.header import Header, read_header
from engine.plan.site import Site
from engine.tools.source import ToolProblem

FOLDERS = {"denoiser": ("transformer", "unet")}  # the text encoders' are their own roles
PREFIXES = {
    "denoiser": ("model.diffusion_model.", "diffusion_model.", "net.", "transformer.", ""),
    "text_encoder": (
        "cond_stage_model.transformer.", "cond_stage_model.model.",
        "conditioner.embedders.0.transformer.", "text_encoders.clip_l.transformer.",
        "text_encoders.gemma2_2b.transformer.model.", "text_encoders.qwen3_06b.transformer.model.",
        "model.", "",
    ),
    "text_encoder_2": (
        "conditioner.embedders.1.model.", "text_encoders.clip_g.transformer.",
        "text_encoders.t5xxl.transformer.", "",
    ),
    "text_encoder_3": ("text_encoders.t5xxl.transformer.", ""),
    "text_conditioner": ("llm_adapter.", "net.llm_adapter.", "model.diffusion_model.llm_adapter.",
                         "diffusion_model.llm_adapter.", ""),
}  # fmt: skip
"""What may stand before a layer's name in a file, by role."""

Progress = Callable[[int, int], None]
_PART_BYTES = 16 << 20  # of a copy, between two words of its progress

_WRITABLE = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
             "F64": torch.float64}  # fmt: skip
_OPEN_CLIP = re.compile(r"(?:text_model\.)?encoder\.layers\.(\d+)\.(.+)")
_OPEN_CLIP_PARTS = {"self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
                    "mlp.fc2": "mlp.c_proj"}  # fmt: skip
_FUSED_CLIP = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


@dataclass(frozen=True)
class Place:
    """Where a layer, or one of its parts, stands.

    Attributes:
        file: the safetensors file.
        key: the tensors' name, without `.weight` or `.bias`.
        weight: what comes after it in the weight's name.
        part: index into `host_segments(site)`, or None: the whole site in the original's rows.
        rows: its rows of the tensor, or None for all of them.
    """

    file: Path
    key: str
    part: int | None
    weight: str = "weight"
    rows: tuple[int, int] | None = None


class BaseFiles:
    """The safetensors files of a model: one file, or a diffusers folder.

    Raises:
        ToolProblem: there are none, or they are pickles.
        FileProblem: one cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_folder = path.is_dir()
        files = sorted(path.glob("*/*.safetensors")) if self.is_folder else [path]
        if path.suffix.lower() in (".ckpt", ".pt", ".bin") or not files:
            raise ToolProblem(
                f"{path} holds no .safetensors weights. Convert the model to safetensors first."
            )
        self.headers = {file: read_header(file) for file in files}

    def places(self, site: Site) -> list[Place]:
        """Every place of a site's weights, or none if the files do not hold it."""
        if self.is_folder:
            return list(self._in_folder(site))
        return self._in_file(site)

    def part_places(self, site: Site, part: int) -> list[Place]:
        """Every place of one module of a fused layer: rows of the whole where that is one tensor.

        The part counts as a whole there: `Place.part` is 0 or None.
        """
        (segment,) = host_segments(site)[part]
        found = []
        for place in self.places(site):
            if place.part is None:
                start = place.rows[0] if place.rows is not None else 0
                rows = (start + segment.source[0], start + segment.source[1])
                found.append(replace(place, rows=rows))
            elif place.part == part:
                found.append(replace(place, part=0))
        return found

    def _in_folder(self, site: Site) -> Iterator[Place]:
        folders = FOLDERS.get(site.component, (site.component,))
        for part, segments in enumerate(host_segments(site)):
            module = segments[0].module
            for file, header in self.headers.items():
                if file.parent.name not in folders:
                    continue
                for prefix in ("", "text_model.", "model.", "language_model."):
                    if f"{prefix}{module}.weight" in header.entries:
                        yield Place(file, f"{prefix}{module}", part)

    def _in_file(self, site: Site) -> list[Place]:
        header = self.headers[self.path]
        for prefix in PREFIXES[site.component]:
            for path in (*original_paths(site), *_without_text_model(site)):
                for weight in dict.fromkeys((site.original_weight, "weight")):
                    if f"{prefix}{path}.{weight}" in header.entries:
                        return [Place(self.path, f"{prefix}{path}", None, weight)]
            found = self._open_clip(site, prefix, header)
            if found:
                return [found]
        parts = list(self._parts_in_file(site, header))
        return parts if len(parts) == len(host_segments(site)) else []

    def _parts_in_file(self, site: Site, header: Header) -> Iterator[Place]:
        """A file in the libraries' names, as some are shared."""
        for part, segments in enumerate(host_segments(site)):
            for prefix in PREFIXES[site.component]:
                if f"{prefix}{segments[0].module}.weight" in header.entries:
                    yield Place(self.path, f"{prefix}{segments[0].module}", part)
                    break

    def _open_clip(self, site: Site, prefix: str, header: Header) -> Place | None:
        """OpenCLIP holds q, k and v as rows of one tensor."""
        match = _OPEN_CLIP.fullmatch(site.original)
        if match is None:
            return None
        block = f"{prefix}transformer.resblocks.{match[1]}"
        if match[2] in _FUSED_CLIP and f"{block}.attn.in_proj_weight" in header.entries:
            start = _FUSED_CLIP.index(match[2]) * site.rows
            rows = (start, start + site.rows)
            return Place(self.path, f"{block}.attn.in_proj", None, rows=rows)
        part = _OPEN_CLIP_PARTS.get(match[2])
        if part and f"{block}.{part}.weight" in header.entries:
            return Place(self.path, f"{block}.{part}", None)
        return None

    def copy(self, target: Path, progress: Progress | None = None) -> Mapping[Path, Path]:
        """Copy the model to `target`; returns where each weights file went.

        Args:
            target: the new file or folder.
            progress: told (done, total) bytes of the weights; may raise to stop.

        Raises:
            ToolProblem: there is no room for it.
        """
        size = sum(header.size for header in self.headers.values())
        free = shutil.disk_usage(_existing(target)).free
        if free < size * 1.01:
            raise ToolProblem(
                f"The new model needs {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in "
                f"{target.parent}. Choose another place for it."
            )
        done = 0

        def copy_one(source: str, to: str) -> None:
            nonlocal done
            for size_of_part in _copied_parts(Path(source), Path(to)):
                if Path(source) in self.headers:
                    done += size_of_part
                    if progress is not None:
                        progress(done, size)

        if not self.is_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_one(str(self.path), str(target))
            return {self.path: target}
        left_out = shutil.ignore_patterns("*.bin", "*.ckpt", ".*")
        shutil.copytree(self.path, target, ignore=left_out, copy_function=copy_one)
        return {file: target / file.relative_to(self.path) for file in self.headers}


def _copied_parts(source: Path, target: Path) -> Iterator[int]:
    """Copy a file's bytes, and yield how many after each part."""
    part = memoryview(bytearray(_PART_BYTES))
    with source.open("rb", buffering=0) as old, target.open("wb", buffering=0) as new:
        while size := old.readinto(part):
            written = 0
            while written < size:  # a write without a buffer may take less than all
                written += new.write(part[written:size])
            yield size


class TensorFile:
    """A copied file whose tensors are read and written back one by one, in their own format."""

    def __init__(self, header: Header, copied: Path) -> None:
        self.header = header
        self._file = copied.open("r+b")

    def close(self) -> None:
        """Bring what was written to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def read(self, key: str) -> Tensor:
        """A tensor in float32.

        Raises:
            ToolProblem: it is in a format that cannot be written back, such as fp8.
        """
        info = self.header.entries[key]
        if info.dtype not in _WRITABLE:
            raise ToolProblem(
                f"{self.header.path.name}: {key} is kept as {info.dtype}. Merge into the model in "
                "fp16, bf16 or fp32."
            )
        self._file.seek(self.header.data_start + info.start)
        raw = torch.frombuffer(
            bytearray(self._file.read(info.stop - info.start)), dtype=torch.uint8
        )
        return raw.view(_WRITABLE[info.dtype]).reshape(info.shape).float()

    def write(self, key: str, tensor: Tensor) -> None:
        """Write a tensor over the former one."""
        info = self.header.entries[key]
        raw = tensor.to(_WRITABLE[info.dtype]).contiguous().reshape(-1).view(torch.uint8).numpy()
        self._file.seek(self.header.data_start + info.start)
        self._file.write(raw.data)


def tensor_name(header: Header, key: str, ending: str) -> str | None:
    """The name of a layer's weight or bias: `x.weight`, or OpenCLIP's `in_proj_weight`."""
    names = (f"{key}.{ending}", f"{key}_{ending}")
    return next((name for name in names if name in header.entries), None)


def _without_text_model(site: Site) -> list[str]:
    """Files of 2022 and separate encoder files lack this level."""
    short = site.original.removeprefix("text_model.")
    return [short] if short != site.original else []


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
