"""sd-scripts' options about the base model, and which architecture they are for."""

from __future__ import annotations

import re
from typing import Any

from engine.interop.draft import Draft
from engine.interop.given import Given
from engine.interop.values import Misfit, items, number
from engine.plan.detect import look_at
from engine.schema.architectures import ARCHITECTURES, UNET

SCRIPTS = {
    "train_network": "sd1",
    "sdxl_train_network": "sdxl",
    "flux_train_network": "flux",
    "sd3_train_network": "sd3",
    "lumina_train_network": "lumina2",
    "hunyuan_image_train_network": "hunyuan_image",
    "anima_train_network": "anima",
}
_MODULES = {
    "lora_flux": "flux", "lora_sd3": "sd3", "lora_lumina": "lumina2",
    "lora_hunyuan_image": "hunyuan_image", "lora_anima": "anima",
}  # fmt: skip
_SIGNS = (
    ("sd3", ("clip_g", "training_shift", "apply_lg_attn_mask")),
    ("lumina2", ("gemma2", "gemma2_max_token_length")),
    ("hunyuan_image", ("byt5", "fp8_vl")),
    ("anima", ("qwen3", "llm_adapter_path")),
    ("flux", ("clip_l", "t5xxl", "guidance_scale", "model_prediction_type")),
)
"""Options that only some scripts have; the first that is there decides."""

_SWITCHES = (
    # option, field, value where it is on, why
    ("v_parameterization", "model.prediction", "v", "the switch is a value here"),
    ("no_half_vae", "model.vae_precision", "fp32", "the switch is a value here"),
    ("fp8_base_unet", "model.weights", "fp8", "the switch is a value here"),
    ("fp8_base", "model.weights", "fp8", "the switch is a value here"),
    ("fp8_scaled", "model.weights", "fp8_scaled", "the switch is a value here"),
    ("fp8_vl", "model.text_encoder_weights", "fp8_scaled", "the switch is a value here"),
    ("xformers", "model.attention", "auto", "PyTorch chooses the kernel"),
    ("sdpa", "model.attention", "auto", "PyTorch chooses the kernel"),
    ("mem_eff_attn", "model.attention", "auto", "PyTorch chooses the kernel"),
    ("use_flash_attn", "model.attention", "flash", "the switch is a value here"),
)
_FILES = {
    "vae": "model.vae", "ae": "model.vae", "clip_l": "model.text_encoder",
    "clip_g": "model.text_encoder_2", "gemma2": "model.text_encoder",
    "text_encoder": "model.text_encoder", "byt5": "model.text_encoder_2",
    "qwen3": "model.text_encoder", "llm_adapter_path": "model.text_conditioner",
    "t5_tokenizer_path": "model.tokenizer_2", "qwen3_max_token_length": "model.max_tokens",
    "gemma2_max_token_length": "model.max_tokens", "t5_max_token_length": "model.t5_max_tokens",
}  # fmt: skip
_ATTENTION = {"torch": "auto", "sdpa": "auto", "xformers": "auto", "flash": "flash"}
_DTYPES = {
    "float": "fp32", "float32": "fp32", "fp32": "fp32", "float16": "fp16", "half": "fp16",
    "fp16": "fp16", "bfloat16": "bf16", "bf16": "bf16", "fp8_e4m3fn": "fp8", "float8_e4m3fn": "fp8",
}  # fmt: skip


def settle_architecture(draft: Draft, given: Given, script: str = "") -> None:
    """Find what the options are for, and say where it was guessed."""
    if draft.partial and "model" in draft.data:
        _of_a_piece(draft, given)
        return
    found, key, value, guess = _architecture(draft, given, script)
    if found == "sd1" and given.is_on("v2"):
        given.pop("v2")
        found, key, value, guess = "sd2", "v2", True, ""
    draft.data["model"] = {"architecture": found}
    if guess:
        draft.note(f"Taken as {ARCHITECTURES[found].label}, because {guess}.")
    draft.add(key, value, "default" if value is None else "changed", "model.architecture", found)
    if given.switch(draft, "v2"):
        draft.refuse("v2", True, f"this is {ARCHITECTURES[found].label}")


def _of_a_piece(draft: Draft, given: Given) -> None:
    """A piece of a job is for the model that is there already."""
    if given.switch(draft, "v2"):
        draft.take("v2", True, "model.architecture", "sd2")
    if given.switch(draft, "sdxl"):
        draft.take("sdxl", True, "model.architecture", "sdxl")


def _architecture(draft: Draft, given: Given, script: str) -> tuple[str, str, Any, str]:
    """The id, the name and value it comes from, and the reason where it is a guess."""
    if script in SCRIPTS:
        return SCRIPTS[script], "script", f"{script}.py", ""
    if script:
        draft.refuse("script", f"{script}.py", "it is none of sd-scripts' trainers for LoRA")
    if given.is_on("sdxl"):
        return "sdxl", "sdxl", given.pop("sdxl"), ""
    given.switch(draft, "sdxl")
    module = str(given.look("network_module") or "").rpartition(".")[2]
    if module in _MODULES:
        return _MODULES[module], "network_module", given.look("network_module"), ""
    for name, signs in _SIGNS:
        sign = next((s for s in signs if given.look(s) not in (None, "", False)), None)
        if sign:
            return name, sign, given.look(sign), f"{sign} is given"
    path = given.look("pretrained_model_name_or_path")
    there = draft.located(path)
    if there is not None:
        detected = look_at(str(there)).architecture
        if detected in ARCHITECTURES:
            return str(detected), "pretrained_model_name_or_path", path, "the model's file says so"
    if isinstance(path, str) and re.search(r"sdxl|[-_]xl|xl[-_]", path, re.IGNORECASE):
        return "sdxl", "pretrained_model_name_or_path", path, "the model's name has XL in it"
    return "sd1", "script", None, "nothing says which model it is for"


def read_model(draft: Draft, given: Given) -> None:
    """Put the options about the base model into the draft."""
    architecture = draft.architecture
    path = given.value(draft, "pretrained_model_name_or_path")
    if path is not None:
        draft.take("pretrained_model_name_or_path", path, "model.path")
    for key, field, new, why in _SWITCHES:
        if given.switch(draft, key):
            draft.take(key, True, field, new, why)
            if key == "fp8_base" and architecture in UNET:
                draft.take(key, True, "model.text_encoder_weights", new, "there for these too")
    if given.switch(draft, "use_sage_attn"):
        draft.refuse("use_sage_attn", True, "it has no backward pass; PyTorch chooses the kernel")
    for key, field in _FILES.items():
        value = given.value(draft, key)
        if value is not None:
            draft.take(key, value, field)
    t5 = given.value(draft, "t5xxl")
    if t5 is not None:
        third = architecture == "sd3"
        draft.take("t5xxl", t5, "model.text_encoder_3" if third else "model.text_encoder_2")
    _attention(draft, given)
    _text(draft, given)
    _merges(draft, given)
    kind = given.value(draft, "model_type")
    if kind is not None and str(kind).lower() != "flux":
        draft.refuse("model_type", kind, "Graft trains FLUX.1 of this family, not Chroma")
    elif kind is not None:
        draft.add("model_type", kind, "taken", "model.architecture", architecture)


def _attention(draft: Draft, given: Given) -> None:
    mode = given.value(draft, "attn_mode")
    if mode is None:
        return
    ours = _ATTENTION.get(str(mode).lower())
    if ours is None:
        draft.refuse("attn_mode", mode, "it cannot be trained through; PyTorch chooses the kernel")
    else:
        draft.take("attn_mode", mode, "model.attention", ours, "PyTorch chooses the kernel")


def _text(draft: Draft, given: Given) -> None:
    skip = given.value(draft, "clip_skip")
    if skip is not None and draft.architecture == "sdxl":
        draft.drop("clip_skip", skip, "SDXL's encoders always give their last layer but one")
    elif skip is not None:
        draft.take("clip_skip", skip, "model.clip_skip")
    longest = given.value(draft, "max_token_length")
    if longest is not None and draft.architecture in UNET:
        draft.take("max_token_length", longest, "model.max_tokens")
    elif longest is not None:
        draft.drop("max_token_length", longest, "it is for CLIP's windows, in SD and SDXL")
    dtype = given.value(draft, "t5xxl_dtype")
    if dtype is not None:
        ours = _DTYPES.get(str(dtype).lower(), dtype)
        draft.take("t5xxl_dtype", dtype, "model.text_encoder_weights", ours)


def _merges(draft: Draft, given: Given) -> None:
    """Adapters merged into the base; a missing weight is 1."""
    files, weights = (
        given.value(draft, "base_weights"),
        given.value(draft, "base_weights_multiplier"),
    )
    if files is None:
        if weights is not None:
            draft.drop("base_weights_multiplier", weights, "there are no base_weights")
        return
    names = files if isinstance(files, list) else [files]
    try:
        factors = [number(each) for each in items(weights)] if weights is not None else []
    except Misfit as misfit:
        draft.refuse("base_weights_multiplier", weights, str(misfit))
        factors = []
    factors += [1.0] * (len(names) - len(factors))
    merges = [{"file": str(f), "weight": w} for f, w in zip(names, factors, strict=False)]
    draft.take("base_weights", files, "model.merge", merges)
    if weights is not None:
        draft.add("base_weights_multiplier", weights, "taken", "model.merge[].weight", factors)
