"""Settings from text: TOML, `--set a.b=v`, or an sd-scripts command line (spec: gui 4.2)."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.schema.check import canonical
from engine.schema.job_file import apply_sets
from engine.schema.options import Option, did_you_mean, get_at, option_at, paths_named

FOLDER = "dataset.folders[0]"
_FLAGS: Mapping[str, tuple[str, Any]] = {
    "network_train_unet_only": ("network.train", "denoiser"),
    "network_train_text_encoder_only": ("network.train", "text_encoder"),
    "bucket_no_upscale": ("dataset.upscale", False),
    "v_parameterization": ("model.prediction", "v"),
    "v2": ("model.architecture", "sd2"),
    "cache_latents": ("dataset.cache_latents", "memory"),
    "cache_latents_to_disk": ("dataset.cache_latents", "disk"),
    "cache_text_encoder_outputs": ("dataset.cache_text", "memory"),
    "cache_text_encoder_outputs_to_disk": ("dataset.cache_text", "disk"),
    "no_half_vae": ("model.vae_precision", "fp32"),
    "no_metadata": ("output.metadata.write", False),
    "full_bf16": ("training.adapter_precision", "bf16"),
    "flip_aug": (f"{FOLDER}.flip", 0.5),
    "color_aug": (f"{FOLDER}.color_jitter", 0.1),
    "alpha_mask": (f"{FOLDER}.mask", "alpha"),
}  # sd-scripts' switches whose meaning is a value of ours
_NOTHING_TO_DO = frozenset(
    ("xformers", "sdpa", "mem_eff_attn", "save_model_as", "num_cpu_threads_per_process")
)
_VALUES: Mapping[str, Mapping[str, Any]] = {
    "mixed_precision": {"no": "fp32"},
    "save_precision": {"float": "fp32"},
    "network_module": {"networks.lora": "lora"},
}
_LISTS = frozenset({"network_args", "optimizer_args"})


@dataclass(frozen=True)
class Pasted:
    """What was found: values by concrete path, and words that mean nothing here."""

    taken: tuple[tuple[str, Any], ...]
    unknown: tuple[str, ...]


def read_settings(text: str) -> Pasted:
    """Read settings of any of the known kinds.

    Raises:
        ValueError: none of it can be read, in words.
    """
    text = text.strip()
    if not text:
        raise ValueError("There is nothing to paste.")
    if text.startswith("--set") or " --set " in text:
        return _sets(text)
    if "--" in text and not text.lstrip().startswith("["):
        return _command_line(text)
    return _toml(text)


def _toml(text: str) -> Pasted:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"This is neither TOML nor a command line: {error}.") from None
    data.pop("schema", None)
    data.pop("preset", None)
    tree, problems = canonical(data)
    flat = {k: v for k, v in data.items() if not isinstance(v, dict | list)}
    taken = list(_leaves(tree, ""))
    unknown = [str(p.message) for p in problems if p.path not in flat]
    for key, value in flat.items():
        path = _path_of(key)
        if path is None:
            unknown.append(_unknown(key))
        else:
            taken.append((path, value))
    return Pasted(tuple(taken), tuple(unknown))


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if option_at(path).kind == "table":
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _sets(text: str) -> Pasted:
    words = [w for w in shlex.split(text.replace("\\\n", " ")) if w != "--set"]
    data: dict[str, Any] = {}
    problems = apply_sets(data, words)
    return Pasted(tuple(_leaves(data, "")), tuple(p.message for p in problems))


def _command_line(text: str) -> Pasted:
    try:
        words = shlex.split(text.replace("\\\n", " ").replace("^\n", " "))
    except ValueError as error:
        raise ValueError(f"A quotation mark is missing in the command: {error}.") from None
    taken: dict[str, Any] = {}
    unknown: list[str] = []
    for name, values in _arguments(words):
        if name in _LISTS:
            pairs = [value.partition("=")[::2] for value in values]
        else:
            pairs = [(name, " ".join(values) if len(values) > 1 else (values or [None])[0])]
        for key, value in pairs:
            found = _one(key, value)
            if found is None:
                unknown.append(_unknown(key))
            elif found[0]:
                taken[found[0]] = found[1]
    return Pasted(tuple(taken.items()), tuple(unknown))


def _arguments(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each `--name` with the words that follow it."""
    name, values = "", []
    for word in words:
        if word.startswith("--"):
            if name:
                yield name, values
            name, equals, value = word[2:].partition("=")
            values = [value] if equals else []
        elif name:
            values.append(word)
    if name:
        yield name, values


def _one(key: str, value: str | None) -> tuple[str, Any] | None:
    """Path and value of an argument; an empty path has nothing to do here, None is unknown."""
    if key in _NOTHING_TO_DO:
        return "", None
    if key in _FLAGS:
        return _FLAGS[key]
    path = _path_of(key)
    if path is None:
        return None
    option = option_at(path)
    if value is None:
        return (path, True) if option.kind == "bool" else None
    return path, _VALUES.get(key, {}).get(value, _typed(option, value))


def _path_of(key: str) -> str | None:
    """The path a lone name means; names of a folder's fields mean the first folder's."""
    if key == "resolution":
        return "dataset.resolution"
    paths = paths_named(key)
    top = [p for p in paths if "[]" not in p]
    if top:
        return top[0]
    folder = [p for p in paths if p.startswith("dataset.folders[].")]
    return folder[0].replace("dataset.folders[]", FOLDER) if folder else None


def _typed(option: Option, value: str) -> Any:
    if option.path == "dataset.resolution":
        sides = [s.strip() for s in value.split(",")]
        return ["x".join(dict.fromkeys(sides))] if len(sides) <= 2 else [value]
    if option.kind == "text" or option.kind == "choice":
        numbers = [c for c in option.choices if str(c) == value]
        return numbers[0] if numbers else value
    if option.kind in ("int_list", "float_list", "text_list"):
        return value
    lowered = value.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        return float(number) if option.kind == "float" else number
    return value


def _unknown(key: str) -> str:
    near = did_you_mean(key)
    hint = f" Did you mean {near[0]} ({near[1].hints.label})?" if near else ""
    return f"'{key}' is not an option.{hint}"


def changes(pasted: Pasted, data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What pasting would change."""
    return [(path, value) for path, value in pasted.taken if get_at(data, path) != value]
