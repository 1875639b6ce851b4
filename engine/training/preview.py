"""Previews: the prompts drawn with the adapter as it is, at fixed seeds (spec: data-loop 6)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.architectures.architecture import PreviewRequest, TrainableModel
from engine.networks.network import Network
from engine.protocol import Sample
from engine.schema.samples import Prompt, Samples
from engine.schema.whole_file import whole_file
from engine.training.control import Control
from engine.training.events import Events
from engine.training.room import Resting
from engine.training.run import Run

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Preview:
    """One preview with every value resolved; `index` is its place in the job's list."""

    index: int
    prompt: str
    negative: str
    weight: float
    seed: int | None  # None: drawn anew each time
    request: PreviewRequest


def resolve_prompts(samples: Samples) -> list[Preview]:
    """The previews to draw: enabled prompts, their empty values taken from the table."""
    if not samples.enabled:
        return []
    return [
        _resolve(samples, prompt, index)
        for index, prompt in enumerate(samples.prompts)
        if prompt.enabled and prompt.prompt.strip()
    ]


def _resolve(samples: Samples, prompt: Prompt, index: int) -> Preview:
    seed = samples.seed + (index if samples.walk_seed and samples.seed >= 0 else 0)
    seed = prompt.seed if prompt.seed is not None else seed
    return Preview(
        index=index,
        prompt=prompt.prompt,
        negative=prompt.negative if prompt.negative is not None else samples.negative,
        weight=prompt.weight,
        seed=seed if seed >= 0 else None,
        request=PreviewRequest(
            width=prompt.width or samples.width,
            height=prompt.height or samples.height,
            seed=max(seed, 0),
            steps=prompt.steps or samples.steps,
            cfg=prompt.cfg if prompt.cfg is not None else samples.cfg,
            sampler=prompt.sampler or samples.sampler,
            guidance=prompt.guidance if prompt.guidance is not None else samples.guidance,
            shift=prompt.flow_shift or samples.flow_shift,
            cfg_until=samples.cfg_trunc_ratio
            if prompt.cfg_trunc_ratio is None
            else prompt.cfg_trunc_ratio,
            cfg_renorm=samples.cfg_renorm,
        ),
    )


class Previews:
    """Draws and writes the previews of one run."""

    def __init__(
        self,
        samples: Samples,
        run: Run,
        model: TrainableModel,
        network: Network,
        events: Events,
        control: Control,
        *,
        device: str,
        resting: Resting,
    ) -> None:
        """`resting` is what lies on the CPU while no preview is drawn."""
        self.previews = resolve_prompts(samples)
        self._samples = samples
        self._run, self._model, self._network = run, model, network
        self._events, self._control = events, control
        self._device, self._resting = device, resting
        self._drawn_at = -1
        self._kept: list[list[dict[str, Tensor]]] = []  # by preview: the prompt, its negative

    def due(self, step: int, total: int, epoch: int, epoch_ends: bool) -> bool:
        """Say whether the plan asks for previews after `step`; 0 is before the first."""
        samples = self._samples
        if not self.previews:
            return False
        if step == 0:
            return samples.at_start
        if step >= total:
            return samples.at_end
        by_epoch = samples.every_epochs and epoch_ends and epoch % samples.every_epochs == 0
        by_step = samples.every_steps and step % samples.every_steps == 0
        return bool(by_epoch or by_step)

    @torch.no_grad()
    def draw(self, step: int, epoch: int) -> None:
        """Draw all of them; call it with the adapter in the state to be shown.

        Raises:
            StopRun: if the person wants to stop; what was drawn so far stays.
        """
        if not self.previews or step == self._drawn_at:
            return
        if self._resting.prompts and not self._kept:
            self._keep_prompts()
        self._resting.move(self._model, self._device)
        try:
            for number, preview in enumerate(self.previews):
                self._draw_one(preview, number, step, epoch)
        finally:
            self._network.set_weight(1.0)
            self._resting.move(self._model, "cpu")
        self._drawn_at = step

    def _keep_prompts(self) -> None:
        """Encode all prompts once: a text encoder that rests always says the same.

        So a large one comes to the device before the first preview, and never again.
        """
        self._model.move("text_encoder", self._device)
        try:
            for preview in self.previews:
                self._control.check()
                encoded = self._model.encode_prompts([preview.prompt, preview.negative])
                self._kept.append([{n: t.cpu() for n, t in row.items()} for row in encoded])
        except BaseException:
            self._kept.clear()
            raise
        finally:
            self._model.move("text_encoder", "cpu")

    def _draw_one(self, preview: Preview, number: int, step: int, epoch: int) -> None:
        count = len(self.previews)
        words = f"Drawing preview {number + 1} of {count}"

        def on_step(done: int, total: int) -> None:
            self._control.check()
            self._events.phase("sampling", words, number * total + done, count * total)

        self._control.check()
        request = preview.request
        if preview.seed is None:
            request = PreviewRequest(**{**vars(request), "seed": secrets.randbelow(2**31)})
        self._network.set_weight(preview.weight)
        if self._kept:
            text, negative = self._kept[number]
        else:
            text, negative = self._model.encode_prompts([preview.prompt, preview.negative])
        picture = self._model.preview(request, text, negative, on_step)
        path = self._run.samples / f"s{step:08d}-p{preview.index:02d}-seed{request.seed}.png"
        write_picture(path, picture, preview, request, step)
        self._events.emit(
            Sample(
                step=step,
                epoch=epoch,
                path=self._run.relative(path),
                prompt_index=preview.index,
                prompt=preview.prompt,
                negative=preview.negative,
                seed=request.seed,
                width=picture.width,
                height=picture.height,
            )
        )


def write_picture(
    path: Path, picture: Image, preview: Preview, request: PreviewRequest, step: int
) -> None:
    """Write a PNG whose text chunk tells how it was made, in the words other programs read."""
    from PIL.PngImagePlugin import PngInfo

    parameters = (
        f"{preview.prompt}\nNegative prompt: {preview.negative}\nSteps: {request.steps}, "
        f"Sampler: {request.sampler}, CFG scale: {request.cfg:g}, Seed: {request.seed}, "
        f"Size: {picture.width}x{picture.height}, Adapter weight: {preview.weight:g}, "
        f"Training step: {step}"
    )
    info = PngInfo()
    info.add_text("parameters", parameters)
    with whole_file(path) as beside:
        picture.save(beside, format="PNG", pnginfo=info)
