"""split_qkv: the parts of a fused layer have factors of their own (spec: networks 6).

`down` holds the parts' factors one below the other, (n·r, I); `up` is (O, r): every row belongs to
one part. In the file stands the same as one adapter: `up` block-diagonal, (O, n·r).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Rows = tuple[int, int]


def block_diagonal(up: Tensor, parts: Sequence[Rows]) -> Tensor:
    """Spread (O, r) to (O, n·r): each part's rows in the columns of its own directions."""
    rank = up.shape[1]
    spread = up.new_zeros(up.shape[0], rank * len(parts), *up.shape[2:])
    for part, (start, stop) in enumerate(parts):
        spread[start:stop, part * rank : (part + 1) * rank] = up[start:stop]
    return spread


def is_block_diagonal(up: Tensor, parts: Sequence[Rows]) -> bool:
    """Say whether (O, n·r) has numbers only where `block_diagonal` puts them."""
    count = len(parts)
    if up.shape[1] % count:
        return False
    rank = up.shape[1] // count
    for part, (start, stop) in enumerate(parts):
        rows = up[start:stop]
        if rows[:, : part * rank].any() or rows[:, (part + 1) * rank :].any():
            return False
    return True


def part_factors(down: Tensor, up: Tensor, parts: Sequence[Rows]) -> list[tuple[Tensor, Tensor]]:
    """Take one adapter of a fused layer apart: `down` and `up` of every part, same scale.

    Block-diagonal factors fall into n of rank r/n; of others each part keeps the whole `down`, so
    that nothing is lost.
    """
    if not is_block_diagonal(up, parts):
        return [(down, up[start:stop]) for start, stop in parts]
    rank = up.shape[1] // len(parts)
    spans = [slice(part * rank, (part + 1) * rank) for part in range(len(parts))]
    return [
        (down[span], up[start:stop, span]) for span, (start, stop) in zip(spans, parts, strict=True)
    ]


def joined(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Stack the parts' factors as an adapter holds them: (n·r, I) and (O, r)."""
    return torch.cat([down for down, _ in pairs]), torch.cat([up for _, up in pairs])
