"""The job being edited: its values, its preset, its problems, undo over everything, autosave."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QUndoStack

from app.edits import ReplaceEdit, SetEdit, Snapshot
from app.in_force import in_force, item_of
from app.model_parts import ModelParts
from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import NONE_WORDS, Checked, canonical, check
from engine.schema.job import Job
from engine.schema.job_file import save_job
from engine.schema.options import Option, get_at, option_at, options, set_at
from engine.schema.presets import MODEL_FILES, NOT_IN_PRESETS, Preset, base_data, defaults
from engine.schema.problem import JobError, Problem

UNDO_LIMIT = 500
DEFAULTS = "Defaults"


def plain_preset(architecture: str) -> Preset:
    """The preset that sets nothing: the architecture's defaults."""
    return Preset(DEFAULTS, architecture, {"model": {"architecture": architecture}}, built_in=True)


class Document(QObject):
    """One job as nested data, every change undoable.

    `data` has a value for every field, hidden ones too; what is written and trained is
    `written()`, which leaves out what does not apply.

    Signals:
        changed: list of the paths whose values changed; a list of tables is named as a whole
            when its items were added, moved or removed.
        replaced: everything may be different: another job, preset or architecture.
        problems_changed: `problems` may be different.
        file_changed: `path` or `is_dirty` changed.
    """

    changed = Signal(list)
    replaced = Signal()
    problems_changed = Signal()
    file_changed = Signal()

    def __init__(self, preset: Preset | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.preset = preset or plain_preset("sd1")
        self.data: dict[str, Any] = base_data(self.preset)
        self.path: Path | None = None
        self.undo_stack = QUndoStack(self)
        self.undo_stack.setUndoLimit(UNDO_LIMIT)
        self._base = base_data(self.preset)
        self._checked: Checked | None = None
        self._changed: tuple[str, ...] | None = None
        self._parts = ModelParts()
        self._outside: dict[str, tuple[Problem, ...]] = {}
        self._saved: dict[str, Any] | None = None
        self._announce = QTimer(self, interval=0, singleShot=True)
        self._announce.timeout.connect(self.problems_changed)

    @property
    def architecture(self) -> str:
        """The id of the architecture being trained."""
        found = self.get("model.architecture")
        return found if found in ARCHITECTURES else "sd1"

    def get(self, path: str) -> Any:
        """The value at a concrete path; the default where none was given."""
        return get_at(self.data, path)

    def set(self, path: str, value: Any, text: str = "") -> None:
        """Set one value; consecutive edits of the same field are one step of undo."""
        self.set_many([(path, value)], text or self._edit_text(path, value))

    def set_many(self, pairs: Sequence[tuple[str, Any]], text: str) -> None:
        """Set several values as one step of undo, a change of the architecture included."""
        architecture = dict(pairs).get("model.architecture", self.architecture)
        if architecture in ARCHITECTURES and architecture != self.architecture:
            self._push_architecture(plain_preset(architecture), pairs, text)
            return
        pairs = [(p, copy.deepcopy(v)) for p, v in pairs if self.get(p) != v or not _known(p)]
        if pairs:
            former = [(path, copy.deepcopy(self.get(path))) for path, _ in pairs]
            self.undo_stack.push(SetEdit(self, pairs, former, text))

    def insert_item(self, path: str, index: int, item: Mapping[str, Any]) -> None:
        """Put an item into a list of tables such as `dataset.folders`."""
        items = list(self.get(path))
        items.insert(index, dict(item))
        self.set(path, items, self.tr("add to %s") % self._label(path))
        self.end_merging()

    def remove_item(self, path: str, index: int) -> None:
        """Take an item out of a list of tables."""
        items = list(self.get(path))
        del items[index]
        self.set(path, items, self.tr("remove from %s") % self._label(path))
        self.end_merging()

    def move_item(self, path: str, index: int, target: int) -> None:
        """Move an item of a list of tables so that it stands at `target`."""
        items = list(self.get(path))
        items.insert(target, items.pop(index))
        self.set(path, items, self.tr("reorder %s") % self._label(path))
        self.end_merging()

    def end_merging(self) -> None:
        """Let the next edit be a step of undo of its own."""
        self._merging = False

    _merging = True

    def take_merging(self) -> bool:
        """Whether the edit being pushed may join the one before; asked once by each edit."""
        merging, self._merging = self._merging, True
        return merging

    def _label(self, path: str) -> str:
        """What a field is called within a sentence."""
        return option_at(path).label(self.architecture).lower()

    def _edit_text(self, path: str, value: Any) -> str:
        label = self._label(path)
        old = self.get(path)
        if all(isinstance(v, int | float | str) for v in (old, value)):
            return f"{label} {old} → {value}"[:60]
        return label

    def preset_value(self, path: str) -> Any:
        """What the preset has at a path."""
        return get_at(self._base, path)

    def is_changed(self, path: str) -> bool:
        """Whether a field differs from the preset; a job's own fields never do."""
        if path in NOT_IN_PRESETS or "[" in path or path == "model.architecture":
            return False
        return self.get(path) != self.preset_value(path)

    def is_default(self, path: str) -> bool:
        """Whether a field has the architecture's default value."""
        general = _general(path)
        if general != path:
            return self.get(path) == options()[general].default
        return self.get(path) == defaults(self.architecture, path)

    def changed_paths(self) -> list[str]:
        """All fields in force that differ from the preset, in the form's order."""
        if self._changed is None:
            self._changed = tuple(
                p for p in _leaves() if self.is_changed(p) and self.is_in_force(p)
            )
        return list(self._changed)

    def is_in_force(self, path: str) -> bool:
        """Whether a field applies to the architecture and its conditions hold."""
        entry = option_at(path)
        return entry.applies(self.architecture) and entry.shown(self.data, item_of(path))

    def not_applying(self) -> list[Option]:
        """Options with a value of one's own that the architecture does not have."""
        return [
            entry
            for path, entry in options().items()
            if entry.kind != "table" and "[]" not in path
            and not entry.applies(self.architecture) and self.get(path) != entry.default
        ]  # fmt: skip

    def reset(self, paths: Iterable[str]) -> None:
        """Give fields their preset's values back, as one step."""
        pairs = [(p, self.preset_value(p)) for p in paths if self.is_changed(p)]
        if pairs:
            labels = self._label(pairs[0][0])
            text = self.tr("reset %s") % labels if len(pairs) == 1 else self.tr("reset fields")
            self.end_merging()
            self.set_many(pairs, text)
            self.end_merging()

    def written(self) -> dict[str, Any]:
        """The job as it is saved and trained: only fields that apply and whose conditions hold."""
        return in_force(self.data, "", "", self.data, self.architecture)

    @property
    def checked(self) -> Checked:
        """The validated job, computed when first asked for after a change."""
        if self._checked is None:
            self._checked = check(self.written())
        return self._checked

    @property
    def job(self) -> Job:
        """The job, with defaults in place of wrong values."""
        return self.checked.job

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong: with the values, and with the files they name."""
        own = self.checked.problems
        wrong = {p.path for p in own if p.severity == "error"}
        outside = (p for group in self._outside.values() for p in group if p.path not in wrong)
        return (*own, *outside)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep Train off."""
        return tuple(p for p in self.problems if p.severity == "error")

    def set_outside_problems(self, source: str, problems: Sequence[Problem]) -> None:
        """Replace what `source` (such as the look at the files) found wrong."""
        if self._outside.get(source, ()) != tuple(problems):
            self._outside[source] = tuple(problems)
            self.problems_changed.emit()

    def load_preset(self, preset: Preset) -> None:
        """Apply a preset as one step: the job's own fields stay, all others become the preset's."""
        text = self.tr("preset %s") % preset.name
        after = Snapshot(preset, self._with_preset(preset))
        self.undo_stack.push(ReplaceEdit(self, after, self.snapshot(), text))

    def _with_preset(self, preset: Preset) -> dict[str, Any]:
        data = base_data(preset)
        for path in NOT_IN_PRESETS:
            given = get_at(preset.data, path)
            if given == options()[path].default:
                set_at(data, path, copy.deepcopy(self.get(path)))
        return data

    def changes_by_preset(self, preset: Preset) -> list[tuple[str, Any]]:
        """What loading a preset would set: paths in the form's order with their new values."""
        data = self._with_preset(preset)
        found = []
        for path in _leaves():
            entry, then = options()[path], get_at(data, path)
            seen = (entry.applies(preset.architecture) and entry.shown(data)) or self.is_in_force(
                path
            )
            if seen and then != self.get(path):
                found.append((path, then))
        return found

    def use_preset_as_base(self, preset: Preset) -> None:
        """Compare with another preset without changing a value, as after saving one."""
        self.preset, self._base = preset, base_data(preset)
        self._changed = None
        self.replaced.emit()

    def set_architecture(self, architecture: str, preset: Preset | None = None) -> list[str]:
        """Change the architecture as one step; values of one's own are kept, applying or not.

        Not those for which the two have defaults of their own: 512 pixels or 12 steps were chosen
        for the former model. Nor files of parts that the other has not: they are returned, and
        come back when their own architecture does.
        """
        if architecture == self.architecture:
            return []
        former = [str(file) for path in self._parts_of_model() if (file := self.get(path))]
        text = self.tr("architecture %s") % ARCHITECTURES[architecture].label
        self._push_architecture(preset or plain_preset(architecture), (), text)
        kept = {self.get(path) for path in MODEL_FILES}
        return [file for file in former if file not in kept]

    def _parts_of_model(self) -> list[str]:
        return [path for path in MODEL_FILES if options()[path].applies(self.architecture)]

    def _push_architecture(
        self, preset: Preset, pairs: Sequence[tuple[str, Any]], text: str
    ) -> None:
        data, architecture = base_data(preset), preset.architecture
        for path in _leaves():
            shared = defaults(self.architecture, path) == defaults(architecture, path)
            kept = (self.is_changed(path) and shared) or path in NOT_IN_PRESETS
            if kept and path != "model.architecture":
                set_at(data, path, copy.deepcopy(self.get(path)))
        for path, value in self._parts.at_switch(self.architecture, architecture, self.get):
            set_at(data, path, value)
        for path, value in pairs:
            set_at(data, path, copy.deepcopy(value))
        self.undo_stack.push(ReplaceEdit(self, Snapshot(preset, data), self.snapshot(), text))

    def replace(self, data: Mapping[str, Any], text: str, preset: Preset | None = None) -> None:
        """Take over another job's data as one step; fields it does not name get defaults.

        Raises:
            JobError: if it has keys that are no options.
        """
        tree, problems = canonical(data)
        if problems:
            raise JobError(problems)
        architecture = get_at(tree, "model.architecture")
        if architecture not in ARCHITECTURES:
            architecture = "sd1"
        preset = preset or plain_preset(architecture)
        whole = base_data(plain_preset(architecture))
        for path in _leaves():
            if _is_given(tree, path):
                value = get_at(tree, path)
                entry = options()[path]
                if entry.optional and entry.kind != "text" and value in NONE_WORDS:
                    value = None
                set_at(whole, path, value)
        self._parts.forget()
        self.undo_stack.push(ReplaceEdit(self, Snapshot(preset, whole), self.snapshot(), text))

    def start_new(self, preset: Preset) -> None:
        """A new job from a preset as one step; the base model stays, as it is mostly the same."""
        data = base_data(preset)
        for path in MODEL_FILES:
            set_at(data, path, self.get(path))
        text = self.tr("new job")
        self.undo_stack.push(ReplaceEdit(self, Snapshot(preset, data), self.snapshot(), text))
        self.mark_saved(None)

    def mark_saved(self, path: Path | None) -> None:
        """Say that the job as it is now is in the file `path`; None: in no file of its own."""
        self.path = path
        self._saved = copy.deepcopy(self.written()) if path else None
        self.file_changed.emit()

    def save(self, path: Path) -> None:
        """Write the job file whole or not at all.

        Raises:
            OSError: no space, no permission.
        """
        save_job(path, self.written())
        self.mark_saved(path)

    @property
    def is_dirty(self) -> bool:
        """Whether a named file differs from what is in the window."""
        return self.path is not None and self._saved != self.written()

    def snapshot(self) -> Snapshot:
        """Preset and data as they are."""
        return Snapshot(self.preset, copy.deepcopy(self.data))

    def put(self, pairs: Sequence[tuple[str, Any]]) -> None:
        """Write values without undo; for the steps of undo themselves."""
        for path, value in pairs:
            set_at(self.data, path, copy.deepcopy(value))
        self._after_change()
        self.changed.emit([path for path, _ in pairs])

    def put_all(self, snapshot: Snapshot) -> None:
        """Replace everything without undo; for the steps of undo themselves."""
        self.preset = snapshot.preset
        self.data = copy.deepcopy(snapshot.data)
        self._base = base_data(self.preset)
        self._after_change()
        self.replaced.emit()

    def _after_change(self) -> None:
        self._checked = self._changed = None
        self._announce.start()
        self.file_changed.emit()


@cache
def _leaves() -> tuple[str, ...]:
    """Paths of all fields with a value: no tables, no fields of list items."""
    return tuple(p for p, o in options().items() if o.kind != "table" and "[]" not in p)


def _known(path: str) -> bool:
    try:
        option_at(path)
    except KeyError:
        return False
    return True


def _general(path: str) -> str:
    return option_at(path).path


def _is_given(tree: Mapping[str, Any], path: str) -> bool:
    here: Any = tree
    for part in path.split("."):
        if not isinstance(here, Mapping) or part not in here:
            return False
        here = here[part]
    return True
