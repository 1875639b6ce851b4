"""How much memory a run will need, as a range, by parts.

Basis: arithmetic, not measurement. Weights are counted in the headers of the model's files (at the
published sizes where there is none), adapters, gradients, optimizer state and EMA from shapes and
dtypes: these are exact. Activations are counted from what autograd keeps in an SD U-Net with
PyTorch's fused attention: 30 to 50 numbers for each token and channel of a transformer (inputs of
norms and adapted layers, q, k, v, the eightfold GEGLU), 5 to 9 for each of a resnet, half of them
possibly in float32 under autocast; without a U-Net, half to all of the inputs and outputs of the
blocks' layers. Checkpointing keeps the blocks' inputs and one block's insides: a quarter to two
fifths, of the many like blocks of a transformer a twelfth to a fifth. The driver and PyTorch take
0.4 to 0.9 GB on a GPU. Fragmentation and kernels' work space are in the upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.plan.adapter_size import Numbers
from engine.plan.buckets import Size
from engine.plan.detect import ModelFacts
from engine.plan.memory_sizes import (
    CLIP_VOCABULARY,
    EMBEDDINGS,
    PACKED_BYTES,
    PACKED_SHARES,
    USUAL_VAE,
    VAE_PARAMETERS,
)
from engine.plan.site import TEXT_ENCODERS, Placement, Site
from engine.plan.sites import published_shape
from engine.plan.weights import numbers_in
from engine.schema.architectures import ARCHITECTURES, UNET
from engine.schema.job import Job
from engine.schema.optimizers import kind_of
from engine.schema.text_encoders import live_encoders

Phase = Literal["always", "encoding", "training"]

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
TRANSFORMER_NUMBERS = (30, 50)
RESNET_NUMBERS = (5, 9)
CHECKPOINTED = (0.25, 0.4)
LAYER_NUMBERS = (0.5, 1.0)  # of a transformer's inputs and outputs, for each token
CHECKPOINTED_LAYERS = (0.08, 0.2)
DRIVER_BYTES = (400_000_000, 900_000_000)
VAE_ENCODE_BYTES_PER_PIXEL = (2_000, 4_000)  # float32: a few planes of 128 channels


@dataclass(frozen=True)
class MemoryPart:
    """A part of the estimate, in bytes, and when it is there."""

    name: str
    low: int
    high: int
    phase: Phase = "always"


@dataclass(frozen=True)
class Memory:
    """The estimate; the peak is that of the larger phase."""

    parts: tuple[MemoryPart, ...]

    @property
    def low(self) -> int:
        """Lower bound of the peak."""
        return max(self._sum("low", "encoding"), self._sum("low", "training"))

    @property
    def high(self) -> int:
        """Upper bound of the peak."""
        return max(self._sum("high", "encoding"), self._sum("high", "training"))

    def _sum(self, bound: str, phase: Phase) -> int:
        return sum(getattr(p, bound) for p in self.parts if p.phase in ("always", phase))


def estimate(
    job: Job,
    facts: ModelFacts | None,
    sites: Sequence[Site],
    placements: Sequence[Placement],
    numbers: Numbers,
    largest: Size,
) -> Memory:
    """Estimate a run: `numbers` of all its adapters, `largest` its largest bucket in pixels."""
    precision = _precision(job)
    counted = numbers_in(job.model, facts.path if facts is not None else None)
    own = BYTES[job.training.adapter_precision]
    parts = [
        *_picture_model(job, sites, counted.get("denoiser"), precision),
        *_text_encoder(job, facts, sites, counted, precision),
        *_vae(job, facts, largest, counted.get("vae")),
        _same("adapters", numbers.held * own),
        _same("gradients", numbers.trained * own, "training"),
        _same("optimizer", int(numbers.trained * _state_bytes(job)), "training"),
        _activations(job, sites, placements, largest, BYTES[precision]),
    ]
    if job.training.ema:
        parts.append(_same("EMA", numbers.trained * 4, "training"))
    if job.launch.device not in ("cpu", "mps"):
        parts.append(MemoryPart("driver and PyTorch", *DRIVER_BYTES))
    return Memory(tuple(part for part in parts if part.high))


def _state_bytes(job: Job) -> float:
    """Bytes of optimizer state for each trained number; two float32 moments where not known."""
    kind = kind_of(job.optimizer.name)
    return kind.state_bytes if kind else 8.0


def _same(name: str, size: int, phase: Phase = "always") -> MemoryPart:
    return MemoryPart(name, size, size, phase)


@dataclass(frozen=True)
class _Totals:
    """Sums over a model's sites that no option changes."""

    denoiser: int  # numbers in the layers that can be adapted: all but a hundredth of a U-Net
    text_encoder: int  # of all text encoders
    transformer: int  # tokens times channels of all transformers of a U-Net
    layers: int  # tokens times inputs and outputs of all layers in blocks, without a U-Net
    resnet: int  # the same of what resnets' convolutions read
    blocks: tuple[int, ...]  # numbers in each block of the denoiser, in the order they are run


_KNOWN: dict[int, tuple[Sequence[Site], _Totals]] = {}


def _totals(sites: Sequence[Site]) -> _Totals:
    """Add up, once for each of the last few models (`sites_of` gives the same tuple again)."""
    known = _KNOWN.get(id(sites))
    if known is not None and known[0] is sites:
        return known[1]
    weights = {"denoiser": 0, "text_encoder": 0}
    blocks: dict[int, int] = {}
    for site in sites:
        part = "denoiser" if site.component == "denoiser" else "text_encoder"
        numbers = site.rows * site.columns * math.prod(site.kernel)
        weights[part] += numbers
        if part == "denoiser" and site.block is not None:
            blocks[site.block] = blocks.get(site.block, 0) + numbers
    totals = _Totals(
        **weights,
        transformer=sum(s.tokens * s.rows for s in sites if s.name.endswith("_proj_in")),
        layers=sum(
            s.tokens * (s.rows + s.columns)
            for s in sites
            if s.component == "denoiser" and s.tokens > 1
        ),
        resnet=sum(s.tokens * s.columns for s in sites if s.family == "resnet_conv"),
        blocks=tuple(blocks[number] for number in sorted(blocks)),
    )
    if len(_KNOWN) > 8:
        _KNOWN.clear()
    _KNOWN[id(sites)] = sites, totals
    return totals


def _precision(job: Job) -> str:
    """What `auto` comes to: bf16 on a card, fp32 on the processor."""
    if job.training.precision != "auto":
        return job.training.precision
    return "fp32" if job.launch.device in ("cpu", "mps") else "bf16"


def _weights(numbers: int, packed: int, rows: int, kept_as: str, precision: str) -> int:
    """Bytes of weights of which `packed` numbers, in so many rows, lie in 8 or 4 bits."""
    if kept_as in BYTES or kept_as == "auto":
        return numbers * BYTES[precision if kept_as == "auto" else kept_as]
    packed = min(packed, numbers)  # where sites are counted as published and the files are small
    scales = 4 * rows if kept_as in ("int8", "fp8_scaled") else 0
    return int((numbers - packed) * BYTES[precision] + packed * PACKED_BYTES[kept_as]) + scales


def _packed(sites: Sequence[Site], denoiser: bool) -> tuple[int, int]:
    """Numbers and rows of the Linears in a model's blocks, which 8 and 4 bits are for."""
    chosen = [
        s
        for s in sites
        if (s.component == "denoiser") == denoiser and s.kind == "linear" and _in_block(s)
    ]
    return sum(s.rows * s.columns for s in chosen), sum(s.rows for s in chosen)


def _in_block(site: Site) -> bool:
    """A member of a list of blocks, such as `layers.3`, or of a U-Net's middle block."""
    module = site.segments[0].module
    return module.startswith("mid_block.") or any(part.isdigit() for part in module.split(".")[:-1])


def _picture_model(
    job: Job, sites: Sequence[Site], counted: int | None, precision: str
) -> list[MemoryPart]:
    """What of it stays on the card; of the blocks that wait elsewhere, two come at a time."""
    totals = _totals(sites)
    numbers = totals.denoiser if counted is None else counted
    kept_as = job.model.weights
    whole = _weights(numbers, *_packed(sites, True), kept_as, precision)
    count = job.training.blocks_to_swap or 0
    away = totals.blocks[len(totals.blocks) - count :] if count else ()
    # It comes when pictures and captions are encoded (engine.training.room).
    encoded_before = "off" not in (job.dataset.cache_latents, job.dataset.cache_text)
    waits = encoded_before and job.launch.device != "cpu" and kept_as != "nf4"
    each = PACKED_BYTES.get(kept_as) or BYTES[precision if kept_as == "auto" else kept_as]
    return [
        _same("picture model", int(whole - sum(away) * each), "training" if waits else "always"),
        _same("blocks on their way", int(2 * max(away, default=0) * each), "training"),
    ]


def _text_encoder(
    job: Job,
    facts: ModelFacts | None,
    sites: Sequence[Site],
    counted: Mapping[str, int],
    precision: str,
) -> list[MemoryPart]:
    """All of them; with kept captions those that are not trained leave before the first step."""
    numbers = sum(n for role, n in counted.items() if role.startswith("text_"))
    if not numbers:
        numbers = _totals(sites).text_encoder + _embeddings(job, facts)
    kept_as = job.model.text_encoder_weights
    packed, rows = _packed(sites, False)
    packed = packed or int(numbers * PACKED_SHARES.get(job.model.architecture, 0))
    size = _weights(numbers, packed, rows, kept_as, precision)
    if job.dataset.cache_text == "off":
        return [_same("text encoder", size)]
    live = live_encoders(job)
    if not live:
        return [_same("text encoder", size, "encoding")]
    resting = []
    for number, name in enumerate(ARCHITECTURES[job.model.architecture].text_encoders):
        if number not in live:
            own = [s for s in sites if s.component == TEXT_ENCODERS[number] and s.kind == "linear"]
            numbers = sum(s.rows * s.columns for s in own)
            each = _weights(numbers, numbers, 0, kept_as, precision)
            resting.append(_same(name, each, "encoding"))
            size -= each
    return [_same("text encoder", size), *resting]


def _embeddings(job: Job, facts: ModelFacts | None) -> int:
    """What the text encoders have beside their layers, where no file tells it."""
    architecture = job.model.architecture
    if architecture in EMBEDDINGS:
        return EMBEDDINGS[architecture]
    shape = facts.shape if facts and facts.shape else published_shape(architecture)
    return CLIP_VOCABULARY * getattr(shape, "text_width", 0)


def _vae(
    job: Job, facts: ModelFacts | None, largest: Size, counted: int | None
) -> list[MemoryPart]:
    numbers = counted or VAE_PARAMETERS.get(job.model.architecture, USUAL_VAE)
    size = numbers * BYTES[job.model.vae_precision]
    if counted is None and facts is not None and facts.bytes:
        size = min(size, facts.bytes)  # toy models
    keeps = job.dataset.cache_latents != "off"
    phase: Phase = "encoding" if keeps else "always"
    pixels = math.prod(largest) * (
        job.dataset.cache_batch_size if keeps else job.training.batch_size
    )
    low, high = (
        pixels * n * BYTES[job.model.vae_precision] // 4 for n in VAE_ENCODE_BYTES_PER_PIXEL
    )
    work = MemoryPart("encoding pictures", low, high, "encoding" if keeps else "training")
    return [_same("VAE", size, phase), work]


def _activations(
    job: Job,
    sites: Sequence[Site],
    placements: Sequence[Placement],
    largest: Size,
    width: int,
) -> MemoryPart:
    """What the forward pass keeps for the backward pass."""
    side = ARCHITECTURES[job.model.architecture].resolution
    scale = math.prod(largest) / side**2 * job.training.batch_size
    totals = _totals(sites)
    text = job.model.max_tokens * sum(
        p.site.rows + p.site.columns for p in placements if p.site.component == "text_encoder"
    )
    if job.model.architecture in UNET:
        kept = [
            totals.transformer * t + totals.resnet * r / 2
            for t, r in zip(TRANSFORMER_NUMBERS, RESNET_NUMBERS, strict=True)
        ]
        shares = CHECKPOINTED
    else:
        kept, shares = [totals.layers * n for n in LAYER_NUMBERS], CHECKPOINTED_LAYERS
    low, high = (n * scale * width + text * 4 * job.training.batch_size for n in kept)
    if job.training.gradient_checkpointing:
        low, high = low * shares[0], high * shares[1]
    return MemoryPart("activations", int(low), int(high * 1.25), "training")
