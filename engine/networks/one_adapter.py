"""One adapter's tensors in a file, read as factors, a norm's differences, or a bias's.

Every flaw is named by its key, so that nothing is read by half (spec: networks 1.2, 5).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from engine.networks import lycoris_kinds
from engine.networks.factors import NORM_ENDINGS, Factors
from engine.networks.layouts import FURTHER_KINDS
from engine.plan.adapter_names import rank_zero
from engine.plan.header import FileProblem

OURS, PEFTS = "dora_scale", ("lora_magnitude_vector", "lora_magnitude_vector.weight")
MAGNITUDES = (OURS, *PEFTS)
UP_BIASES, DOWN_BIASES = ("lora_B.bias", "lora_up.bias"), ("lora_A.bias", "lora_down.bias")
BIASES = (lycoris_kinds.BIAS, *UP_BIASES, *DOWN_BIASES)
READ = frozenset(
    (*MAGNITUDES, *NORM_ENDINGS, *BIASES, *lycoris_kinds.KINDS, "lora_mid.weight", "scalar")
)
"""Endings beyond plain LoRA that are read with an adapter (spec: networks 5)."""


@dataclass
class Parts:
    """The tensors of one name in a file, and their keys, by `engine.networks.layouts.Key.kind`."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def beyond(self) -> tuple[str, ...]:
        """What there is beyond plain LoRA."""
        return tuple(kind for kind in self.tensors if kind in FURTHER_KINDS)


@dataclass(frozen=True)
class One:
    """What a name's tensors are; a full layer may be factors and a bias at once."""

    factors: Factors | None = None
    norm: dict[str, Tensor] = field(default_factory=dict)
    bias: Tensor | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing could be made of the tensors."""
        return self.factors is None and not self.norm and self.bias is None


def one_adapter(file: str, name: str, part: Parts, settled: float | None) -> One:
    """Read one adapter.

    Args:
        file, name: for messages.
        part: its tensors.
        settled: its alpha where that stands elsewhere, as PEFT's does.

    Raises:
        FileProblem: half an adapter, two kinds at once, a rank of 0, shapes that do not go
            together, or values that are not finite; the key is named.
    """
    _check_finite(file, part)
    kinds = part.tensors.keys()
    alpha = settled or 0.0
    if "alpha" in kinds:
        alpha = _number(file, part, "alpha")
    plain, further = {"down", "up"} & kinds, lycoris_kinds.KINDS & kinds
    if plain and further:
        raise FileProblem(
            f"{file}: {part.keys[min(plain)]} and {part.keys[min(further)]} are two kinds of "
            "adapter on one layer. Use the file that the training wrote."
        )
    norm = {kind: part.tensors[kind] for kind in NORM_ENDINGS if kind in kinds}
    bias = part.tensors.get(lycoris_kinds.BIAS)
    if plain:
        factors = _plain(file, name, part, alpha)
        return One(factors, norm, _bias(file, part, factors, bias))
    whole = part.tensors.get(lycoris_kinds.FULL)
    if whole is not None and whole.dim() < 2:
        return One(None, {"w_norm": whole} | norm, bias)
    return One(_further(file, name, part, alpha) if further else None, norm, bias)


def _plain(file: str, name: str, part: Parts, alpha: float) -> Factors:
    """Check the two matrices and join them."""
    for kind, other in (("down", "up"), ("up", "down")):
        if kind not in part.tensors:
            raise FileProblem(
                f"{file}: {part.keys[other]} has no partner: the file holds half an adapter."
            )
    down, up = part.tensors["down"], part.tensors["up"]
    for kind, tensor in (("down", down), ("up", up)):
        if not tensor.is_floating_point():
            raise FileProblem(
                f"{file}: {part.keys[kind]} holds whole numbers; it is packed in a way that is not "
                "read here. Use the file in fp32, fp16 or bf16."
            )
        if 0 in tensor.shape:
            raise FileProblem(rank_zero(file, part.keys["down"]))
        if tensor.dim() not in (2, 4):
            raise FileProblem(
                f"{file}: {part.keys[kind]} has the shape {tuple(tensor.shape)}; only linear "
                "layers and 2-D convolutions have adapters here."
            )
    if up.shape[1] != down.shape[0]:
        raise FileProblem(
            f"{file}: the two matrices of {name} do not fit: {tuple(down.shape)} and "
            f"{tuple(up.shape)}."
        )
    factors = Factors(
        down, up, alpha or float(down.shape[0]), part.tensors.get("lora_mid.weight"),
        _magnitude(part),
    )  # fmt: skip
    if "scalar" not in part.tensors:
        return factors
    return replace(factors, up=up.float() * _number(file, part, "scalar"))


def _further(file: str, name: str, part: Parts, alpha: float) -> Factors:
    """Read what is equal to a LoRA without being written as one."""
    try:
        factors = lycoris_kinds.factors_of(part.tensors, alpha)
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise FileProblem(
            f"{file}: the tensors of {name} do not go together ({str(error).splitlines()[0]})."
        ) from None
    assert factors is not None
    up = factors.up
    if "scalar" in part.tensors:
        up = up * _number(file, part, "scalar")
    return replace(factors, up=up, magnitude=_magnitude(part))


def _magnitude(part: Parts) -> Tensor | None:
    """DoRA's; PEFT has one for each output, for a convolution as (1, O, 1, 1)."""
    if OURS in part.tensors:
        return part.tensors[OURS]
    theirs = next((part.tensors[kind] for kind in PEFTS if kind in part.tensors), None)
    return None if theirs is None else theirs.reshape(-1, 1)


def _bias(file: str, part: Parts, factors: Factors, given: Tensor | None) -> Tensor | None:
    """What is added to the host's bias; PEFT has it inside of the product, before the scale."""
    total = given
    for kinds, matrix in ((UP_BIASES, None), (DOWN_BIASES, factors.up.float().flatten(1))):
        for kind in kinds:
            own = part.tensors.get(kind)
            if own is None:
                continue
            if own.numel() != factors.up.shape[0 if matrix is None else 1]:
                raise FileProblem(
                    f"{file}: {part.keys[kind]} has {own.numel()} numbers, which do not fit the "
                    "matrices beside it."
                )
            own = own.float().flatten() * factors.scale
            own = own if matrix is None else matrix @ own
            total = own if total is None else total + own
    return total


def _number(file: str, part: Parts, kind: str) -> float:
    """The one number of an alpha or a scalar."""
    tensor = part.tensors[kind]
    if tensor.numel() != 1:
        raise FileProblem(
            f"{file}: {part.keys[kind]} has {tensor.numel()} numbers where one is needed; the file "
            "is damaged. Use another copy of it."
        )
    return float(tensor.item())


def _check_finite(file: str, part: Parts) -> None:
    for kind, tensor in part.tensors.items():
        # fp8 is widened: it has no test of its own
        if tensor.is_floating_point() and not tensor.float().isfinite().all():
            raise FileProblem(
                f"{file}: {part.keys[kind]} holds values that are not finite (NaN or infinity); "
                "the training that wrote it went wrong. Use an earlier file of it."
            )
