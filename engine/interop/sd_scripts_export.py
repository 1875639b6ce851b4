"""A job as a command line of sd-scripts with its dataset config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.interop.exported import Exported, Sheet, for_bash, for_cmd
from engine.interop.sd_scripts_export_data import dataset_config
from engine.interop.sd_scripts_export_model import put_model
from engine.interop.sd_scripts_export_network import put_network
from engine.interop.sd_scripts_export_objective import put_objective
from engine.interop.sd_scripts_model import SCRIPTS
from engine.schema.architectures import UNET
from engine.schema.check import check
from engine.schema.options import options
from engine.schema.prompt_lines import write_prompt

_PRECISIONS = {"fp32": "no", "auto": "bf16"}
_PLAIN = (
    ("training.batch_size", "train_batch_size"),
    ("training.gradient_accumulation", "gradient_accumulation_steps"),
    ("training.gradient_checkpointing", "gradient_checkpointing"),
    ("training.blocks_to_swap", "blocks_to_swap"), ("training.compile", "torch_compile"),
    ("training.seed", "seed"), ("training.workers", "max_data_loader_n_workers"),
    ("training.validate_every_steps", "validate_every_n_steps"),
    ("training.validate_every_epochs", "validate_every_n_epochs"),
    ("optimizer.name", "optimizer_type"), ("optimizer.learning_rate", "learning_rate"),
    ("optimizer.denoiser_lr", "unet_lr"), ("optimizer.text_encoder_lr", "text_encoder_lr"),
    ("output.directory", "output_dir"), ("output.name", "output_name"),
    ("output.every_epochs", "save_every_n_epochs"), ("output.every_steps", "save_every_n_steps"),
    ("output.save_state", "save_state"), ("output.state_at_end", "save_state_on_train_end"),
    ("output.metadata.title", "metadata_title"), ("output.metadata.author", "metadata_author"),
    ("output.metadata.description", "metadata_description"),
    ("output.metadata.license", "metadata_license"), ("output.metadata.tags", "metadata_tags"),
    ("output.metadata.usage_hint", "metadata_usage_hint"),
    ("output.metadata.trigger_phrase", "metadata_trigger_phrase"),
    ("output.metadata.thumbnail", "metadata_thumbnail"),
    ("output.metadata.comment", "training_comment"),
)  # fmt: skip
_LAUNCHER = (
    ("launch.processes", "num_processes"), ("launch.machines", "num_machines"),
    ("launch.machine_rank", "machine_rank"), ("launch.main_address", "main_process_ip"),
    ("launch.port", "main_process_port"), ("launch.devices", "gpu_ids"),
)  # fmt: skip


def export_job(data: Mapping[str, Any]) -> Exported:
    """Write a job for sd-scripts.

    The files are train.sh, train.bat, dataset.toml and, with previews, prompts.txt.

    The job need not be complete; what is wrong in it counts as its default. The scripts are to be
    started in sd-scripts' folder, with the files beside them.
    """
    sheet = Sheet(check(data).job)
    put_model(sheet)
    put_network(sheet)
    for path, name in _PLAIN:
        sheet.take(path, name)
    _run(sheet)
    _schedule(sheet)
    put_objective(sheet)
    files = {"dataset.toml": dataset_config(sheet)}
    sheet.put("dataset_config", "dataset.toml")
    prompts = _previews(sheet)
    if prompts:
        files["prompts.txt"] = prompts
        sheet.put("sample_prompts", "prompts.txt")
    script = "train_network" if sheet.architecture == "sd2" else _script(sheet.architecture)
    for path, name in _LAUNCHER:
        value = sheet.get(path)
        several = not name.startswith("machine") or sheet.job.launch.machines > 1
        if value is not None and several and not (name == "num_machines" and value == 1):
            sheet.launcher += [f"--{name}", str(value)]
    command = ["accelerate", "launch", *sheet.launcher, f"{script}.py", *sheet.words]
    files["train.sh"] = for_bash(command)
    files["train.bat"] = for_cmd(command)
    for path in (
        "model.architecture",
        "launch.device",
        "launch.offline",
        "dataset.cache_directory",
    ):
        sheet.used.add(path)
    return Exported(files, sheet.finish())


def _script(architecture: str) -> str:
    return next(script for script, ours in SCRIPTS.items() if ours == architecture)


def _run(sheet: Sheet) -> None:
    """Length, precision and what is saved."""
    epochs, steps = sheet.get("training.epochs"), sheet.get("training.steps")
    if epochs or not steps:
        sheet.put("max_train_epochs", epochs or 10)
    else:
        sheet.put("max_train_steps", steps)
    precision = sheet.get("training.precision")
    sheet.put("mixed_precision", _PRECISIONS.get(precision, precision))
    saved = sheet.get("output.precision")
    sheet.put("save_precision", "float" if saved == "fp32" else saved)
    sheet.put("full_bf16", sheet.get("training.adapter_precision") == "bf16")
    sheet.put("cpu_offload_checkpointing", sheet.get("training.offload_activations"))
    sheet.put("no_metadata", not sheet.get("output.metadata.write"))
    sheet.put("save_model_as", "safetensors")
    limit = sheet.get("optimizer.max_grad_norm")
    sheet.words += ["--max_grad_norm", f"{limit:g}"]
    kept = sheet.get("output.keep_last")
    if kept and sheet.job.output.every_epochs:
        sheet.put("save_last_n_epochs", kept)
    elif kept and sheet.job.output.every_steps:
        sheet.put("save_last_n_steps", (kept - 1) * sheet.job.output.every_steps)
    states = sheet.get("output.keep_states")
    if sheet.job.output.save_state and sheet.job.output.every_epochs:
        sheet.put("save_last_n_epochs_state", states)
    trackers = sheet.get("output.trackers")
    if trackers:
        sheet.put("log_with", "all" if len(trackers) > 1 else trackers[0])
        sheet.put("logging_dir", "logs")
    level = sheet.get("launch.log_level")
    sheet.put("console_log_level", level.upper() if level != "info" else None)
    pictures = sheet.get("training.validation_pictures")
    if pictures:
        sheet.put("max_validation_steps", max(1, pictures // sheet.job.training.batch_size))
    if sheet.get("training.ema"):
        sheet.lack("training.ema", "sd-scripts averages nothing")
    if sheet.get("training.stop_text_encoder_after") is not None:
        sheet.lack("training.stop_text_encoder_after", "text encoders are trained to the end there")
    if sheet.job.launch.processes * sheet.job.launch.machines > 1:
        sheet.put("ddp_timeout", sheet.get("launch.timeout_minutes"))
    sheet.used |= {
        "training.loss_average",
        "training.validation_timesteps",
        "launch.timeout_minutes",
    }


def _schedule(sheet: Sheet) -> None:
    """The schedule with its own numbers, and the optimizer's arguments."""
    name, warmup = sheet.get("optimizer.schedule"), sheet.get("optimizer.warmup")
    arguments = []
    if name == "rex":
        sheet.lack("optimizer.schedule", "sd-scripts has no REX; it is cosine there")
        name = "cosine"
    if name == "constant" and warmup:
        name = "constant_with_warmup"
    sheet.put("lr_scheduler", name)
    share = isinstance(warmup, str) and warmup.endswith("%")
    sheet.put("lr_warmup_steps", float(warmup[:-1]) / 100 if share else warmup or None)
    if name == "warmup_stable_decay":
        sheet.put("lr_decay_steps", sheet.get("optimizer.decay"))
    if name == "cosine_with_restarts":
        sheet.put("lr_scheduler_num_cycles", sheet.get("optimizer.cycles"))
    if name == "polynomial":
        sheet.put("lr_scheduler_power", sheet.get("optimizer.power"))
    if name in ("cosine_with_min_lr", "warmup_stable_decay"):
        sheet.put("lr_scheduler_min_lr_ratio", sheet.get("optimizer.min_lr_ratio"))
    if name == "inverse_sqrt":
        sheet.put("lr_scheduler_timescale", sheet.get("optimizer.timescale"))
    if name == "piecewise_constant":
        arguments.append(f"step_rules={sheet.get('optimizer.step_rules')}")
    if arguments:
        sheet.put("lr_scheduler_args", arguments)
    sheet.used |= {
        f"optimizer.{key}"
        for key in (
            "decay",
            "cycles",
            "power",
            "min_lr_ratio",
            "timescale",
            "step_rules",
            "rex_d",
            "warmup_from_zero",
        )
    }
    pairs = []
    for key, value in sheet.data["optimizer"]["args"].items():
        sheet.used.add(f"optimizer.args.{key}")
        if value is not None:
            pairs.append(
                f"{key}={','.join(f'{v:g}' for v in value)}"
                if isinstance(value, list)
                else f"{key}={value}"
            )
    pairs += [f"{key}={value}" for key, value in sheet.get("optimizer.extra_args").items()]
    if pairs:
        sheet.put("optimizer_args", pairs)


def _previews(sheet: Sheet) -> str:
    """The prompts as lines with flags; the table's own values stand in each."""
    samples = sheet.job.samples
    shown = [prompt for prompt in samples.prompts if prompt.enabled] if samples.enabled else []
    sheet.used |= {path for path in options() if path.startswith("samples.")}
    if not shown:
        return ""
    sheet.put("sample_at_first", samples.at_start)
    sheet.put("sample_every_n_epochs", samples.every_epochs)
    sheet.put("sample_every_n_steps", samples.every_steps)
    if sheet.architecture in UNET:
        sampler = {"dpm++_2m": "dpmsolver++", "unipc": "dpmsolver++"}.get(
            samples.sampler, samples.sampler
        )
        sheet.put("sample_sampler", sampler)
        if samples.sampler == "unipc":
            sheet.lack("samples.sampler", "sd-scripts has no UniPC; it is dpmsolver++ there")
    lines = []
    for i, prompt in enumerate(shown):
        seed = samples.seed + (i if samples.walk_seed and samples.seed >= 0 else 0)
        whole = {
            "prompt": " ".join(prompt.prompt.split()),
            "negative": samples.negative or None if prompt.negative is None else prompt.negative,
            "width": prompt.width or samples.width,
            "height": prompt.height or samples.height,
            "seed": seed if prompt.seed is None else prompt.seed,
            "steps": prompt.steps or samples.steps,
            "cfg": samples.cfg if prompt.cfg is None else prompt.cfg,
        }
        if whole["seed"] == -1:
            del whole["seed"]
        if sheet.architecture == "flux":
            whole["guidance"] = samples.guidance if prompt.guidance is None else prompt.guidance
        lines.append(write_prompt(whole))
        if prompt.weight != 1:
            sheet.lack(f"samples.prompts[{i}].weight", "previews are drawn at weight 1 there")
    return "\n".join(lines) + "\n"
