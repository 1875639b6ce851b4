"""How much memory a run will take: a range, by parts, without loading anything.

The parts that are only sizes (weights, adapters, gradients, optimizer state) are computed from the
model's shape. What the passes keep is scaled from a measurement: an SD 1.x U-Net at 64×64 latents,
one picture, float32, keeps about 1.9 GB with adapters everywhere (spec: adapter-performance 2), in
proportion to pixels, widths, batch and bytes of the precision; block-wise checkpointing keeps about
a quarter. Those are given a range of −20 % to +30 %. On a GPU the driver and the allocator's gaps
come on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.plan.buckets import parse_resolution
from engine.plan.site import Placement
from engine.plan.sites import SHAPES, ModelShape
from engine.schema.job import Job
from engine.schema.optimizers import kind_of

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
_ACTIVATIONS_SD1 = 1.9e9  # bytes: one picture, 64×64 latents, float32
_CHECKPOINTED = 0.25
_LOW, _HIGH = 0.8, 1.3
_GPU_EXTRA = (0.3e9, 0.9e9)  # driver's context, and the allocator's gaps
_VAE_PARAMETERS = 83.7e6
_VAE_BYTES_A_PIXEL = 3500.0  # at its widest level, float32
_TEXT_FLOATS_A_TOKEN = 30  # kept for each token, layer and unit of width


@dataclass(frozen=True)
class MemoryPart:
    """One part in bytes: from `low` to `high`, equal where it is exact."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class MemoryEstimate:
    """The phase that needs most, by its parts."""

    phase: str  # "training", "caching" or "previews"
    parts: tuple[MemoryPart, ...]

    @property
    def low(self) -> float:
        """Least bytes at the peak."""
        return sum(part.low for part in self.parts)

    @property
    def high(self) -> float:
        """Most bytes at the peak."""
        return sum(part.high for part in self.parts)


def estimate(
    job: Job, placements: Sequence[Placement], shape: ModelShape | None = None
) -> MemoryEstimate:
    """Estimate the peak of a run."""
    shape = shape or SHAPES[job.model.architecture]
    phases = [
        MemoryEstimate("training", _training(job, placements, shape)),
        MemoryEstimate("caching", _with_vae(job, shape, enlarging=False)),
    ]
    if job.samples.enabled and any(p.enabled for p in job.samples.prompts):
        phases.append(MemoryEstimate("previews", _with_vae(job, shape, enlarging=True)))
    return max(phases, key=lambda phase: phase.high)


def precision_of(job: Job) -> str:
    """The precision of the passes; on a processor automatic means float32."""
    if job.training.precision != "auto":
        return job.training.precision
    return "fp32" if job.launch.device == "cpu" else "bf16"


def weights_precision(job: Job) -> str:
    """The precision the frozen weights are kept in."""
    return precision_of(job) if job.model.weights == "auto" else job.model.weights


def denoiser_parameters(shape: ModelShape) -> int:
    """Numbers in the U-Net, counted by its blocks' widths (859,520,964 for SD 1.x)."""
    c = shape.block_out_channels
    time, layers = shape.time_width, shape.layers_per_block
    total = 4 * 9 * c[0] + c[0] + c[0] * time + time + time * time + time
    before = c[0]
    skips = [c[0]]
    for level, width in enumerate(c):
        for _ in range(layers):
            total += _resnet(before, width, time)
            before = width
            if level < 3:
                total += _transformer(width, shape)
            skips.append(width)
        if level < 3:
            total += 9 * width * width + width
            skips.append(width)
    total += 2 * _resnet(before, before, time) + _transformer(before, shape)
    for level, width in reversed(list(enumerate(c))):
        for _ in range(layers + 1):
            total += _resnet(before + skips.pop(), width, time)
            before = width
            if level < 3:
                total += _transformer(width, shape)
        if level > 0:
            total += 9 * width * width + width
    return total + 2 * c[0] + 9 * c[0] * 4 + 4


def _resnet(inputs: int, width: int, time: int) -> int:
    total = 2 * inputs + 9 * inputs * width + width + time * width + width
    total += 2 * width + 9 * width * width + width
    return total + (inputs * width + width if inputs != width else 0)


def _transformer(width: int, shape: ModelShape) -> int:
    context = shape.cross_attention_dim
    own = 3 * width * width + width * width + width
    cross = width * width + 2 * context * width + width * width + width
    forward = width * 8 * width + 8 * width + 4 * width * width + width
    return 2 * width + 2 * (width * width + width) + own + cross + forward + 6 * width


def text_parameters(shape: ModelShape) -> int:
    """Numbers in the CLIP text encoder."""
    width, wide = shape.text_width, shape.text_mlp
    layer = 4 * (width * width + width) + 2 * width * wide + wide + width + 4 * width
    return (49408 + 77) * width + shape.text_layers * layer + 2 * width


def _training(
    job: Job, placements: Sequence[Placement], shape: ModelShape
) -> tuple[MemoryPart, ...]:
    weights = BYTES[weights_precision(job)]
    keeps_text = job.dataset.cache_text == "off" or job.network.train != "denoiser"
    frozen = denoiser_parameters(shape) + (text_parameters(shape) if keeps_text else 0)
    trained = sum(p.site.parameters(p.rank) for p in placements)
    each = 4 if job.training.adapter_precision == "fp32" else 2
    kind = kind_of(job.optimizer.name)
    state = kind.state_bytes if kind else 8.0
    if kind and kind.name == "Prodigy" and (job.optimizer.args.slice_p or 1) > 1:
        state = 8 + 8 / (job.optimizer.args.slice_p or 1)
    parts = [
        _exact("U-Net and text encoder" if keeps_text else "U-Net", frozen * weights),
        _exact("Adapter and its gradients", trained * (2 * each + (4 if job.training.ema else 0))),
        _exact(f"{job.optimizer.name} state", trained * state),
        _ranged("What the passes keep", _activations(job, placements, shape)),
    ]
    if job.dataset.cache_latents == "off":
        parts.append(_exact("VAE", _VAE_PARAMETERS * BYTES[job.model.vae_precision]))
    return (*parts, *_gpu(job))


def _activations(job: Job, placements: Sequence[Placement], shape: ModelShape) -> float:
    components = {p.site.component for p in placements}
    size = BYTES[precision_of(job)] / 4
    total = 0.0
    if "denoiser" in components:
        pixels = max(_area(text) for text in job.dataset.resolution) / 512**2
        widths = _weighted_widths(shape) / _weighted_widths(SHAPES["sd1"])
        total += _ACTIVATIONS_SD1 * pixels * widths * size
    if "text_encoder" in components:
        tokens = job.model.max_tokens + 2
        total += tokens * shape.text_layers * shape.text_width * _TEXT_FLOATS_A_TOKEN * 4 * size
    if job.training.gradient_checkpointing:
        total *= _CHECKPOINTED
    return total * job.training.batch_size


def _weighted_widths(shape: ModelShape) -> float:
    """What a pixel of the latent costs: the levels' widths, each on a quarter of the pixels."""
    return sum(width / 4**level for level, width in enumerate(shape.block_out_channels))


def _area(text: str) -> int:
    width, height = parse_resolution(text)
    return width * height


def _with_vae(job: Job, shape: ModelShape, enlarging: bool) -> tuple[MemoryPart, ...]:
    """Encoding pictures before training, or drawing previews: the U-Net lies there too."""
    weights = BYTES[weights_precision(job)]
    frozen = (denoiser_parameters(shape) + text_parameters(shape)) * weights
    vae = BYTES[job.model.vae_precision]
    if enlarging:
        pixels = max(
            (p.width or job.samples.width) * (p.height or job.samples.height)
            for p in job.samples.prompts
            if p.enabled
        )
    else:
        pixels = max(_area(text) for text in job.dataset.resolution) * job.dataset.cache_batch_size
    return (
        _exact("U-Net and text encoder", frozen),
        _exact("VAE", _VAE_PARAMETERS * vae),
        _ranged("What the VAE works with", pixels * _VAE_BYTES_A_PIXEL * vae / 4),
        *_gpu(job),
    )


def _gpu(job: Job) -> tuple[MemoryPart, ...]:
    if job.launch.device == "cpu":
        return ()
    return (MemoryPart("Driver and gaps", *_GPU_EXTRA),)


def _exact(name: str, size: float) -> MemoryPart:
    return MemoryPart(name, size, size)


def _ranged(name: str, size: float) -> MemoryPart:
    return MemoryPart(name, size * _LOW, size * _HIGH)
