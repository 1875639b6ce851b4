"""Guidance of HunyuanImage-2.1's previews: plain at first, then projected (spec: training-dit 3.6).

The first steps move away from the negative prompt as usual. Later ones use adaptive projected
guidance (arXiv 2410.02416): only the part of the difference that is orthogonal to the prediction,
smoothed over the steps and cut at a norm. Pictures with writing in them begin so late with it that
short previews never do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.architectures.running.flow_preview import Predict

PLAIN_STEPS = 5
PLAIN_STEPS_WITH_GLYPHS = 38


def guided_by_projection(
    predict: Predict, negative: Predict, cfg: float, steps: int, *, glyphs: bool
) -> Predict:
    """Join two predictions as the model's authors do, with diffusers' own guider.

    What is returned counts the steps: it is good for one preview, called once a step.

    Args:
        predict, negative: with the prompt, and with the negative prompt.
        cfg: the scale of the plain steps; 1 or less asks for the prompt alone.
        steps: of the whole preview.
        glyphs: the prompt asks for something written.
    """
    if cfg <= 1:
        return predict
    from diffusers.guiders.adaptive_projected_guidance_mix import (
        AdaptiveProjectedMixGuidance,
        MomentumBuffer,
    )

    plain = PLAIN_STEPS_WITH_GLYPHS if glyphs else PLAIN_STEPS
    guider = AdaptiveProjectedMixGuidance(
        guidance_scale=cfg, adaptive_projected_guidance_start_step=plain
    )
    guider.momentum_buffer = MomentumBuffer(guider.adaptive_projected_guidance_momentum)
    unread: Any = torch.zeros((), dtype=torch.long)  # the timestep; it counts steps instead
    count = 0

    def both(latents: Tensor, times: Tensor) -> Tensor:
        nonlocal count
        guider.set_state(count, steps, unread)
        count += 1
        wanted, unwanted = predict(latents, times).float(), negative(latents, times).float()
        return guider.forward(wanted, unwanted).pred

    return both
