"""A preset of kohya_ss' window (JSON) into a job: sd-scripts' options under other names.

Empty text and, for most numbers, 0 mean "not set" there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.interop.command_line import split_command
from engine.interop.draft import Draft
from engine.interop.option_map import table_of
from engine.interop.reading import ImportProblem
from engine.interop.report import Imported
from engine.interop.sd_scripts import read_options
from engine.interop.sd_scripts_launch import read_launcher
from engine.interop.values import Misfit, flag, is_nothing, number
from engine.schema.options import options

PEER = "kohya_ss"
_MODELS = (
    # its box in the window, the script, what its keys begin with
    ("flux1_checkbox", "flux_train_network", ("flux1_",)),
    ("sd3_checkbox", "sd3_train_network", ("sd3_",)),
    ("hunyuan_image_checkbox", "hunyuan_image_train_network", ("hunyuan_image_", "hunyuan_")),
    ("anima_checkbox", "anima_train_network", ("anima_",)),
    ("lumina_checkbox", "lumina_train_network", ("lumina_",)),
    ("sdxl", "sdxl_train_network", ("sdxl_",)),
)
_RENAMED = {
    "max_resolution": "resolution", "optimizer": "optimizer_type", "use_wandb": "log_with",
    "lora_network_weights": "network_weights", "conv_dims": "conv_block_dims",
    "conv_alphas": "conv_block_alphas", "learning_rate_te": "text_encoder_lr",
    "use_cp": "use_tucker",
    "compile": "torch_compile", "compile_backend": "dynamo_backend", "LyCORIS_preset": "preset",
    "constrain": "constraint",
}  # fmt: skip
_TYPES = {
    "Standard": "lora", "LoRA-FA": "lora_fa", "Kohya LoCon": "lora", "Kohya DyLoRA": "dylora",
    "Flux1": "lora_flux", "SD3": "lora_sd3", "HunyuanImage-2.1": "lora_hunyuan_image",
    "Anima": "lora_anima", "Lumina": "lora_lumina",
}  # fmt: skip
_LYCORIS = {"LoCon": "locon", "LyCORIS/LoCon": "locon", "LyCORIS/DyLoRA": "dylora"}
_NETWORK = (
    "conv_dim", "conv_alpha", "rank_dropout", "module_dropout", "block_dims", "block_alphas",
    "conv_block_dims", "conv_block_alphas", "down_lr_weight", "mid_lr_weight", "up_lr_weight",
    "block_lr_zero_threshold", "loraplus_lr_ratio", "loraplus_unet_lr_ratio",
    "loraplus_text_encoder_lr_ratio", "img_attn_dim", "txt_attn_dim", "img_mlp_dim", "txt_mlp_dim",
    "img_mod_dim", "txt_mod_dim", "single_dim", "single_mod_dim", "in_dims", "train_blocks",
    "train_double_block_indices", "train_single_block_indices", "train_t5xxl", "split_qkv",
    "ggpo_sigma", "ggpo_beta", "unit", "use_tucker", "use_scalar", "dora_wd", "train_norm",
    "preset",
    "rank_dropout_scale", "bypass_mode", "constraint", "rescaled", "factor", "decompose_both",
)  # fmt: skip
_ONLY_LYCORIS = ("use_tucker", "use_scalar", "dora_wd", "train_norm", "preset",
                 "rank_dropout_scale", "bypass_mode", "constraint", "rescaled", "factor",
                 "decompose_both")  # fmt: skip
_ZERO_COUNTS = frozenset(
    ("min_timestep", "keep_tokens", "lr_warmup", "text_encoder_lr", "unet_lr", "max_grad_norm",
     "img_attn_dim", "txt_attn_dim", "img_mlp_dim", "txt_mlp_dim", "img_mod_dim", "txt_mod_dim",
     "single_dim", "single_mod_dim", "guidance_scale", "logit_mean")
)  # fmt: skip
"""Numbers at which 0 is a value; elsewhere it is "not set"."""

_DROPPED_AT_ZERO = ("max_grad_norm", "guidance_scale")
_LAUNCH = ("num_processes", "num_machines", "multi_gpu", "gpu_ids", "main_process_port",
           "num_cpu_threads_per_process", "dynamo_mode", "dynamo_use_fullgraph",
           "dynamo_use_dynamic")  # fmt: skip


def is_preset(tree: Mapping[str, Any]) -> bool:
    """Whether a JSON object is such a preset."""
    return "LoRA_type" in tree or (
        "train_batch_size" in tree and ("max_resolution" in tree or "sdxl" in tree)
    )


def import_preset(tree: Mapping[str, Any], folder: Path | None = None) -> Imported:
    """Import a preset.

    Raises:
        ImportProblem: it is a preset of another tool of that window.
    """
    if "LoRA_type" not in tree and "network_dim" not in tree:
        raise ImportProblem("This preset of kohya_ss trains no LoRA; Graft trains adapters only.")
    draft = Draft(PEER, folder)
    left = {str(key): value for key, value in tree.items()}
    script, prefixes = _model(draft, left)
    values = _further(draft, left)
    values |= _learning(draft, left)
    launcher = {key: left.pop(key) for key in _LAUNCH if key in left}
    _named(draft, left, values, prefixes)
    arguments = _network(draft, left, values)
    if arguments:
        values["network_args"] = arguments
    read_options(draft, values, script)
    _launch(draft, launcher)
    return draft.finished()


def _model(draft: Draft, left: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The script, and the beginnings of the keys that are for its model."""
    found: tuple[str, tuple[str, ...]] = ("train_network", ())
    for box, script, prefixes in _MODELS:
        if box not in left:
            continue
        value = left.pop(box)
        if is_on(value) and not found[1]:
            found = (script, prefixes)
            draft.respell("script", box, value)
        else:
            draft.unset(box, value)
    if found[1] and is_on(left.get("v2")):
        draft.drop("v2", left.pop("v2"), "another model's box is on")
    return found


def is_on(value: Any) -> bool:
    """Whether a box is ticked."""
    try:
        return flag(value)
    except Misfit:
        return False


def _further(draft: Draft, left: dict[str, Any]) -> dict[str, Any]:
    """Options typed as a command into a field of their own."""
    text = left.pop("additional_parameters", "")
    if is_nothing(text) or not isinstance(text, str):
        return {}
    try:
        command = split_command(text)
    except ImportProblem as problem:
        draft.refuse("additional_parameters", text, str(problem))
        return {}
    draft.add("additional_parameters", text, "taken", why="its options follow")
    found: dict[str, Any] = {}
    for name, words in command.options:
        listed = name in ("network_args", "optimizer_args", "lr_scheduler_args")
        found[name] = words if listed else (words[0] if words else True)
    return found


def _learning(draft: Draft, left: dict[str, Any]) -> dict[str, Any]:
    """Rates, warm-up and length, which the window works out."""
    found: dict[str, Any] = {}
    rates = [left.pop(key, None) for key in ("text_encoder_lr", "t5xxl_lr")]
    if not is_nothing(rates[0]):
        found["text_encoder_lr"] = rates if not is_zero(rates[1], True) else rates[0]
        if is_zero(rates[0]) and not is_zero(left.get("unet_lr"), True):
            found["network_train_unet_only"] = True
            draft.respell("network_train_unet_only", "text_encoder_lr", rates[0])
            found.pop("text_encoder_lr")
    elif rates[0] is not None:
        draft.unset("text_encoder_lr", rates[0])
    own = left.get("unet_lr")
    if is_zero(own, True) and "unet_lr" in left:
        left.pop("unet_lr")
        if is_zero(own) and found.get("text_encoder_lr") is not None:
            found["network_train_text_encoder_only"] = True
            draft.respell("network_train_text_encoder_only", "unet_lr", own)
        else:
            draft.unset("unet_lr", own)
    for older in ("learning_rate_te1", "learning_rate_te2"):
        if older in left:
            draft.drop(older, left.pop(older), "it is for full fine-tuning in that window")
    steps, percent = left.pop("lr_warmup_steps", None), left.pop("lr_warmup", None)
    if not is_zero(steps, True):
        found["lr_warmup_steps"] = steps
        if not is_zero(percent, True):
            draft.drop("lr_warmup", percent, "lr_warmup_steps is given, and decides")
    elif not is_zero(percent, True):
        if steps is not None:
            draft.unset("lr_warmup_steps", steps)
        found["lr_warmup_steps"] = f"{str(percent).strip().rstrip('%')}%"
        draft.respell("lr_warmup_steps", "lr_warmup", percent)
    else:
        for key, value in (("lr_warmup_steps", steps), ("lr_warmup", percent)):
            if value is not None:
                draft.unset(key, value)
    epochs, older = left.pop("max_train_epochs", None), left.pop("epoch", None)
    limit = left.get("max_train_steps")
    if epochs is not None and is_zero(epochs, True):
        draft.unset("max_train_epochs", epochs)
    if not is_zero(epochs, True):
        found["max_train_epochs"] = epochs
        if older is not None:
            draft.drop("epoch", older, "max_train_epochs is given, and decides")
    elif not is_zero(limit, True):
        if older is not None:
            draft.drop("epoch", older, "max_train_steps is given, and decides")
    elif older is not None:
        found["max_train_epochs"] = older
        draft.spelling["max_train_epochs"] = "epoch"
    for key in ("stop_text_encoder_training", "stop_text_encoder_training_pct"):
        if key in left:
            value = left.pop(key)
            if is_zero(value, True):
                draft.unset(key, value)
            else:
                draft.take(
                    key,
                    value,
                    "training.stop_text_encoder_after",
                    f"{value}%",
                    "percent of the run; sd-scripts took no notice of it",
                )
    return found


def is_zero(value: Any, or_nothing: bool = False) -> bool:
    """Whether a value is 0; with `or_nothing`, also whether it is not given."""
    if is_nothing(value):
        return or_nothing
    try:
        return number(value) == 0
    except Misfit:
        return False


def _named(
    draft: Draft, left: dict[str, Any], values: dict[str, Any], prefixes: tuple[str, ...]
) -> None:
    """Everything that is an sd-scripts option under this or another name; the rest is told."""
    known, own = table_of("sd-scripts"), table_of(PEER)
    kind = left.pop("noise_offset_type", None)
    dropped = {
        "Original": ("multires_noise_iterations", "multires_noise_discount"),
        "Multires": ("noise_offset", "adaptive_noise_scale", "noise_offset_random_strength"),
    }.get(str(kind), ())
    if kind is not None:
        draft.add("noise_offset_type", kind, "taken", why="the options of that kind count")
    for key in list(left):
        if key in ("LoRA_type", "train_lora_ggpo", *dropped) or _RENAMED.get(key, key) in _NETWORK:
            continue
        value = left.pop(key)
        name = _option_of(key, prefixes)
        if name is None or key in ("single_blocks_to_swap", "double_blocks_to_swap"):
            _foreign(draft, key, value, own)
            continue
        name = _RENAMED.get(name, name)
        if is_nothing(value) or value is False or _says_nothing(draft, name, value):
            draft.unset(key, value)
            continue
        if name == "dynamo_backend" and value == "no":
            draft.unset(key, value)
            continue
        if name in values:
            draft.drop(key, value, "it is given in another field too")
            continue
        if name not in known and name not in _NETWORK:
            _foreign(draft, key, value, own)
            continue
        if key == "xformers" and isinstance(value, str):
            if value not in ("sdpa", "xformers"):
                draft.unset(key, value)
                continue
            name = value
        draft.respell(name, key, value)
        values[name] = _words(key, name, value)
    for key in dropped:
        if key in left:
            draft.unset(key, left.pop(key))


def _option_of(key: str, prefixes: tuple[str, ...]) -> str | None:
    """The option's name; None for a key of a model that is not the one trained."""
    for _, _, all_prefixes in _MODELS:
        for prefix in all_prefixes:
            if key.startswith(prefix):
                return key.removeprefix(prefix) if prefix in prefixes else None
    return key


def _foreign(draft: Draft, key: str, value: Any, own: Mapping[str, Any]) -> None:
    if is_nothing(value) or value is False or _option_of(key, ()) is None or is_zero(value):
        draft.unset(key, value)
        return
    row = own.get(key)
    if row is None:
        draft.unknown(key, value, PEER)
    elif row.refused:
        draft.refuse(key, value, row.note or "Graft does not do this")
    else:
        draft.drop(key, value, row.note or "Graft has no such setting")


def _says_nothing(draft: Draft, name: str, value: Any) -> bool:
    """0 in most fields; and a field of another model's panel."""
    if is_zero(value):
        if name in _DROPPED_AT_ZERO:
            draft.note(
                f"{name} is 0 in the preset and taken so; kohya_ss itself would have left "
                "it out, and sd-scripts' default would have counted."
            )
        if name not in _ZERO_COUNTS:
            return True
    return False


def _words(key: str, name: str, value: Any) -> Any:
    """The option's value: switches by name, and lists, which are text with blanks between."""
    if key == "use_wandb":
        return "wandb"
    if key == "xformers":
        return True
    if name in ("optimizer_args", "lr_scheduler_args") and isinstance(value, str):
        return re.sub(r",\s*\n?\s*(?=\w+=)", " ", value).split()
    return value


def _network(draft: Draft, left: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The network's module by the kind of LoRA, and the arguments that kind has."""
    kind = left.pop("LoRA_type", None)
    if kind is not None and not isinstance(kind, str):
        draft.refuse("LoRA_type", kind, "it is no name of a kind; it is LoRA here")
        kind = None
    values.pop("network_module", None)
    lycoris = kind in _LYCORIS
    if kind is not None and kind not in _TYPES and not lycoris:
        draft.refuse("LoRA_type", kind, "Graft trains LoRA, LoCon, DyLoRA and LoRA-FA; it is LoRA")
    elif kind is not None:
        draft.respell("network_module", "LoRA_type", kind)
        values["network_module"] = "lycoris.kohya" if lycoris else f"networks.{_TYPES[str(kind)]}"
    arguments: dict[str, Any] = {"algo": _LYCORIS[str(kind)]} if lycoris else {}
    draft.respell("network_args.algo", "LoRA_type", kind)
    ggpo = left.pop("train_lora_ggpo", None)
    if ggpo is not None:
        draft.unset("train_lora_ggpo", ggpo)
    for key in _NETWORK:
        older = next((k for k, v in _RENAMED.items() if v == key and k in left), key)
        if older not in left:
            continue
        value = left.pop(older)
        empty = is_nothing(value) or value is False or (is_zero(value) and key not in _ZERO_COUNTS)
        of_another = (
            (
                key in ("conv_dim", "conv_alpha")
                and kind not in ("Kohya LoCon", "Kohya DyLoRA")
                and not lycoris
            )
            or (key == "unit" and "DyLoRA" not in str(kind))
            or (key in _ONLY_LYCORIS and not lycoris)
            or (key.startswith("ggpo") and not is_on(ggpo))
            or _not_of_model(draft, values, key)
        )
        if empty or of_another:
            draft.unset(older, value)
            continue
        draft.spelling[f"network_args.{key}"] = older
        arguments[key] = value
    return arguments


def _not_of_model(draft: Draft, values: Mapping[str, Any], key: str) -> bool:
    """A rank of a model that is not the one trained; its field is there all the same."""
    option = options().get(f"network.{key}")
    flux = draft.spelling.get("script") == "flux1_checkbox"
    return option is not None and "flux" in option.hints.applies_to and not flux


def _launch(draft: Draft, launcher: Mapping[str, Any]) -> None:
    values = {}
    for key, value in launcher.items():
        if is_nothing(value) or value is False or is_zero(value) or value == "default":
            draft.unset(key, value)
        else:
            draft.spelling[f"accelerate {key}"] = key
            values[key] = value
    read_launcher(draft, values)
