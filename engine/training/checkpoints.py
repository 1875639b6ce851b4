"""Names and keeping of adapter files (spec: data-loop 5).

Names are those of sd-scripts, so that people's scripts find them:
`NAME-step00000100.safetensors`, `NAME-000003.safetensors` for the end of epoch 3,
`NAME.safetensors` at the end of the run. An empty file `NAME….safetensors.keep` beside a file
protects it from `output.keep_last`: the window's star.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from engine.schema.output import Output

KEEP_MARK = ".keep"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Due:
    """What is to be written after a step."""

    file: str = ""  # name of the adapter file; empty: none
    final: bool = False

    def __bool__(self) -> bool:
        return bool(self.file)


def due_after(
    output: Output, name: str, step: int, total: int, epoch: int, epoch_ends: bool
) -> Due:
    """Say which file is due after `step` (1 is the first) of `total`, in `epoch` (1 is the first).

    The last step writes the final file alone.
    """
    if step >= total:
        return Due(final_name(name), final=True)
    if output.every_epochs and epoch_ends and epoch % output.every_epochs == 0:
        return Due(epoch_name(name, epoch))
    if output.every_steps and step % output.every_steps == 0:
        return Due(step_name(name, step))
    return Due()


def step_name(name: str, step: int) -> str:
    """`NAME-step00000100.safetensors`."""
    return f"{name}-step{step:08d}{SUFFIX}"


def epoch_name(name: str, epoch: int) -> str:
    """`NAME-000003.safetensors`."""
    return f"{name}-{epoch:06d}{SUFFIX}"


def final_name(name: str) -> str:
    """`NAME.safetensors`."""
    return f"{name}{SUFFIX}"


def plain_name(file: str) -> str:
    """The file beside an averaged one that holds the adapter as trained: `…-raw.safetensors`."""
    return f"{file.removesuffix(SUFFIX)}-raw{SUFFIX}"


def remove_old(folder: Path, name: str, keep_last: int | None, spare: set[str]) -> list[Path]:
    """Delete all but the newest `keep_last` numbered files of this run; returns the deleted ones.

    Never deleted: the final file, those in `spare` (file names), starred ones, other runs' files.
    The plain companion of an averaged file goes with it.
    """
    if keep_last is None:
        return []
    pattern = re.compile(re.escape(name) + r"-(step\d{8}|\d{6})" + re.escape(SUFFIX))
    numbered = [p for p in folder.iterdir() if pattern.fullmatch(p.name)]
    numbered.sort(key=lambda p: (p.stat().st_mtime_ns, p.name))
    removed = []
    for path in numbered[:-keep_last]:
        if path.name in spare or path.with_name(path.name + KEEP_MARK).exists():
            continue
        path.unlink()
        removed.append(path)
        plain = path.with_name(plain_name(path.name))
        if plain.exists():
            plain.unlink()
            removed.append(plain)
    return removed
