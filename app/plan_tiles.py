"""From a plan to the tiles of the bar: figures in the reader's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.widgets.plan_bar import Tile

if TYPE_CHECKING:
    from engine.plan.summary import Plan


def tiles_of(plan: Plan, precision: str = "", memory_bytes: int = 0) -> list[Tile]:
    """The tiles of a plan; `memory_bytes` is what the device has, 0 if that is not known."""
    return [
        Tile(
            _tr("%s modules") % f"{plan.modules:,}",
            _tr("of %s in all") % f"{plan.modules_of:,}", wrong=plan.modules == 0, key="modules",
        ),
        Tile(_count(plan.parameters), _tr("parameters"), drop=1, key="parameters"),
        Tile(
            size_words(plan.file_bytes),
            _tr("file, %s") % precision if precision else _tr("file"), drop=3, key="file",
        ),
        _steps(plan),
        _memory(plan, memory_bytes),
    ]  # fmt: skip


def _steps(plan: Plan) -> Tile:
    found = plan.pictures
    if found is None:
        return Tile(_tr("No steps yet"), _tr("needs pictures"), drop=2, key="steps")
    if found.total_steps == 0:
        meaning = _tr("needs pictures") if found.found == 0 else found.problem[:40]
        return Tile(_tr("No steps"), meaning, drop=2, wrong=found.found > 0, key="steps")
    # "19 epochs of 110" would be read as the nineteenth of a hundred and ten
    epochs = _tr("%d epochs × %s") if found.epochs != 1 else _tr("%d epoch × %s")
    return Tile(
        _tr("%s steps") % f"{found.total_steps:,}",
        epochs % (found.epochs, f"{found.steps_per_epoch:,}"), drop=2, key="steps",
    )  # fmt: skip


def _memory(plan: Plan, memory_bytes: int) -> Tile:
    low, high = plan.memory.low / 1e9, plan.memory.high / 1e9
    words = f"{low:.1f}–{high:.1f}" if high < 10 else f"{low:.0f}–{high:.0f}"
    if not memory_bytes:
        return Tile(f"{words} GB", _tr("memory, estimate"), key="memory")
    total = memory_bytes / 1e9
    wrong = low > total
    meaning = _tr("memory, too much") if wrong else _tr("memory, estimate")
    return Tile(_tr("%s of %.0f GB") % (words, total), meaning, wrong=wrong, key="memory")


def size_words(size: float) -> str:
    """A size in bytes as people say it."""
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    if size >= 1e6:
        return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"
    return f"{max(1, round(size / 1e3)) if size else 0} kB"


def _count(number: int) -> str:
    if number >= 1e6:
        return f"{number / 1e6:.1f} M"
    return f"{number / 1e3:.0f} K" if number >= 10_000 else f"{number:,}"


def _tr(text: str) -> str:
    return QCoreApplication.translate("plan", text)
