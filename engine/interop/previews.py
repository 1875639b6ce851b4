"""Preview prompts and samplers of the other trainers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.interop.draft import Draft
from engine.interop.values import Misfit, fit
from engine.schema.architectures import UNET
from engine.schema.options import set_at
from engine.schema.prompt_lines import parse_prompts

_MOST = 200
_SAMPLERS = {
    "k_euler": "euler", "k_euler_a": "euler_a", "euler": "euler", "euler_a": "euler_a",
    "ddim": "ddim", "ddpm": "ddim", "pndm": "euler", "lms": "euler", "k_lms": "euler",
    "heun": "euler", "dpm_2": "dpm++_2m", "dpm_2_a": "dpm++_2m", "k_dpm_2": "dpm++_2m",
    "k_dpm_2_a": "dpm++_2m", "dpmsolver": "dpm++_2m", "dpmsolver++": "dpm++_2m",
    "dpmsingle": "dpm++_2m", "dpm++_2m": "dpm++_2m", "unipc": "unipc", "uni_pc": "unipc",
    "euler_karras": "euler", "dpmpp": "dpm++_2m", "dpmpp_sde": "dpm++_2m",
    "dpmpp_karras": "dpm++_2m", "dpmpp_sde_karras": "dpm++_2m", "unipc_karras": "unipc",
}  # fmt: skip
_FIELDS = {
    "prompt": "prompt", "negative_prompt": "negative", "width": "width", "height": "height",
    "seed": "seed", "sample_steps": "steps", "scale": "cfg", "guidance_scale": "guidance",
    "flow_shift": "flow_shift", "sample_sampler": "sampler", "cfg_trunc_ratio": "cfg_trunc_ratio",
}  # fmt: skip
"""Keys of sd-scripts' prompt tables."""


def put_sampler(draft: Draft, key: str, value: Any) -> None:
    """Put the nearest sampler into the draft."""
    name = str(value).strip().lower()
    if draft.architecture not in UNET:
        draft.drop(key, value, "flow models are always sampled by their own Euler steps")
        return
    ours = _SAMPLERS.get(name)
    if ours is None:
        draft.refuse(key, value, "Graft has no such sampler; it is euler here")
    else:
        draft.take(key, value, "samples.sampler", ours, "" if ours == name else "the nearest one")


def put_prompts(draft: Draft, key: str, value: Any, content: Any) -> None:
    """Put prompts into the draft: lines of text with flags, a list of either, or prompt tables."""
    if isinstance(content, Mapping):
        shared = content.get("prompt", {})
        if isinstance(shared, Mapping):
            subsets = shared.get("subset", [])
            shared = {k: v for k, v in shared.items() if k != "subset"}
            content = [{**shared, **s} for s in subsets if isinstance(s, Mapping)] or [shared]
        else:
            content = [content]
    lines = content if isinstance(content, list) else [content]
    prompts: list[dict[str, Any]] = []
    for line in lines[:_MOST]:
        if isinstance(line, Mapping):
            prompts.append(_from_table(draft, key, line, len(prompts)))
        elif isinstance(line, str):
            read, problems = parse_prompts(line)
            prompts += read
            for problem in problems:
                draft.refuse(key, line, problem.message.rstrip("."))
        else:
            draft.refuse(key, line, "a prompt is text")
    if not prompts:
        draft.unset(key, value)
        return
    prompts = [_fitting(draft, key, prompt) for prompt in prompts[:_MOST]]
    set_at(draft.data, "samples.prompts", prompts)
    words = [str(prompt.get("prompt", "")) for prompt in prompts]
    alike = isinstance(value, str) and words == [value]
    draft.add(key, value, "taken" if alike else "changed", "samples.prompts", words)


def _from_table(draft: Draft, key: str, table: Mapping[str, Any], number: int) -> dict[str, Any]:
    prompt: dict[str, Any] = {}
    for name, value in table.items():
        field = _FIELDS.get(str(name))
        if field is None:
            draft.drop(f"{key}[{number}].{name}", value, "Graft's previews have no such setting")
        elif field == "sampler":
            prompt[field] = _SAMPLERS.get(str(value).lower(), value)
        else:
            prompt[field] = value
    return prompt


def _fitting(draft: Draft, key: str, prompt: Mapping[str, Any]) -> dict[str, Any]:
    """Only the values that fit; the others are refused."""
    fitted: dict[str, Any] = {}
    for name, value in prompt.items():
        if name == "sampler" and draft.architecture not in UNET:
            draft.drop(f"{key} --ss", value, "flow models are sampled by their own Euler steps")
            continue
        try:
            fitted[name] = fit(f"samples.prompts[].{name}", value)
        except Misfit as misfit:
            draft.refuse(f"{key} {name}", value, str(misfit))
    return fitted
