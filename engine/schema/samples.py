"""`[samples]` and `[[samples.prompts]]`: previews while training."""

from __future__ import annotations

from typing import Literal

from engine.schema.architectures import FLOW, UNET
from engine.schema.field import When, option
from engine.schema.table import Table

Sampler = Literal["euler", "euler_a", "ddim", "dpm++_2m", "unipc"]
_ON = When("samples.enabled", equals=(True,))


class Prompt(Table):
    """One preview; an empty value takes the table's."""

    prompt: str = option("", "Prompt", "What the preview shows.", basic=True, long_text=True)
    enabled: bool = option(True, "Use", "Draw this preview.")
    negative: str | None = option(
        None,
        "Negative",
        "What it should not show.",
        empty="the table's",
        aliases=("negative_prompt",),
    )
    width: int | None = option(
        None,
        "Width",
        "Width of the picture.",
        ge=64,
        le=8192,
        multiple_of=8,
        unit="px",
        empty="the table's",
    )
    height: int | None = option(
        None,
        "Height",
        "Height of the picture.",
        ge=64,
        le=8192,
        multiple_of=8,
        unit="px",
        empty="the table's",
    )
    seed: int | None = option(
        None,
        "Seed",
        "Start of its noise; -1 draws one each time.",
        ge=-1,
        lt=2**63,
        empty="the table's",
    )
    steps: int | None = option(
        None,
        "Steps",
        "Denoising steps.",
        ge=1,
        le=1000,
        empty="the table's",
        aliases=("sample_steps",),
    )
    cfg: float | None = option(
        None,
        "Guidance",
        "How closely the prompt is followed.",
        ge=0,
        le=50,
        empty="the table's",
        aliases=("scale", "guidance_scale"),
    )
    guidance: float | None = option(
        None,
        "Embedded guidance",
        "The number told to FLUX.1-dev.",
        ge=0,
        le=100,
        empty="the table's",
        applies_to=("flux",),
    )
    flow_shift: float | None = option(
        None,
        "Timestep shift",
        "More of the steps at high noise.",
        gt=0,
        le=100,
        empty="the table's",
        applies_to=FLOW,
    )
    cfg_trunc_ratio: float | None = option(
        None,
        "Guided share of steps",
        "Guidance acts in the first steps only.",
        ge=0,
        le=1,
        empty="the table's",
        applies_to=("lumina2",),
    )
    sampler: Sampler | None = option(
        None,
        "Sampler",
        "How noise is removed.",
        empty="the table's",
        aliases=("sample_sampler",),
        applies_to=UNET,
    )
    weight: float = option(
        1.0, "Adapter weight", "How strongly the adapter acts; 0 shows the base.", ge=-4, le=4
    )


class Samples(Table):
    """When previews are drawn, and what all of them share."""

    enabled: bool = option(True, "Draw previews", "Draw previews while training.", basic=True)
    prompts: list[Prompt] = option(
        list, "Prompts", "What the previews show.", basic=True, aliases=("sample_prompts",)
    )
    at_start: bool = option(
        True,
        "Before the first step",
        "The base model's answer, to compare with.",
        aliases=("sample_at_first",),
        only_if=_ON,
    )
    at_end: bool = option(
        True, "After the last step", "Draw them once more at the end.", only_if=_ON
    )
    every_steps: int | None = option(
        None,
        "Every (steps)",
        "Draw them every so many steps.",
        ge=1,
        empty="off",
        basic=True,
        aliases=("sample_every_n_steps",),
        only_if=_ON,
    )
    every_epochs: int | None = option(
        1,
        "Every (epochs)",
        "Draw them every so many epochs.",
        ge=1,
        empty="off",
        basic=True,
        aliases=("sample_every_n_epochs",),
        only_if=_ON,
    )
    width: int = option(
        512,
        "Width",
        "Width of previews.",
        ge=64,
        le=8192,
        multiple_of=8,
        unit="px",
        section="Pictures",
        only_if=_ON,
    )
    height: int = option(
        512,
        "Height",
        "Height of previews.",
        ge=64,
        le=8192,
        multiple_of=8,
        unit="px",
        section="Pictures",
        only_if=_ON,
    )
    steps: int = option(
        25,
        "Steps",
        "Denoising steps; 20–30 is enough to judge.",
        ge=1,
        le=1000,
        section="Pictures",
        only_if=_ON,
    )
    cfg: float = option(
        7.0,
        "Guidance",
        "How closely prompts are followed; 1 is not at all more.",
        ge=0,
        le=50,
        section="Pictures",
        only_if=_ON,
    )
    guidance: float = option(
        3.5,
        "Embedded guidance",
        "The number told to FLUX.1-dev in previews, as viewers tell it; schnell knows none. With "
        "Guidance above 1, the negative prompt counts too, and a step costs twice the time.",
        ge=0,
        le=100,
        section="Pictures",
        applies_to=("flux",),
        only_if=_ON,
    )
    flow_shift: float | None = option(
        None,
        "Timestep shift",
        "Above 1, more of the steps are spent at high noise, on the composition.",
        gt=0,
        le=100,
        empty="the model's own",
        section="Pictures",
        applies_to=FLOW,
        only_if=_ON,
    )
    cfg_trunc_ratio: float = option(
        1.0,
        "Guided share of steps",
        "Guidance acts in the first steps only: 0.25 is a quarter of them. Less saves time and "
        "keeps soft colors.",
        ge=0,
        le=1,
        section="Pictures",
        applies_to=("lumina2",),
        only_if=_ON,
    )
    cfg_renorm: bool = option(
        True,
        "Keep guidance in bounds",
        "Brings what guidance makes back to the strength it had without: no burned colors.",
        section="Pictures",
        aliases=("renorm_cfg",),
        applies_to=("lumina2",),
        only_if=_ON,
    )
    sampler: Sampler = option(
        "euler",
        "Sampler",
        "How noise is removed.",
        section="Pictures",
        aliases=("sample_sampler",),
        applies_to=UNET,
        only_if=_ON,
    )
    seed: int = option(
        42,
        "Seed",
        "Start of the noise: the same seed each time, so that pictures "
        "can be compared. -1 draws one each time.",
        ge=-1,
        lt=2**63,
        section="Pictures",
        only_if=_ON,
    )
    walk_seed: bool = option(
        False,
        "Next seed for each prompt",
        "The second prompt gets seed + 1, and so on.",
        section="Pictures",
        only_if=_ON,
    )
    negative: str = option(
        "", "Negative", "What previews should not show.", section="Pictures", only_if=_ON
    )
    ema: bool = option(
        True,
        "With the EMA",
        "Draw them with the averaged adapter where there is one.",
        section="Pictures",
        only_if=(_ON, When("training.ema", is_set=True)),
    )
