"""Adapter files: written whole or not at all, read with every flaw named (networks 1, 2.1)."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from engine.networks.factors import Factors
from engine.networks.layouts import FURTHER_KINDS, Layout, layout_of, take_apart
from engine.networks.one_adapter import READ, Parts, one_adapter
from engine.networks.peft_settings import settled_alphas
from engine.plan.adapter_names import no_adapter
from engine.plan.header import FileProblem, read_header

Precision = Literal["bf16", "fp16", "fp32"]
DTYPES: dict[Precision, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}
LEGACY_START, LEGACY_LENGTH = 0x100000, 0x10000


@dataclass(frozen=True)
class Hashes:
    """What web sites and programs know a file by (spec: networks 2.1)."""

    model: str  # SHA-256 of the tensors' bytes
    legacy: str  # first 8 digits of that of 64 KiB at 1 MiB of the file with ss_ metadata alone


@dataclass(frozen=True)
class AdapterFile:
    """A file as it is, in its own spelling.

    Attributes:
        factors: the adapter's name as spelled → its factors.
        norms: a norm's name → its differences, by the ending of the key.
        biases: a layer's name → what is added to its bias.
        further: name → what it has beyond plain LoRA, by the ending of the key.
        unknown: keys that belong to no adapter.
        without_alpha: names whose alpha is missing and taken to be the rank.
    """

    path: Path
    factors: dict[str, Factors]
    further: dict[str, tuple[str, ...]]
    unknown: tuple[str, ...]
    without_alpha: tuple[str, ...]
    metadata: dict[str, str]
    layout: Layout
    dtypes: tuple[str, ...]
    size: int
    norms: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    biases: dict[str, Tensor] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """All that has adapters, norms or biases."""
        return tuple(dict.fromkeys((*self.factors, *self.norms, *self.biases)))

    @property
    def ranks(self) -> dict[str, int]:
        """Name → rank."""
        return {name: f.rank for name, f in self.factors.items()}

    @property
    def alphas(self) -> dict[str, float]:
        """Name → alpha."""
        return {name: f.alpha for name, f in self.factors.items()}

    @property
    def unread(self) -> dict[str, tuple[str, ...]]:
        """Those of `further` that are only named here, not read: OFT, biases, …"""
        left = {n: tuple(k for k in kinds if k not in READ) for n, kinds in self.further.items()}
        return {name: kinds for name, kinds in left.items() if kinds}

    @property
    def variants(self) -> tuple[str, ...]:
        """What the file has beyond plain LoRA, in words: DoRA, LoKr, …"""
        kinds = {FURTHER_KINDS[kind] for kinds in self.further.values() for kind in kinds}
        return tuple(sorted(kinds))


def read(path: Path | str) -> AdapterFile:
    """Read an adapter file of any spelling.

    Raises:
        FileProblem: missing, truncated, not safetensors, without adapters, with half an adapter, a
            rank of 0, shapes that do not fit, or values that are not finite; the key is named.
    """
    path = Path(path)
    header = read_header(path)
    parts: dict[str, Parts] = {}
    unknown = []
    with safe_open(path, framework="pt", device="cpu") as file:
        for key in header.entries:
            taken = take_apart(key)
            part = parts.setdefault(taken.name, Parts()) if taken is not None else None
            if taken is None or part is None or taken.kind in part.keys:
                unknown.append(key)
                continue
            part.tensors[taken.kind] = file.get_tensor(key)
            part.keys[taken.kind] = key
    if not parts:
        raise FileProblem(no_adapter(path.name))
    ranks = {n: len(p.tensors["down"]) for n, p in parts.items() if "down" in p.tensors}
    settled = settled_alphas(header, ranks)
    factors, norms, biases = {}, {}, {}
    for name, part in parts.items():
        one = one_adapter(path.name, name, part, settled.get(name))
        if one.factors is not None:
            factors[name] = one.factors
        if one.norm:
            norms[name] = one.norm
        if one.bias is not None:
            biases[name] = one.bias
        if one.is_empty and not set(part.beyond) - READ:
            unknown += part.keys.values()
    further = {name: part.beyond for name, part in parts.items() if part.beyond}
    without = [
        n for n in ranks if n in factors and "alpha" not in parts[n].tensors and n not in settled
    ]
    dtypes = sorted({info.dtype for info in header.entries.values()})
    return AdapterFile(
        path, factors, further, tuple(unknown), tuple(without), dict(header.metadata),
        layout_of(parts), tuple(dtypes), header.size, norms, biases,
    )  # fmt: skip


def save(
    path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str],
    precision: Precision,
) -> Hashes:  # fmt: skip
    """Write tensors under the file's keys, with metadata and hashes, whole or not at all.

    An alpha stays float32 where the precision would change it.

    Raises:
        FileProblem: values that are not finite, or too large for fp16; no space; no permission.
            What stood at `path` before is then still there.
    """
    path = Path(path)
    cast = {key: _cast(path.name, key, tensor, precision) for key, tensor in tensors.items()}
    own = {k: v for k, v in metadata.items() if not k.startswith("sshs_")}
    hashes = hashes_of(serialize(cast, {k: v for k, v in own.items() if k.startswith("ss_")}))
    own |= {"sshs_model_hash": hashes.model, "sshs_legacy_hash": hashes.legacy}
    _write_whole(path, serialize(cast, own))
    return hashes


def hashes_of(content: bytes) -> Hashes:
    """Return the hashes of a serialized file whose metadata are the ss_ keys alone."""
    header = struct.unpack("<Q", content[:8])[0]
    legacy = content[LEGACY_START : LEGACY_START + LEGACY_LENGTH]
    return Hashes(
        hashlib.sha256(memoryview(content)[8 + header :]).hexdigest(),
        hashlib.sha256(legacy).hexdigest()[:8],
    )


def model_hash(path: Path | str) -> str:
    """Compute the hash of a file's tensors, which edits of its metadata do not change."""
    header = read_header(path)
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        file.seek(header.data_start)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _cast(file: str, key: str, tensor: Tensor, precision: Precision) -> Tensor:
    tensor = tensor.detach().to("cpu")
    cast = tensor.to(DTYPES[precision]).contiguous()
    if key.endswith(".alpha") and not torch.equal(cast.float(), tensor.float()):
        return tensor.float()
    if not cast.isfinite().all():
        reason = (
            f"holds values above what {precision} can store. Save it as bf16."
            if tensor.isfinite().all()
            else "holds values that are not finite (NaN or infinity)."
        )
        raise FileProblem(f"{file} was not written: {key} {reason}")
    return cast


def _write_whole(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            words = f"no space is left; {len(content) / 1e6:.0f} MB are needed"
        else:
            words = error.strerror or str(error)
        raise FileProblem(f"{path} was not written: {words}.") from error
