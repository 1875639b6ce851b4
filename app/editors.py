"""From an option of the schema to the widget that edits it (spec: gui 4.1)."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QWidget

from app.settings import Settings
from app.widgets.check import CheckBox
from app.widgets.choice import ChoiceBox
from app.widgets.every import EveryEdit
from app.widgets.number import NumberEdit, number_text, parse_number
from app.widgets.numbers import NumbersEdit
from app.widgets.path import PathEdit
from app.widgets.segmented import Segmented
from app.widgets.text import LongTextEdit, TextEdit
from engine.schema.architectures import ARCHITECTURES
from engine.schema.options import Option

SEGMENTS_ROOM = 160  # pixels left for the editor at the least width of the form


Editor = (
    CheckBox
    | ChoiceBox
    | EveryEdit
    | LongTextEdit
    | NumberEdit
    | NumbersEdit
    | PathEdit
    | Segmented
    | TextEdit
)
"""All have `value`, `set_value`, `set_state`, `set_inherited`, and the signal `edited`."""


def make_editor(option: Option, settings: Settings, parent: QWidget) -> Editor:
    """Make the editor of a field; lists of tables have none (see app/widgets/cards.py)."""
    kind, hints = option.kind, option.hints
    if kind == "bool" and not option.optional:
        return CheckBox("", parent)
    if kind == "bool":
        words = [(None, hints.empty), (True, _tr("on")), (False, _tr("off"))]
        return ChoiceBox(words, parent)
    if kind == "choice":
        return _choice(option, parent)
    if kind in ("int", "float"):
        return NumberEdit(
            "int" if kind == "int" else "float", parent,
            scale=hints.scale, step=hints.step, bounds=option.bounds, optional=option.optional,
            empty=hints.empty, unit=hints.unit, dice=option.bounds.get("lt", 0) > 2**31,
        )  # fmt: skip
    if kind == "text":
        return _text(option, settings, parent)
    if kind == "mapping":
        return MappingEdit(parent)
    if kind == "int_list" and hints.parts:
        return NumbersEdit(hints.parts, parent)
    read, write = _CONVERSIONS[kind]
    return TextEdit(
        parent, read=lambda text: read(text, option.optional), write=write, empty=hints.empty,
        suggestions=hints.suggestions, mono=kind in ("int_list", "float_list", "lr_weights"),
    )  # fmt: skip


def limit_choices(editor: Editor, option: Option, architecture: str) -> None:
    """Grey the choices that an architecture lacks."""
    if isinstance(editor, ChoiceBox | Segmented) and option.hints.choices_by:
        had = option.choices_of(architecture)
        label = ARCHITECTURES[architecture].label if architecture in ARCHITECTURES else ""
        reason = _tr("not for %s") % label
        editor.set_disabled({c: reason for c in option.choices if c not in had})


def as_widget(editor: Editor) -> QWidget:
    """The same object, as Qt sees it."""
    return editor


def choice_label(option: Option, value: Any) -> str:
    """What a choice is called."""
    if value is None:
        return option.hints.empty
    return option.hints.choice_labels.get(value, str(value).replace("_", " "))


def value_words(option: Option, value: Any) -> str:
    """A value in words, for summaries and tooltips."""
    if value is None:
        return option.hints.empty or _tr("off")
    if isinstance(value, bool):
        return _tr("on") if value else _tr("off")
    if option.kind == "choice":
        return choice_label(option, value)
    if isinstance(value, int | float):
        return f"{number_text(value)} {option.hints.unit}".strip()
    if isinstance(value, list):
        shown = ",".join(number_text(v) for v in value[:8])
        return shown + ("…" if len(value) > 8 else "")
    return str(value)


def _choice(option: Option, parent: QWidget) -> Editor:
    values = [None, *option.choices] if option.optional else list(option.choices)
    labels = [(value, choice_label(option, value)) for value in values]
    metrics = parent.fontMetrics()
    wide = sum(metrics.horizontalAdvance(label) * 1.08 + 24 for _, label in labels)
    room = SEGMENTS_ROOM * max(1.0, metrics.height() / 17)
    if 2 <= len(labels) <= 4 and wide <= room and not option.optional:
        return Segmented(labels, parent)
    return ChoiceBox(labels, parent)


def _text(option: Option, settings: Settings, parent: QWidget) -> Editor:
    hints = option.hints
    if hints.path is not None:
        empty = hints.empty or _tr("Choose, or drop one here")
        if hints.path == "model" and not hints.empty:
            empty = _tr("Choose a file, folder or hub id")
        editor = PathEdit(
            hints.path, parent, extensions=hints.extensions, empty=empty,
            optional=option.optional, recent=settings.recent(option.path),
        )  # fmt: skip
        editor.chosen.connect(lambda path: settings.add_recent(option.path, path))
        return editor
    if hints.long_text:
        return LongTextEdit(parent, empty=hints.empty)
    # Spaces at the ends may be meant: ", " parts tags.
    read = (lambda text: text or None) if option.optional else str
    return TextEdit(
        parent, read=read, empty=hints.empty, suggestions=hints.suggestions, secret=hints.secret
    )


def _tr(text: str) -> str:
    return QCoreApplication.translate("editors", text)


def _read_text_list(text: str, optional: bool) -> Any:
    items = [item.strip() for item in text.split(",")]
    items = [item for item in items if item]
    return None if optional and not items else items


def _read_numbers(text: str, optional: bool, kind: Any) -> Any:
    inner = text.strip().removeprefix("[").removesuffix("]").strip()
    if not inner:
        return None if optional else []
    parts = [part.strip() for part in inner.replace(";", ",").split(",")]
    if parts[-1] == "":
        parts.pop()
    values = [parse_number(part, kind) for part in parts]
    return text if any(isinstance(v, str) for v in values) else values


def _read_lr_weights(text: str, optional: bool) -> Any:
    value = _read_numbers(text, optional, "float")
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _read_steps(text: str, optional: bool) -> Any:
    cleaned = text.strip().replace(" ", "")
    if optional and cleaned.lower() in ("", "off", "none"):
        return None
    value = parse_number(cleaned, "int")
    return parse_number(cleaned, "float") if isinstance(value, str) else value


def _write_list(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(number_text(v) for v in value)
    return number_text(value)


def _write_text_list(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


_CONVERSIONS: dict[str, tuple[Any, Any]] = {
    "text_list": (_read_text_list, _write_text_list),
    "int_list": (lambda text, optional: _read_numbers(text, optional, "int"), _write_list),
    "float_list": (lambda text, optional: _read_numbers(text, optional, "float"), _write_list),
    "lr_weights": (_read_lr_weights, _write_list),
    "steps_or_share": (_read_steps, number_text),
}


def read_mapping(text: str) -> Any:
    """Read lines of `name = value`; values are TOML, or text where they are no TOML."""
    values: dict[str, Any] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            return text
        try:
            values[name.strip()] = tomllib.loads(f"v = {value.strip()}")["v"]
        except tomllib.TOMLDecodeError:
            values[name.strip()] = value.strip()
    return values


def _write_mapping(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value or "")
    lines: Sequence[str] = [
        f"{name} = {str(v).lower() if isinstance(v, bool) else v}" for name, v in value.items()
    ]
    return "\n".join(lines)


class MappingEdit(LongTextEdit):
    """Names and values, one pair a line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, empty=_tr("name = value, one a line"))

    def value(self) -> Any:
        """The pairs; the text itself where a line is no pair."""
        return read_mapping(self.toPlainText())

    def set_value(self, value: Any) -> None:
        """Show the pairs, unless the text already says the same."""
        if self.value() != value:
            super().set_value(_write_mapping(value))
