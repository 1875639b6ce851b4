"""sd-scripts' options about the run: length, optimizer, schedule, saving, previews, logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.interop.draft import Draft
from engine.interop.given import Given
from engine.interop.optimizers import (
    NO_WARMUP,
    put_arguments,
    put_optimizer,
    put_rates,
    put_schedule,
    steps_value,
)
from engine.interop.previews import put_prompts, put_sampler
from engine.interop.reading import ImportProblem, parse, read_text
from engine.interop.values import Misfit, number, whole
from engine.schema.architectures import UNET

_PRECISIONS = {"no": "fp32", "float": "fp32", "fp32": "fp32", "float32": "fp32"}


def read_run(draft: Draft, given: Given) -> None:
    """Put everything about the run into the draft."""
    _length(draft, given)
    _precision(draft, given)
    _optimizer(draft, given)
    _schedule(draft, given)
    _saving(draft, given)
    _previews(draft, given)
    _logs(draft, given)


def _length(draft: Draft, given: Given) -> None:
    epochs = given.value(draft, "max_train_epochs")
    steps = given.value(draft, "max_train_steps")
    if epochs is not None:
        draft.take("max_train_epochs", epochs, "training.epochs")
        if steps is not None:
            draft.drop("max_train_steps", steps, "the number of epochs is given, and decides")
    elif steps is not None:
        draft.take("max_train_steps", steps, "training.steps")
    else:
        draft.default("max_train_steps", "training.steps", 1600)
    batches = given.value(draft, "max_validation_steps")
    if batches is not None:
        try:
            pictures = whole(batches) * int(draft.data.get("training", {}).get("batch_size", 1))
        except Misfit as misfit:
            draft.refuse("max_validation_steps", batches, str(misfit))
        else:
            draft.take(
                "max_validation_steps",
                batches,
                "training.validation_pictures",
                pictures,
                "pictures instead of batches",
            )


def _precision(draft: Draft, given: Given) -> None:
    precision = given.value(draft, "mixed_precision")
    if precision is None:
        draft.default("mixed_precision", "training.precision", "fp32")
    else:
        ours = _PRECISIONS.get(str(precision), precision)
        draft.take("mixed_precision", precision, "training.precision", ours)
    bf16 = given.switch(draft, "full_bf16")
    if bf16:
        draft.take("full_bf16", True, "training.adapter_precision", "bf16")
    if given.switch(draft, "full_fp16"):
        draft.refuse("full_fp16", True, "adapters kept in fp16 lose small changes; fp32 is kept")
    saved = given.value(draft, "save_precision")
    if saved is None:
        draft.default("save_precision", "output.precision", "bf16" if bf16 else "fp32")
    else:
        ours = _PRECISIONS.get(str(saved), saved)
        draft.take("save_precision", saved, "output.precision", ours)
    for key in ("cpu_offload_checkpointing", "unsloth_offload_checkpointing"):
        if given.switch(draft, key):
            draft.take(key, True, "training.offload_activations")
            if not given.is_on("gradient_checkpointing"):
                draft.take(key, True, "training.gradient_checkpointing", True, "it includes it")
    level = given.value(draft, "console_log_level")
    if level is not None:
        ours = {"critical": "error"}.get(str(level).lower(), str(level).lower())
        draft.take("console_log_level", level, "launch.log_level", ours)


def _optimizer(draft: Draft, given: Given) -> None:
    name = given.value(draft, "optimizer_type")
    if name is not None:
        put_optimizer(draft, "optimizer_type", name)
    for key, ours in (("use_8bit_adam", "AdamW8bit"), ("use_lion_optimizer", "Lion")):
        if given.switch(draft, key):
            draft.take(key, True, "optimizer.name", ours, "the switch is a value here")
    if not draft.has("optimizer.name") and name is None:
        draft.default("optimizer_type", "optimizer.name", "AdamW")
    put_arguments(draft, "optimizer_args.", _pairs(draft, given, "optimizer_args"))
    rate = given.value(draft, "learning_rate")
    if rate is not None:
        draft.take("learning_rate", rate, "optimizer.learning_rate")
    else:
        draft.default("learning_rate", "optimizer.learning_rate", 2e-6)
    own = given.value(draft, "unet_lr")
    if own is not None:
        draft.take("unet_lr", own, "optimizer.denoiser_lr")
    rates = given.value(draft, "text_encoder_lr")
    if rates is not None:
        put_rates(draft, "text_encoder_lr", rates)


def _pairs(draft: Draft, given: Given, key: str) -> dict[str, Any]:
    """`key=value` words, or a table, as a mapping."""
    held = given.value(draft, key)
    if isinstance(held, Mapping):
        return {str(name): value for name, value in held.items()}
    found: dict[str, Any] = {}
    for word in held if isinstance(held, list) else str(held).split() if held is not None else []:
        name, equals, value = str(word).partition("=")
        if equals:
            found[name.strip()] = value.strip()
        else:
            draft.refuse(key, word, "a pair is key=value")
    return found


def _schedule(draft: Draft, given: Given) -> None:
    name = given.value(draft, "lr_scheduler")
    foreign = given.value(draft, "lr_scheduler_type")
    arguments = _pairs(draft, given, "lr_scheduler_args")
    if foreign is not None:
        put_schedule(draft, "lr_scheduler_type", foreign)
        if name is not None:
            draft.drop("lr_scheduler", name, "lr_scheduler_type is given, and decides")
    elif name is not None:
        put_schedule(draft, "lr_scheduler", name)
    schedule = str(draft.data.get("optimizer", {}).get("schedule", "constant"))
    for key, path in (
        ("lr_warmup_steps", "optimizer.warmup"),
        ("lr_decay_steps", "optimizer.decay"),
    ):
        value = given.value(draft, key)
        if value is None:
            continue
        try:
            steps = steps_value(value)
        except Misfit as misfit:
            draft.refuse(key, value, str(misfit))
            continue
        if key == "lr_warmup_steps" and steps and foreign is None and name in (None, *NO_WARMUP):
            draft.drop(key, value, f"sd-scripts' {name or 'constant'} takes no notice of it")
        else:
            draft.take(key, value, path, steps)
    _schedule_arguments(draft, arguments, schedule)


def _schedule_arguments(draft: Draft, arguments: Mapping[str, Any], schedule: str) -> None:
    rate = float(draft.data.get("optimizer", {}).get("learning_rate") or 0)
    fields = {
        "step_rules": "optimizer.step_rules",
        "num_cycles": "optimizer.cycles",
        "power": "optimizer.power",
        "timescale": "optimizer.timescale",
        "min_lr_rate": "optimizer.min_lr_ratio",
        "min_lr_ratio": "optimizer.min_lr_ratio",
        "d": "optimizer.rex_d",
        "num_decay_steps": "optimizer.decay",
    }
    for key, value in arguments.items():
        shown = f"lr_scheduler_args.{key}"
        if key in ("min_lr", "eta_min"):
            try:
                share = number(value) / rate if rate else 0.0
            except Misfit as misfit:
                draft.refuse(shown, value, str(misfit))
                continue
            if share and schedule not in ("cosine_with_min_lr", "warmup_stable_decay"):
                draft.drop(shown, value, f"the schedule {schedule} ends at 0 here")
            elif share:
                draft.take(shown, value, "optimizer.min_lr_ratio", share, "a share of the rate")
            else:
                draft.unset(shown, value)
        elif key in fields:
            draft.take(shown, value, fields[key])
        else:
            draft.drop(shown, value, f"the schedule {schedule} has no such setting here")


def _saving(draft: Draft, given: Given) -> None:
    for key, path in (
        ("save_every_n_epochs", "output.every_epochs"),
        ("save_every_n_steps", "output.every_steps"),
    ):
        value = given.value(draft, key)
        if value is not None:
            draft.take(key, value, path)
    ratio = given.value(draft, "save_n_epoch_ratio")
    if ratio is not None:
        _by_ratio(draft, ratio)
    if not draft.has("output.every_epochs"):
        draft.default("save_every_n_epochs", "output.every_epochs", None)
    _kept(draft, given, "save_last_n_epochs", "save_last_n_steps", "output.keep_last")
    _kept(draft, given, "save_last_n_epochs_state", "save_last_n_steps_state", "output.keep_states")
    if given.switch(draft, "save_state"):
        draft.take("save_state", True, "output.save_state")
    else:
        draft.default("save_state", "output.save_state", False)
    if given.switch(draft, "save_state_on_train_end"):
        draft.take("save_state_on_train_end", True, "output.state_at_end")
    if given.switch(draft, "no_metadata"):
        draft.take("no_metadata", True, "output.metadata.write", False, "turned round")
    kind = given.value(draft, "save_model_as")
    if kind is not None and str(kind) == "safetensors":
        draft.drop("save_model_as", kind, "files always are")
    elif kind is not None:
        draft.refuse("save_model_as", kind, "files are safetensors; pickles can hide programs")


def _by_ratio(draft: Draft, ratio: Any) -> None:
    epochs = draft.data.get("training", {}).get("epochs")
    try:
        parts = whole(ratio)
    except Misfit as misfit:
        draft.refuse("save_n_epoch_ratio", ratio, str(misfit))
        return
    if parts < 1 or not epochs:
        draft.drop("save_n_epoch_ratio", ratio, "it needs a number of epochs; set every_epochs")
        return
    draft.take(
        "save_n_epoch_ratio",
        ratio,
        "output.every_epochs",
        max(1, epochs // parts),
        f"{epochs} epochs in {parts} parts",
    )


def _kept(draft: Draft, given: Given, by_epochs: str, by_steps: str, path: str) -> None:
    count = given.value(draft, by_epochs)
    if count is not None:
        draft.take(by_epochs, count, path)
    span = given.value(draft, by_steps)
    every = draft.data.get("output", {}).get("every_steps")
    if span is None:
        return
    try:
        steps = whole(span)
    except Misfit as misfit:
        draft.refuse(by_steps, span, str(misfit))
        return
    if not every or steps < 0:
        draft.drop(by_steps, span, "it counts only with save_every_n_steps")
    elif draft.has(path):
        draft.drop(by_steps, span, f"{by_epochs} is given, and decides")
    else:
        draft.take(by_steps, span, path, steps // every + 1, f"so many files in {steps} steps")


def _previews(draft: Draft, given: Given) -> None:
    held = given.value(draft, "sample_prompts")
    sampler = given.value(draft, "sample_sampler")
    if held is not None:
        _prompts(draft, held)
    for key, path in (
        ("sample_every_n_epochs", "samples.every_epochs"),
        ("sample_every_n_steps", "samples.every_steps"),
    ):
        value = given.value(draft, key)
        if value is not None:
            draft.take(key, value, path)
    if given.switch(draft, "sample_at_first"):
        draft.take("sample_at_first", True, "samples.at_start")
    elif held is not None:
        draft.default("sample_at_first", "samples.at_start", False)
    if held is None:
        if sampler is not None:
            put_sampler(draft, "sample_sampler", sampler)
        return
    if not draft.has("samples.every_epochs"):
        draft.default("sample_every_n_epochs", "samples.every_epochs", None)
    for side in ("width", "height"):
        draft.default(f"preview {side}", f"samples.{side}", 512)
    if draft.architecture in UNET:
        draft.default("preview steps", "samples.steps", 30)
        draft.default("preview scale", "samples.cfg", 7.5)
    if sampler is not None:
        put_sampler(draft, "sample_sampler", sampler)
    else:
        draft.default("sample_sampler", "samples.sampler", "ddim")


def _prompts(draft: Draft, held: Any) -> None:
    """A file of prompts, read; or, as kohya_ss has it, the prompts themselves."""
    path = draft.located(held) if isinstance(held, str) and len(held) < 1000 else None
    if path is None:
        looks_like_a_file = isinstance(held, str) and held.endswith((".txt", ".toml", ".json"))
        if looks_like_a_file or not isinstance(held, str):
            words = "there is no such file on this machine; write the prompts under Samples"
            draft.refuse("sample_prompts", held, words)
        else:
            put_prompts(draft, "sample_prompts", held, held)
        return
    try:
        text = read_text(path)
        if path.suffix.lower() in (".toml", ".json"):
            put_prompts(draft, "sample_prompts", held, parse(text, path.name))
        else:
            put_prompts(draft, "sample_prompts", held, text)
    except ImportProblem as problem:
        draft.refuse("sample_prompts", held, str(problem).rstrip("."))


def _logs(draft: Draft, given: Given) -> None:
    tracker = given.value(draft, "log_with")
    folder = given.value(draft, "logging_dir")
    if tracker is not None:
        both = str(tracker).lower() == "all"
        ours = ["tensorboard", "wandb"] if both else [str(tracker).lower()]
        draft.take("log_with", tracker, "output.trackers", ours)
    if folder is not None and tracker is None:
        draft.take(
            "logging_dir",
            folder,
            "output.trackers",
            ["tensorboard"],
            "its files lie in the run's folder",
        )
    elif folder is not None:
        draft.drop("logging_dir", folder, "logs lie in the run's folder")
    resumed = given.value(draft, "resume")
    if resumed is not None:
        draft.drop(
            "resume",
            resumed,
            "only runs of Graft can be resumed: train --resume RUN; "
            "network.start_from goes on from an adapter file",
        )
