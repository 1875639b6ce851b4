"""What the engine asks of a model it trains an adapter for, whatever its architecture.

A `TrainableModel` holds the libraries' modules and knows how they are fed; the loop, the objective
and the previews know no architecture by name (spec: training-sd-flux 2, 3, 5, 6).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from torch import Tensor, nn

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from engine.plan.detect import ModelFacts
    from engine.plan.site import Site
    from engine.schema.model import Model

Prediction = Literal["epsilon", "v", "flow"]
"""Of the noise, of the velocity on SD's discrete schedule, or of the flow n − x."""

Part = Literal["denoiser", "vae", "text_encoder"]
"""What is moved as one; `text_encoder` is all of them."""

Text = Mapping[str, Tensor]
"""Encoded captions: every tensor has the captions as its first dimension.

`X` with an `X_mask` beside it is padded on the right, in its second dimension, to the longest
caption; what the mask leaves out may be cut before keeping and is padded with zeros again. In
training, and only there, `sizes` (b, 6) is added: height and width of the original picture, top and
left of the crop, height and width of the bucket.
"""

Report = Callable[[str, int, int], None]
"""Told what is loaded: (words, done, total). It may raise to stop the loading."""

OnStep = Callable[[int, int], None]
"""Told of each denoising step of a preview: (done, total). It may raise to stop the preview."""


class ModelProblem(Exception):
    """A model that cannot be used.

    Attributes:
        message: what is wrong, with the file's name.
        mend: what to do.
        field: the schema path it concerns.
    """

    def __init__(self, message: str, mend: str = "", field: str = "model.path") -> None:
        self.message = message
        self.mend = mend
        self.field = field
        super().__init__(f"{message} {mend}".strip())


@dataclass(frozen=True)
class PreviewRequest:
    """One preview picture, every value resolved.

    `width` and `height` are in pixels, multiples of the architecture's `picture_step`; `seed` is
    not negative; `cfg` of 1 or less means no guidance (one pass a step instead of two). `guidance`
    is the number told to guidance-distilled models, `shift` the flow's timestep shift (None: the
    architecture's own); `sampler` is for models with SD's discrete schedule. `cfg_until` is the
    share of the steps that are guided, and `cfg_renorm` brings what guidance makes back to its
    length before, where an architecture has them.
    """

    width: int = 512
    height: int = 512
    seed: int = 42
    steps: int = 25
    cfg: float = 7.0
    sampler: str = "euler"
    guidance: float = 3.5
    shift: float | None = None
    cfg_until: float = 1.0
    cfg_renorm: bool = True


def _say_nothing(words: str, done: int, total: int) -> None:
    """The report of who does not want to know."""


@dataclass(frozen=True)
class Loading:
    """What a loader is asked for.

    Attributes:
        architecture: its id.
        model: the job's `[model]` table.
        device: where all parts go.
        dtype: of the denoiser and the text encoders; the VAE's is the job's own choice.
        offline: never use the network.
        report: told before each part; may raise to stop.
        zero_terminal_snr: use that schedule even if the file does not say so.
        weighted_captions: parentheses in captions give weights.
        guidance: the number told in training to a model that takes one.
        blocks_away: so many of the denoiser's last blocks stay in the computer's memory.
        denoiser_waits: all of it stays there until the encoders have done their work.
    """

    architecture: str
    model: Model
    device: torch.device
    dtype: torch.dtype
    offline: bool = True
    report: Report = _say_nothing
    zero_terminal_snr: bool = False
    weighted_captions: bool = False
    guidance: float = 1.0
    blocks_away: int = 0
    denoiser_waits: bool = False


@runtime_checkable
class LiveEncoders(Protocol):
    """A model of several text encoders, of which some can rest while others are trained."""

    def said_anew(
        self, text: Text, captions: Sequence[str], encoders: Collection[str]
    ) -> dict[str, Tensor]:
        """Encoded captions with what some encoders said said anew, as `encode_text` would.

        Args:
            text: the captions as they were encoded before.
            captions: the same ones.
            encoders: the roles of those that speak; gradients flow if grad mode is on.
        """
        ...


class Pictures(Protocol):
    """The picture encoder of a model.

    Attributes:
        vae: the library's module, frozen, in its own precision.
    """

    vae: Any

    def encode(self, pixels: Tensor) -> Tensor:
        """Encode pixels (b, 3, H, W) in [-1, 1] to latents (b, c, h, w).

        The mean of the posterior, unscaled, float32, on the VAE's device, without gradient.

        Raises:
            ValueError: if a latent is not finite.
        """
        ...

    def scaled(self, latents: Tensor) -> Tensor:
        """Bring unscaled latents to the denoiser's range, in float32."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (b, c, h, w) → pixels (b, 3, H, W) around [-1, 1], float32."""
        ...

    def identity(self) -> dict[str, Any]:
        """What decides the latents of a given picture; for cache keys. JSON values."""
        ...


class TrainableModel(Protocol):
    """A loaded base model.

    Attributes:
        architecture: its id, such as `sd1`.
        facts: what was read off the file.
        sites: where adapters can sit, for this model's own shapes.
        components: adapter hosts by role: `denoiser`, `text_encoder`, `text_encoder_2`,
            `text_encoder_3`, `text_conditioner`. They are frozen and in eval mode.
        prediction: what the denoiser predicts, resolved from job and file.
        zero_terminal_snr: the schedule ends in pure noise.
    """

    architecture: str
    facts: ModelFacts
    sites: tuple[Site, ...]
    components: dict[str, nn.Module]
    prediction: Prediction
    zero_terminal_snr: bool

    @property
    def pictures(self) -> Pictures:
        """Its picture encoder."""
        ...

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Encode captions for training; gradients flow if grad mode is on."""
        ...

    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """Encode the prompts of one preview together, so that all have the same length.

        Returns one entry a prompt, each with a first dimension of 1. Weights in parentheses count.
        Give the prompt first and its negative after it, in one call. No gradient.
        """
        ...

    def text_identity(self) -> dict[str, Any]:
        """What decides the encoding of a given caption; for cache keys. JSON values."""
        ...

    def predict(self, noisy: Tensor, times: Tensor, text: Text) -> Tensor:
        """Run the denoiser: noisy latents (b, c, h, w), times (b,) → prediction (b, c, h, w).

        Times are int64 timesteps of SD's schedule, or for a flow model the noise level σ in (0, 1]
        as float32; a flow model answers n − x, whatever its own sign or clock. Call it under the
        run's autocast; the inputs are cast to the denoiser's dtype.
        """
        ...

    def preview(
        self, request: PreviewRequest, text: Text, negative: Text, on_step: OnStep | None = None
    ) -> Image:
        """Draw one picture from entries of `encode_prompts`; touches no global random state.

        The adapter's weight and train/eval state are the caller's.
        """
        ...

    def move(self, part: Part, device: torch.device | str) -> None:
        """Move a part (all text encoders are one) to a device; encoders work where they are."""
        ...

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the blocks' insides in the backward pass instead of keeping them."""
        ...

    def attention_context(self) -> AbstractContextManager[object]:
        """The choice of attention kernel; to be open around forward and backward."""
        ...

    def compile_blocks(self) -> None:
        """Compile the denoiser's repeated blocks; call it once the adapters are in place."""
        ...
