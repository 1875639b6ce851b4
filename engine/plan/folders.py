"""The pictures of a job: found, measured by header, with captions and masks (data-loop 1)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from engine.plan.buckets import Size
from engine.plan.caption_files import (
    CaptionListProblem,
    RawCaption,
    caption_in_list,
    read_caption,
    read_caption_list,
)
from engine.plan.picture_header import EXTENSIONS, PictureProblem, picture_size
from engine.schema.dataset import Dataset
from engine.schema.dataset_folder import Folder

MASK_ENDING = "-masklabel"
_REPEATS = re.compile(r"(\d+)_(.+)")

Progress = Callable[[int, int], None]
"""Told how many pictures are looked at, of how many; it may raise to stop."""


@dataclass(frozen=True)
class Picture:
    """One picture file.

    Attributes:
        path: where it is.
        relative_path: folder name and path inside it, unique in the job: the picture's identity
            in every draw, the same wherever the folder lies.
        folder_index: index into `dataset.folders`.
        size: width and height after EXIF rotation; (0, 0) if it cannot be read.
        caption: raw text of its caption, all lines.
        caption_path: the caption file, or None.
        mask: the mask's file, or None (also where the mask is the picture's own transparency).
        twin: the same text for pictures with the same bytes, empty for a single one.
        problem: why it cannot be used, empty if it can.
        warnings: what is odd about it.
    """

    path: Path
    relative_path: str
    folder_index: int
    size: Size
    caption: str = ""
    caption_path: Path | None = None
    mask: Path | None = None
    twin: str = ""
    problem: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it can be trained on, as far as its header tells."""
        return not self.problem


class FolderProblem(Exception):
    """A folder that cannot be used; `field` is its path in the job: `dataset.folders[0].path`."""

    def __init__(self, message: str, field: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True)
class ProposedFolder:
    """A folder found inside a dropped one: `10_mycat` is 10 repeats and the caption "mycat"."""

    path: Path
    repeats: float
    fallback_caption: str
    pictures: int


def pictures_of(dataset: Dataset, progress: Progress | None = None) -> list[Picture]:
    """Look at every picture of the enabled folders, in a fixed order.

    Raises:
        FolderProblem: a folder that is missing or has no pictures, or a caption list that cannot
            be read. Bad single pictures are not raised but told in `Picture.problem`.
    """
    listed = [
        (index, folder, root, path)
        for index, folder in enumerate(dataset.folders)
        if folder.enabled and folder.path.strip()
        for root in [Path(folder.path).expanduser()]
        for path in _files_of(folder, root, index)
    ]
    names = _names({index: root for index, _, root, _ in listed})
    lists = {
        index: _caption_list(dataset.folders[index], index) for index in {i for i, *_ in listed}
    }
    pictures = []
    for done, (index, folder, root, path) in enumerate(listed):
        if progress is not None:
            progress(done, len(listed))
        name = f"{names[index]}/{path.relative_to(root).as_posix()}"
        pictures.append(_look(path, name, index, folder, root, lists[index]))
    return _with_twins(pictures)


def propose_folders(parent: Path) -> list[ProposedFolder]:
    """What a dropped folder means: itself if it has pictures, and each folder in it that has.

    A name such as `10_mycat` becomes 10 repeats with "mycat" as the caption where there is none
    (spec: data-loop 1.2).
    """
    proposed = []
    for folder in [parent, *sorted(p for p in parent.iterdir() if p.is_dir())]:
        count = sum(1 for _ in _pictures_in(folder, recursive=False, skip_masks=False))
        if not count:
            continue
        match = _REPEATS.fullmatch(folder.name)
        repeats, words = (float(match[1]), match[2]) if match else (1.0, "")
        proposed.append(ProposedFolder(folder, repeats or 1.0, words.replace("_", " "), count))
    return proposed


def _files_of(folder: Folder, root: Path, index: int) -> list[Path]:
    field = f"dataset.folders[{index}].path"
    if not root.exists():
        raise FolderProblem(f"{root}: there is no such folder.", field)
    if not root.is_dir():
        raise FolderProblem(f"{root}: this is a file; choose the folder it lies in.", field)
    skip_masks = folder.mask == "file"
    try:
        found = sorted(_pictures_in(root, folder.recursive, skip_masks), key=lambda p: p.as_posix())
    except OSError as error:
        raise FolderProblem(f"{root}: it cannot be read: {error.strerror}.", field) from None
    if found:
        return found
    inside = [] if folder.recursive else [p.path.name for p in propose_folders(root)]
    hint = f" There are some in {', '.join(inside[:3])}: choose those." if inside else ""
    raise FolderProblem(f"{root}: there are no pictures in it.{hint}", field)


def _pictures_in(root: Path, recursive: bool, skip_masks: bool) -> Iterator[Path]:
    for path in root.rglob("*") if recursive else root.iterdir():
        if path.suffix.lower() not in EXTENSIONS or path.name.startswith("."):
            continue
        if path.is_file() and not (skip_masks and path.stem.endswith(MASK_ENDING)):
            yield path


def _names(roots: dict[int, Path]) -> dict[int, str]:
    """A name for each folder: its own, with a number where two are called alike."""
    seen: dict[str, int] = defaultdict(int)
    names = {}
    for index, root in roots.items():
        name = root.resolve().name
        seen[name] += 1
        names[index] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return names


def _caption_list(folder: Folder, index: int) -> dict[str, str] | None:
    if folder.metadata_file is None:
        return None
    try:
        return read_caption_list(Path(folder.metadata_file).expanduser(), folder.tag_separator)
    except CaptionListProblem as problem:
        field = f"dataset.folders[{index}].metadata_file"
        raise FolderProblem(str(problem), field) from None


def _look(
    path: Path, name: str, index: int, folder: Folder, root: Path, listed: dict[str, str] | None
) -> Picture:
    problem, size = "", (0, 0)
    try:
        size = picture_size(path)
    except PictureProblem as error:
        problem = str(error)
    if listed is None:
        raw = read_caption(path, folder)
    else:
        text = caption_in_list(listed, path, root)
        warning = f"{path.name} is not in the caption list" if text is None else ""
        raw = RawCaption(folder.fallback_caption if text is None else text, None, warning)
    mask, mask_warning = _mask(path, folder, root)
    warnings = tuple(w for w in (raw.warning, mask_warning) if w)
    return Picture(
        path, name, index, size, raw.text, raw.path, mask, problem=problem, warnings=warnings
    )


def _mask(path: Path, folder: Folder, root: Path) -> tuple[Path | None, str]:
    """The mask's file and a warning if there should be one and is not."""
    if folder.mask == "file":
        mask = path.with_name(f"{path.stem}{MASK_ENDING}.png")
        found = mask if mask.is_file() else None
    elif folder.mask == "folder" and folder.mask_folder:
        stem = Path(folder.mask_folder).expanduser() / path.relative_to(root).with_suffix("")
        endings = dict.fromkeys((".png", path.suffix, *EXTENSIONS))
        candidates = (stem.with_name(stem.name + ending) for ending in endings)
        found = next((c for c in candidates if c.is_file()), None)
    else:
        return None, ""
    return found, "" if found else f"{path.name} has no mask; all of it is learned"


def _with_twins(pictures: Sequence[Picture]) -> list[Picture]:
    """Mark pictures with the same bytes; only files of equal length are read for that."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, picture in enumerate(pictures):
        if picture.usable:
            by_length[picture.path.stat().st_size].append(i)
    digests = {
        i: blake2b(pictures[i].path.read_bytes(), digest_size=16).hexdigest()
        for group in by_length.values()
        if len(group) > 1
        for i in group
    }
    counts: dict[str, int] = defaultdict(int)
    for digest in digests.values():
        counts[digest] += 1
    return [
        replace(picture, twin=digests[i]) if i in digests and counts[digests[i]] > 1 else picture
        for i, picture in enumerate(pictures)
    ]


def problems_in(pictures: Iterable[Picture]) -> list[str]:
    """One line for each picture that cannot be used, with its name and why."""
    return [f"{p.relative_path}: {p.problem}" for p in pictures if p.problem]
