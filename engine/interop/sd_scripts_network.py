"""sd-scripts' network: module, rank, alpha and --network_args (spec: networks 1.6, 4, 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.interop.draft import Draft
from engine.interop.given import Given
from engine.interop.option_map import settle
from engine.interop.values import Misfit, flag, is_nothing, literal
from engine.schema.patterns import PatternError, pieces

ARGS = "sd-scripts network_args"
_KINDS = {
    "lora": "lora", "locon": "lora", "lora_flux": "lora", "lora_sd3": "lora",
    "lora_lumina": "lora", "lora_hunyuan_image": "lora", "lora_anima": "lora",
    "dylora": "dylora", "lora_fa": "lora_fa",
}  # fmt: skip
_OURS = "Graft trains LoRA, LoCon, DyLoRA and LoRA-FA; it is LoRA here"
_PATTERNS = ("network_reg_dims", "network_reg_lrs", "include_patterns", "exclude_patterns")


def read_network(draft: Draft, given: Given) -> None:
    """Put the network's options into the draft."""
    arguments = _pairs(draft, given)
    lycoris = _module(draft, given, arguments)
    rank = given.value(draft, "network_dim")
    if rank is not None:
        draft.take("network_dim", rank, "network.rank")
    elif not given.is_on("dim_from_weights"):
        draft.default("network_dim", "network.rank", 4)
    alpha = given.value(draft, "network_alpha")
    if alpha is not None:
        draft.take("network_alpha", alpha, "network.alpha")
    else:
        draft.default("network_alpha", "network.alpha", 1.0)
    dropout = given.value(draft, "network_dropout")
    if dropout is not None:
        draft.take("network_dropout", dropout, "network.dropout")
    for key, path in (
        ("network_weights", "network.start_from"),
        ("scale_weight_norms", "network.max_norm"),
    ):
        value = given.value(draft, key)
        if value is not None and not (key == "scale_weight_norms" and str(value) in ("0", "0.0")):
            draft.take(key, value, path)
        elif value is not None:
            draft.unset(key, value)
    _trained(draft, given)
    if lycoris:
        _lycoris_defaults(draft, arguments)
    for key, value in arguments.items():
        _argument(draft, key, value)


def _pairs(draft: Draft, given: Given) -> dict[str, Any]:
    """`key=value` words, or a table, as a mapping."""
    held = given.value(draft, "network_args")
    if isinstance(held, Mapping):
        return {str(key): value for key, value in held.items()}
    found: dict[str, Any] = {}
    for word in held if isinstance(held, list) else [held] if held is not None else []:
        key, equals, value = str(word).partition("=")
        if not equals:
            draft.refuse("network_args", word, "a pair is key=value")
        else:
            found[key.strip()] = value.strip()
    return found


def _module(draft: Draft, given: Given, arguments: dict[str, Any]) -> bool:
    """The kind of adapter; says whether LyCORIS' defaults count."""
    module = given.value(draft, "network_module")
    name = str(module or "networks.lora").rpartition(".")[2]
    lycoris = str(module or "").startswith("lycoris")
    if lycoris:
        algo = str(arguments.pop("algo", "lora")).lower()
        key, value, name = "network_args.algo", algo, algo
        draft.add("network_module", module, "taken", "network.kind", "lora")
    else:
        key, value = "network_module", module
        if "algo" in arguments:
            draft.drop("network_args.algo", arguments.pop("algo"), "it is for LyCORIS")
    kind = _KINDS.get(name)
    if kind is None:
        draft.refuse(key, value, _OURS)
    elif value is not None:
        draft.take(key, value, "network.kind", kind)
    return lycoris and kind is not None


def _lycoris_defaults(draft: Draft, arguments: dict[str, Any]) -> None:
    """LyCORIS adapts 3×3 layers too, at the rank of the others, unless told otherwise."""
    preset = str(arguments.pop("preset", "full")).lower()
    if preset == "full":
        for key, path in (("conv_dim", "network.rank"), ("conv_alpha", "network.alpha")):
            if key not in arguments and draft.has(path):
                table, _, name = path.partition(".")
                draft.default(f"network_args.{key}", f"network.{key}", draft.data[table][name])
    elif preset == "attn-mlp":
        for key in ("conv_dim", "conv_alpha"):
            if key in arguments:
                words = "the preset attn-mlp has no 3×3 layers"
                draft.drop(f"network_args.{key}", arguments.pop(key), words)
        draft.add("network_args.preset", preset, "taken", "network.conv_dim", None)
    else:
        draft.drop("network_args.preset", preset, "choose the layers by patterns and by block")


def _trained(draft: Draft, given: Given) -> None:
    """Which parts get adapters; both where nothing is said."""
    if given.switch(draft, "network_train_unet_only"):
        draft.take("network_train_unet_only", True, "network.train", "denoiser")
        if given.switch(draft, "network_train_text_encoder_only"):
            draft.refuse("network_train_text_encoder_only", True, "the opposite is given too")
    elif given.switch(draft, "network_train_text_encoder_only"):
        draft.take("network_train_text_encoder_only", True, "network.train", "text_encoder")
    elif draft.architecture == "hunyuan_image":
        draft.default("network_train_unet_only", "network.train", "denoiser")
    else:
        draft.default("network_train_unet_only", "network.train", "both")


def _argument(draft: Draft, key: str, value: Any) -> None:
    shown = f"network_args.{key}"
    if is_nothing(value):
        draft.unset(shown, value)
        return
    if key in _PATTERNS and draft.architecture == "anima":
        _whole_patterns(draft, key, value)
        return
    if key == "dora_wd" and draft.architecture:
        value = literal(value)
    if str(value).strip().lower() in ("false", "0") and _is_switch(draft, key, value):
        draft.unset(shown, value)
        return
    settle(draft, key, value, ARGS, "network_args.")


def _is_switch(draft: Draft, key: str, value: Any) -> bool:
    """Whether a value says off: of a switch, or of a number that does nothing at 0."""
    if key in (
        "rank_dropout",
        "module_dropout",
        "dropout",
        "conv_dim",
        "loraplus_lr_ratio",
        "loraplus_unet_lr_ratio",
        "loraplus_text_encoder_lr_ratio",
    ):
        return True
    try:
        return key.startswith(
            (
                "use_",
                "train_norm",
                "dora",
                "rs_",
                "split_",
                "rank_dropout_scale",
                "bypass",
                "rescaled",
                "decompose",
                "verbose",
                "train_t5",
                "train_llm",
            )
        ) and not flag(value)
    except Misfit:
        return False


def _whole_patterns(draft: Draft, key: str, value: Any) -> None:
    """Anima's patterns meet a whole name there; here they are looked for inside it."""
    pairs = key.startswith("network_reg")
    read = literal(value)
    try:
        found = [str(p) for p in read] if isinstance(read, list) else pieces(str(read))
    except PatternError as problem:
        draft.refuse(f"network_args.{key}", value, str(problem))
        return
    wrapped = []
    for each in found:
        pattern, sign, rank = each.rpartition("=") if pairs else (each, "", "")
        wrapped.append(f"^(?:{pattern}){'$'}{sign}{rank}")
    words = "bound to both ends, as the pattern must meet the whole name there"
    draft.take(f"network_args.{key}", value, f"network.{key}", wrapped, words)
