"""The training settings that an adapter file's metadata tells, as words and as a job.

Graft's own files hold the whole job (`graft_job`); others say what they can in sd-scripts' `ss_`
keys (spec: networks 2.2). The metadata is a stranger's text: what cannot be read becomes a note.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import canonical, check
from engine.schema.file_folders import folders_of
from engine.schema.optimizers import NAMED
from engine.schema.options import Option, get_at, option_at, options, paths_named, set_at

Trained = Literal["both", "denoiser", "text_encoder"]
OWN = "graft_job"

STATED: tuple[tuple[str, str, str], ...] = (
    ("ss_network_module", "kind", ""),
    ("ss_network_dim", "rank", "network.rank"),
    ("ss_network_alpha", "alpha", "network.alpha"),
    ("ss_network_dropout", "dropout", "network.dropout"),
    ("ss_network_args", "further network options", ""),
    ("ss_scale_weight_norms", "maximum norm", "network.max_norm"),
    ("ss_learning_rate", "learning rate", "optimizer.learning_rate"),
    ("ss_unet_lr", "picture model's rate", "optimizer.denoiser_lr"),
    ("ss_text_encoder_lr", "text encoder's rate", "optimizer.text_encoder_lr"),
    ("ss_optimizer", "optimizer", ""),
    ("ss_lr_scheduler", "schedule", "optimizer.schedule"),
    ("ss_lr_warmup_steps", "warm-up", "optimizer.warmup"),
    ("ss_max_grad_norm", "clipping of gradients", "optimizer.max_grad_norm"),
    ("ss_steps", "steps", ""),
    ("ss_max_train_steps", "planned steps", "training.steps"),
    ("ss_epoch", "epochs", ""),
    ("ss_num_train_images", "pictures with repeats", ""),
    ("ss_total_batch_size", "batch", ""),
    ("ss_batch_size_per_device", "batch on each device", "training.batch_size"),
    ("ss_gradient_accumulation_steps", "accumulated batches", "training.gradient_accumulation"),
    ("ss_gradient_checkpointing", "gradient checkpointing", "training.gradient_checkpointing"),
    ("ss_mixed_precision", "precision", ""),
    ("ss_seed", "seed", "training.seed"),
    ("ss_resolution", "resolution", ""),
    ("ss_enable_bucket", "buckets", "dataset.buckets"),
    ("ss_min_bucket_reso", "smallest bucket", "dataset.bucket_min"),
    ("ss_max_bucket_reso", "largest bucket", "dataset.bucket_max"),
    ("ss_resize_interpolation", "resize filter", "dataset.resize_filter"),
    ("ss_validation_split", "held-out share", "dataset.validation_share"),
    ("ss_validation_seed", "held-out seed", "dataset.validation_seed"),
    ("ss_clip_skip", "clip skip", "model.clip_skip"),
    ("ss_max_token_length", "tokens", "model.max_tokens"),
    ("ss_apply_t5_attn_mask", "T5 mask", "model.t5_attention_mask"),
    ("ss_apply_lg_attn_mask", "CLIP mask", "model.clip_attention_mask"),
    ("ss_loss_type", "loss", "objective.loss"),
    ("ss_huber_schedule", "Huber schedule", "objective.huber_schedule"),
    ("ss_huber_c", "Huber c", "objective.huber_c"),
    ("ss_huber_scale", "Huber scale", "objective.huber_scale"),
    ("ss_min_snr_gamma", "min-SNR gamma", "objective.min_snr_gamma"),
    ("ss_debiased_estimation", "debiased", "objective.debiased"),
    ("ss_noise_offset", "noise offset", "objective.noise_offset"),
    ("ss_noise_offset_random_strength", "random offset", "objective.noise_offset_random"),
    ("ss_adaptive_noise_scale", "adaptive noise", "objective.adaptive_noise_scale"),
    ("ss_multires_noise_iterations", "noise pyramid", "objective.multires_iterations"),
    ("ss_multires_noise_discount", "pyramid's discount", "objective.multires_discount"),
    ("ss_ip_noise_gamma", "input perturbation", "objective.input_perturbation"),
    ("ss_ip_noise_gamma_random_strength", "random perturbation",
     "objective.input_perturbation_random"),
    ("ss_zero_terminal_snr", "zero terminal SNR", "objective.zero_terminal_snr"),
    ("ss_weighting_scheme", "weighting", "objective.weighting"),
    ("ss_timestep_sampling", "timesteps", "objective.timestep_sampling"),
    ("ss_sigmoid_scale", "sigmoid scale", "objective.sigmoid_scale"),
    ("ss_discrete_flow_shift", "shift", "objective.flow_shift"),
    ("ss_logit_mean", "logit mean", "objective.logit_mean"),
    ("ss_logit_std", "logit deviation", "objective.logit_std"),
    ("ss_mode_scale", "mode scale", "objective.mode_scale"),
    ("ss_guidance_scale", "guidance", "objective.guidance"),
    ("ss_model_prediction_type", "scaling of predictions", "objective.prediction_scaling"),
    ("ss_sd_model_name", "base model", ""),
    ("ss_training_comment", "comment", ""),
)  # fmt: skip
"""Key, what a person calls it, and the field it is; no field where it is none, or not alone."""

VERSIONS = {
    "sd_v1": "sd1", "sd_v2": "sd2", "sd_v2_v": "sd2", "sdxl_base_v1-0": "sdxl", "flux1": "flux",
    "chroma": "flux", "medium": "sd3", "5-medium": "sd3", "5-large": "sd3", "lumina2": "lumina2",
    "hunyuan-image-2.1": "hunyuan_image", "anima": "anima",
}  # fmt: skip
"""`ss_base_model_version` → architecture."""

_NOTHING = ("", "None", "null")
_KINDS = {"dylora": "dylora", "lora_fa": "lora_fa"}


@dataclass(frozen=True)
class FileSettings:
    """A job's data, with the schema's keys and without paths, and what is to be said of it."""

    data: dict[str, Any]
    notes: tuple[str, ...]


def stated(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the file says of its training, in a person's words, in a fixed order."""
    return [
        (words, metadata[key])
        for key, words, _ in STATED
        if metadata.get(key, "None") not in _NOTHING
    ]


def settings_in(
    metadata: Mapping[str, str], architecture: str | None = None, trained: Trained | None = None
) -> FileSettings | None:
    """The job that a file's metadata describes; None where it tells of no training.

    Args:
        metadata: the file's.
        architecture: what its layers are of; the metadata's word counts where this is None.
        trained: which parts the file has layers of, since the metadata does not tell.
    """
    notes: list[str] = []
    data = _own_job(metadata.get(OWN), notes)
    if data is None:
        if not any(metadata.get(key, "None") not in _NOTHING for key, _, path in STATED if path):
            return None
        data = _stated_job(metadata, architecture, notes)
        if trained is not None:
            set_at(data, "network.train", trained)
    if get_at(data, "model.architecture") not in ARCHITECTURES or not _is_given(data):
        set_at(data, "model.architecture", architecture or "sd1")
    _leave_out_places(data, "", "", notes)
    _leave_out_wrong(data, notes)
    return FileSettings(data, tuple(notes))


def _own_job(text: str | None, notes: list[str]) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        notes.append("The job in the file cannot be read; its single entries were taken instead.")
        return None
    # A job consists of tables; what is none of them says nothing.
    tables = {name: table for name, table in found.items() if isinstance(table, dict)}
    data, problems = canonical(tables)
    data.pop("launch", None)  # which device and how many threads: another machine's
    notes += [problem.message for problem in problems]
    return data


def _stated_job(
    metadata: Mapping[str, str], architecture: str | None, notes: list[str]
) -> dict[str, Any]:
    version = metadata.get("ss_base_model_version", "")
    data: dict[str, Any] = {
        "model": {"architecture": architecture or VERSIONS.get(version) or "sd1"}
    }
    if version == "sd_v2_v":
        set_at(data, "model.prediction", "v")
    for key, _, path in STATED:
        text = metadata.get(key, "")
        if path and text not in _NOTHING:
            _take(data, key, path, text, notes)
    if data.get("training", {}).get("steps"):
        set_at(data, "training.epochs", None)
    if sides := re.findall(r"\d+", metadata.get("ss_resolution", ""))[:2]:
        set_at(data, "dataset.resolution", ["x".join(dict.fromkeys(sides))])
    precision = metadata.get("ss_mixed_precision", "")
    if precision not in _NOTHING:
        _take(data, "ss_mixed_precision", "training.precision",
              "fp32" if precision == "no" else precision, notes)  # fmt: skip
    _take_network(data, metadata, notes)
    _take_optimizer(data, metadata.get("ss_optimizer", ""), notes)
    _mirror_levels(data, metadata)
    folders = folders_of(metadata, notes)
    if folders:
        set_at(data, "dataset.folders", folders)
    return data


def _take(data: dict[str, Any], key: str, path: str, text: str, notes: list[str]) -> None:
    value = _typed(option_at(path), text)
    set_at(data, path, value)
    checked = check(data)
    wrong = next((p for p in checked.errors if p.path == path), None)
    if wrong is not None:
        _remove(data, path)
        notes.append(f"{key.removeprefix('ss_')} = {text} is left out: {wrong.message}")


def _typed(option: Option, text: str) -> Any:
    """The value a text means for a field; what cannot be read is left for the check."""
    if option.kind == "bool":
        return text.strip().lower() not in ("false", "0", "")
    if option.kind in ("text", "choice"):
        numbers = [choice for choice in option.choices if str(choice) == text]
        return numbers[0] if numbers else text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    if isinstance(value, tuple):
        return list(value)
    if option.kind == "float_list" and isinstance(value, int | float):
        return [float(value)]
    if option.kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    return float(value) if option.kind == "float" and isinstance(value, int) else value


def _take_network(data: dict[str, Any], metadata: Mapping[str, str], notes: list[str]) -> None:
    module = metadata.get("ss_network_module", "")
    kind = _KINDS.get(module.rpartition(".")[2], "lora")
    if module not in _NOTHING:
        set_at(data, "network.kind", kind)
    try:
        arguments = json.loads(metadata.get("ss_network_args") or "{}")
    except (ValueError, RecursionError):
        arguments = {}
    for key, value in arguments.items() if isinstance(arguments, dict) else ():
        if value is None or str(value) in _NOTHING or key == "dropout":
            continue
        path = next((p for p in paths_named(str(key)) if p.startswith("network.")), None)
        if path is None:
            notes.append(f"{key} = {value} of the network is no setting here.")
        else:
            _take(data, str(key), path, str(value), notes)


def _take_optimizer(data: dict[str, Any], text: str, notes: list[str]) -> None:
    """Read `torch.optim.adamw.AdamW(weight_decay=0.1,betas=(0.9, 0.99))`."""
    found = re.fullmatch(r"([\w.]+)(?:\((.*)\))?", text.strip(), re.DOTALL)
    if found is None or text in _NOTHING:
        return
    name = found[1].rpartition(".")[2]
    known = next((one for one in NAMED if one.lower() == name.lower()), name)
    _take(data, "ss_optimizer", "optimizer.name", known, notes)
    for argument in re.split(r",\s*(?=\w+=)", found[2] or ""):
        key, equals, value = argument.partition("=")
        if not equals:
            continue
        path = f"optimizer.args.{key.strip()}"
        if path in options():
            text = re.sub(r"^\((.*)\)$", r"[\1]", value.strip())
            _take(data, key.strip(), path, text, notes)
        else:
            notes.append(f"{argument} of the optimizer is no setting here.")


def _mirror_levels(data: dict[str, Any], metadata: Mapping[str, str]) -> None:
    """sd-scripts counts u from the noisy end for all but SD3 (spec: training-sd-flux 0.6)."""
    is_own = metadata.get("ss_sd_scripts_commit_hash", "").startswith("graft")
    mean = data.get("objective", {}).get("logit_mean")
    by_sigma = metadata.get("ss_timestep_sampling") == "sigma"
    if mean and by_sigma and not is_own and get_at(data, "model.architecture") != "sd3":
        set_at(data, "objective.logit_mean", -mean)


def _leave_out_places(data: dict[str, Any], general: str, here: str, notes: list[str]) -> None:
    """Take out files and folders, which are another machine's; hub ids stay."""
    for key, value in list(data.items()):
        option = options().get(f"{general}.{key}" if general else key)
        path = f"{here}.{key}" if here else key
        if option is None or not value:
            continue
        if option.kind == "table" and isinstance(value, dict):
            _leave_out_places(value, option.path, path, notes)
        elif option.kind == "tables" and isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    _leave_out_places(item, f"{option.path}[]", f"{path}[{index}]", notes)
        elif option.path in ("output.name", "output.directory"):
            del data[key]
        elif option.hints.path and not (option.hints.path == "model" and _is_hub_id(value)):
            notes.append(f"{option.hints.label} was {value}: choose it yourself.")
            del data[key]
            if option.path == "dataset.folders[].path":
                data[key] = ""


def _is_hub_id(value: Any) -> bool:
    text = str(value)
    looks = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", text) is not None
    return looks and not text.endswith(".safetensors")


def _leave_out_wrong(data: dict[str, Any], notes: list[str]) -> None:
    """Take out values that no longer hold, so that the rest can be used."""
    for problem in _wrong(data):
        if "[" in problem.path:
            continue
        _remove(data, problem.path)
        notes.append(f"{problem.path} is left out: {problem.message}")


def _wrong(data: dict[str, Any]) -> Iterable[Any]:
    missing = ("model.", "dataset.folders")
    return [p for p in check(data).errors if not p.path.startswith(missing) and p.path]


def _remove(data: dict[str, Any], path: str) -> None:
    *parents, last = path.split(".")
    here: Any = data
    for step in parents:
        here = here.get(step, {})
    here.pop(last, None)


def _is_given(data: Mapping[str, Any]) -> bool:
    model = data.get("model")
    return isinstance(model, Mapping) and "architecture" in model
