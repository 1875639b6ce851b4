"""Base models: one file an architecture, one call to load any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from engine.architectures.architecture import Report, TrainableModel
    from engine.schema.model import Model


def load(
    architecture: str,
    model: Model,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    offline: bool = True,
    report: Report | None = None,
    zero_terminal_snr: bool = False,
    weighted_captions: bool = False,
) -> TrainableModel:
    """Load the base model of a job onto a device.

    Args:
        architecture: its id.
        model: the job's `[model]` table.
        device: where all parts go.
        dtype: of the denoiser and the text encoder; the VAE's is the job's own choice.
        offline: never use the network.
        report: told before each part; may raise to stop.
        zero_terminal_snr: use that schedule even if the file does not say so.
        weighted_captions: parentheses in captions give weights.

    Raises:
        ModelProblem: with what is wrong, what to do, and the field it concerns.
    """
    import torch

    from engine.architectures.sd_load import load_sd

    if architecture not in ("sd1", "sd2"):
        raise KeyError(f"no architecture {architecture}")
    return load_sd(
        architecture,
        model,
        device=torch.device(device),
        dtype=dtype,
        offline=offline,
        report=report or (lambda words, done, total: None),
        zero_terminal_snr=zero_terminal_snr,
        weighted_captions=weighted_captions,
    )
