"""Which variants an adapter has, as the options or a file say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.schema.network import Network as NetworkOptions

Axis = Literal["output", "input"]
"""What DoRA keeps one magnitude for: each output, or each input."""


@dataclass(frozen=True)
class Kinds:
    """The variants of an adapter; they combine (spec: networks 4.7, 4.8, 5, 7).

    Attributes:
        tucker: a third factor for the kernel, where the kernel is larger than 1×1.
        scalar: one trained number that starts at 0 multiplies the product.
        dora: one trained magnitude for each output or input; None without.
        frozen_down: LoRA-FA: `down` is random and stays so.
        unit: DyLoRA: how many directions are trained together; 0 without.
        truncating: DyLoRA: directions above the drawn ones are left out, not only frozen.
        ggpo: sigma and beta of the weight noise; None without.
    """

    tucker: bool = False
    scalar: bool = False
    dora: Axis | None = None
    frozen_down: bool = False
    unit: int = 0
    truncating: bool = False
    ggpo: tuple[float, float] | None = None


PLAIN = Kinds()


def kinds_of(options: NetworkOptions) -> Kinds:
    """Read the variants off a job's `[network]`."""
    ggpo = None
    if options.ggpo_sigma is not None and options.ggpo_beta is not None:
        ggpo = options.ggpo_sigma, options.ggpo_beta
    return Kinds(
        tucker=options.use_tucker,
        scalar=options.use_scalar,
        dora=("output" if options.wd_on_output else "input") if options.dora_wd else None,
        frozen_down=options.kind == "lora_fa",
        unit=options.unit if options.kind == "dylora" else 0,
        truncating=options.dylora_mode == "truncate",
        ggpo=ggpo,
    )
