"""LoHa, LoKr and full differences, read as the LoRA they are equal to (LyCORIS' file formats).

A product of two low-rank matrices, element by element or as a Kronecker product, has low rank
itself, and its factors follow from theirs; so such files act, merge and convert as any other. They
are read, not trained.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from engine.networks.factors import Factors

LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
LOKR = ("lokr_w1", "lokr_w1_a", "lokr_w2", "lokr_w2_a")
FULL, BIAS = "diff", "diff_b"
KINDS = frozenset((*LOHA, "hada_t1", "hada_t2", *LOKR, "lokr_w1_b", "lokr_w2_b", "lokr_t2", FULL))
"""Endings that are read here."""

Pair = tuple[Tensor, Tensor]
"""Two matrices whose product is meant."""


def factors_of(tensors: Mapping[str, Tensor], alpha: float) -> Factors | None:
    """The LoRA that a layer's tensors are equal to; None if they are none of these kinds.

    Args:
        tensors: by the endings of their keys.
        alpha: as the file has it, 0 if it has none.

    Raises:
        KeyError: a tensor is missing.
        RuntimeError: the shapes do not go together.
    """
    if any(kind in tensors for kind in LOHA):
        return _loha(tensors, alpha)
    if any(kind in tensors for kind in LOKR):
        return _lokr(tensors, alpha)
    if FULL in tensors:
        pair = _smaller(tensors[FULL].float().flatten(1))
        return Factors(pair[1], pair[0], float(pair[1].shape[0]))
    return None


def _loha(tensors: Mapping[str, Tensor], alpha: float) -> Factors:
    """(A₁B₁) ∘ (A₂B₂): its directions are the products of each of one with each of the other."""
    up_1, down_1, up_2, down_2 = (tensors[kind].float() for kind in LOHA)
    rank = down_1.shape[0]
    scale = alpha / rank if alpha else 1.0
    if "hada_t1" in tensors:
        first = _core(tensors["hada_t1"], up_1, down_1)
        second = _core(tensors["hada_t2"], up_2, down_2)
        up, down = _smaller((first * second).flatten(1))
    else:
        up = (up_1[:, :, None] * up_2[:, None, :]).flatten(1)
        down = (down_1[:, None, :] * down_2[None, :, :]).flatten(0, 1)
        outputs, inputs = up.shape[0], down.shape[1]
        if down.shape[0] * (outputs + inputs) > min(outputs, inputs) * (outputs + inputs):
            up, down = _smaller((up_1 @ down_1) * (up_2 @ down_2))
    return Factors(down, up, scale * down.shape[0])


def _lokr(tensors: Mapping[str, Tensor], alpha: float) -> Factors:
    """W₁ ⊗ W₂ = (P₁ ⊗ P₂)(Q₁ ⊗ Q₂) for W₁ = P₁Q₁ and W₂ = P₂Q₂."""
    first, rank_1 = _kron_part(tensors, "lokr_w1")
    second, rank_2 = _kron_part(tensors, "lokr_w2")
    rank = rank_1 or rank_2
    scale = alpha / rank if alpha and rank else 1.0  # two whole matrices are taken as they are
    up = torch.kron(first[0].contiguous(), second[0].contiguous())
    down = torch.kron(first[1].contiguous(), second[1].contiguous())
    return Factors(down, up, scale * down.shape[0])


def _kron_part(tensors: Mapping[str, Tensor], name: str) -> tuple[Pair, int]:
    """One side of the product as two matrices, and the rank it was given, 0 if it is whole."""
    whole = tensors.get(name)
    if whole is not None:
        return _smaller(whole.float().flatten(1)), 0
    up, down = tensors[f"{name}_a"].float(), tensors[f"{name}_b"].float()
    if "lokr_t2" in tensors and name == "lokr_w2":
        return _smaller(_core(tensors["lokr_t2"], up, down).flatten(1)), down.shape[0]
    return (up, down.flatten(1)), down.shape[0]


def _core(core: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """A convolution out of its core (r, r, k, k), up (r, O) and down (r, I): (O, I, k, k)."""
    return torch.einsum("ijyx,ip,jr->pryx", core.float(), up, down)


def _smaller(whole: Tensor) -> Pair:
    """A whole matrix as a product with the identity on its shorter side."""
    rows, columns = whole.shape
    if rows < columns:
        return torch.eye(rows), whole
    return whole, torch.eye(columns)
