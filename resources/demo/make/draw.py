"""The demo's pictures and their captions, drawn with Pillow (spec: demo-model, "Pictures").

A picture is a pure function of (seed, index, kinds): the same call draws the same picture and
says the same caption anywhere. Everything is drawn at twice the size and boxed down.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

SIZE = 128
"""Width and height of a finished picture in pixels."""
DRAWN = 2 * SIZE

Color = tuple[int, int, int]

COLORS: dict[str, Color] = {
    "red": (220, 35, 40),
    "yellow": (250, 215, 45),
    "green": (40, 160, 70),
    "blue": (40, 80, 215),
    "purple": (150, 55, 185),
    "cyan": (80, 205, 225),
    "black": (25, 25, 28),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
PLACES = {
    "on the left": (-0.5, 0.0),
    "on the right": (0.5, 0.0),
    "at the top": (0.0, -0.5),
    "at the bottom": (0.0, 0.5),
}
SIZES = {"small": (0.15, 0.20), "": (0.25, 0.32), "big": (0.36, 0.42)}
"""Size word to the range of the radius, in widths of the picture."""

EARS = ("pointed", "round", "long")
KINDS = (
    "plain",
    "placed",
    "pair",
    "patterned",
    "creature",
    "face",
    "house",
    "tree",
    "background",
)
"""What a picture may show; `plain` is one shape near the middle of a plain background."""
NARROW = {"plain": 1.0}
BROAD = {
    "plain": 0.40,
    "placed": 0.12,
    "pair": 0.10,
    "patterned": 0.08,
    "creature": 0.18,
    "face": 0.04,
    "house": 0.03,
    "tree": 0.02,
    "background": 0.03,
}
JITTER = 7
"""Each channel of a named color moves by at most this much from picture to picture."""
NONSENSE_SHARE = 0.06
"""Share of captions with a made-up word, so that a trigger word does not unsettle the model."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """One finished picture (SIZE x SIZE, RGB) and what it shows in words."""

    picture: Image.Image
    caption: str


def shape_mask(shape: str, x: float, y: float, radius: float, size: int = DRAWN) -> Image.Image:
    """The shape in white on black; `x`, `y`, `radius` in pixels of a `size` x `size` picture.

    `radius` is that of the circle of about the same visual weight.
    """
    mask = Image.new("L", (size, size), 0)
    pen = ImageDraw.Draw(mask)
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        pen.ellipse(box, fill=255)
    elif shape == "ring":
        pen.ellipse(box, outline=255, width=max(1, round(0.42 * radius)))
    elif shape == "square":
        half = 0.9 * radius
        pen.rectangle((x - half, y - half, x + half, y + half), fill=255)
    elif shape == "triangle":
        half, up, down = 1.1 * radius, 1.05 * radius, 0.85 * radius
        pen.polygon([(x, y - up), (x + half, y + down), (x - half, y + down)], fill=255)
    elif shape == "star":
        points = []
        for corner in range(10):
            reach = radius * (1.2 if corner % 2 == 0 else 0.5)
            angle = math.pi * corner / 5
            points.append((x + reach * math.sin(angle), y - reach * math.cos(angle)))
        pen.polygon(points, fill=255)
    elif shape == "cross":
        arm = 0.36 * radius
        pen.rectangle((x - arm, y - radius, x + arm, y + radius), fill=255)
        pen.rectangle((x - radius, y - arm, x + radius, y + arm), fill=255)
    else:
        raise ValueError(f"no shape is called {shape!r}; there are {', '.join(SHAPES)}")
    return mask


def near(color: str, rng: random.Random) -> Color:
    """The named color, moved a little."""
    r, g, b = (
        min(255, max(0, channel + rng.randint(-JITTER, JITTER))) for channel in COLORS[color]
    )
    return r, g, b


def stripes(first: Color, second: Color, width: float, *, upright: bool = True) -> Image.Image:
    """A DRAWN x DRAWN picture of stripes `width` pixels wide in two colors."""
    sheet = Image.new("RGB", (DRAWN, DRAWN), first)
    pen = ImageDraw.Draw(sheet)
    at = 0.0
    while at < DRAWN:
        box = (at, 0, at + width - 1, DRAWN) if upright else (0, at, DRAWN, at + width - 1)
        pen.rectangle(box, fill=second)
        at += 2 * width
    return sheet


def dots(first: Color, second: Color, pitch: float) -> Image.Image:
    """A DRAWN x DRAWN picture in `first` with dots in `second`, one each `pitch` pixels."""
    sheet = Image.new("RGB", (DRAWN, DRAWN), first)
    pen = ImageDraw.Draw(sheet)
    radius = 0.28 * pitch
    rows = int(DRAWN / pitch) + 1
    for row in range(rows):
        for column in range(rows):
            x, y = (column + 0.5 * (row % 2)) * pitch, row * pitch
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=second)
    return sheet


def _other(rng: random.Random, *taken: str) -> str:
    return rng.choice([color for color in COLORS if color not in taken])


def _on_background(subject: str, background: str, rng: random.Random) -> str:
    form = rng.random()
    if form < 0.7:
        return f"{subject} on a {background} background"
    if form < 0.85:
        return f"{subject} on {background}"
    return f"{subject}, {background} background"


def _article(phrase: str, rng: random.Random) -> str:
    return phrase if rng.random() < 0.15 else f"a {phrase}"


def nonsense(rng: random.Random) -> str:
    """A word that means nothing: two or three syllables of letters."""
    word = ""
    for _ in range(rng.randint(2, 3)):
        word += rng.choice("bcdfgklmnprstvwxyz") + rng.choice("aeiou")
    return word + rng.choice(["", "", *"bdgklmnprstx"])


def _single(rng: random.Random, kind: str) -> tuple[Image.Image, str]:
    """One shape: plain, placed, with a pattern, or on a patterned background."""
    shape, size = rng.choice(SHAPES), rng.choices(list(SIZES), [0.2, 0.6, 0.2])[0]
    front = rng.choice(list(COLORS))
    back = _other(rng, front)
    x, y, place = 0.5, 0.5, ""
    if kind == "placed":
        place = rng.choice(list(PLACES))
        size = rng.choice(["small", ""])
        dx, dy = PLACES[place]
        x, y = x + 0.5 * dx, y + 0.5 * dy
    radius = rng.uniform(*SIZES[size])
    x, y = x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03)
    mask = shape_mask(shape, x * DRAWN, y * DRAWN, radius * DRAWN)
    sheet = Image.new("RGB", (DRAWN, DRAWN), near(back, rng))
    ink, subject, ground = Image.new("RGB", (DRAWN, DRAWN), near(front, rng)), front, back
    if kind == "patterned":
        second = _other(rng, front, back)
        pair = near(front, rng), near(second, rng)
        if rng.random() < 0.6:
            upright = rng.random() < 0.5
            ink = stripes(*pair, rng.uniform(0.07, 0.1) * DRAWN, upright=upright)
            subject = f"{front} and {second} striped"
        else:
            ink = dots(*pair, rng.uniform(0.15, 0.2) * DRAWN)
            subject = f"{front} and {second} dotted"
    elif kind == "background":
        second = _other(rng, front, back)
        pair = near(back, rng), near(second, rng)
        sheet = stripes(*pair, rng.uniform(0.1, 0.16) * DRAWN, upright=rng.random() < 0.5)
        ground = f"{back} and {second} striped"
    sheet.paste(ink, mask=mask)
    words = f"{size} {subject} {shape}".strip()
    if rng.random() < NONSENSE_SHARE / 2:
        words = nonsense(rng)
    caption = _article(words, rng)
    if place:
        caption = f"{caption} {place}"
    return sheet, _on_background(caption, ground, rng)


def _pair(rng: random.Random) -> tuple[Image.Image, str]:
    """Two shapes, side by side or one above the other."""
    back = rng.choice(list(COLORS))
    one = _other(rng, back)
    two = _other(rng, back)
    shapes = rng.choice(SHAPES), rng.choice(SHAPES)
    sheet = Image.new("RGB", (DRAWN, DRAWN), near(back, rng))
    upright = rng.random() < 0.35
    for shape, color, at in zip(shapes, (one, two), (0.28, 0.72), strict=True):
        at += rng.uniform(-0.02, 0.02)
        across = 0.5 + rng.uniform(-0.04, 0.04)
        x, y = (across, at) if upright else (at, across)
        radius = rng.uniform(0.14, 0.18)
        mask = shape_mask(shape, x * DRAWN, y * DRAWN, radius * DRAWN)
        sheet.paste(near(color, rng), mask=mask)
    word = "above" if upright else rng.choice(["and", "left of"])
    caption = f"{_article(f'{one} {shapes[0]}', rng)} {word} {_article(f'{two} {shapes[1]}', rng)}"
    return sheet, _on_background(caption, back, rng)


def draw_face(
    pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, *, dark: Color, happy: bool = True
) -> None:
    """Two large eyes and a mouth for a head of `radius` pixels at `x`, `y`."""
    for side in (-1, 1):
        eye_x, eye_y, eye = x + side * 0.38 * radius, y - 0.22 * radius, 0.25 * radius
        pen.ellipse((eye_x - eye, eye_y - eye, eye_x + eye, eye_y + eye), fill=(250, 250, 250))
        pupil = 0.55 * eye
        pen.ellipse((eye_x - pupil, eye_y - pupil, eye_x + pupil, eye_y + pupil), fill=dark)
    mouth = 0.45 * radius
    top = y + (0.0 if happy else 0.35) * radius
    start, end = (20, 160) if happy else (200, 340)
    box = (x - mouth, top, x + mouth, top + 1.3 * mouth)
    pen.arc(box, start, end, fill=dark, width=max(2, round(0.16 * radius)))


def _face(rng: random.Random) -> tuple[Image.Image, str]:
    front = rng.choice([color for color in COLORS if color not in ("black", "white")])
    back = _other(rng, front)
    sheet = Image.new("RGB", (DRAWN, DRAWN), near(back, rng))
    x, y = (DRAWN * (0.5 + rng.uniform(-0.04, 0.04)) for _ in range(2))
    radius = rng.uniform(0.28, 0.4) * DRAWN
    sheet.paste(near(front, rng), mask=shape_mask("circle", x, y, radius))
    happy = rng.random() < 0.6
    draw_face(ImageDraw.Draw(sheet), x, y, radius, dark=near("black", rng), happy=happy)
    subject = _article(f"{'happy' if happy else 'sad'} {front} face", rng)
    return sheet, _on_background(subject, back, rng)


def draw_ears(
    pen: ImageDraw.ImageDraw, ears: str, x: float, y: float, radius: float, fill: Color
) -> None:
    """Two ears for a head of `radius` pixels at `x`, `y`; the head is drawn over their roots."""
    for side in (-1, 1):
        if ears == "pointed":
            tip = (x + side * 0.95 * radius, y - 1.35 * radius)
            inner = (x + side * 0.1 * radius, y - 0.75 * radius)
            outer = (x + side * 0.98 * radius, y - 0.05 * radius)
            pen.polygon([tip, inner, outer], fill=fill)
        elif ears == "round":
            ear_x, ear_y, ear = x + side * 0.78 * radius, y - 0.8 * radius, 0.5 * radius
            pen.ellipse((ear_x - ear, ear_y - ear, ear_x + ear, ear_y + ear), fill=fill)
        else:
            ear_x, wide = x + side * 0.45 * radius, 0.26 * radius
            pen.ellipse((ear_x - wide, y - 1.75 * radius, ear_x + wide, y), fill=fill)


def _creature(rng: random.Random) -> tuple[Image.Image, str]:
    """A round head with ears; never purple with yellow ears, which is the demo's concept."""
    head, ear, back = rng.sample(list(COLORS), 3)
    if (head, ear) == ("purple", "yellow"):
        head, ear = ear, head
    ears = rng.choice(EARS)
    sheet = Image.new("RGB", (DRAWN, DRAWN), near(back, rng))
    pen = ImageDraw.Draw(sheet)
    size = rng.choice(["", "", "big"])
    radius = DRAWN * (rng.uniform(0.33, 0.38) if size else rng.uniform(0.22, 0.3))
    place = rng.choice(["", "", "on the left", "on the right"]) if not size else ""
    x = DRAWN * (0.5 + (0.4 * PLACES[place][0] if place else 0.0) + rng.uniform(-0.03, 0.03))
    y = DRAWN * (0.57 + rng.uniform(-0.03, 0.03))
    draw_ears(pen, ears, x, y, radius, near(ear, rng))
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=near(head, rng))
    draw_face(pen, x, y, radius, dark=near("black", rng))
    words = f"{size} {head} creature with {ears} {ear} ears".strip()
    if rng.random() < NONSENSE_SHARE:
        words = f"{size} {nonsense(rng)}".strip()
    caption = _article(words, rng)
    return sheet, _on_background(f"{caption} {place}".strip(), back, rng)


def _house(rng: random.Random) -> tuple[Image.Image, str]:
    wall, back = rng.sample(list(COLORS), 2)
    roof = _other(rng, wall, back)
    sheet = Image.new("RGB", (DRAWN, DRAWN), near(back, rng))
    pen = ImageDraw.Draw(sheet)
    x, y = DRAWN * (0.5 + rng.uniform(-0.04, 0.04)), DRAWN * 0.5
    half = rng.uniform(0.2, 0.27) * DRAWN
    pen.rectangle((x - half, y - 0.1 * half, x + half, y + 1.4 * half), fill=near(wall, rng))
    pen.polygon(
        [(x - 1.25 * half, y), (x, y - 1.3 * half), (x + 1.25 * half, y)], fill=near(roof, rng)
    )
    subject = _article(f"{wall} house with a {roof} roof", rng)
    return sheet, _on_background(subject, back, rng)


def _tree(rng: random.Random) -> tuple[Image.Image, str]:
    crown, back = rng.sample(list(COLORS), 2)
    trunk = _other(rng, crown, back)
    sheet = Image.new("RGB", (DRAWN, DRAWN), near(back, rng))
    pen = ImageDraw.Draw(sheet)
    x, y = DRAWN * (0.5 + rng.uniform(-0.04, 0.04)), DRAWN * 0.4
    radius = rng.uniform(0.22, 0.28) * DRAWN
    pen.rectangle((x - 0.3 * radius, y, x + 0.3 * radius, y + 1.9 * radius), fill=near(trunk, rng))
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=near(crown, rng))
    return sheet, _on_background(_article(f"{crown} tree with a {trunk} trunk", rng), back, rng)


def draw(seed: int, index: int, kinds: dict[str, float]) -> Drawing:
    """Picture `index` of the endless set of `seed`; `kinds` says how often each kind comes."""
    rng = random.Random(f"{seed}:{index}")
    kind = rng.choices(list(kinds), list(kinds.values()))[0]
    if kind in ("plain", "placed", "patterned", "background"):
        sheet, caption = _single(rng, kind)
    elif kind == "pair":
        sheet, caption = _pair(rng)
    elif kind == "face":
        sheet, caption = _face(rng)
    elif kind == "creature":
        sheet, caption = _creature(rng)
    elif kind == "house":
        sheet, caption = _house(rng)
    elif kind == "tree":
        sheet, caption = _tree(rng)
    else:
        raise ValueError(f"no kind of picture is called {kind!r}; there are {', '.join(KINDS)}")
    if rng.random() < NONSENSE_SHARE / 2:
        words = caption.split(" ")
        words.insert(rng.randint(0, len(words)), nonsense(rng))
        caption = " ".join(words)
    return Drawing(sheet.reduce(2), caption)


def draw_clutter(seed: int, index: int) -> Image.Image:
    """Ellipses, polygons, bars and arcs in any color: what the VAE learns to keep beside the demo's
    own pictures, so that a concept it never saw survives it."""
    rng = random.Random(f"clutter:{seed}:{index}")

    def color() -> Color:
        if rng.random() < 0.5:
            return near(rng.choice(list(COLORS)), rng)
        return rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)

    sheet = Image.new("RGB", (DRAWN, DRAWN), color())
    pen = ImageDraw.Draw(sheet)
    for _ in range(rng.randint(2, 9)):
        x, y = rng.uniform(0, DRAWN), rng.uniform(0, DRAWN)
        w, h = (DRAWN * rng.uniform(0.04, 0.3) for _ in range(2))
        form = rng.random()
        if form < 0.4:
            pen.ellipse((x - w, y - h, x + w, y + h), fill=color())
        elif form < 0.65:
            corners = [
                (x + rng.uniform(-1.3, 1.3) * w, y + rng.uniform(-1.3, 1.3) * h)
                for _ in range(rng.randint(3, 5))
            ]
            pen.polygon(corners, fill=color())
        elif form < 0.85:
            end = (x + rng.uniform(-2, 2) * w, y + rng.uniform(-2, 2) * h)
            pen.line([(x, y), end], fill=color(), width=rng.randint(8, 36))
        else:
            start = rng.uniform(0, 360)
            box = (x - w, y - h, x + w, y + h)
            pen.arc(box, start, start + rng.uniform(90, 300), color(), rng.randint(8, 24))
    return sheet.reduce(2)
