"""Aspect-ratio buckets: which sizes there are, and how a picture comes to one (data-loop 2.1, 2.2).

All sizes are (width, height) in pixels. A picture is scaled to cover its bucket, then cropped.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

from engine.schema.dataset import Dataset

Size = tuple[int, int]


@dataclass(frozen=True)
class Fit:
    """How a picture comes to its bucket: scaled to `resized`, then cut at `crop` (left, top)."""

    bucket: Size
    resized: Size
    crop: Size

    @property
    def loss(self) -> float:
        """Share of the scaled picture's area that the crop cuts off."""
        return 1 - math.prod(self.bucket) / math.prod(self.resized)

    def scale(self, picture: Size) -> float:
        """How much the picture is enlarged (above 1) or shrunk."""
        return max(self.resized[0] / picture[0], self.resized[1] / picture[1])


@dataclass(frozen=True)
class BucketRules:
    """Everything that decides a picture's bucket at one resolution."""

    resolution: Size
    step: int = 64
    minimum: int = 256
    maximum: int = 1024
    rule: str = "balanced"  # or "ratio", as sd-scripts chooses
    upscale: bool = True
    enabled: bool = True

    @property
    def area(self) -> int:
        """The number of pixels that every bucket keeps within."""
        return math.prod(self.resolution)


@lru_cache(maxsize=64)
def parse_resolution(text: str) -> Size:
    """Read "512" as a square, "512x768" as width and height.

    Raises:
        ValueError: for any other text.
    """
    match = re.fullmatch(r"\s*(\d+)\s*(?:[x×]\s*(\d+)\s*)?", text)
    if match is None:
        raise ValueError(f"'{text}' is not a size: write 512 or 512x768")
    width = int(match[1])
    return width, int(match[2] or width)


def rules_of(dataset: Dataset) -> tuple[BucketRules, ...]:
    """The rules of every resolution of a job.

    A shortest side above the resolution would leave no bucket (the default of 256 at 128 px), so
    it is lowered to half the resolution's shorter side. The longest is twice the resolution's
    longer one unless it is given.
    """
    return tuple(_rules(dataset, parse_resolution(text)) for text in dataset.resolution)


def _rules(dataset: Dataset, resolution: Size) -> BucketRules:
    step, shorter = dataset.bucket_step, min(resolution)
    if not dataset.buckets:
        return BucketRules(resolution, enabled=False)
    minimum = dataset.bucket_min if dataset.bucket_min <= shorter else shorter // 2
    return BucketRules(
        resolution=resolution,
        step=step,
        minimum=max(step, minimum // step * step),
        maximum=max(-(-(dataset.bucket_max or 2 * max(resolution)) // step) * step, step),
        rule=dataset.bucket_rule,
        upscale=dataset.upscale,
    )


@lru_cache(maxsize=32)
def table(rules: BucketRules) -> tuple[Size, ...]:
    """All buckets of a resolution, sorted (spec: data-loop 2.1, step 2)."""
    step, area = rules.step, rules.area
    side = max(math.isqrt(area) // step, 1) * step
    found = {(side, side)}
    for width in range(rules.minimum, rules.maximum + 1, step):
        height = min(rules.maximum, area // width // step * step)
        if height >= rules.minimum:
            found |= {(width, height), (height, width)}
    return tuple(sorted(found))


@lru_cache(maxsize=16384)
def fit(picture: Size, rules: BucketRules) -> Fit:
    """Choose the bucket of a picture, and how it comes to it."""
    if not rules.enabled:
        return _cover(picture, rules.resolution)
    if rules.upscale:
        return _cover(picture, _nearest(picture, rules))
    if rules.rule == "ratio":
        return _shrunk_as_sd_scripts(picture, rules)
    covered = _cover(picture, _nearest(picture, rules))
    return covered if covered.scale(picture) <= 1 else _own_size(picture, rules)


def _nearest(picture: Size, rules: BucketRules) -> Size:
    buckets = table(rules)
    width, height = picture
    if rules.rule == "ratio":
        if picture in buckets:
            return picture
        return min(buckets, key=lambda b: abs(b[0] / b[1] - width / height))

    # Differences of logarithms are equal, bit for bit, for a picture turned by 90°.
    ratio = math.log(width) - math.log(height)
    return min(_by_ratio(rules), key=lambda b: (round(abs(b[0] - ratio), 12), b[1], b[2]))[2]


@lru_cache(maxsize=32)
def _by_ratio(rules: BucketRules) -> tuple[tuple[float, int, Size], ...]:
    """Logarithm of the ratio, minus the area, and the bucket, of all buckets."""
    return tuple((math.log(w) - math.log(h), -w * h, (w, h)) for w, h in table(rules))


def _cover(picture: Size, bucket: Size) -> Fit:
    """Scale to just cover the bucket, and cut the middle."""
    (width, height), (across, down) = picture, bucket
    if width * down > across * height:
        resized = (max(int(width * down / height + 0.5), across), down)
    else:
        resized = (across, max(int(height * across / width + 0.5), down))
    return _centered(bucket, resized)


def _centered(bucket: Size, resized: Size) -> Fit:
    return Fit(bucket, resized, ((resized[0] - bucket[0]) // 2, (resized[1] - bucket[1]) // 2))


def _own_size(picture: Size, rules: BucketRules) -> Fit:
    """Keep a picture that is too small to fill a bucket at its size, cut to whole steps.

    Only a side below one step is enlarged, for a bucket cannot be without pixels.
    """
    step = rules.step
    bucket = tuple(max(min(s, rules.maximum) // step, 1) * step for s in picture)
    if picture[0] >= bucket[0] and picture[1] >= bucket[1]:
        return _centered((bucket[0], bucket[1]), picture)
    return _cover(picture, (bucket[0], bucket[1]))


def _shrunk_as_sd_scripts(picture: Size, rules: BucketRules) -> Fit:
    """Take the picture's own ratio, without a table (spec: data-loop 2.1, step 6)."""
    step = rules.step
    if math.prod(picture) <= rules.area:
        return _own_size(picture, rules)
    ratio = picture[0] / picture[1]
    across = math.sqrt(rules.area * ratio)

    def whole(length: float) -> int:
        return max(int(length + 0.5) // step, 1) * step

    by_width = whole(across)
    by_height = whole(rules.area / across)
    error_by_width = abs(by_width / whole(by_width / ratio) - ratio)
    error_by_height = abs(whole(by_height * ratio) / by_height - ratio)
    if error_by_width < error_by_height:
        resized = (by_width, int(by_width / ratio + 0.5))
    else:
        resized = (int(by_height * ratio + 0.5), by_height)
    return _own_size(resized, rules)
