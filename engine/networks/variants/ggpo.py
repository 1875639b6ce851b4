"""GGPO: noise on the adapted weight, shaped by weights and gradients (spec: networks 7).

In training each layer adds x·Pᵀ, P = N(0, 1) ∘ f·(σ·c + β·g²) by rows, with f = 1/√O, c the norm of
a typical row of W joined with that of up·down, and g the row norm of the product's gradient. As in
sd-scripts up·down goes in without its scale, and P is added without it: the usual σ and β were
found that way.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.plan.keys import key

SAMPLED_ROWS = 1000


class WeightNoise(nn.Module):
    """What one adapter's noise depends on; all of it goes into a run's state.

    Attributes:
        typical: mean norm of the host's rows.
        combined: c, (O,).
        gradient: g, (O,).
        ready: becomes true with the first gradients.
        product: row norms of up·down, (O,); only told, and so not kept.
    """

    typical: Tensor
    combined: Tensor
    gradient: Tensor
    ready: Tensor
    product: Tensor

    def __init__(self, rows: int, sigma: float, beta: float) -> None:
        super().__init__()
        self.sigma, self.beta, self.rows = sigma, beta, rows
        self.register_buffer("typical", torch.zeros(()))
        self.register_buffer("combined", torch.zeros(rows))
        self.register_buffer("gradient", torch.zeros(rows))
        self.register_buffer("ready", torch.zeros(()))
        self.register_buffer("product", torch.zeros(rows), persistent=False)

    def meet(self, row_norms: Tensor, seed: str) -> None:
        """Take the mean of up to 1000 of the host's row norms, drawn by the adapter's name."""
        generator = torch.Generator().manual_seed(key("ggpo", seed))
        chosen = torch.randperm(len(row_norms), generator=generator)[:SAMPLED_ROWS]
        self.typical.fill_(row_norms[chosen.to(row_norms.device)].mean())

    @torch.no_grad()
    def measure(self, down: Tensor, up: Tensor, gdown: Tensor, gup: Tensor, scale: float) -> None:
        """Take new norms after a backward pass, from factors (r, I), (O, r) and their gradients.

        Never forms a full-size product: for C = [up ∂up] and D = [∂down; down] the squared row
        norms of C·D are the row sums of (C·DDᵀ) ∘ C.
        """
        down, up, gdown, gup = (t.float() for t in (down, up, gdown, gup))
        self.gradient.copy_(scale * _row_norms(torch.cat([gdown, down]), torch.cat([up, gup], 1)))
        self.product.copy_(_row_norms(down, up))
        self.combined.copy_((self.typical.square() + self.product.square()).sqrt())
        self.ready.fill_(1)

    def strengths(self) -> Tensor:
        """Return the deviation of P for each of the site's rows; 0 before the first gradients."""
        strength = self.sigma * self.combined + self.beta * self.gradient.square()
        return strength * self.ready / self.rows**0.5

    @staticmethod
    def draw(strengths: Tensor, inputs: torch.Size, x: Tensor) -> Tensor:
        """Draw P, (rows, *inputs), for an input x."""
        noise = torch.randn(len(strengths), *inputs, device=x.device)
        return (noise * strengths.view(-1, *(1,) * len(inputs))).to(x.dtype)


@torch.no_grad()
def mean_norms(each: Sequence[WeightNoise]) -> dict[str, float]:
    """Return what curves show: the mean over adapters of the means of their rows.

    All are fetched at once: one wait for the device. Empty without adapters.
    """
    if not each:
        return {}
    means = [torch.stack([n.product.mean(), n.gradient.mean(), n.combined.mean()]) for n in each]
    key_norm, gradient, combined = torch.stack(means).mean(0).tolist()
    return {
        "avg_key_norm": key_norm, "avg_grad_norm": gradient, "avg_combined_norm": combined
    }  # fmt: skip


def _row_norms(down: Tensor, up: Tensor) -> Tensor:
    """Norms of the rows of up·down, (O,)."""
    return ((up @ (down @ down.t())) * up).sum(1).clamp(min=0).sqrt()
