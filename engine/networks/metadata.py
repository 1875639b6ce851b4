"""What a file says about its training, in the words of sd-scripts and of ModelSpec (networks 2)."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.networks.base_names import BaseNames, base_names
from engine.networks.flow_metadata import flow_entries
from engine.schema.architectures import ARCHITECTURES
from engine.schema.dataset_folder import Folder
from engine.schema.job import Job
from engine.schema.network import Network

MINIMUM = (
    "ss_v2",
    "ss_base_model_version",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_network_args",
)
"""The ss_ keys that stay when the training is not to be described."""

NETWORK_ARGS = (
    "conv_dim", "conv_alpha", "block_dims", "block_alphas", "conv_block_dims",
    "conv_block_alphas", "down_lr_weight", "mid_lr_weight", "up_lr_weight",
    "block_lr_zero_threshold", "rank_dropout", "module_dropout", "loraplus_lr_ratio",
    "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio",
    "train_t5xxl", "train_llm_adapter", "train_blocks", "train_double_block_indices",
    "train_single_block_indices", "train_block_indices", "img_attn_dim", "txt_attn_dim",
    "img_mlp_dim", "txt_mlp_dim", "img_mod_dim", "txt_mod_dim", "single_dim", "single_mod_dim",
    "context_attn_dim", "context_mlp_dim", "context_mod_dim", "x_attn_dim", "x_mlp_dim",
    "x_mod_dim", "attn_dim", "mlp_dim", "mod_dim", "refiner_dim", "in_dims", "emb_dims",
    "embedder_dims", "network_reg_dims", "network_reg_lrs", "exclude_patterns",
    "include_patterns", "dora_wd", "wd_on_output", "use_tucker", "use_scalar", "train_norm",
    "rs_lora", "split_qkv", "ggpo_sigma", "ggpo_beta",
)  # fmt: skip

_MODULES = {"dylora": "networks.dylora", "lora_fa": "networks.lora_fa"}
"""`network.kind` → the peer's module of that kind; plain LoRA has one for each architecture."""


@dataclass(frozen=True)
class FolderFacts:
    """A folder of pictures as it was trained on; `tags` counts each tag of its captions."""

    options: Folder
    pictures: int
    tags: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BaseModel:
    """The model file: its name, and its hashes where it is one file (networks 2.2)."""

    name: str
    legacy_hash: str | None = None  # 8 digits: SHA-256 of 64 KiB at 1 MiB
    sha256: str | None = None


@dataclass(frozen=True)
class TrainingFacts:
    """What happened, beyond what the job says; counts include repeats."""

    version: str  # Graft's own
    name: str  # of the file
    session_id: int
    started_at: float
    saved_at: float
    step: int
    epoch: int
    total_steps: int
    total_epochs: int
    batches_per_epoch: int
    train_pictures: int
    prior_pictures: int
    validation_pictures: int
    resolution: tuple[int, int]
    prediction: str  # epsilon, v or flow
    precision: str  # no, fp16 or bf16
    optimizer: str  # class path with its arguments
    base: BaseModel
    vae: BaseModel | None = None
    folders: Sequence[FolderFacts] = ()
    buckets: Sequence[tuple[tuple[int, int], int]] = ()  # (width, height), pictures
    processes: int = 1
    variant: str = ""  # of the base model


def build(job: Job, facts: TrainingFacts) -> dict[str, str]:
    """Return the header of the file, all values text; the two hashes are added by `file.save`."""
    described = {
        key: value if isinstance(value, str) else str(value)
        for key, value in _described(job, facts).items()
    }
    if not job.output.metadata.write:
        described = {key: described[key] for key in MINIMUM if key in described}
    return described | _modelspec(job, facts)


def _described(job: Job, facts: TrainingFacts) -> dict[str, Any]:
    network_args = network_args_of(job.network)
    args = {"ss_network_args": json.dumps(network_args)} if network_args else {}
    return {
        **_run(job, facts),
        **_network(job, _names(job, facts)),
        **args,
        **_objective(job),
        **flow_entries(job),
        **_model(job, facts),
        **_dataset(job, facts),
    }


def _run(job: Job, facts: TrainingFacts) -> dict[str, Any]:
    training, optimizer = job.training, job.optimizer
    return {
        "ss_session_id": facts.session_id,
        "ss_training_started_at": facts.started_at,
        "ss_training_finished_at": facts.saved_at,
        "ss_output_name": facts.name,
        "ss_learning_rate": optimizer.learning_rate,
        "ss_text_encoder_lr": optimizer.text_encoder_lr,
        "ss_unet_lr": optimizer.denoiser_lr,
        "ss_num_train_images": facts.train_pictures,
        "ss_num_validation_images": facts.validation_pictures,
        "ss_num_reg_images": facts.prior_pictures,
        "ss_num_batches_per_epoch": facts.batches_per_epoch,
        "ss_num_epochs": facts.total_epochs,
        "ss_max_train_steps": facts.total_steps,
        "ss_steps": facts.step,
        "ss_epoch": facts.epoch,
        "ss_gradient_checkpointing": training.gradient_checkpointing,
        "ss_gradient_accumulation_steps": training.gradient_accumulation,
        "ss_lr_warmup_steps": optimizer.warmup,
        "ss_lr_scheduler": optimizer.schedule,
        "ss_optimizer": facts.optimizer,
        "ss_max_grad_norm": optimizer.max_grad_norm,
        "ss_mixed_precision": facts.precision,
        "ss_full_fp16": False,
        "ss_lowram": False,
        "ss_seed": training.seed,
        "ss_training_comment": job.output.metadata.comment or None,
        "ss_sd_scripts_commit_hash": f"graft {facts.version}",
    }


def _names(job: Job, facts: TrainingFacts) -> BaseNames:
    return base_names(job.model.architecture, facts.variant, facts.prediction)


def _network(job: Job, names: BaseNames) -> dict[str, Any]:
    network = job.network
    return {
        "ss_network_module": _MODULES.get(network.kind, names.module),
        "ss_network_dim": network.rank,
        "ss_network_alpha": float(network.alpha or network.rank),
        "ss_network_dropout": network.dropout or None,
        "ss_scale_weight_norms": network.max_norm,
    }


def network_args_of(network: Network) -> dict[str, str]:
    """Return the options that sd-scripts takes as --network_args, those that are set, as text."""
    given: dict[str, str] = {}
    for key in NETWORK_ARGS:
        value = getattr(network, key)
        if value is None or value == Network.model_fields[key].default:
            continue
        given[key] = _as_typed(value)
    if network.kind == "dylora":
        given["unit"] = str(network.unit)  # sd-scripts has another default
    return given


def _as_typed(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return ",".join(each if isinstance(each, str) else f"{each:g}" for each in value)


def _objective(job: Job) -> dict[str, Any]:
    objective, dataset = job.objective, job.dataset
    weights = [f.loss_weight for f in dataset.folders if f.role == "regularization"]
    huber = objective.loss in ("huber", "smooth_l1")
    return {
        "ss_noise_offset": objective.noise_offset,
        "ss_noise_offset_random_strength": objective.noise_offset_random,
        "ss_adaptive_noise_scale": objective.adaptive_noise_scale,
        "ss_multires_noise_iterations": objective.multires_iterations,
        "ss_multires_noise_discount": objective.multires_discount,
        "ss_ip_noise_gamma": objective.input_perturbation,
        "ss_ip_noise_gamma_random_strength": objective.input_perturbation_random,
        "ss_zero_terminal_snr": objective.zero_terminal_snr,
        "ss_min_snr_gamma": objective.min_snr_gamma,
        "ss_debiased_estimation": objective.debiased,
        "ss_prior_loss_weight": weights[0] if weights else 1.0,
        "ss_loss_type": objective.loss,
        "ss_huber_schedule": objective.huber_schedule if huber else None,
        "ss_huber_scale": objective.huber_scale if huber else None,
        "ss_huber_c": objective.huber_c if huber else None,
    }


def _model(job: Job, facts: TrainingFacts) -> dict[str, Any]:
    entries: dict[str, Any] = {
        "ss_v2": job.model.architecture == "sd2",
        "ss_base_model_version": _names(job, facts).version,
        "ss_clip_skip": job.model.clip_skip,
        "ss_max_token_length": job.model.max_tokens,
        "ss_sd_model_name": facts.base.name,
    }
    for prefix, model in (("sd_model", facts.base), ("vae", facts.vae)):
        if model is None:
            continue
        entries[f"ss_{prefix}_name"] = model.name
        if model.legacy_hash is not None:
            entries[f"ss_{prefix}_hash"] = model.legacy_hash
        if model.sha256 is not None:
            entries[f"ss_new_{prefix}_hash"] = model.sha256
    return entries


def _dataset(job: Job, facts: TrainingFacts) -> dict[str, Any]:
    dataset, training = job.dataset, job.training
    folders = [f for f in facts.folders if f.options.role != "validation"]
    # Only the folder's own name: a whole path would tell who trained it.
    names = _unique([Path(f.options.path).name for f in folders])
    tags = {name: dict(f.tags) for name, f in zip(names, folders, strict=True)}
    first = folders[0].options if folders else Folder()
    buckets = {
        "buckets": {
            str(i): {"resolution": list(size), "count": count}
            for i, (size, count) in enumerate(facts.buckets)
        }
    }
    description = {
        "is_dreambooth": True,
        "batch_size_per_device": training.batch_size,
        "num_train_images": facts.train_pictures,
        "num_reg_images": facts.prior_pictures,
        "resolution": list(facts.resolution),
        "enable_bucket": dataset.buckets,
        "min_bucket_reso": dataset.bucket_min,
        "max_bucket_reso": dataset.bucket_max,
        "tag_frequency": tags,
        "bucket_info": buckets,
        "resize_interpolation": dataset.resize_filter,
        "subsets": [_subset(n, f) for n, f in zip(names, folders, strict=True)],
    }
    counts = {
        name: {"n_repeats": f.options.repeats, "img_count": f.pictures}
        for name, f in zip(names, folders, strict=True)
    }
    return {
        "ss_cache_latents": dataset.cache_latents != "off",
        "ss_batch_size_per_device": training.batch_size,
        "ss_total_batch_size": training.batch_size
        * training.gradient_accumulation
        * facts.processes,
        "ss_resolution": str(facts.resolution),
        "ss_enable_bucket": dataset.buckets,
        "ss_caption_dropout_rate": first.caption_dropout,
        "ss_caption_dropout_every_n_epochs": first.caption_dropout_every_epochs,
        "ss_caption_tag_dropout_rate": first.tag_dropout,
        "ss_validation_seed": dataset.validation_seed,
        "ss_validation_split": dataset.validation_share,
        "ss_validate_every_n_epochs": training.validate_every_epochs,
        "ss_validate_every_n_steps": training.validate_every_steps,
        "ss_max_validation_steps": training.validation_pictures,
        "ss_resize_interpolation": dataset.resize_filter,
        "ss_datasets": json.dumps([description]),
        "ss_tag_frequency": json.dumps(tags),
        "ss_dataset_dirs": json.dumps(counts),
        "ss_bucket_info": json.dumps(buckets),
    }


def _subset(name: str, folder: FolderFacts) -> dict[str, Any]:
    options = folder.options
    return {
        "img_count": folder.pictures,
        "num_repeats": options.repeats,
        "color_aug": options.color_jitter > 0,
        "flip_aug": options.flip > 0,
        "random_crop": options.random_crop,
        "shuffle_caption": options.shuffle_tags,
        "keep_tokens": options.keep_tags,
        "keep_tokens_separator": options.keep_separator,
        "secondary_separator": options.group_separator or None,
        "enable_wildcard": options.wildcards,
        "caption_prefix": options.caption_prefix or None,
        "caption_suffix": options.caption_suffix or None,
        "image_dir": name,
        "class_tokens": options.fallback_caption or None,
        "is_reg": options.role == "regularization",
    }


def _unique(names: list[str]) -> list[str]:
    """Number names that come again: "cat", "cat (2)"."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _modelspec(job: Job, facts: TrainingFacts) -> dict[str, str]:
    """Return the ModelSpec 1.0.1 entries (spec: networks 2.3)."""
    about, objective = job.output.metadata, job.objective
    base = _names(job, facts)
    saved = datetime.fromtimestamp(int(facts.saved_at))
    entries: dict[str, str] = {
        "sai_model_spec": "1.0.1",
        "architecture": f"{base.kind}/lora",
        "implementation": base.implementation,
        "implementation_version": f"graft/{facts.version}",
        "title": about.title or facts.name or f"LoRA@{int(facts.saved_at)}",
        "date": saved.isoformat(),
        "resolution": f"{facts.resolution[0]}x{facts.resolution[1]}",
        "author": about.author,
        "description": about.description,
        "license": about.license,
        "tags": about.tags,
        "usage_hint": about.usage_hint,
        "trigger_phrase": about.trigger_phrase or job.dataset.trigger_word,
        "merged_from": ", ".join(Path(m.file).stem for m in job.model.merge if m.file),
    }
    if not ARCHITECTURES[job.model.architecture].flow:
        entries["prediction_type"] = facts.prediction
    if objective.timestep_min is not None or objective.timestep_max is not None:
        low = objective.timestep_min or 0
        high = 1000 if objective.timestep_max is None else objective.timestep_max
        entries["timestep_range"] = f"{low},{high}"
    if job.model.clip_skip is not None:
        entries["encoder_layer"] = str(job.model.clip_skip)
    if about.thumbnail:
        entries["thumbnail"] = data_url(Path(about.thumbnail))
    return {f"modelspec.{key}": value for key, value in entries.items() if value}


def data_url(picture: Path) -> str:
    """Return a picture file as a data URL, as ModelSpec wants its thumbnail.

    Raises:
        OSError: if it cannot be read.
    """
    kind = mimetypes.guess_type(picture.name)[0] or "image/png"
    return f"data:{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"
