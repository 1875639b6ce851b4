"""A site: one place in a model where an adapter can sit, known without torch.

The name in the file follows the original checkpoint's layout; the segments say which modules of the
libraries' model it acts on (spec: networks 1.9, 1.12, 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Component = Literal[
    "denoiser", "text_encoder", "text_encoder_2", "text_encoder_3", "text_conditioner"
]
TEXT_ENCODERS: tuple[Component, ...] = ("text_encoder", "text_encoder_2", "text_encoder_3")
HostKind = Literal["linear", "conv", "norm"]

OUTER = "outer"
"""The family of layers that are known only so that other trainers' files act whole."""


@dataclass(frozen=True)
class Segment:
    """Rows of the site's output that belong to one module.

    `target` rows [start, stop) of the module's output come from `source` rows of the site's.
    """

    module: str  # dotted path in the libraries' model
    target: tuple[int, int]
    source: tuple[int, int]


@dataclass(frozen=True)
class Site:
    """One adapter's place.

    Attributes:
        name: the adapter's name in the file, prefix included.
        component: the model it belongs to.
        kind: linear, conv or norm.
        rows: outputs of the whole (possibly fused) layer.
        columns: inputs; channels for a convolution.
        kernel: (height, width) of a convolution, else (1, 1).
        stride, padding: the host convolution's own.
        family: what sort of layer: attention, feed_forward, projection, resnet_linear, resnet_conv,
            text_attention, text_mlp …; rank options are given by family.
        block: index into the architecture's block list, or None outside of it.
        original: dotted path in the original checkpoint layout (for patterns).
        comfyui: dotted path in ComfyUI's layout where that is another one, else empty.
        original_weight: what the original calls the layer's weight: `scale` for FLUX's norms.
        segments: the modules, in order of rows.
        default: trained unless options say otherwise.
        tokens: rows of input a forward sees for a picture of the architecture's resolution, 0 when
            it depends on the text; for estimates only.
    """

    name: str
    component: Component
    kind: HostKind
    rows: int
    columns: int
    segments: tuple[Segment, ...]
    family: str
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    block: int | None = None
    original: str = ""
    original_weight: str = "weight"
    comfyui: str = ""
    default: bool = True
    tokens: int = 0
    conv1x1: bool = False  # a convolution with a 1×1 kernel: 4-D tensors in the file
    norm_bias: bool = True  # of a norm: it has a bias beside its weight

    @property
    def ranked(self) -> bool:
        """Whether options of rank reach it: it is no norm, and not only in others' files."""
        return self.kind != "norm" and self.family != OUTER

    def parameters(self, rank: int) -> int:
        """Numbers in a plain adapter of this rank; of a norm, those in its weight and bias."""
        if self.kind == "norm":
            return self.rows * (1 + self.norm_bias)
        kernel = self.kernel[0] * self.kernel[1]
        return rank * (self.rows + self.columns * kernel)


@dataclass(frozen=True)
class Placement:
    """What the options make of a site: an adapter with these numbers (spec: networks 4.1, 1.7)."""

    site: Site
    rank: int
    alpha: float  # never 0: "0 means rank" is resolved
    lr_factor: float = 1.0  # block learning-rate weight
    group: str = ""  # log name of its parameter group: unet, unet_block7, textencoder1
    rate: float | None = None  # learning rate in place of its part's (option network_reg_lrs)
    split: int = 1  # parts of a fused layer with factors of their own (option split_qkv)

    @property
    def scale(self) -> float:
        """What the product of the two factors is multiplied with."""
        return self.alpha / self.rank
