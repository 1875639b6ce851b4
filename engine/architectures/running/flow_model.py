"""What every flow model does alike: pictures out of latents, attention kernels, compiled blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.architectures.architecture import (
    OnStep,
    Pictures,
    Prediction,
    PreviewRequest,
    Text,
)
from engine.architectures.running.denoiser import attention_context, preview_precision
from engine.architectures.running.frozen import blocks_of
from engine.architectures.vae.picture_coder import picture_of

if TYPE_CHECKING:
    from PIL.Image import Image


class FlowModel(ABC):
    """The common part of the flow models; each is a `TrainableModel` with what it adds.

    Attributes:
        components: role → module; the "denoiser" is among them.
        pictures: the picture encoder.
        attention: the job's choice of kernel (`model.attention`).
    """

    prediction: Prediction = "flow"
    zero_terminal_snr = False
    components: dict[str, nn.Module]
    pictures: Pictures
    attention: str

    @abstractmethod
    def draw_latents(
        self, request: PreviewRequest, text: Text, negative: Text, on_step: OnStep | None = None
    ) -> Tensor:
        """From the request's noise to scaled latents (1, c, h, w), on the denoiser's device.

        Args:
            request: size, steps, guidance and seed.
            text, negative: one encoded caption each.
            on_step: called with steps done and in all; it may raise to stop.

        Raises:
            ModelProblem: if the model cannot draw that.
        """

    @torch.no_grad()
    def preview(
        self, request: PreviewRequest, text: Text, negative: Text, on_step: OnStep | None = None
    ) -> Image:
        """Draw one picture; arguments and errors are those of `draw_latents`."""
        with preview_precision(self.components["denoiser"]), self.attention_context():
            latents = self.draw_latents(request, text, negative, on_step)
        return picture_of(self.pictures.decode(latents))

    def attention_context(self) -> AbstractContextManager[object]:
        """The kernel choice, by context: not every processor takes a back-end of its own."""
        return attention_context(self.attention)

    def compile_blocks(self) -> None:
        """Compile the blocks, one graph for all of a kind."""
        for block in blocks_of(self.components["denoiser"]):
            block.compile()
