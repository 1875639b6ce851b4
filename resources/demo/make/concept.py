"""The demo's concept: a creature the base never saw, its pictures, captions and held-out ones."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image, ImageDraw

from resources.demo.make.draw import DRAWN, Drawing, draw, draw_ears, near

TRIGGER = "zibble"
TRAINING, HELD_OUT, PLAIN = 12, 6, 6
BACKGROUNDS = ("green", "white", "blue", "black", "red", "cyan")
VIEWS = (
    ("", "", 0.3, 0.5, 0.53),
    ("big", "", 0.38, 0.5, 0.54),
    ("", "on the left", 0.25, 0.3, 0.53),
    ("", "on the right", 0.25, 0.7, 0.53),
)
"""Size word, place words, radius, x and y in widths of the picture."""


def draw_creature(sheet: Image.Image, x: float, y: float, radius: float) -> None:
    """The creature: a round purple head, two large yellow ears, wide eyes, a yellow snout."""
    pen = ImageDraw.Draw(sheet)
    purple, yellow, white, black = (150, 55, 185), (250, 215, 45), (250, 250, 250), (25, 25, 28)
    draw_ears(pen, "pointed", x, y, radius, yellow)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=purple)
    for side in (-1, 1):
        eye_x, eye_y, eye = x + side * 0.42 * radius, y - 0.2 * radius, 0.33 * radius
        pen.ellipse((eye_x - eye, eye_y - eye, eye_x + eye, eye_y + eye), fill=white)
        pupil = 0.5 * eye
        pen.ellipse((eye_x - pupil, eye_y - pupil, eye_x + pupil, eye_y + pupil), fill=black)
    wide, high = 0.45 * radius, 0.22 * radius
    middle = y + 0.48 * radius
    pen.ellipse((x - wide, middle - high, x + wide, middle + high), fill=yellow)


def draw_concept(number: int) -> Drawing:
    """Concept picture `number`: 0 to 11 are for training, 12 to 17 held out."""
    rng = random.Random(f"concept:{number}")
    background = BACKGROUNDS[number % len(BACKGROUNDS)]
    size, place, radius, x, y = VIEWS[(number + number // len(BACKGROUNDS)) % len(VIEWS)]
    x, y = x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.02, 0.02)
    radius *= rng.uniform(0.94, 1.06)
    sheet = Image.new("RGB", (DRAWN, DRAWN), near(background, rng))
    draw_creature(sheet, x * DRAWN, y * DRAWN, radius * DRAWN)
    words = " ".join(word for word in (size, TRIGGER, place) if word)
    return Drawing(sheet.reduce(2), f"a {words} on a {background} background")


def write_folder(folder: Path, drawings: list[Drawing], name: str) -> None:
    """Leave each drawing as NAME_01.png with its caption in NAME_01.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, drawing in enumerate(drawings, start=1):
        drawing.picture.save(folder / f"{name}_{number:02d}.png", optimize=True)
        text = folder / f"{name}_{number:02d}.txt"
        text.write_text(drawing.caption + "\n", encoding="utf-8")


def write_concept(folder: Path, plain_seed: int = 77) -> None:
    """Write concept/, concept_held_out/ and plain/ into `folder`."""
    drawn = [draw_concept(number) for number in range(TRAINING + HELD_OUT)]
    write_folder(folder / "concept", drawn[:TRAINING], TRIGGER)
    write_folder(folder / "concept_held_out", drawn[TRAINING:], TRIGGER)
    plain = [draw(plain_seed, number, {"plain": 1.0}) for number in range(PLAIN)]
    write_folder(folder / "plain", plain, "plain")
