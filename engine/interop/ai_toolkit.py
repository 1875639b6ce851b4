"""A YAML (or JSON) configuration of ai-toolkit into a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.interop.ai_toolkit_datasets import read_datasets
from engine.interop.ai_toolkit_objective import read_objective
from engine.interop.ai_toolkit_samples import read_samples
from engine.interop.draft import FOLDER, Draft
from engine.interop.given import Given
from engine.interop.layer_names import pattern_of
from engine.interop.optimizers import put_arguments, put_optimizer, put_rates, put_schedule
from engine.interop.option_map import table_of
from engine.interop.reading import ImportProblem
from engine.interop.report import Imported
from engine.interop.values import Misfit, flag, is_nothing, items, number
from engine.schema.architectures import ARCHITECTURES

PEER = "ai-toolkit"
_TRAINERS = ("sd_trainer", "diffusion_trainer", "ui_trainer")
_GROUPS = ("network", "save", "logging", "train", "model", "sample")
_ARCHITECTURES = {
    "sd": "sd1", "sd1": "sd1", "sd15": "sd1", "sd2": "sd2", "sdxl": "sdxl", "flux": "flux",
    "sd3": "sd3", "sd35": "sd3", "sd3.5": "sd3", "lumina": "lumina2", "lumina2": "lumina2",
}  # fmt: skip
_SWITCHES = {"is_v2": "sd2", "is_xl": "sdxl", "is_v3": "sd3", "is_flux": "flux",
             "is_lumina2": "lumina2"}  # fmt: skip
_DTYPES = {
    "float": "fp32", "float32": "fp32", "fp32": "fp32", "float16": "fp16", "fp16": "fp16",
    "half": "fp16", "bf16": "bf16", "bfloat16": "bf16",
}  # fmt: skip
_QUANTIZED = {"qfloat8": "fp8_scaled", "float8": "fp8_scaled", "qint8": "int8", "int8": "int8",
              "uint4": "nf4", "qint4": "nf4", "uint8": "int8"}  # fmt: skip
_PLAIN = (
    ("network.dropout", "network.dropout"), ("network.pretrained_lora_path", "network.start_from"),
    ("save.save_every", "output.every_steps"), ("save.max_step_saves_to_keep", "output.keep_last"),
    ("train.batch_size", "training.batch_size"), ("train.steps", "training.steps"),
    ("train.lr", "optimizer.learning_rate"), ("train.unet_lr", "optimizer.denoiser_lr"),
    ("train.gradient_checkpointing", "training.gradient_checkpointing"),
    ("train.max_grad_norm", "optimizer.max_grad_norm"), ("model.name_or_path", "model.path"),
    ("model.vae_path", "model.vae"), ("model.te_name_or_path", "model.text_encoder"),
    ("model.attn_masking", "model.t5_attention_mask"), ("model.compile", "training.compile"),
    ("sample.sample_every", "samples.every_steps"), ("sample.width", "samples.width"),
    ("sample.height", "samples.height"), ("sample.neg", "samples.negative"),
    ("sample.seed", "samples.seed"), ("sample.walk_seed", "samples.walk_seed"),
    ("sample.sample_steps", "samples.steps"), ("process.training_folder", "output.directory"),
    ("process.trigger_word", "dataset.trigger_word"),
)  # fmt: skip
_DEFAULTS = (
    ("network.linear", "network.rank", 4), ("network.linear_alpha", "network.alpha", 1.0),
    ("train.lr", "optimizer.learning_rate", 1e-6), ("train.steps", "training.steps", 1000),
    ("train.dtype", "training.precision", "fp32"), ("save.dtype", "output.precision", "fp16"),
    ("save.save_every", "output.every_steps", 1000),
    ("save.save_every", "output.every_epochs", None),
    ("train.train_text_encoder", "network.train", "denoiser"),
    ("train.gradient_checkpointing", "training.gradient_checkpointing", True),
    ("sample.sample_every", "samples.every_steps", 100),
    ("sample.sample_every", "samples.every_epochs", None),
    ("train.timestep_type", "objective.timestep_sampling", "sigmoid"),
    ("train.cache_text_embeddings", "dataset.cache_text", "off"),
)  # fmt: skip


def is_config(tree: Mapping[str, Any]) -> bool:
    """Whether a YAML or JSON tree is a configuration of ai-toolkit."""
    config = tree.get("config")
    return "job" in tree and isinstance(config, Mapping) and "process" in config


def import_config(tree: Mapping[str, Any], folder: Path | None = None) -> Imported:
    """Import a configuration; of several processes the first.

    Raises:
        ImportProblem: it trains nothing, or a model that Graft does not train.
    """
    draft = Draft(PEER, folder)
    config = tree.get("config")
    if not isinstance(config, Mapping):
        raise ImportProblem("This configuration of ai-toolkit has no config.")
    process = _process(draft, tree, config)
    given = Given(_groups(draft, process))
    _architecture(draft, given)
    name = config.get("name")
    if not is_nothing(name):
        draft.take("config.name", name, "output.name")
    for key, path in _PLAIN:
        value = given.value(draft, key)
        if value is False and path.startswith(("model.", "samples.")):
            draft.unset(key, value)
        elif value is not None:
            draft.take(key, value, path)
    _network(draft, given)
    _model(draft, given)
    _train(draft, given)
    read_objective(draft, given)
    read_datasets(draft, process.get("datasets"))
    read_samples(draft, given)
    _logs(draft, given)
    for key, path, value in _DEFAULTS:
        if not draft.has(path):
            draft.default(key, path, value)
    for key in ("meta",):
        if key in tree:
            draft.drop(key, tree[key], "texts about the file stand under Output")
    _rest(draft, given)
    return draft.finished()


def _process(draft: Draft, tree: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, Any]:
    job = str(tree.get("job", ""))
    if job not in ("extension", "train"):
        raise ImportProblem(f"The job '{job[:40]}' of ai-toolkit trains nothing.")
    draft.add("job", job, "taken", why="it trains")
    processes = config.get("process")
    if isinstance(processes, Mapping):
        processes = [processes]
    if not isinstance(processes, list) or not processes or not isinstance(processes[0], Mapping):
        raise ImportProblem("This configuration of ai-toolkit has no process that trains.")
    for i, other in enumerate(processes[1:], 1):
        draft.refuse(f"config.process[{i}]", other, "import one process at a time")
    kind = processes[0].get("type")
    if kind in _TRAINERS:
        draft.add("process.type", kind, "taken", why="a trainer of adapters")
    else:
        draft.refuse("process.type", kind, "it is none of ai-toolkit's trainers of LoRA")
    return processes[0]


def _groups(draft: Draft, process: Mapping[str, Any]) -> dict[str, Any]:
    """The groups' settings as dotted names."""
    flat: dict[str, Any] = {}
    for key, value in process.items():
        if key in _GROUPS and isinstance(value, Mapping):
            flat |= {f"{key}.{name}": held for name, held in value.items()}
        elif key in _GROUPS:
            draft.refuse(str(key), value, "it is no group of settings")
        elif key not in ("datasets", "type"):
            flat[f"process.{key}"] = value
    return flat


def _architecture(draft: Draft, given: Given) -> None:
    named = given.pop("model.arch")
    if named is not None:
        name = str(named).lower().partition(":")[0]
        if name not in _ARCHITECTURES:
            raise ImportProblem(
                f"Graft does not train the model '{str(named)[:40]}' of ai-toolkit."
            )
        draft.data["model"] = {"architecture": _ARCHITECTURES[name]}
        draft.add("model.arch", named, "changed", "model.architecture", _ARCHITECTURES[name])
    for key, ours in _SWITCHES.items():
        if given.switch(draft, f"model.{key}"):
            if "model" in draft.data:
                draft.drop(f"model.{key}", True, "the model is named already")
            else:
                draft.data["model"] = {"architecture": ours}
                draft.add(f"model.{key}", True, "changed", "model.architecture", ours)
    if "model" not in draft.data:
        draft.data["model"] = {"architecture": "sd1"}
        draft.add("model.arch", None, "default", "model.architecture", "sd1")


def _network(draft: Draft, given: Given) -> None:
    kind = given.value(draft, "network.type")
    if kind is not None and str(kind).lower() in ("lora", "locon"):
        draft.take("network.type", kind, "network.kind", "lora")
    elif kind is not None and str(kind).lower() == "dora":
        draft.take("network.type", kind, "network.dora_wd", True)
    elif kind is not None:
        draft.refuse("network.type", kind, "Graft trains LoRA and DoRA; it is LoRA here")
    for keys, path in (
        (("linear", "rank"), "network.rank"),
        (("linear_alpha", "alpha"), "network.alpha"),
        (("conv",), "network.conv_dim"),
    ):
        for key in keys:
            value = given.value(draft, f"network.{key}")
            if value is None:
                continue
            if draft.has(path):
                draft.drop(f"network.{key}", value, f"network.{keys[0]} is given, and decides")
            else:
                draft.take(f"network.{key}", value, path)
    alpha = given.value(draft, "network.conv_alpha")
    rank = draft.data.get("network", {}).get("conv_dim")
    if alpha is not None:
        draft.take("network.conv_alpha", alpha, "network.conv_alpha")
    elif rank is not None:
        draft.default("network.conv_alpha", "network.conv_alpha", float(rank))
    _layers(draft, given)


def _layers(draft: Draft, given: Given) -> None:
    """Filters of layers by parts of their names."""
    more = given.value(draft, "network.network_kwargs")
    if more is None:
        return
    if not isinstance(more, Mapping):
        draft.refuse("network.network_kwargs", more, "it is no table")
        return
    words = "names there are diffusers'; check the layers on the Plan page"
    for key, value in more.items():
        place = f"network.network_kwargs.{key}"
        if key == "only_if_contains":
            patterns = _patterns(draft, value)
            if draft.take(place, value, "network.include_patterns", patterns, words):
                draft.default(place, "network.exclude_patterns", [".*"])
        elif key == "ignore_if_contains" and "only_if_contains" not in more:
            patterns = _patterns(draft, value)
            draft.take(place, value, "network.exclude_patterns", patterns, words)
        else:
            draft.drop(place, value, "Graft has no such setting")


def _patterns(draft: Draft, words: Any) -> list[str]:
    found = [pattern_of(str(word), draft.architecture) for word in items(words)]
    return list(dict.fromkeys(found))


def _model(draft: Draft, given: Given) -> None:
    if given.switch(draft, "model.is_v_pred"):
        draft.take("model.is_v_pred", True, "model.prediction", "v")
    lora = given.value(draft, "model.lora_path")
    if lora is not None:
        draft.take("model.lora_path", lora, "model.merge", [{"file": str(lora), "weight": 1.0}])
    for switch, kind, path in (
        ("quantize", "qtype", "model.weights"),
        ("quantize_te", "qtype_te", "model.text_encoder_weights"),
    ):
        named = given.value(draft, f"model.{kind}")
        if not given.switch(draft, f"model.{switch}"):
            if named is not None:
                draft.unset(f"model.{kind}", named)
            continue
        ours = _QUANTIZED.get(str(named or "qfloat8").partition("|")[0], "")
        ours = "int8" if ours == "nf4" and switch == "quantize_te" else ours
        if not ours:
            draft.refuse(f"model.{kind}", named, "Graft keeps weights as int8, fp8 or nf4")
            ours = "int8"
        elif named is not None:
            draft.add(f"model.{kind}", named, "changed", path, ours)
        draft.take(f"model.{switch}", True, path, ours)
    if given.switch(draft, "model.low_vram"):
        draft.drop("model.low_vram", True, "see the memory in the plan; Blocks to swap saves most")
    share = given.value(draft, "model.layer_offloading_transformer_percent")
    if given.switch(draft, "model.layer_offloading"):
        blocks = sum(ARCHITECTURES[draft.architecture].block_counts.values())
        try:
            count = round(blocks * (1.0 if share is None else number(share)))
        except Misfit:
            count = blocks
        draft.take(
            "model.layer_offloading",
            True,
            "training.blocks_to_swap",
            max(1, min(count, blocks - 2)),
            "a number of blocks",
        )
    elif share is not None:
        draft.unset("model.layer_offloading_transformer_percent", share)


def _train(draft: Draft, given: Given) -> None:
    for key, path in (("train.dtype", "training.precision"), ("save.dtype", "output.precision")):
        value = given.value(draft, key)
        if value is not None:
            draft.take(key, value, path, _DTYPES.get(str(value).lower(), value))
    for key in ("train.gradient_accumulation", "train.gradient_accumulation_steps"):
        value = given.value(draft, key)
        if value is not None:
            draft.take(key, value, "training.gradient_accumulation")
    name = given.value(draft, "train.optimizer")
    if name is not None:
        put_optimizer(draft, "train.optimizer", name)
    arguments = given.value(draft, "train.optimizer_params")
    if isinstance(arguments, Mapping):
        put_arguments(draft, "train.optimizer_params.", {str(k): v for k, v in arguments.items()})
    elif arguments is not None:
        draft.refuse("train.optimizer_params", arguments, "it is no table")
    rates = given.value(draft, "train.text_encoder_lr")
    if rates is not None:
        put_rates(draft, "train.text_encoder_lr", rates)
    schedule = given.value(draft, "train.lr_scheduler")
    if schedule is not None:
        put_schedule(draft, "train.lr_scheduler", schedule)
    more = given.value(draft, "train.lr_scheduler_params")
    for key, value in more.items() if isinstance(more, Mapping) else ():
        path = {"num_warmup_steps": "optimizer.warmup", "num_cycles": "optimizer.cycles"}.get(key)
        place = f"train.lr_scheduler_params.{key}"
        if path:
            draft.take(place, value, path)
        else:
            draft.drop(place, value, "the schedule has no such setting here")
    denoiser, encoder = given.pop("train.train_unet"), given.pop("train.train_text_encoder")
    if denoiser is not None or encoder is not None:
        on = [_on(denoiser, True), _on(encoder, False)]
        what = "both" if all(on) else "text_encoder" if on[1] else "denoiser"
        draft.take("train.train_unet, train.train_text_encoder", on, "network.train", what)
    average = given.value(draft, "train.ema_config")
    if isinstance(average, Mapping):
        decay = average.get("ema_decay", 0.999)
        if _on(average.get("use_ema"), False):
            draft.take("train.ema_config", dict(average), "training.ema", decay)
        else:
            draft.unset("train.ema_config", dict(average))
    elif average is not None:
        draft.refuse("train.ema_config", average, "it is no table")
    for key in ("train.unload_text_encoder", "train.cache_text_embeddings"):
        if given.switch(draft, key):
            draft.take(key, True, "dataset.cache_text", "disk")
    if given.switch(draft, "train.xformers"):
        draft.take("train.xformers", True, "model.attention", "auto", "PyTorch chooses the kernel")
    weight = given.value(draft, "train.reg_weight")
    if weight is not None:
        draft.take("train.reg_weight", weight, f"{FOLDER}loss_weight")
    dropped = given.value(draft, "train.prompt_dropout_prob")
    if dropped is not None:
        draft.take("train.prompt_dropout_prob", dropped, f"{FOLDER}caption_dropout")
    if given.switch(draft, "train.diff_output_preservation"):
        draft.take("train.diff_output_preservation", True, f"{FOLDER}preserve_prior")


def _on(value: Any, usual: bool) -> bool:
    try:
        return usual if value is None else flag(value)
    except Misfit:
        return usual


def _logs(draft: Draft, given: Given) -> None:
    if given.switch(draft, "logging.use_wandb"):
        draft.take("logging.use_wandb", True, "output.trackers", ["wandb"])
    kind = given.value(draft, "save.save_format")
    if kind is not None:
        draft.drop(
            "save.save_format",
            kind,
            "files have sd-scripts' names; python main.py convert writes the others",
        )
    device = given.value(draft, "process.device")
    if device is not None:
        draft.take("process.device", device, "launch.device")
    if given.switch(draft, "train.bypass_guidance_embedding"):
        draft.drop(
            "train.bypass_guidance_embedding",
            True,
            "Guidance while training is 1 here, which comes nearest",
        )


def _rest(draft: Draft, given: Given) -> None:
    known = table_of(PEER)
    for key, value in given.left.items():
        row = known.get(key)
        if is_nothing(value) or value is False or value in (0, [], {}):
            draft.unset(key, value)
        elif row is None:
            draft.unknown(key, value, PEER)
        elif row.refused:
            draft.refuse(key, value, row.note or "Graft does not do this")
        elif row.counterpart:
            draft.take(key, value, row.path)
        else:
            draft.drop(key, value, row.note or "Graft has no such setting")
