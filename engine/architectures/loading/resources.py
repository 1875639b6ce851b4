"""Where the configs and tokenizers lie that are shipped, so that loading fetches nothing."""

from __future__ import annotations

from pathlib import Path

RESOURCES = Path(__file__).resolve().parents[3] / "resources"
