"""ai-toolkit's previews."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.interop.draft import Draft
from engine.interop.given import Given
from engine.interop.previews import put_prompts, put_sampler
from engine.interop.values import is_nothing
from engine.schema.architectures import UNET


def read_samples(draft: Draft, given: Given) -> None:
    """Put the previews into the draft."""
    if given.switch(draft, "train.disable_sampling"):
        draft.take("train.disable_sampling", True, "samples.enabled", False, "turned round")
    if given.switch(draft, "train.skip_first_sample"):
        draft.take("train.skip_first_sample", True, "samples.at_start", False, "turned round")
    guidance = given.value(draft, "sample.guidance_scale")
    if guidance is not None and draft.architecture == "flux":
        draft.take(
            "sample.guidance_scale",
            guidance,
            "samples.guidance",
            guidance,
            "the number told to FLUX.1-dev",
        )
    elif guidance is not None:
        draft.take("sample.guidance_scale", guidance, "samples.cfg")
    sampler = given.value(draft, "sample.sampler")
    if sampler is not None and draft.architecture in UNET:
        put_sampler(draft, "sample.sampler", sampler)
    elif sampler is not None:
        draft.add("sample.sampler", sampler, "taken", why="it is the model's own")
    start = given.pop("sample.sample_start_step")
    if start:
        draft.drop("sample.sample_start_step", start, "previews begin with the first that is due")
    elif start is not None:
        draft.unset("sample.sample_start_step", start)
    found: list[Any] = []
    for key in ("prompts", "samples"):
        held = given.value(draft, f"sample.{key}")
        if isinstance(held, list):
            found += [_preview(each) for each in held]
        elif held is not None:
            draft.refuse(f"sample.{key}", held, "it is no list")
    if found:
        put_prompts(draft, "sample.prompts", found, found)


def _preview(each: Any) -> Any:
    """A preview's table with sd-scripts' names; in lines, --m is the adapter's weight."""
    if isinstance(each, str):
        return re.sub(r"\s--m\s", " --weight ", each)
    if not isinstance(each, Mapping):
        return each
    renamed = {"neg": "negative_prompt", "guidance_scale": "scale"}
    return {renamed.get(str(k), str(k)): v for k, v in each.items() if not is_nothing(v)}
