"""A preset or configuration of OneTrainer (JSON) into a job.

Presets hold only what differs from its defaults, so the defaults that differ from ours are written
out. Its steps are passes, not changes of the adapter: they are divided by the accumulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.interop.draft import Draft
from engine.interop.given import Given
from engine.interop.onetrainer_concepts import listed, read_concepts, read_samples
from engine.interop.onetrainer_objective import read_objective
from engine.interop.onetrainer_parts import read_layers, read_parts
from engine.interop.optimizers import put_arguments, put_optimizer, put_schedule
from engine.interop.option_map import table_of
from engine.interop.reading import ImportProblem
from engine.interop.report import Imported
from engine.interop.values import Misfit, is_nothing, number, whole

PEER = "OneTrainer"
_MODELS = {
    "STABLE_DIFFUSION_15": "sd1", "STABLE_DIFFUSION_20": "sd2", "STABLE_DIFFUSION_20_BASE": "sd2",
    "STABLE_DIFFUSION_21": "sd2", "STABLE_DIFFUSION_21_BASE": "sd2",
    "STABLE_DIFFUSION_XL_10_BASE": "sdxl", "FLUX_DEV_1": "flux", "STABLE_DIFFUSION_3": "sd3",
    "STABLE_DIFFUSION_35": "sd3", "ANIMA": "anima",
}  # fmt: skip
_TYPES = {
    "FLOAT_32": "fp32", "TFLOAT_32": "fp32", "FLOAT_16": "fp16", "BFLOAT_16": "bf16",
    "FLOAT_8": "fp8", "INT_8": "int8", "NFLOAT_4": "nf4", "FLOAT_W8A8": "fp8_scaled",
    "INT_W8A8": "int8",
}  # fmt: skip
_PLAIN = (
    # name there, ours
    ("base_model_name", "model.path"), ("lora_rank", "network.rank"),
    ("lora_alpha", "network.alpha"), ("lora_decompose", "network.dora_wd"),
    ("lora_decompose_output_axis", "network.wd_on_output"),
    ("lora_model_name", "network.start_from"), ("aspect_ratio_bucketing", "dataset.buckets"),
    ("cache_dir", "dataset.cache_directory"), ("epochs", "training.epochs"),
    ("batch_size", "training.batch_size"), ("compile", "training.compile"),
    ("gradient_accumulation_steps", "training.gradient_accumulation"),
    ("dataloader_threads", "training.workers"), ("offline_mode", "launch.offline"),
    ("learning_rate_cycles", "optimizer.cycles"), ("clip_grad_norm", "optimizer.max_grad_norm"),
    ("vae.model_name", "model.vae"), ("transformer.model_name", "model.denoiser"),
)  # fmt: skip
_DEFAULTS = (
    ("learning_rate", "optimizer.learning_rate", 3e-6), ("epochs", "training.epochs", 100),
    ("lora_rank", "network.rank", 16), ("lora_alpha", "network.alpha", 1.0),
    ("train_dtype", "training.precision", "fp16"), ("output_dtype", "output.precision", "fp32"),
    ("resolution", "dataset.resolution", ["512"]),
    ("latent_caching", "dataset.cache_latents", "disk"),
    ("latent_caching", "dataset.cache_text", "off"),
    ("unet.gradient_checkpointing", "training.gradient_checkpointing", True),
    ("save_every", "output.every_epochs", None),
    ("validation", "training.validate_every_epochs", None),
    ("learning_rate_warmup_steps", "optimizer.warmup", 200),
)  # fmt: skip


def is_config(tree: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a preset or a configuration of OneTrainer."""
    return (
        "training_method" in tree
        or "output_model_destination" in tree
        or ("base_model_name" in tree and "model_type" in tree)
    )


def import_config(tree: Mapping[str, Any], folder: Path | None = None) -> Imported:
    """Import a preset or a configuration.

    Raises:
        ImportProblem: it is for a model that Graft does not train, or trains no LoRA.
    """
    draft = Draft(PEER, folder)
    concepts = listed(draft, tree, "concepts", "concept_file_name")
    samples = listed(draft, tree, "samples", "sample_definition_file_name")
    given = Given(_flat(tree))
    _kind(draft, given)
    for key, path in _PLAIN:
        value = given.value(draft, key)
        if value is not None:
            draft.take(key, value, path)
        elif key == "clip_grad_norm" and key in tree:
            draft.take(key, None, "optimizer.max_grad_norm", 0.0)
    _numbers(draft, given)
    passes = int(draft.data.get("training", {}).get("gradient_accumulation", 1))
    read_parts(draft, given, _TYPES)
    read_layers(draft, given)
    _optimizer(draft, given, passes)
    read_objective(draft, given)
    _output(draft, given, passes)
    read_concepts(draft, given, concepts)
    read_samples(draft, given, samples)
    for key, path, value in _DEFAULTS:
        if not draft.has(path) and not (path == "training.epochs" and draft.has("training.steps")):
            draft.default(key, path, value)
    _rest(draft, given)
    return draft.finished()


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested groups as dotted names; lists stay."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name != "optimizer_defaults":
            flat |= _flat(value, f"{name}.")
        elif name not in ("concepts", "samples"):
            flat[name] = value
    return flat


def _kind(draft: Draft, given: Given) -> None:
    """The model, and that it is a LoRA that is trained."""
    named = given.value(draft, "model_type")
    name = str(named or "STABLE_DIFFUSION_15").rpartition(".")[2].upper()
    if name not in _MODELS:
        raise ImportProblem(f"Graft does not train the model type {name[:60]} of OneTrainer.")
    method = str(given.pop("training_method") or "FINE_TUNE").rpartition(".")[2]
    draft.data["model"] = {"architecture": _MODELS[name]}
    draft.add(
        "model_type", named, "changed" if named else "default", "model.architecture", _MODELS[name]
    )
    if method == "LORA":
        draft.add("training_method", method, "taken", "network.kind", "lora")
    else:
        draft.refuse("training_method", method, "Graft trains adapters; it is LoRA here")
    peft = given.value(draft, "peft_type")
    if peft is not None and str(peft).rpartition(".")[2] == "LORA":
        draft.take("peft_type", peft, "network.kind", "lora")
    elif peft is not None:
        draft.refuse("peft_type", peft, "Graft trains LoRA and DoRA; it is LoRA here")


def _numbers(draft: Draft, given: Given) -> None:
    """Number formats, sizes, and what is kept."""
    for key, path in (
        ("train_dtype", "training.precision"),
        ("output_dtype", "output.precision"),
        ("lora_weight_dtype", "training.adapter_precision"),
        ("vae.weight_dtype", "model.vae_precision"),
    ):
        value = given.value(draft, key)
        if value is not None:
            name = str(value).rpartition(".")[2]
            draft.take(key, value, path, _TYPES.get(name, name))
    size = given.value(draft, "resolution")
    if size is not None:
        draft.take("resolution", size, "dataset.resolution")
    kept = given.switch(draft, "latent_caching")
    if kept is not None:
        draft.take("latent_caching", kept, "dataset.cache_latents", "disk" if kept else "off")
    if given.switch(draft, "force_v_prediction"):
        draft.take("force_v_prediction", True, "model.prediction", "v")
    if given.switch(draft, "force_epsilon_prediction"):
        draft.take("force_epsilon_prediction", True, "model.prediction", "epsilon")
    if given.switch(draft, "tensorboard"):
        draft.take("tensorboard", True, "output.trackers", ["tensorboard"])
    averaged = given.value(draft, "ema")
    decay = given.value(draft, "ema_decay")
    if averaged is not None and str(averaged).rpartition(".")[2] != "OFF":
        draft.take("ema", averaged, "training.ema", 0.999 if decay is None else decay)
        if decay is not None:
            draft.add("ema_decay", decay, "taken", "training.ema", decay)
    else:
        for key, value in (("ema", averaged), ("ema_decay", decay)):
            if value is not None:
                draft.unset(key, value)
    attention = given.value(draft, "attention_mechanism")
    if attention is not None:
        flash = "FLASH" in str(attention).upper()
        draft.take(
            "attention_mechanism",
            attention,
            "model.attention",
            "flash" if flash else "auto",
            "" if flash else "PyTorch chooses the kernel",
        )
    cards = given.value(draft, "device_indexes")
    if given.switch(draft, "multi_gpu"):
        count = len([c for c in str(cards or "").split(",") if c.strip()])
        if count > 1:
            draft.take("multi_gpu", True, "launch.processes", count)
        else:
            draft.drop("multi_gpu", True, "say how many cards under Launch")
        if cards is not None:
            draft.take("device_indexes", cards, "launch.devices")
    elif cards is not None:
        draft.unset("device_indexes", cards)


def _optimizer(draft: Draft, given: Given, passes: int) -> None:
    name = given.value(draft, "optimizer.optimizer") or given.value(draft, "optimizer")
    if name is not None:
        put_optimizer(draft, "optimizer.optimizer", str(name).rpartition(".")[2])
    known = {key.partition(".")[2]: key for key in given.left if key.startswith("optimizer.")}
    betas = [given.value(draft, f"optimizer.{beta}") for beta in ("beta1", "beta2")]
    if None not in betas:
        put_arguments(draft, "optimizer.", {"betas": betas})
        draft.add("optimizer.beta1, optimizer.beta2", betas, "taken", "optimizer.args.betas", betas)
    elif any(beta is not None for beta in betas):
        draft.drop("optimizer.beta1, optimizer.beta2", betas, "one alone says nothing")
    for key in (
        "weight_decay",
        "eps",
        "d0",
        "d_coef",
        "momentum",
        "decouple",
        "growth_rate",
        "safeguard_warmup",
        "use_bias_correction",
        "slice_p",
    ):
        if key in known:
            value = given.value(draft, known[key])
            if value is False or value is None:
                continue
            if key == "growth_rate" and str(value) in ("inf", "Infinity"):
                draft.unset(f"optimizer.{key}", value)
            else:
                put_arguments(draft, "optimizer.", {key: value})
    _rate(draft, given, passes)
    schedule = given.value(draft, "learning_rate_scheduler")
    if schedule is not None:
        kind = str(schedule).rpartition(".")[2]
        if kind == "CUSTOM":
            draft.refuse("learning_rate_scheduler", schedule, "it would load foreign code by name")
        elif kind == "COSINE_WITH_RESTARTS":
            draft.take(
                "learning_rate_scheduler",
                schedule,
                "optimizer.schedule",
                "cosine_with_restarts",
                "a smooth wave there, sudden restarts here",
            )
        else:
            put_schedule(draft, "learning_rate_scheduler", kind)
    floor = given.value(draft, "learning_rate_min_factor")
    chosen = str(draft.data.get("optimizer", {}).get("schedule", "constant"))
    if floor is not None and str(floor) not in ("0", "0.0"):
        if chosen in ("cosine", "cosine_with_min_lr"):
            draft.take("learning_rate_min_factor", floor, "optimizer.min_lr_ratio")
            draft.take(
                "learning_rate_min_factor",
                floor,
                "optimizer.schedule",
                "cosine_with_min_lr",
                "the cosine that ends above 0",
            )
        else:
            draft.drop("learning_rate_min_factor", floor, f"the schedule {chosen} ends at 0 here")
    elif floor is not None:
        draft.unset("learning_rate_min_factor", floor)
    warm = given.value(draft, "learning_rate_warmup_steps")
    if warm is not None:
        _warmup(draft, warm, passes)


def _warmup(draft: Draft, warm: Any, passes: int) -> None:
    try:
        steps = number(warm)
    except Misfit as misfit:
        draft.refuse("learning_rate_warmup_steps", warm, str(misfit))
        return
    why = "" if passes == 1 or steps <= 1 else f"{passes} passes make a step"
    ours: Any = f"{steps * 100:g}%" if 0 < steps <= 1 else round(steps / passes)
    draft.take("learning_rate_warmup_steps", warm, "optimizer.warmup", ours, why)


def _rate(draft: Draft, given: Given, passes: int) -> None:
    """The learning rate, scaled by batch and accumulation where that is asked for."""
    rate = given.value(draft, "learning_rate")
    scaler = str(given.pop("learning_rate_scaler") or "NONE").rpartition(".")[2]
    if rate is None:
        if scaler != "NONE":
            draft.drop("learning_rate_scaler", scaler, "there is no learning rate to scale")
        return
    batch = int(draft.data.get("training", {}).get("batch_size", 1))
    by = {
        "BATCH": batch,
        "ACCUMULATION": passes,
        "GLOBAL": batch * passes,
        "BOTH": batch * passes,
    }.get(scaler, 1)
    try:
        scaled = number(rate) * by**0.5
    except Misfit as misfit:
        draft.refuse("learning_rate", rate, str(misfit))
        return
    why = f"times the root of {by}, as learning_rate_scaler says" if by != 1 else ""
    draft.take("learning_rate", rate, "optimizer.learning_rate", scaled, why)
    if scaler != "NONE":
        draft.add("learning_rate_scaler", scaler, "taken", why="in the learning rate")


def _output(draft: Draft, given: Given, passes: int) -> None:
    wanted = given.value(draft, "output_model_destination")
    if isinstance(wanted, str):
        file = Path(wanted.replace("\\", "/"))
        if file.stem:
            draft.take("output_model_destination", wanted, "output.name", file.stem)
    folder = given.value(draft, "workspace_dir")
    if folder is not None:
        draft.take("workspace_dir", folder, "output.directory")
    kind = given.value(draft, "output_model_format")
    if kind is not None:
        draft.drop(
            "output_model_format",
            kind,
            "files have sd-scripts' names; python main.py convert writes the others",
        )
    for key, unit, epochs, steps in (
        ("save_every", "save_every_unit", "output.every_epochs", "output.every_steps"),
        ("sample_after", "sample_after_unit", "samples.every_epochs", "samples.every_steps"),
    ):
        _every(draft, given, key, unit, epochs, steps, passes)
    after, unit = given.value(draft, "validate_after"), given.pop("validate_after_unit")
    if not given.switch(draft, "validation"):
        if after is not None:
            draft.unset("validate_after", after)
    else:
        kind = str(unit or "EPOCH").rpartition(".")[2]
        path = (
            "training.validate_every_epochs" if kind == "EPOCH" else "training.validate_every_steps"
        )
        draft.take("validation", True, path, 1 if after is None else after)
    if given.switch(draft, "rolling_backup"):
        count = given.value(draft, "rolling_backup_count")
        draft.take("rolling_backup", True, "output.keep_states", 3 if count is None else count)
    elif "rolling_backup_count" in given:
        draft.unset("rolling_backup_count", given.pop("rolling_backup_count"))
    plain = given.value(draft, "non_ema_sampling")
    if plain is not None:
        draft.take("non_ema_sampling", plain, "samples.ema", not plain, "turned round")


def _every(
    draft: Draft, given: Given, key: str, unit: str, epochs: str, steps: str, passes: int
) -> None:
    """A number with its unit; steps are passes there."""
    value, kind = given.value(draft, key), str(given.pop(unit) or "").rpartition(".")[2]
    if value is None and not kind:
        return
    if kind in ("NEVER", ""):
        draft.unset(key, value)
    elif kind == "EPOCH":
        draft.take(key, value, epochs)
    elif kind == "STEP":
        try:
            count = max(1, round(whole(value) / passes))
        except Misfit as misfit:
            draft.refuse(key, value, str(misfit))
            return
        draft.take(key, value, steps, count, f"{passes} passes make a step" if passes > 1 else "")
        if not draft.has(epochs):
            draft.default(key, epochs, None)
    else:
        draft.drop(f"{key} ({kind.lower()})", value, "give it in steps or epochs")


def _rest(draft: Draft, given: Given) -> None:
    """What is left: told by the table; what is empty or off says nothing."""
    known = table_of(PEER)
    for key, value in given.left.items():
        row = known.get(key)
        usual = row is not None and row.default is not None and _same(value, row.default)
        if usual or is_nothing(value) or value is False or value in (0, [], {}):
            draft.unset(key, value)
        elif row is None:
            draft.unknown(key, value, PEER)
        elif row.refused:
            draft.refuse(key, value, row.note or "Graft does not do this")
        elif row.counterpart:
            draft.take(key, value, row.path)
        else:
            draft.drop(key, value, row.note or "Graft has no such setting")


def _same(value: Any, usual: Any) -> bool:
    """Whether a value is as OneTrainer has it; names of kinds may stand with their class."""
    return value == usual or str(value).rpartition(".")[2] == str(usual)
