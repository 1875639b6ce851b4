"""A job made of what a LoRA file says of its training, taken once the person has seen it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.dialogs import Question
from app.document import Document
from app.file_commands import FileCommands
from app.preset_changes import change_rows
from app.theme import SMALL
from app.widgets.changes_table import ChangesTable
from app.widgets.label import Label
from app.window import MainWindow
from app.words import counted
from engine.schema.file_settings import FileSettings, settings_in
from engine.schema.options import get_at, options, set_at
from engine.schema.presets import NOT_IN_PRESETS, Preset

_NOTES_SHOWN = 6


def settings_of(found: Mapping[str, Any]) -> FileSettings | None:
    """The settings in what `inspect` told; None where the file says nothing of its training."""
    return settings_in(found["metadata"], found["guess"]["architecture"], found["trained"])


def ask_to_use(
    window: MainWindow, files: FileCommands, path: Path, found: FileSettings
) -> Question:
    """Show what the file's settings would change, and take them if the person says so."""
    document = window.document
    data = with_own_files(found.data, document)
    preset = Preset(path.stem, str(get_at(data, "model.architecture")), data)
    changes = document.changes_by_preset(preset)
    if changes:
        words = counted(len(changes), window.tr("field changes."), window.tr("fields change."))
        words += " " + window.tr("Your model, pictures and prompts stay.")
    else:
        words = window.tr("The form has the same settings already.")

    def take() -> None:
        files.keep_or(lambda: _replace(window, data, path))

    acts = [(window.tr("Use these settings"), "primary", take)] if changes else []
    question = Question(window, window.tr("Train like %s?") % path.name, words, acts)  # pyright: ignore[reportArgumentType]
    if changes:
        question.column.insertWidget(2, ChangesTable(change_rows(changes, document), question), 1)
    if found.notes:
        notes = Label("\n".join(_shortened(found.notes)), "text2", SMALL, question)
        notes.setWordWrap(True)
        question.column.insertWidget(question.column.count() - 1, notes)
    question.setMinimumWidth(600)
    question.open()
    return question


def with_own_files(data: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """The file's settings with the present job's own model, pictures and prompts in them."""
    mixed = {key: dict(value) if isinstance(value, Mapping) else value
             for key, value in data.items()}  # fmt: skip
    for path in NOT_IN_PRESETS:
        own = document.get(path)
        if own != options()[path].default:
            set_at(mixed, path, own)
    return mixed


def _replace(window: MainWindow, data: Mapping[str, Any], path: Path) -> None:
    document = window.document
    document.end_merging()
    document.replace(data, window.tr("settings of %s") % path.name)
    document.mark_saved(None)
    window.work.hide_overlay()
    window.pane.set_folded(False)
    window.work.toast.say(
        window.tr("The form has the settings of %s") % path.name, window.tr("Undo"),
        document.undo_stack.undo,
    )  # fmt: skip


def _shortened(notes: tuple[str, ...]) -> list[str]:
    shown = [f"• {note}" for note in notes[:_NOTES_SHOWN]]
    if len(notes) > _NOTES_SHOWN:
        shown.append(f"… {len(notes) - _NOTES_SHOWN} more")
    return shown
