"""What a job is called in the window's title and as a file."""

from __future__ import annotations

from pathlib import Path

from app.document import Document


def job_name(document: Document) -> str:
    """The name of its file, its output, or its first folder."""
    if document.path is not None:
        return document.path.stem
    name = str(document.get("output.name") or "").strip()
    if name:
        return name
    folders = document.get("dataset.folders")
    first = str(folders[0].get("path", "")) if folders else ""
    return Path(first).name if first else document.tr("New job")
