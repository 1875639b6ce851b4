"""What the other trainers' options are called, and which field of ours each one meets.

The table is data: resources/interop/options.json. It is used for options that need no conversion,
for saying why an option has no counterpart, and for the page docs/sd-scripts.md.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from engine.interop.draft import Draft
from engine.schema.options import options

_FILE = Path(__file__).parents[2] / "resources" / "interop" / "options.json"


@dataclass(frozen=True)
class Row:
    """An option of another trainer.

    Attributes:
        path: our field; empty without one.
        note: why there is none, or how it is converted.
        refused: it must not be left out in silence, nor can it be done.
        default: its value there, where files hold it although nobody set it.
    """

    path: str = ""
    note: str = ""
    refused: bool = False
    default: Any = None

    @property
    def counterpart(self) -> str:
        """The field's path if the schema has it, else empty."""
        return self.path if self.path in options() else ""


@cache
def table_of(peer: str) -> Mapping[str, Row]:
    """All options of a trainer by name.

    Raises:
        KeyError: there is no such trainer in the table.
    """
    return {key: Row(**entry) for key, entry in _whole()[peer].items()}


@cache
def _whole() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    return json.loads(_FILE.read_text(encoding="utf-8"))


def settle(draft: Draft, key: str, value: Any, peer: str, prefix: str = "", **where: Any) -> None:
    """End an option by the table alone: taken, without a counterpart, refused, or unknown.

    `prefix` is put before the name in the report; `where` goes to `Draft.take`.
    """
    row = table_of(peer).get(key)
    shown = f"{prefix}{key}"
    if row is None:
        near = difflib.get_close_matches(key, table_of(peer), 1, 0.75)
        draft.unknown(shown, value, peer, near[0] if near else "")
    elif row.refused:
        draft.refuse(shown, value, row.note or "Graft does not do this")
    elif row.counterpart:
        draft.take(shown, value, row.path, **where)
    else:
        draft.drop(shown, value, row.note or "Graft has no such setting")
