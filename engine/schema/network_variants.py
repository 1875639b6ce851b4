"""The fields of `[network]` that make an adapter another kind than plain LoRA."""

from __future__ import annotations

from typing import Literal

from engine.schema.field import When, option
from engine.schema.network_places import NetworkPlaces

FUSED = ("flux", "sd3", "lumina2", "hunyuan_image")
"""Architectures whose files keep q, k and v as one layer."""

_KIND = "Variants"
_DYLORA = When("network.kind", equals=("dylora",))


class NetworkVariants(NetworkPlaces):
    """DyLoRA's units, LyCORIS' options and weight noise (spec: networks 4.7, 5, 6, 7)."""

    unit: int = option(
        4,
        "Directions at a time",
        "DyLoRA trains this many directions of the rank together, others at each step, so that "
        "any multiple of it can be cut from the file later. The rank must divide by it.",
        ge=1,
        le=1024,
        scale="double",
        section=_KIND,
        aliases=("block_size", "dylora"),
        only_if=_DYLORA,
    )
    dylora_mode: Literal["gate", "truncate"] = option(
        "gate",
        "DyLoRA's way",
        "As sd-scripts: all directions act at every step and the drawn ones learn. Truncated: "
        "directions after the drawn ones are left out, so that a file cut there acts as trained.",
        section=_KIND,
        choice_labels={"gate": "as sd-scripts", "truncate": "truncated"},
        only_if=_DYLORA,
    )
    dora_wd: bool = option(
        False,
        "DoRA",
        "Also learns the size of each output's weights apart from their direction; often closer "
        "to full fine-tuning at low ranks. About a tenth slower; diffusers ignores it in files.",
        section=_KIND,
    )
    wd_on_output: bool = option(
        True,
        "DoRA by output",
        "One size for each output, as in the paper. ComfyUI up to 2026 reads such files a little "
        "differently; off, it is one for each input, for U-Nets only.",
        section=_KIND,
        only_if=When("network.dora_wd", is_set=True),
    )
    use_tucker: bool = option(
        False,
        "Tucker convolutions",
        "Splits each convolution's adapter in three small parts: far fewer numbers. diffusers "
        "cannot read them.",
        section=_KIND,
        aliases=("use_cp",),
        only_if=When("network.conv_dim", is_set=True),
        applies_to=("sd1", "sd2", "sdxl"),
    )
    use_scalar: bool = option(
        False,
        "Trained strength",
        "One more number for each layer, which starts at 0 and finds how strong its adapter is; "
        "it is folded into the saved file.",
        section=_KIND,
    )
    train_norm: bool = option(
        False,
        "Norm layers too",
        "Also learns small changes of the norms beside the adapted layers; SD3-medium has none. "
        "diffusers refuses such files; ComfyUI reads them, those of transformers in new versions "
        "only.",
        section=_KIND,
    )
    rs_lora: bool = option(
        False,
        "Rank-stabilized scale",
        "Multiplies by alpha ÷ √rank instead of alpha ÷ rank, so that high ranks do not learn more "
        "slowly. The file's alpha is written so that every program reads it right.",
        section=_KIND,
    )
    split_qkv: bool = option(
        False,
        "Split q, k and v",
        "Separate factors for the parts of fused layers: more numbers, each part its own "
        "directions. Saved as one layer again, with an alpha that keeps the strength.",
        section=_KIND,
        applies_to=FUSED,
    )
    ggpo_sigma: float | None = option(
        None,
        "GGPO sigma",
        "Noise on the adapted weights while training, against over-fitting: its part that follows "
        "the weights. 0.03 is usual; needs GGPO beta too, and costs time.",
        ge=0,
        empty="off",
        section="Regularization",
    )
    ggpo_beta: float | None = option(
        None,
        "GGPO beta",
        "The part of that noise that follows the gradients. 0.01 is usual.",
        ge=0,
        empty="off",
        section="Regularization",
        only_if=When("network.ggpo_sigma", is_set=True),
    )
