"""Adapter files: written whole or not at all, read with every flaw named (networks 1, 2.1)."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from engine.networks import lycoris_kinds
from engine.networks.factors import Factors
from engine.networks.layouts import FURTHER_KINDS, Layout, layout_of, take_apart
from engine.plan.adapter_names import no_adapter, rank_zero
from engine.plan.header import FileProblem, Header, read_header

Precision = Literal["bf16", "fp16", "fp32"]
DTYPES: dict[Precision, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}
LEGACY_START, LEGACY_LENGTH = 0x100000, 0x10000


MAGNITUDES = ("dora_scale", "lora_magnitude_vector", "lora_magnitude_vector.weight")
NORMS = ("w_norm", "b_norm")
READ = frozenset((*MAGNITUDES, *NORMS, *lycoris_kinds.KINDS, "lora_mid.weight", "scalar"))
"""Endings beyond plain LoRA that are read with an adapter (spec: networks 5)."""


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


@dataclass
class _Parts:
    tensors: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


def read(path: Path | str) -> AdapterFile:
    """Read an adapter file of any spelling.

    Raises:
        FileProblem: missing, truncated, not safetensors, without adapters, with half an adapter, a
            rank of 0, shapes that do not fit, or values that are not finite; the key is named.
    """
    path = Path(path)
    header = read_header(path)
    parts: dict[str, _Parts] = {}
    unknown = []
    with safe_open(path, framework="pt", device="cpu") as file:
        for key in header.entries:
            taken = take_apart(key)
            if taken is None:
                unknown.append(key)
                continue
            part = parts.setdefault(taken.name, _Parts())
            part.tensors[taken.kind] = file.get_tensor(key)
            part.keys[taken.kind] = key
    if not parts:
        raise FileProblem(no_adapter(path.name))
    alphas = _alphas_in_metadata(header)
    factors, further, norms, without = {}, {}, {}, []
    for name, part in parts.items():
        beyond = tuple(kind for kind in part.tensors if kind in FURTHER_KINDS)
        if beyond:
            further[name] = beyond
        if not {"down", "up"} & part.tensors.keys():
            if set(beyond) & lycoris_kinds.KINDS:
                factors[name] = _lycoris(path.name, name, part)
            elif set(beyond) & set(NORMS):
                _check_finite(path.name, part)
                norms[name] = {kind: part.tensors[kind] for kind in beyond if kind in NORMS}
            elif not beyond:
                unknown += part.keys.values()
            continue
        alpha = part.tensors.get("alpha")
        if alpha is None and name not in alphas:
            without.append(name)
        given = alphas.get(name, 0.0) if alpha is None else _number(path.name, part, "alpha")
        factors[name] = _factors(path.name, name, part, given, beyond)
    dtypes = sorted({info.dtype for info in header.entries.values()})
    return AdapterFile(
        path, factors, further, tuple(unknown), tuple(without), dict(header.metadata),
        layout_of(parts), tuple(dtypes), header.size, norms,
    )  # fmt: skip


def _factors(file: str, name: str, part: _Parts, alpha: float, beyond: tuple[str, ...]) -> Factors:
    """Check one adapter's tensors and join them."""
    for kind, other in (("down", "up"), ("up", "down")):
        if kind not in part.tensors:
            raise FileProblem(
                f"{file}: {part.keys[other]} has no partner: the file holds half an adapter."
            )
    down, up = part.tensors["down"], part.tensors["up"]
    if down.dim() not in (2, 4) or 0 in down.shape or 0 in up.shape:
        raise FileProblem(rank_zero(file, part.keys["down"]))
    if up.dim() not in (2, 4) or up.shape[1] != down.shape[0]:
        raise FileProblem(
            f"{file}: the two matrices of {name} do not fit: {tuple(down.shape)} and "
            f"{tuple(up.shape)}."
        )
    _check_finite(file, part)
    for kind in ("down", "up"):
        if not part.tensors[kind].is_floating_point():
            raise FileProblem(
                f"{file}: {part.keys[kind]} holds whole numbers; it is packed in a way that is not "
                "read here. Use the file in fp32, fp16 or bf16."
            )
    magnitude = next((part.tensors[kind] for kind in MAGNITUDES if kind in beyond), None)
    if magnitude is not None and magnitude.dim() == 1:
        magnitude = magnitude[:, None]  # PEFT's: one for each output
    factors = Factors(
        down, up, alpha or float(down.shape[0]), part.tensors.get("lora_mid.weight"), magnitude
    )
    if "scalar" not in part.tensors:
        return factors
    return replace(factors, up=up.float() * _number(file, part, "scalar"))


def _number(file: str, part: _Parts, kind: str) -> float:
    """The one number of an alpha or a scalar."""
    tensor = part.tensors[kind]
    if tensor.numel() != 1:
        raise FileProblem(
            f"{file}: {part.keys[kind]} has {tensor.numel()} numbers where one is needed; the file "
            "is damaged. Use another copy of it."
        )
    _check_finite(file, part)
    return float(tensor.item())


def _lycoris(file: str, name: str, part: _Parts) -> Factors:
    """Read what is equal to a LoRA without being written as one.

    Raises:
        FileProblem: tensors are missing, do not fit, or are not finite.
    """
    _check_finite(file, part)
    alpha = _number(file, part, "alpha") if "alpha" in part.tensors else 0.0
    try:
        factors = lycoris_kinds.factors_of(part.tensors, alpha)
    except (KeyError, RuntimeError, ValueError) as error:
        raise FileProblem(
            f"{file}: the tensors of {name} do not go together ({str(error).splitlines()[0]})."
        ) from None
    assert factors is not None
    magnitude = next((part.tensors[kind] for kind in MAGNITUDES if kind in part.tensors), None)
    scalar = part.tensors.get("scalar")
    up = factors.up if scalar is None else factors.up * scalar.float()
    return replace(factors, up=up, magnitude=magnitude)


def _check_finite(file: str, part: _Parts) -> None:
    for kind, tensor in part.tensors.items():
        # fp8 is widened: it has no test of its own
        if tensor.is_floating_point() and not tensor.float().isfinite().all():
            raise FileProblem(
                f"{file}: {part.keys[kind]} holds values that are not finite (NaN or infinity); "
                "the training that wrote it went wrong. Use an earlier file of it."
            )


def _alphas_in_metadata(header: Header) -> dict[str, float]:
    """Read the alphas that diffusers keeps in the header beside PEFT weights."""
    text = header.metadata.get("lora_adapter_metadata")
    if text is None:
        return {}
    try:
        settings: dict[str, Any] = json.loads(text)
    except ValueError:
        return {}
    alphas: dict[str, float] = {}
    for key in header.entries:
        taken = take_apart(key)
        if taken is None or taken.kind != "down":
            continue
        component, _, module = taken.name.partition(".")
        pattern = settings.get(f"{component}.alpha_pattern") or {}
        alpha = pattern.get(module, settings.get(f"{component}.lora_alpha"))
        if isinstance(alpha, (int, float)):
            rank = header.entries[key].shape[0]
            rs = bool(settings.get(f"{component}.use_rslora"))
            alphas[taken.name] = float(alpha) * (rank**0.5 if rs else 1.0)
    return alphas


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
