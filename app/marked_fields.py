"""Moving between the form's fields that are changed or wrong."""

from __future__ import annotations

from app.form import Form
from app.form_group import entries
from engine.schema.options import option_at
from engine.schema.presets import NOT_IN_PRESETS


def marked_paths(form: Form) -> list[str]:
    """Fields that are changed or wrong, in the form's order."""
    order = [option.path for group in entries().values() for option in group]
    marked = {*form.document.changed_paths(), *form.told.by_path}
    return sorted(marked, key=lambda p: (order.index(option_at(p.partition("[")[0]).path), p))


def go_to_marked(form: Form, direction: int) -> None:
    """Move to the next or previous changed or wrong field."""
    marked = marked_paths(form)
    if not marked:
        return
    if form.focused_path in marked:
        index = (marked.index(form.focused_path) + direction) % len(marked)
    else:
        index = 0 if direction > 0 else len(marked) - 1
    form.focus_field(marked[index])


def reset_focused(form: Form) -> None:
    """Give the field in focus its preset's value back."""
    if form.focused_path and form.focused_path not in NOT_IN_PRESETS:
        form.document.reset([form.focused_path])
