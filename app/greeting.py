"""The first start, when there is nothing to train with: a short form and three ways to begin."""

from __future__ import annotations

from app.document import Document
from app.form import Form

FOLDED = ("network", "training", "optimizer", "objective", "samples", "output", "launch")
"""Groups that can wait until there is a model and a folder of pictures."""


def is_empty(document: Document) -> bool:
    """Whether the job has neither a model nor pictures."""
    return not document.get("model.path") and not document.get("dataset.folders")


def shorten(form: Form) -> None:
    """Fold what can wait, if the job is empty; before the first paint, so that nothing jumps."""
    if is_empty(form.document):
        form.set_folded(FOLDED)
