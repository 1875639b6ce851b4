"""What a checkpoint file predicts, noise or velocity (spec: training-sd-flux 1.3)."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from engine.plan.header import Header, read_numbers
from engine.plan.model_names import LABELS, PREFIX

Prediction = Literal["epsilon", "v"]

V_BIAS_SPREAD = 0.09
"""SD 2.x files whose last norm's biases spread more than this predict v (training-sd-flux 1.3)."""


def prediction_of_file(
    architecture: str, path: Path, header: Header
) -> tuple[Prediction | None, str]:
    """What a single file predicts, and how that was told; None if it cannot be told."""
    stated = header.metadata.get("modelspec.prediction_type", "").lower()
    if stated in ("v", "v_prediction", "v-prediction"):
        return "v", "v by its metadata"
    if stated in ("epsilon", "eps"):
        return "epsilon", "epsilon by its metadata"
    sibling = sibling_prediction(path)
    if sibling:
        return sibling, f"{sibling} by the .yaml beside it"
    usual, how = usual_prediction(architecture, header.entries)
    if usual:
        return usual, how
    bias = f"{PREFIX}output_blocks.11.1.transformer_blocks.0.norm1.bias"
    if bias not in header.entries:
        return None, "prediction not told"
    spread = statistics.pstdev(read_numbers(header, bias))
    guess: Prediction = "v" if spread > V_BIAS_SPREAD else "epsilon"
    return guess, f"{guess} by the spread of its last norm ({spread:.3f})"


def usual_prediction(architecture: str, names: Iterable[str]) -> tuple[Prediction | None, str]:
    """What a file predicts that says nothing of it; SDXL has a key for the other kind."""
    if architecture == "sdxl" and "v_pred" in names:
        return "v", "v by its key v_pred"
    if architecture == "sd2":
        return None, "prediction not told"
    return "epsilon", f"epsilon, as {LABELS[architecture]} is"


def sibling_prediction(path: Path) -> Prediction | None:
    """Read `parameterization` in the .yaml that old checkpoints come with."""
    try:
        text = path.with_suffix(".yaml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"""parameterization:\s*["']?(\w+)""", text)
    if found is None:
        return None
    return "v" if found[1] == "v" else "epsilon"
