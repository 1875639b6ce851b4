"""A micro-batch as the loop sees it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.plan.buckets import Size
from engine.plan.order import Sample


@dataclass
class Batch:
    """Samples of one bucket with everything a forward pass needs; tensors are on the CPU.

    Attributes:
        pixels: (b, 3, H, W) float32 in [-1, 1], or None where latents are kept.
        latents: (b, c, h, w) float32, the VAE's mean, unscaled, or None.
        captions: the final text of each sample.
        text: the encoded captions, each tensor with the samples first, or None to encode them.
        mask: (b, 1, H, W) float32 in [0, 1], 1 is learned; None where everything is.
        weights: (b,) float32, each sample's part in the loss.
        preserve_prior: (b,) bool, learns the model's own answer instead of the noise.
        samples: the samples themselves.
        epoch: counted from 1; 0 in batches for measuring.
        original_sizes: the pictures' sizes before scaling.
    """

    pixels: Tensor | None
    latents: Tensor | None
    captions: list[str]
    text: dict[str, Tensor] | None
    mask: Tensor | None
    weights: Tensor
    preserve_prior: Tensor
    samples: tuple[Sample, ...]
    epoch: int
    original_sizes: list[Size]

    @property
    def noise_keys(self) -> list[tuple[str, int]]:
        """(relative path, repeat) of each sample: with seed and epoch the key of its noise."""
        return [(sample.relative_path, sample.repeat) for sample in self.samples]

    @property
    def crops(self) -> list[Size]:
        """Left and top of each sample's crop, in pixels of the scaled picture."""
        return [sample.crop for sample in self.samples]

    @property
    def sizes(self) -> Tensor:
        """(b, 6) float32: original height and width, top and left of the crop, bucket's height and
        width, as SDXL is told them (spec: training-sd-flux 2).
        """
        rows = []
        for sample, (width, height) in zip(self.samples, self.original_sizes, strict=True):
            left, top = sample.crop
            if sample.flip:  # the crop's left edge in the mirrored picture
                left = sample.resized[0] - sample.bucket[0] - left
            rows.append((height, width, top, left, sample.bucket[1], sample.bucket[0]))
        return torch.tensor(rows, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True)
class PlannedStep:
    """One optimizer update for this rank.

    Attributes:
        step: updates done before it.
        epoch: counted from 1.
        micros: this rank's micro-batches, possibly none.
        samples: how many samples the whole step has, over all ranks.
    """

    step: int
    epoch: int
    micros: list[Batch]
    samples: int
