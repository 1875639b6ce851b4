"""Does a picture show what its prompt says? (spec: demo-model, "The check")

The median of the border is the background; pixels far from it are the shape; both colors go to
the nearest named one; the shape's mask, cut to its box, is compared with templates of each shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from resources.demo.make.draw import COLORS, SHAPES, shape_mask

FAR = 45
"""Distance in RGB from the background's color at which a pixel belongs to the shape."""
TEMPLATE = 48
"""Width and height to which masks and templates are brought, in pixels."""
LEAST_IOU = 0.7
PROMPTS = 32

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Subject:
    """One shape on a plain background, in words."""

    shape: str
    front: str
    back: str

    @property
    def prompt(self) -> str:
        """The subject as a caption."""
        return f"a {self.front} {self.shape} on a {self.back} background"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What of a picture is right."""

    shape: bool
    front: bool
    back: bool

    @property
    def right(self) -> bool:
        """All three."""
        return self.shape and self.front and self.back


def subjects() -> list[Subject]:
    """The 32 subjects: every shape in turn, every color on either side, no color on itself."""
    names = list(COLORS)
    found = []
    for number in range(PROMPTS):
        shape = SHAPES[number % len(SHAPES)]
        front = names[number % len(names)]
        step = 1 + (number // len(names) * 2 + number) % (len(names) - 1)
        found.append(Subject(shape, front, names[(number + step) % len(names)]))
    return found


def nearest_color(rgb: NDArray[np.float64]) -> str:
    """The named color nearest to `rgb` (3,)."""
    return min(COLORS, key=lambda name: float(np.square(rgb - np.array(COLORS[name])).sum()))


def split(picture: Image.Image) -> tuple[Bits, NDArray[np.float64]]:
    """The mask (h, w) of what differs from the border, and the border's median color (3,)."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)
    edge = 6
    inner = np.zeros(pixels.shape[:2], dtype=bool)
    inner[edge:-edge, edge:-edge] = True
    back = np.median(pixels[~inner], axis=0)
    far = np.sqrt(np.square(pixels - back).sum(axis=2)) > FAR
    smoothed = Image.fromarray(far.astype(np.uint8) * 255).filter(ImageFilter.MedianFilter(5))
    return np.asarray(smoothed) > 127, back


def boxed(mask: Bits) -> Bits:
    """The mask cut to its box, padded to a square, at TEMPLATE x TEMPLATE; all false when empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return np.zeros((TEMPLATE, TEMPLATE), dtype=bool)
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(cut.shape)
    square = Image.new("L", (side, side), 0)
    at = ((side - cut.shape[1]) // 2, (side - cut.shape[0]) // 2)
    square.paste(Image.fromarray(cut.astype(np.uint8) * 255), at)
    return np.asarray(square.resize((TEMPLATE, TEMPLATE), Image.Resampling.BOX)) > 127


@cache
def templates() -> dict[str, list[Bits]]:
    """Each shape as a perfect mask and as the VAE leaves it: blurred at several strengths."""
    found: dict[str, list[Bits]] = {}
    for shape in SHAPES:
        found[shape] = []
        for radius in (20, 36):
            for blur in (0, 2, 4):
                mask = shape_mask(shape, 64, 64, radius, 128)
                mask = mask.filter(ImageFilter.GaussianBlur(blur))
                found[shape].append(boxed(np.asarray(mask) > 127))
    return found


def overlap(one: Bits, other: Bits) -> float:
    """Intersection over union."""
    union = np.logical_or(one, other).sum()
    return float(np.logical_and(one, other).sum() / union) if union else 0.0


def judge(picture: Image.Image, subject: Subject) -> Verdict:
    """Compare a picture with what it should show."""
    mask, back = split(picture)
    if not mask.any():
        return Verdict(False, False, nearest_color(back) == subject.back)
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)
    core = np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MinFilter(5))) > 127
    front = np.median(pixels[core if core.sum() > 20 else mask], axis=0)
    cut = boxed(mask)
    scores = {
        shape: max(overlap(cut, template) for template in kinds)
        for shape, kinds in templates().items()
    }
    best = max(scores, key=lambda shape: scores[shape])
    return Verdict(
        best == subject.shape and scores[best] > LEAST_IOU,
        nearest_color(front) == subject.front,
        nearest_color(back) == subject.back,
    )
