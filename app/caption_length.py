"""How long a caption is, for the note below it: exact where CLIP reads it, else a guess."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QCoreApplication

from app.document import Document
from engine.plan.clip_tokens import ClipTokens, load_clip_tokens
from engine.schema.architectures import ARCHITECTURES
from engine.schema.options import option_at

CLIP = Path(__file__).resolve().parent.parent / "resources" / "tokenizers" / "clip"
DECIDES = (
    "model.architecture", "model.path", "model.max_tokens", "dataset.weighted_captions",
)  # fmt: skip
"""The fields that the words depend on."""


def length_words(document: Document, text: str) -> tuple[str, bool]:
    """How many tokens a caption has, of how many that are read; and whether its end is cut off."""
    known = _clip_tokens(document)
    if known is None:
        return _tr("about %s tokens") % f"{_guess(text):,}", False
    count, most = known.count(text), document.job.model.max_tokens
    words = _tr("%1 of %2 tokens").replace("%1", f"{count:,}").replace("%2", f"{most:,}")
    if document.job.dataset.weighted_captions:  # the signs of the weights are no text
        return _tr("at most %s") % words, False
    if count <= most:
        return words, False
    label = option_at("model.max_tokens").label(document.architecture)
    cut = _tr("%1; the end is cut off, see %2").replace("%1", words)
    return cut.replace("%2", label), True


def _clip_tokens(document: Document) -> ClipTokens | None:
    """The tokens of CLIP, if it alone reads the captions; of the base model's own vocabulary."""
    about = ARCHITECTURES[document.architecture]
    if not all("CLIP" in name for name in about.text_encoders):
        return None
    own = Path(str(document.get("model.path") or "")).expanduser() / "tokenizer"
    for folder in (own, CLIP):
        try:
            return load_clip_tokens(folder)
        except (OSError, ValueError):
            continue
    return None


def _guess(text: str) -> int:
    """A word is one token or more, the longer the more; a comma is one."""
    words = [word for word in text.replace(",", " , ").split() if word]
    return round(sum(1 if len(word) < 8 else 1 + len(word) / 10 for word in words))


def _tr(text: str) -> str:
    return QCoreApplication.translate("captions", text)
