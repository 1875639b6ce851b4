"""Where captions come from: files beside the pictures, and lists (spec: data-loop 1.3, 1.6)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from engine.schema.dataset_folder import Folder

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


class CaptionListProblem(Exception):
    """A caption list that cannot be read; the message names the file and the place."""


@dataclass(frozen=True)
class RawCaption:
    """The text of a caption before any draw, where it came from, and what was odd about it."""

    text: str
    path: Path | None = None
    warning: str = ""


def decode(raw: bytes, path: Path) -> tuple[str, str]:
    """Decode a caption file; the second value is a warning, empty if there is none.

    UTF-8 is expected, with or without a byte-order mark. Anything else is read as Windows-1252,
    which takes any byte, and told with file and byte.
    """
    encoding = _MARKS.get(raw[:2], "utf-8-sig")
    try:
        return raw.decode(encoding), ""
    except UnicodeDecodeError as error:
        words = (
            f"{path.name}: byte {error.start} (0x{raw[error.start]:02x}) is not UTF-8; the file "
            "was read as Windows-1252. Save it as UTF-8."
        )
        return raw.decode("cp1252", errors="replace"), words


def read_caption(picture: Path, folder: Folder) -> RawCaption:
    """Read the caption beside a picture; the folder's fallback where there is none."""
    path = picture.with_suffix(folder.caption_extension)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        warning = "" if folder.fallback_caption else f"{picture.name} has no caption"
        return RawCaption(folder.fallback_caption, None, warning)
    except OSError as error:
        words = f"{path.name}: it cannot be read: {error.strerror or error}"
        return RawCaption(folder.fallback_caption, None, words)
    text, warning = decode(raw, path)
    text = text.strip()
    if not text and not warning:
        warning = f"{path.name} is empty"
    return RawCaption(text, path, warning)


def read_caption_list(path: Path, separator: str = ",") -> dict[str, str]:
    """Read a JSON or JSONL caption list: key or path → caption, with its tags behind it.

    JSON: `{"key": {"caption": …, "tags": …}}`. JSONL: a line each with `image_path` (or
    `file_name`) and `caption` (or `text`), `tags`. Sizes in the list are never trusted.

    Raises:
        CaptionListProblem: missing, unreadable, or not of either form; with the line.
    """
    try:
        text, _ = decode(path.read_bytes(), path)
    except OSError as error:
        raise CaptionListProblem(f"{path}: it cannot be read: {error.strerror or error}.") from None
    if path.suffix.lower() == ".jsonl":
        return _from_lines(path, text, separator)
    content = _json(path, text, "")
    if not isinstance(content, Mapping):
        raise CaptionListProblem(f"{path.name}: expected an object with a picture as each key.")
    return {str(key): _joined(path, key, item, separator) for key, item in content.items()}


def _from_lines(path: Path, text: str, separator: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        item = _json(path, line, f", line {number}")
        key = item.get("image_path") or item.get("file_name") if isinstance(item, Mapping) else None
        if not isinstance(key, str):
            raise CaptionListProblem(f"{path.name}, line {number}: it has no image_path.")
        found[key] = _joined(path, key, item, separator)
    return found


def _json(path: Path, text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CaptionListProblem(f"{path.name}{where}: it is not valid JSON: {error}.") from None


def _joined(path: Path, key: object, item: object, separator: str) -> str:
    """The caption of an entry, with the tags added to every line of it."""
    if isinstance(item, str):
        return item
    if not isinstance(item, Mapping):
        raise CaptionListProblem(f"{path.name}: the entry {key} is neither text nor an object.")
    caption = str(item.get("caption") or item.get("text") or "")
    tags = item.get("tags") or ""
    if isinstance(tags, list):
        tags = f"{separator} ".join(str(tag) for tag in tags)
    lines = caption.splitlines() or [""]
    joint = f"{separator} "
    return "\n".join(joint.join(part for part in (line, str(tags)) if part) for line in lines)


def caption_in_list(captions: Mapping[str, str], picture: Path, root: Path) -> str | None:
    """Find a picture in a list: by full or relative path or name, with or without ending."""
    relative = picture.relative_to(root)
    for key in (picture.as_posix(), str(picture), relative.as_posix(), str(relative), picture.name):
        bare = str(PurePath(key).with_suffix(""))
        for spelling in (key, bare, PurePath(bare).as_posix()):
            if spelling in captions:
                return captions[spelling]
    return None


def read_wildcard_lists(root: Path) -> dict[str, tuple[str, ...]]:
    """Lines of `wildcards/NAME.txt` inside a picture folder, for `__NAME__` in captions."""
    lists: dict[str, tuple[str, ...]] = {}
    for path in sorted((root / "wildcards").glob("*.txt")):
        text, _ = decode(path.read_bytes(), path)
        lines = tuple(
            line.strip() for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"
        )
        if lines:
            lists[path.stem] = lines
    return lists
