"""Optimizers and schedules of the other trainers by the names and arguments of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.interop.draft import Draft
from engine.interop.values import Misfit, is_nothing, items, literal, number
from engine.schema.optimizers import FURTHER, NAMED
from engine.schema.options import options

_OTHERS = {
    "pagedadamw": "AdamW", "pagedadamw32bit": "AdamW", "adam8bit": "AdamW8bit",
    "pagedadam8bit": "PagedAdamW8bit", "pagedlion8bit": "Lion8bit", "sgdnesterov": "SGD",
    "sgdnesterov8bit": "SGD", "sgd8bit": "SGD", "dadaptation": "DAdaptAdam",
    "dadaptadampreprint": "DAdaptAdam", "schedulefreeadamw": "AdamWScheduleFree",
    "schedulefreesgd": "SGDScheduleFree", "schedulefreeradam": "RAdamScheduleFree",
    "came8bit": "CAME", "prodigy8bit": "Prodigy", "adafactor8bit": "Adafactor",
}  # fmt: skip
_ONLY_THERE = {
    "Adafactor": ("relative_step", "scale_parameter", "warmup_init", "clip_threshold", "beta1",
                  "decay_rate"),
}  # fmt: skip
"""Arguments that another make of the optimizer has."""


def plain_name(name: str) -> str:
    """The name alone, in small letters: "bitsandbytes.optim.AdamW8bit" → "adamw8bit"."""
    return name.strip().rpartition(".")[2].replace("_", "").replace("-", "").lower()


_KNOWN = {plain_name(n): n for n in (*FURTHER, *NAMED)}


def optimizer_named(name: str) -> str | None:
    """Our name of an optimizer; None if there is no such one."""
    plain = plain_name(name)
    return _OTHERS.get(plain) or _KNOWN.get(plain)


def put_optimizer(draft: Draft, key: str, value: Any) -> None:
    """Put an optimizer's name into the draft; an unknown one is refused, and AdamW stays."""
    ours = optimizer_named(str(value))
    if ours is None:
        draft.refuse(key, value, "Graft has no such optimizer; it is AdamW here")
        return
    alike = plain_name(str(value)) == plain_name(ours)
    new = str(value) if alike and str(value) == ours else ours
    draft.take(key, value, "optimizer.name", new, "" if alike else "the nearest one")
    if plain_name(str(value)).startswith("sgdnesterov"):
        put_arguments(draft, f"{key} ", {"nesterov": True, "momentum": 0.9})


def put_arguments(draft: Draft, prefix: str, pairs: Mapping[str, Any]) -> None:
    """Put an optimizer's arguments into fields of their own, else into `optimizer.extra_args`."""
    chosen = draft.data.get("optimizer", {}).get("name", "AdamW")
    extra = dict(draft.data.get("optimizer", {}).get("extra_args", {}))
    for key, value in pairs.items():
        shown = f"{prefix}{key}"
        option = options().get(f"optimizer.args.{key}")
        if is_nothing(value):
            draft.unset(shown, value)
        elif key in _ONLY_THERE.get(chosen, ()):
            draft.drop(shown, value, f"PyTorch's {chosen} has no such argument")
        elif option is not None and option.shown(draft.data):
            draft.take(shown, value, option.path)
        else:
            read = literal(value)
            trial = {**extra, key: read}
            if draft.take(shown, value, "optimizer.extra_args", trial, "checked before training"):
                extra = trial


def steps_value(value: Any) -> int | float | str:
    """Steps, a share below 1 or a percentage, from text or a number.

    Raises:
        Misfit: it is none of them.
    """
    if isinstance(value, str) and value.strip().endswith("%"):
        number(value.strip()[:-1])
        return value.strip()
    read = number(value)
    return int(read) if read.is_integer() else read


_SCHEDULES = {
    "constant_with_warmup": "constant", "adafactor": "constant", "cosineannealinglr": "cosine",
    "cosineannealing": "cosine", "linearlr": "linear", "polynomiallr": "polynomial",
}  # fmt: skip
NO_WARMUP = ("constant", "adafactor")
"""sd-scripts' schedules that take no notice of the warm-up."""


def put_schedule(draft: Draft, key: str, value: Any) -> None:
    """Put a schedule into the draft by its name in diffusers or PyTorch."""
    name = str(value).strip().rpartition(".")[2]
    lowered = name.lower()
    why = ""
    if "rex" in lowered:
        ours = "rex"
    elif "restart" in lowered:
        ours = "cosine_with_restarts"
    else:
        ours = _SCHEDULES.get(lowered, lowered)
        why = "with the warm-up below" if lowered == "constant_with_warmup" else ""
    draft.take(key, value, "optimizer.schedule", ours, why)


def put_rates(draft: Draft, key: str, value: Any) -> None:
    """Put the text encoders' rates, one or a list, into the draft."""
    try:
        rates = [number(item) for item in items(value)]
    except Misfit as misfit:
        draft.refuse(key, value, str(misfit))
        return
    draft.take(key, value, "optimizer.text_encoder_lr", rates)
