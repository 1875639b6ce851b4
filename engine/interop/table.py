"""The page docs/sd-scripts.md: every option of sd-scripts, and where it is here.

`python -m engine.interop.table > docs/sd-scripts.md` makes it from the table of options and the
schema; a test fails when it is stale.
"""

from __future__ import annotations

import sys

from engine.interop.option_map import Row, table_of
from engine.schema.architectures import ARCHITECTURES
from engine.schema.options import options

_HEAD = """<!-- Made by `python -m engine.interop.table > docs/sd-scripts.md`; do not edit. -->
# sd-scripts' options, and where they are here

`python main.py import` takes a pasted command, a config file or a dataset config, and tells what
became of every option in it; `python main.py export JOB.toml --to sd-scripts` goes the other way.
In the window: File ▸ Import from another trainer…, File ▸ Export for sd-scripts…, or paste a whole
command with Ctrl+Shift+V.

The names of sd-scripts are understood in job files too: `network_dim = 16` under `[network]` is
`rank = 16`.
"""
_TABLES = (
    ("Options of the seven trainers", "sd-scripts", "--"),
    ("Network arguments (`--network_args`)", "sd-scripts network_args", ""),
    ("Dataset config", "sd-scripts dataset_config", ""),
)


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for title, peer, dashes in _TABLES:
        rows = table_of(peer)
        here = sum(bool(row.counterpart) for row in rows.values())
        parts.append(f"## {title}\n\n{here} of {len(rows)} have a field here.\n")
        parts.append("| there | here | note |\n|---|---|---|")
        parts.append("\n".join(_line(f"{dashes}{key}", row) for key, row in rows.items()) + "\n")
    return "\n".join(parts)


def _line(name: str, row: Row) -> str:
    path = row.counterpart
    here = f"`{path}`" if path else "refused" if row.refused else "–"
    words = [row.note] if row.note else []
    if not path and not row.note:
        words.append("no such setting")
    applies = options()[path].hints.applies_to if path else ()
    if applies:
        words.append(", ".join(ARCHITECTURES[a].label for a in applies) + " only")
    note = "; ".join(words).replace("|", "\\|")
    return f"| `{name}` | {here} | {note} |"


if __name__ == "__main__":
    sys.stdout.write(page())
