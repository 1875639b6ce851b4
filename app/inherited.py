"""What counts where a field is empty: another field's value, shown in its place (spec: look 6).

Which field that is the schema says in the words for an empty one: "rank" is the field Rank.
"""

from __future__ import annotations

from functools import cache

from app.document import Document
from app.widgets.number import number_text
from engine.schema.options import options


@cache
def source_of(path: str) -> str:
    """The field of the same table whose value an empty one takes; empty if there is none."""
    table = path.rpartition(".")[0]
    wanted = options()[path].hints.empty.lower()
    beside = (p for p in options() if p.rpartition(".")[0] == table and "[]" not in p)
    return next((p for p in beside if wanted and options()[p].hints.label.lower() == wanted), "")


def inherited_words(path: str, document: Document) -> str:
    """The value that counts now, or the field's words where the other one is empty too."""
    table, _, name = source_of(path).rpartition(".")
    value = getattr(getattr(document.job, table), name)
    return options()[path].hints.empty if value is None else number_text(value)
