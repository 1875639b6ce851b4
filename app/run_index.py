"""The list of known runs: a small index file that is only a copy of what the folders say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from app.run_folder import EVENTS, RunFacts, is_alive, is_run_folder, read_facts, state_of
from engine.schema.whole_file import write_whole


def load(file: Path) -> dict[str, RunFacts]:
    """The index by folder; one that cannot be read counts as empty and is built anew."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return {row["directory"]: RunFacts(**row) for row in rows}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def save(file: Path, runs: Iterable[RunFacts]) -> None:
    """Write the index whole."""
    write_whole(file, json.dumps([run.to_json() for run in runs]).encode())


def refresh(known: dict[str, RunFacts], roots: Iterable[Path] = ()) -> list[RunFacts]:
    """Bring the facts up to date, newest first: only folders that changed are read again.

    Runs whose folder is gone are dropped; run folders found in `roots` (one level deep) and
    beside known runs are added.
    """
    folders = {Path(directory) for directory in known}
    for root in {*roots, *(folder.parent for folder in folders)}:
        folders.update(_runs_in(root))
    facts = [fact for folder in folders if (fact := _fresh(known.get(str(folder)), folder))]
    return sorted(facts, key=lambda run: run.changed, reverse=True)


def _runs_in(root: Path) -> list[Path]:
    try:
        return [folder for folder in root.iterdir() if (folder / EVENTS).is_file()]
    except OSError:
        return []


def _fresh(known: RunFacts | None, folder: Path) -> RunFacts | None:
    try:
        stat = (folder / EVENTS).stat()
    except OSError:
        return read_facts(folder) if is_run_folder(folder) else None
    if known is None or stat.st_size != known.events_bytes or stat.st_mtime != known.changed:
        return read_facts(folder)
    if known.status in ("running", "paused", "starting") and not _still_alive(folder):
        return replace(known, status="interrupted")
    return known


def _still_alive(folder: Path) -> bool:
    state, _ = state_of(folder)
    return state.hello is not None and is_alive(state.hello.pid, state.hello.time)
