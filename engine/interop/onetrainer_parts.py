"""OneTrainer's parts of a model: which are trained, at which rate and format, which layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.interop.draft import Draft
from engine.interop.given import Given
from engine.interop.layer_names import pattern_of
from engine.interop.values import Misfit, flag, items, number, whole
from engine.schema.architectures import ARCHITECTURES, UNET

_PARTS = (
    "unet", "prior", "transformer", "unconditional_transformer", "text_encoder", "text_encoder_2",
    "text_encoder_3", "text_encoder_4", "effnet_encoder", "decoder", "decoder_text_encoder",
    "decoder_vqgan",
)  # fmt: skip
_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


def read_parts(draft: Draft, given: Given, types: Mapping[str, str]) -> None:
    """Put the parts into the draft. A part is trained unless it is told not to be."""
    architecture = ARCHITECTURES[draft.architecture]
    denoiser = "unet" if draft.architecture in UNET else "transformer"
    has_own = any(key.startswith(f"{denoiser}.") for key in given.left)
    if denoiser == "transformer" and not has_own:  # its name in older files
        for key in [k for k in given.left if k.startswith("prior.")]:
            given.left[f"transformer.{key.partition('.')[2]}"] = given.pop(key)
    parts = (denoiser, *_ENCODERS[: len(architecture.text_encoders)])
    _others(draft, given, parts)
    trained = {part: _trained(draft, given, part) for part in parts}
    encoders = [p for p in parts[1:] if trained[p]]
    t5 = [
        p
        for p, name in zip(parts[1:], architecture.text_encoders, strict=True)
        if name.startswith("T5")
    ]
    plain = [p for p in encoders if p not in t5]
    if encoders and draft.architecture == "hunyuan_image":
        encoders = plain = []
    what = (
        "both"
        if trained[denoiser] and (plain or encoders)
        else ("denoiser" if trained[denoiser] else "text_encoder")
    )
    written = [f"{p}.train" for p in parts if f"{p}.train" in given.left]
    if written:
        values = {p: trained[p] for p in parts}
        draft.take(", ".join(written), values, "network.train", what)
        for key in written:
            given.pop(key)
    else:
        draft.default(f"{denoiser}.train", "network.train", what)
    for part in t5:
        if trained[part]:
            draft.take(f"{part}.train", True, "network.train_t5xxl", True)
    _rates(draft, given, denoiser, parts[1:])
    _formats(draft, given, denoiser, parts[1:], types)
    _memory(draft, given, denoiser)
    _text(draft, given)


def _others(draft: Draft, given: Given, parts: tuple[str, ...]) -> None:
    """A whole configuration has the parts of every model; those of others say nothing."""
    for key in list(given.left):
        part = key.partition(".")[0]
        if part in _PARTS and part not in parts:
            draft.unset(key, given.pop(key))


def _trained(draft: Draft, given: Given, part: str) -> bool:
    try:
        return flag(given.look(f"{part}.train", True))
    except Misfit:
        return True


def _rates(draft: Draft, given: Given, denoiser: str, encoders: tuple[str, ...]) -> None:
    own = given.value(draft, f"{denoiser}.learning_rate")
    if own is not None:
        draft.take(f"{denoiser}.learning_rate", own, "optimizer.denoiser_lr")
    rates = {part: given.value(draft, f"{part}.learning_rate") for part in encoders}
    said = {part: rate for part, rate in rates.items() if rate is not None}
    if not said:
        return
    base = given.look("learning_rate", 3e-6)
    whole_list = [base if rates[part] is None else rates[part] for part in encoders]
    for part, rate in said.items():
        draft.take(f"{part}.learning_rate", rate, "optimizer.text_encoder_lr", whole_list)


def _formats(
    draft: Draft, given: Given, denoiser: str, encoders: tuple[str, ...], types: Mapping[str, str]
) -> None:
    value = given.value(draft, f"{denoiser}.weight_dtype")
    if value is not None:
        name = str(value).rpartition(".")[2]
        draft.take(f"{denoiser}.weight_dtype", value, "model.weights", types.get(name, name))
    formats = {}
    for part in encoders:
        value = given.value(draft, f"{part}.weight_dtype")
        if value is not None:
            name = str(value).rpartition(".")[2]
            formats[part] = (value, types.get(name, name))
    if not formats:
        return
    # One setting for all here: the last is the largest encoder, for which it matters.
    chosen = list(formats.values())[-1][1]
    chosen = "int8" if chosen == "nf4" else chosen
    for part, (value, ours) in formats.items():
        why = "" if ours == chosen else "one format for all text encoders, that of the largest"
        draft.take(f"{part}.weight_dtype", value, "model.text_encoder_weights", chosen, why)


def _memory(draft: Draft, given: Given, denoiser: str) -> None:
    checkpoints = given.value(draft, f"{denoiser}.gradient_checkpointing")
    if checkpoints is None:
        checkpoints = given.value(draft, "gradient_checkpointing")
    if checkpoints is not None:
        name = str(checkpoints).rpartition(".")[2]
        ours = name not in ("OFF", "False", "false")
        draft.take(
            f"{denoiser}.gradient_checkpointing",
            checkpoints,
            "training.gradient_checkpointing",
            ours,
        )
        if name == "CPU_OFFLOADED":
            draft.take(
                f"{denoiser}.gradient_checkpointing",
                checkpoints,
                "training.offload_activations",
                True,
            )
    share = given.value(draft, f"{denoiser}.offload_fraction")
    if share is None:
        share = given.value(draft, "layer_offload_fraction")
    if share is not None:
        _swap(draft, f"{denoiser}.offload_fraction", share)
    if given.switch(draft, f"{denoiser}.activation_offloading"):
        draft.take(f"{denoiser}.activation_offloading", True, "training.offload_activations")
    for key, path in (
        ("guidance_scale", "objective.guidance"),
        ("attention_mask", "model.t5_attention_mask"),
    ):
        value = given.value(draft, f"{denoiser}.{key}")
        if value is False:
            draft.unset(f"{denoiser}.{key}", value)
        elif value is not None:
            draft.take(f"{denoiser}.{key}", value, path)


def _swap(draft: Draft, key: str, share: Any) -> None:
    blocks = sum(ARCHITECTURES[draft.architecture].block_counts.values())
    try:
        count = round(number(share) * blocks)
    except Misfit as misfit:
        draft.refuse(key, share, str(misfit))
        return
    if not count:
        draft.unset(key, share)
    else:
        draft.take(
            key,
            share,
            "training.blocks_to_swap",
            min(count, max(1, blocks - 2)),
            "a number of blocks",
        )


def _text(draft: Draft, given: Given) -> None:
    skipped = given.value(draft, "text_encoder_layer_skip")
    if skipped is not None:
        try:
            count = whole(skipped)
        except Misfit as misfit:
            draft.refuse("text_encoder_layer_skip", skipped, str(misfit))
            count = 0
        if count:
            draft.take(
                "text_encoder_layer_skip",
                skipped,
                "model.clip_skip",
                count + 1,
                "layers skipped there, counted from the last here",
            )
        else:
            draft.unset("text_encoder_layer_skip", skipped)
    length = given.value(draft, "text_encoder_sequence_length")
    if length is not None and draft.architecture in UNET:
        draft.drop("text_encoder_sequence_length", length, "CLIP reads windows of 75 tokens")
    elif length is not None:
        draft.take("text_encoder_sequence_length", length, "model.max_tokens")
    second = given.value(draft, "text_encoder_2_sequence_length")
    if second is not None:
        draft.take("text_encoder_2_sequence_length", second, "model.t5_max_tokens")
    for part in _ENCODERS:
        after = given.value(draft, f"{part}.stop_training_after")
        unit = str(given.pop(f"{part}.stop_training_after_unit") or "EPOCH").rpartition(".")[2]
        if after is None or unit == "NEVER":
            continue
        if unit == "STEP" and part == "text_encoder":
            draft.take(f"{part}.stop_training_after", after, "training.stop_text_encoder_after")
        elif part == "text_encoder":
            _stop_by_epoch(draft, part, after)
        else:
            draft.drop(f"{part}.stop_training_after", after, "the text encoders stop together")


def _stop_by_epoch(draft: Draft, part: str, after: Any) -> None:
    epochs = draft.data.get("training", {}).get("epochs", 100)
    try:
        share = min(1.0, number(after) / epochs)
    except Misfit as misfit:
        draft.refuse(f"{part}.stop_training_after", after, str(misfit))
        return
    draft.take(
        f"{part}.stop_training_after",
        after,
        "training.stop_text_encoder_after",
        f"{share * 100:g}%",
        f"of {epochs} epochs",
    )


def read_layers(draft: Draft, given: Given) -> None:
    """Which layers are adapted: all of them, as "full" means there, or those of a filter."""
    preset = given.value(draft, "layer_filter_preset")
    words = given.value(draft, "layer_filter")
    is_regex = given.is_on("layer_filter_regex")
    if "layer_filter_regex" in given:
        draft.add(
            "layer_filter_regex",
            given.pop("layer_filter_regex"),
            "taken",
            why="the filter is read so",
        )
    if words is not None:
        patterns = [
            str(each) if is_regex else pattern_of(str(each), draft.architecture)
            for each in items(words)
            if each
        ]
        if draft.take(
            "layer_filter",
            words,
            "network.include_patterns",
            patterns,
            "only layers with one of these; check them on the Plan page",
        ):
            draft.default("layer_filter", "network.exclude_patterns", [".*"])
        if preset is not None:
            draft.drop("layer_filter_preset", preset, "the filter's own words count")
        return
    if preset in (None, "full") and draft.architecture in UNET:
        rank = draft.data.get("network", {}).get("rank", 16)
        alpha = draft.data.get("network", {}).get("alpha", 1.0)
        why = "all layers are adapted there, the 3×3 ones too"
        if preset is None:
            draft.default("layer_filter_preset", "network.conv_dim", rank, why)
        else:
            draft.take("layer_filter_preset", preset, "network.conv_dim", rank, why)
        draft.default("lora_alpha", "network.conv_alpha", alpha)
    elif preset == "attn-mlp" and draft.architecture in UNET:
        draft.take(
            "layer_filter_preset",
            preset,
            "network.conv_dim",
            None,
            "attention and its feed-forward layers, as usual here",
        )
    elif preset not in (None, "full"):
        draft.drop("layer_filter_preset", preset, "choose layers by family or by pattern")
    elif preset is not None:
        draft.add("layer_filter_preset", preset, "taken", why="all the blocks' layers")
