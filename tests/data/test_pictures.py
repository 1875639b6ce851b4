"""Decoding and placing: every kind of picture comes in as a person sees it (data-loop 1.5)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from engine.data.pictures import as_tensor, open_picture, prepare
from engine.plan.buckets import BucketRules, fit
from engine.plan.folders import Picture
from engine.plan.order import Sample
from engine.plan.picture_header import PictureProblem, picture_size
from engine.schema.dataset import Dataset


def _sample(size: tuple[int, int], bucket: tuple[int, int], *, flip: bool = False,
            crop: tuple[int, int] | None = None) -> Sample:  # fmt: skip
    found = fit(size, BucketRules(bucket, enabled=False))
    return Sample(0, 0, "a.png", 1, 0, found.bucket, found.resized, crop or found.crop, flip)


def _dataset(**folder: object) -> Dataset:
    return Dataset.model_validate({"folders": [{"path": "x", **folder}]})


def test_exif_rotation_is_obeyed(tmp_path: Path) -> None:
    """Acceptance 22: 40×20 with orientation 6 enters as 20×40, the left side on top."""
    image = Image.new("RGB", (40, 20), "white")
    image.paste((255, 0, 0), (0, 0, 10, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "a.png", "a.webp"):
        image.save(tmp_path / name, exif=exif, quality=95)
        assert picture_size(tmp_path / name) == (20, 40), name
        seen, _ = open_picture(tmp_path / name)
        assert seen.size == (20, 40)
        red, green, _ = seen.getpixel((10, 2))  # pyright: ignore[reportGeneralTypeIssues]
        assert red > 200
        assert green < 60


def test_transparency_shows_the_background(tmp_path: Path) -> None:
    """Acceptance 22: the hidden color does not leak."""
    Image.new("RGBA", (8, 8), (10, 200, 30, 0)).save(tmp_path / "a.png")
    assert open_picture(tmp_path / "a.png")[0].getpixel((4, 4)) == (255, 255, 255)
    gray, alpha = open_picture(tmp_path / "a.png", "#808080")
    assert gray.getpixel((4, 4)) == (128, 128, 128)
    assert alpha is not None
    assert alpha.getextrema() == (0, 0)


def test_unusual_pictures_load(tmp_path: Path) -> None:
    """Acceptance 22: 16 bit, palette with transparency, CMYK, gray, animated, any ending's case."""
    sixteen = np.array([[0, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(sixteen).save(tmp_path / "sixteen.png")
    values = np.asarray(open_picture(tmp_path / "sixteen.png")[0])[0, :, 0]
    assert values.tolist() == [0, 128, 255]
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 200, 10, 10])
    palette.save(tmp_path / "palette.png")
    assert open_picture(tmp_path / "palette.png")[0].getpixel((0, 0)) == (200, 10, 10)
    palette.save(tmp_path / "clear.png", transparency=1)
    assert open_picture(tmp_path / "clear.png")[0].getpixel((0, 0)) == (255, 255, 255)
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=95)
    red, green, _ = open_picture(tmp_path / "cmyk.jpg")[0].getpixel((1, 1))  # pyright: ignore[reportGeneralTypeIssues]
    assert red > 200
    assert green < 60
    Image.new("L", (4, 4), 77).save(tmp_path / "Z.Jpg", quality=95)
    assert abs(open_picture(tmp_path / "Z.Jpg")[0].getpixel((1, 1))[0] - 77) <= 1  # pyright: ignore
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert open_picture(tmp_path / "a.gif")[0].getpixel((0, 0)) == (255, 0, 0)


def test_a_color_profile_is_applied(tmp_path: Path) -> None:
    """A picture that says it is sRGB is unchanged; one in LAB-made profile is converted."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", (4, 4), (200, 100, 50))
    image.save(tmp_path / "srgb.png", icc_profile=profile)
    seen = open_picture(tmp_path / "srgb.png")[0].getpixel((0, 0))
    assert np.abs(np.subtract(seen, (200, 100, 50))).max() <= 1  # pyright: ignore
    image.save(tmp_path / "broken.png", icc_profile=b"not a profile")
    assert open_picture(tmp_path / "broken.png")[0].getpixel((0, 0)) == (200, 100, 50)


def test_broken_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("I am no picture")
    with pytest.raises(PictureProblem, match="not a picture but text"):
        picture_size(tmp_path / "text.png")
    (tmp_path / "page.png").write_text("<!doctype html><p>Not found")
    with pytest.raises(PictureProblem, match="web page"):
        picture_size(tmp_path / "page.png")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(PictureProblem, match="empty"):
        picture_size(tmp_path / "empty.png")
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for name in ("cut.jpg", "cut.png", "cut.webp"):
        noise.save(tmp_path / name)
        raw = (tmp_path / name).read_bytes()
        assert picture_size(tmp_path / name) == (64, 64)
        (tmp_path / name).write_bytes(raw[: len(raw) // 2])
        with pytest.raises(PictureProblem, match="cut off|cannot be read"):
            picture_size(tmp_path / name)
        with pytest.raises(PictureProblem, match="decoded"):
            open_picture(tmp_path / name)


def test_a_huge_picture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (20, 20)).save(tmp_path / "huge.png")
    with pytest.raises(PictureProblem, match="too large"):
        picture_size(tmp_path / "huge.png")
    with pytest.raises(PictureProblem, match="too large"):
        open_picture(tmp_path / "huge.png")


def test_crop_and_mirror_to_the_pixel(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(48, dtype=np.uint8)[None, :, None], (32, 1, 3))
    path = tmp_path / "a.png"
    Image.fromarray(ramp).save(path)
    picture = Picture(path, "a.png", 0, (48, 32))
    plain = prepare(picture, _sample((48, 32), (32, 32)), _dataset())
    assert plain.pixels.shape == (32, 32, 3)
    assert plain.pixels[0, :, 0].tolist() == list(range(8, 40))
    assert plain.mask is None
    moved = prepare(picture, _sample((48, 32), (32, 32), crop=(3, 0)), _dataset())
    assert moved.pixels[0, :, 0].tolist() == list(range(3, 35))
    mirrored = prepare(picture, _sample((48, 32), (32, 32), flip=True), _dataset())
    assert mirrored.pixels[0, :, 0].tolist() == list(range(39, 7, -1))


def test_the_mask_follows_crop_and_mirror(tmp_path: Path) -> None:
    """Acceptance 21, for every kind of mask."""
    color = np.full((32, 48, 4), 255, dtype=np.uint8)
    color[:, :16, 3] = 0
    Image.fromarray(color, "RGBA").save(tmp_path / "a.png")
    Image.fromarray(color[:, :, 3]).save(tmp_path / "a-masklabel.png")
    for kind in ("alpha", "file"):
        mask = tmp_path / "a-masklabel.png" if kind == "file" else None
        picture = Picture(tmp_path / "a.png", "a.png", 0, (48, 32), mask=mask)
        plain = prepare(picture, _sample((48, 32), (32, 32)), _dataset(mask=kind)).mask
        assert plain is not None
        assert plain[0].tolist() == [0] * 8 + [255] * 24
        flipped = prepare(picture, _sample((48, 32), (32, 32), flip=True), _dataset(mask=kind)).mask
        assert flipped is not None
        assert flipped[0].tolist() == [255] * 24 + [0] * 8
        turned = _dataset(mask=kind, mask_invert=True)
        inverted = prepare(picture, _sample((48, 32), (32, 32)), turned).mask
        assert inverted is not None
        assert inverted[0].tolist() == [255] * 8 + [0] * 24


def test_a_mask_of_another_size_is_scaled(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    mask = Image.new("L", (16, 16), 0)
    mask.paste(255, (0, 0, 16, 8))
    mask.save(tmp_path / "m.png")
    picture = Picture(tmp_path / "a.png", "a.png", 0, (64, 64), mask=tmp_path / "m.png")
    found = prepare(picture, _sample((64, 64), (64, 64)), _dataset(mask="folder")).mask
    assert found is not None
    assert (found[4, 4], found[60, 4]) == (255, 0)


def test_color_jitter_changes_color_and_nothing_without_draws(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (16, 16), (200, 40, 40)).save(path)
    picture = Picture(path, "a.png", 0, (16, 16))
    still = prepare(picture, _sample((16, 16), (16, 16)), _dataset(color_jitter=1.0)).pixels
    assert np.abs(still.astype(int) - (200, 40, 40)).max() <= 2
    sample = Sample(0, 0, "a.png", 1, 0, (16, 16), (16, 16), (0, 0), False, 1.0, 0.5)
    changed = prepare(picture, sample, _dataset(color_jitter=1.0)).pixels[0, 0].astype(int)
    assert changed[1] > 80  # towards yellow
    assert changed[0] > 215  # and brighter


def test_tensors_are_between_minus_one_and_one() -> None:
    pixels = np.array([[[0, 128, 255]]], dtype=np.uint8)
    expected = torch.tensor([-1.0, 128 / 127.5 - 1, 1.0])
    assert torch.allclose(as_tensor(pixels).flatten(), expected, atol=1e-6)
