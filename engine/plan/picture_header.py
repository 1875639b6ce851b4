"""A picture's size as it will be seen, read from its header (0.1 ms, no decoding)."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from engine.plan.buckets import Size

EXTENSIONS = (
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".gif", ".tif", ".tiff", ".jxl",
)  # fmt: skip
"""Endings of picture files, in any case."""

_ORIENTATION = 0x0112
_END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_TAIL_BYTES = 65536
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


class PictureProblem(Exception):
    """A picture that cannot be used; the message says why, without its name."""


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, as far as it stands before the pixels.

    Pillow decodes the whole of a PNG to look for EXIF data behind the pixels; those are not asked
    for, so that the size in the plan and the decoded picture always agree.
    """
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def picture_size(path: Path) -> Size:
    """Width and height after EXIF rotation.

    Raises:
        PictureProblem: if it is no picture, is too huge to decode, or cannot be read.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = orientation(image) in _TURNED
            kind = image.format or ""
        cut = _is_cut_off(path, kind)
    except UnidentifiedImageError:
        raise PictureProblem(_what_it_is(path)) from None
    except Image.DecompressionBombError:
        raise PictureProblem("it is too large to decode safely; scale it down") from None
    except OSError as error:
        raise PictureProblem(f"it cannot be read: {error.strerror or error}") from None
    # Pillow's readers raise many things at damaged headers.
    except (ValueError, SyntaxError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise PictureProblem(f"its header is damaged ({type(error).__name__})") from None
    if cut:
        raise PictureProblem("the file is cut off; copy it again")
    if min(width, height) < 1:
        raise PictureProblem("it has no pixels")
    return (height, width) if turned else (width, height)


def _is_cut_off(path: Path, kind: str) -> bool:
    """Whether the end mark of the file's kind is missing; other data may follow the mark."""
    with path.open("rb") as file:
        if kind == "WEBP":
            length = int.from_bytes(file.read(8)[4:], "little") + 8
            return file.seek(0, 2) < length
        mark = _END_MARKS.get(kind)
        if mark is None:
            return False
        file.seek(max(file.seek(0, 2) - _TAIL_BYTES, 0))
        return mark not in file.read()


def _what_it_is(path: Path) -> str:
    """Say what a file that is no picture seems to be."""
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    if not start:
        return "the file is empty"
    if b"\0" not in start:
        kind = "a web page" if start.lstrip().lower().startswith((b"<!doctype", b"<html")) else ""
        return f"it is not a picture but {kind or 'text'}"
    return "it is not a picture, or of a kind that cannot be read"
