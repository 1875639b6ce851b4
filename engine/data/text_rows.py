"""Encoded captions of different lengths: cut to what the mask keeps, padded when put together.

A tensor `X` with an `X_mask` beside it is padded on the right along its first dimension (its
captions' dimension aside); see `engine.architectures.architecture.Text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

MASK = "_mask"


def trimmed(row: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One caption's tensors without the padding that their masks show; one row stays at least."""
    cut = dict(row)
    for name, mask in row.items():
        if not name.endswith(MASK):
            continue
        seen = mask.nonzero()
        length = max(1, int(seen.max()) + 1 if len(seen) else 0)
        for each in (name, name.removesuffix(MASK)):
            if each in cut:
                cut[each] = row[each][:length]
    return cut


def together(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stack captions' tensors, shorter ones padded with zeros to the longest."""
    return {name: _stacked([row[name] for row in rows]) for name in rows[0]}


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    if all(t.shape == tensors[0].shape for t in tensors):
        return torch.stack(list(tensors))
    longest = max(len(t) for t in tensors)
    after = (0, 0) * (tensors[0].dim() - 1)
    return torch.stack([functional.pad(t, (*after, 0, longest - len(t))) for t in tensors])
