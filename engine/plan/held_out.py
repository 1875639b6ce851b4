"""Which pictures are held out of training, to measure with (spec: data-loop 4.6)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from engine.plan.folders import Picture
from engine.plan.keys import key
from engine.schema.dataset import Dataset

_KEY_RANGE = 2.0**63


@dataclass(frozen=True)
class Split:
    """Indices of the pictures that are trained on (regularization too) and of those held out."""

    training: tuple[int, ...]
    validation: tuple[int, ...]


def split_pictures(dataset: Dataset, pictures: Sequence[Picture], seed: int) -> Split:
    """Part the usable pictures into trained and held-out ones.

    A picture is held out by a hash of its path, so that adding pictures moves no other from one
    side to the other; the share is therefore met on average. Pictures with the same bytes go
    together, and a picture that is also in a validation folder is not trained on. With a share
    above 0 at least one picture is held out, and at least one is left.
    """
    usable = [i for i, picture in enumerate(pictures) if picture.usable]
    roles = {i: dataset.folders[pictures[i].folder_index].role for i in usable}
    given = {i for i in usable if roles[i] == "validation"}
    twins = {pictures[i].twin for i in given} - {""}
    trained = [i for i in usable if roles[i] == "train" and pictures[i].twin not in twins]
    draw = dataset.validation_seed if dataset.validation_seed is not None else seed
    held = _held_out([pictures[i] for i in trained], dataset.validation_share, draw)
    training = {i for i in trained if pictures[i].relative_path not in held}
    training |= {i for i in usable if roles[i] == "regularization"}
    validation = given | {i for i in trained if pictures[i].relative_path in held}
    return Split(tuple(sorted(training)), tuple(sorted(validation)))


def _held_out(pictures: Sequence[Picture], share: float, draw: int) -> set[str]:
    """The paths that are held out of these pictures."""
    groups: dict[str, list[str]] = defaultdict(list)
    for picture in pictures:
        groups[picture.twin or picture.relative_path].append(picture.relative_path)
    if share == 0 or len(groups) < 2:
        return set()
    values = {paths[0]: key(draw, "validation", paths[0]) / _KEY_RANGE for paths in groups.values()}
    ordered = sorted(values, key=lambda path: values[path])
    count = sum(value < share for value in values.values())
    leaders = set(ordered[: min(max(count, 1), len(ordered) - 1)])
    return {path for paths in groups.values() if paths[0] in leaders for path in paths}
