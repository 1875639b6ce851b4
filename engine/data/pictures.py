"""From a picture file to the pixels of a sample: decode, resize, crop, mirror, jitter, mask.

Everything is Pillow and numpy; spec: data-loop 1.5. Pictures are RGB, (height, width, 3) uint8.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageColor, UnidentifiedImageError

from engine.plan.buckets import Size
from engine.plan.folders import Picture
from engine.plan.order import Sample
from engine.plan.picture_header import PictureProblem, orientation
from engine.schema.dataset import Dataset
from engine.schema.dataset_folder import Folder

Pixels = NDArray[np.uint8]

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
HUE_RANGE = 16  # of 256, at full jitter
BRIGHTNESS_RANGE = 0.25  # at full jitter
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Prepared:
    """A sample's pixels (H, W, 3) at bucket size, and its mask (H, W), 255 where it is learned."""

    pixels: Pixels
    mask: Pixels | None


def prepare(picture: Picture, sample: Sample, dataset: Dataset) -> Prepared:
    """Decode a picture and bring it to the sample's bucket; its mask goes the same way.

    Raises:
        PictureProblem: if the picture or its mask cannot be decoded.
    """
    folder = dataset.folders[picture.folder_index]
    image, alpha = open_picture(picture.path, dataset.background)
    image = _placed(image, sample, FILTERS[dataset.resize_filter])
    if folder.color_jitter > 0:
        image = _jittered(image, sample, folder.color_jitter)
    return Prepared(np.asarray(image, dtype=np.uint8), _mask(picture, sample, folder, alpha))


def prepare_mask(picture: Picture, sample: Sample, dataset: Dataset) -> Pixels | None:
    """A sample's mask (H, W) alone, for pictures whose latents are kept."""
    folder = dataset.folders[picture.folder_index]
    if folder.mask == "none":
        return None
    alpha = None
    if folder.mask == "alpha":
        _, alpha = open_picture(picture.path, dataset.background)
    return _mask(picture, sample, folder, alpha)


def as_tensor(pixels: Pixels) -> torch.Tensor:
    """Pixels (H, W, 3) uint8 → (3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div_(127.5).sub_(1.0)


def open_picture(path: Path, background: str = "#ffffff") -> tuple[Image.Image, Image.Image | None]:
    """Decode a picture: upright, in sRGB, transparency over the background.

    Returns:
        The RGB picture, and its transparency (L, 255 is opaque) or None if it has none.

    Raises:
        PictureProblem: if it cannot be decoded whole.
    """
    try:
        with Image.open(path) as image:  # an animated one opens at its first frame
            turn = orientation(image)
            image.load()
            color, alpha = _in_srgb(_eight_bit(image))
    except UnidentifiedImageError:
        raise PictureProblem("it is not a picture, or of a kind that cannot be read") from None
    except Image.DecompressionBombError:
        raise PictureProblem("it is too large to decode safely; scale it down") from None
    except (OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError) as error:
        raise PictureProblem(f"it cannot be decoded: {error}") from None
    if turn in _UPRIGHT:
        color = color.transpose(_UPRIGHT[turn])
        alpha = alpha.transpose(_UPRIGHT[turn]) if alpha is not None else None
    if alpha is None:
        return color, None
    behind = Image.new("RGB", color.size, ImageColor.getrgb(background))
    behind.paste(color, mask=alpha)
    return behind, alpha


def _eight_bit(image: Image.Image) -> Image.Image:
    """Bring 16-bit gray and float pictures to 8 bits without clipping them."""
    if image.mode.startswith("I;16") or image.mode == "I":
        gray = np.asarray(image, dtype=np.int64)
        top = 65535 if image.mode.startswith("I;16") or gray.max() > 255 else 255
        eight = (gray.clip(0, top) * 255 + top // 2) // top
        return Image.fromarray(eight.astype(np.uint8), "L")
    if image.mode == "F":
        light = np.asarray(image, dtype=np.float64)
        top = max(float(light.max()), 1.0)
        return Image.fromarray((light.clip(0, top) * (255 / top)).astype(np.uint8), "L")
    return image


def _in_srgb(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """RGB by the picture's color profile, and its transparency."""
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    profile = image.info.get("icc_profile")
    if profile:
        converted = _by_profile(image, profile)
        if converted is not None:
            return converted, alpha
    return image.convert("RGB"), alpha


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert by the embedded profile; None where it is broken or of another kind of picture."""
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _placed(image: Image.Image, sample: Sample, how: Image.Resampling) -> Image.Image:
    """Resize, crop and mirror as the sample says."""
    left, top = sample.crop
    across, down = sample.bucket
    image = _resized(image, sample.resized, how)
    image = image.crop((left, top, left + across, top + down))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if sample.flip else image


def _resized(image: Image.Image, size: Size, how: Image.Resampling) -> Image.Image:
    if image.size == size:
        return image
    # Pillow shrinks by whole numbers with a box first where that loses nothing to see.
    return image.resize(size, how, reducing_gap=3.0 if how != Image.Resampling.NEAREST else None)


def _jittered(image: Image.Image, sample: Sample, strength: float) -> Image.Image:
    """Turn the hue and change the brightness by the sample's draws."""
    turn = round(sample.hue * strength * HUE_RANGE)
    hsv = np.asarray(image.convert("HSV")).copy()
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + turn) % 256
    light = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"), dtype=np.float32)
    light *= 1 + sample.brightness * strength * BRIGHTNESS_RANGE
    return Image.fromarray(light.clip(0, 255).round().astype(np.uint8), "RGB")


def _mask(
    picture: Picture, sample: Sample, folder: Folder, alpha: Image.Image | None
) -> Pixels | None:
    """The mask at bucket size; None where all of the picture is learned."""
    if folder.mask == "none":
        return None
    if folder.mask == "alpha":
        mask = alpha
    elif picture.mask is None:
        mask = None
    else:
        try:
            mask = open_picture(picture.mask, "#000000")[0].getchannel("R")
        except PictureProblem as problem:
            raise PictureProblem(f"its mask {picture.mask.name}: {problem}") from None
    if mask is None:  # the whole picture; an inverted mask does not turn it into nothing
        return None
    placed = np.asarray(_placed(mask, sample, Image.Resampling.BILINEAR), dtype=np.uint8)
    return 255 - placed if folder.mask_invert else placed
