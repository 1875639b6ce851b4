"""Prompt lines with flags, as people keep them in text files: `a cat --n blurry --w 768 --d 1`.

One prompt a line; empty lines and lines that begin with # are skipped. Only what follows the
prompt is read as flags, and a flag that is not known is an error (spec: data-loop 6).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from engine.schema.problem import Problem
from engine.schema.samples import Sampler

_SAMPLERS = get_args(Sampler)
_OTHER_SAMPLERS = {
    "euler_a": "euler_a", "k_euler": "euler", "k_euler_a": "euler_a", "dpmsolver++": "dpm++_2m",
    "dpmsolver": "dpm++_2m", "k_dpm_2": "dpm++_2m", "ddim": "ddim", "pndm": "euler",
}  # fmt: skip
"""Samplers of sd-scripts → the nearest of ours."""


@dataclass(frozen=True)
class _Flag:
    field: str
    read: Callable[[str], Any]
    what: str


def _whole(text: str) -> int:
    return int(text)


def _seed(text: str) -> int:
    seed = int(text)
    if seed < -1:
        raise ValueError
    return seed


def _sampler(text: str) -> str:
    name = text.strip().lower()
    if name in _SAMPLERS:
        return name
    return _OTHER_SAMPLERS[name]


_FLAGS = {
    "n": _Flag("negative", str, "a text"),
    "w": _Flag("width", _whole, "a number of pixels"),
    "h": _Flag("height", _whole, "a number of pixels"),
    "d": _Flag("seed", _seed, "a whole number, or -1 for a new one each time"),
    "s": _Flag("steps", _whole, "a whole number"),
    "l": _Flag("cfg", float, "a number"),
    "g": _Flag("guidance", float, "a number"),
    "fs": _Flag("flow_shift", float, "a number"),
    "ctr": _Flag("cfg_trunc_ratio", float, "a number"),
    "ss": _Flag("sampler", _sampler, f"one of {', '.join(_SAMPLERS)}"),
    "weight": _Flag("weight", float, "a number"),
}
_LONG = {
    "negative": "n", "width": "w", "height": "h", "seed": "d", "steps": "s", "cfg": "l",
    "scale": "l", "sampler": "ss", "guidance": "g", "flow-shift": "fs",
    "cfg-trunc-ratio": "ctr",
}  # fmt: skip
_REFUSED = {
    "cn": "ControlNet pictures are not used in previews",
    "rcfg": "it is on or off for all previews (samples.cfg_renorm)",
}
_PART = re.compile(r"(\w[\w-]*)(?:\s*=\s*|\s+|$)(.*)", re.DOTALL)


def parse_prompts(text: str) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Read a text of prompt lines as items of `samples.prompts`.

    Returns:
        The prompts (only the values that are given), and a problem for each flag that cannot be
        read; its path is the prompt's, `samples.prompts[0].width`.
    """
    prompts: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        prompt, found = parse_prompt(line, f"samples.prompts[{len(prompts)}]")
        prompts.append(prompt)
        problems += found
    return prompts, problems


def parse_prompt(
    line: str, path: str = "samples.prompts[0]"
) -> tuple[dict[str, Any], list[Problem]]:
    """Read one line; see `parse_prompts`. The last of equal flags counts."""
    words, *parts = re.split(r"(?:^|\s+)--(?=\w)", line.strip())
    prompt: dict[str, Any] = {"prompt": words.strip()}
    problems: list[Problem] = []
    for part in parts:
        match = _PART.fullmatch(part.strip())
        assert match is not None  # the split is only made before a word
        name, value = match[1].lower(), match[2].strip()
        flag = _FLAGS.get(_LONG.get(name, name))
        if flag is None:
            problems.append(Problem(f"{path}.prompt", _unknown(name)))
            continue
        try:
            prompt[flag.field] = flag.read(value)
        except (ValueError, KeyError):
            words = f"--{name} {value}: give {flag.what}."
            problems.append(Problem(f"{path}.{flag.field}", words))
    return prompt, problems


def write_prompt(prompt: dict[str, Any]) -> str:
    """The line that `parse_prompt` reads back to the same values."""
    flags = {flag.field: short for short, flag in _FLAGS.items()}
    given = [
        f"--{flags[field]} {value}".rstrip()
        for field, value in prompt.items()
        if field in flags and value is not None
    ]
    return " ".join([str(prompt.get("prompt", "")), *given]).strip()


def _unknown(name: str) -> str:
    if name in _REFUSED:
        return f"--{name}: {_REFUSED[name]}; leave it out."
    near = difflib.get_close_matches(name, [*_FLAGS, *_LONG], n=1, cutoff=0.6)
    known = ", ".join(f"--{flag}" for flag in _FLAGS)
    return f"--{name} is not a flag. " + (
        f"Did you mean --{near[0]}?" if near else f"There are {known}."
    )
