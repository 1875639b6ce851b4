"""Look at a base model without loading it: architecture, prediction, sizes, and why it is refused.

Accepts what the field `model.path` accepts: a diffusers folder, a hub id in the cache, a
.safetensors, .ckpt or .pt file (spec: training-sd-flux 1.2, 1.3).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from engine.plan.fp8_scales import lost_scale, without_scale
from engine.plan.header import FileProblem, read_header
from engine.plan.model_names import (
    LABELS,
    NO_ADAPTER,
    WITHOUT_ADAPTER,
    Shapes,
    Verdict,
    bare_names,
    verdict_of,
)
from engine.plan.parts import Part, absent_parts
from engine.plan.pickle_names import read_pickle_names
from engine.plan.prediction import (
    Prediction,
    prediction_of_file,
    sibling_prediction,
    usual_prediction,
)
from engine.plan.sites import RULES, ModelShape
from engine.schema.architectures import ARCHITECTURES, SD, UNET
from engine.schema.model import Model

Layout = Literal["diffusers", "single_file", "pickle", "denoiser", "unknown"]

PICKLES = (".ckpt", ".pt", ".pth", ".bin")
"""Endings of files that are read as torch's pickles."""

_TEXT_PREFIXES = {
    "sd1": "cond_stage_model.",
    "sd2": "cond_stage_model.",
    "sdxl": "conditioner.embedders.",
}
"""What a whole checkpoint's text encoders begin with."""


@dataclass(frozen=True)
class ModelFacts:
    """What was seen of a model.

    Attributes:
        architecture: its id, or None if it is none that is known.
        variant: "dev", "3.5-large" …, empty where there is only one.
        prediction: what it predicts, or None if that cannot be told.
        zero_terminal_snr: its schedule ends in pure noise.
        shape: its sizes, where they are those of a model we train.
        layout: how it is stored.
        reason: how it was told, for the person.
        refusal: why it cannot be used, empty if it can.
        path: the file or folder that was looked at (the snapshot, for a hub id).
        bytes: size of the weights on disk, 0 if unknown.
        absent: parts that the file does not hold, so that the job must name them.
    """

    architecture: str | None = None
    variant: str = ""
    prediction: Prediction | None = None
    zero_terminal_snr: bool = False
    shape: ModelShape | None = None
    layout: Layout = "unknown"
    reason: str = ""
    refusal: str = ""
    path: Path | None = None
    bytes: int = 0
    absent: tuple[Part, ...] = ()


def look_at(path: str) -> ModelFacts:
    """Look at a model; never raises: what is wrong stands in `refusal`."""
    text = path.strip()
    if not text:
        return ModelFacts(refusal="Choose a base model: a file, a diffusers folder or a hub id.")
    here = Path(text).expanduser()
    try:
        if here.is_dir():
            return _trainable(_folder(here))
        if not here.exists() and is_hub_id(text):
            cached = hub_folder(text)
            if cached is None:
                return ModelFacts(
                    refusal=f"{text} is not in the hub's cache on this machine. Download it, or "
                    "turn Stay offline off."
                )
            return _trainable(_folder(cached))
        return _trainable(_file(here))
    except FileProblem as problem:
        return ModelFacts(refusal=str(problem), path=here)


def mismatch(facts: ModelFacts, architecture: str) -> str:
    """Say that the model is of another architecture than the job; empty if it may fit."""
    if facts.architecture is None or facts.architecture == architecture:
        return ""
    found, wanted = LABELS[facts.architecture], LABELS[architecture]
    mend = (
        f"Choose {found} as architecture, or another model."
        if facts.architecture in ARCHITECTURES
        else f"{found} cannot be trained yet."
    )
    return f"This model is {found} ({facts.reason}), and the job is for {wanted}. {mend}"


def refusal_of(facts: ModelFacts, model: Model) -> str:
    """Why a model cannot be used by a job, which may bring a part that the file lacks."""
    if facts.variant == WITHOUT_ADAPTER and model.text_conditioner:
        return ""
    return facts.refusal


def is_hub_id(text: str) -> bool:
    """Say whether a text can be a hub id: `name` or `owner/name`, and no path."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", text) is not None and not text.startswith(".")


def hub_folder(repository: str) -> Path | None:
    """The newest snapshot of a hub repository in the local cache, or None."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    folder = cache / f"models--{repository.replace('/', '--')}"
    reference = folder / "refs" / "main"
    if reference.is_file():
        named = folder / "snapshots" / reference.read_text().strip()
        if named.is_dir():
            return named
    snapshots = [p for p in folder.glob("snapshots/*") if p.is_dir()]
    return max(snapshots, key=lambda p: p.stat().st_mtime, default=None)


def _trainable(facts: ModelFacts) -> ModelFacts:
    """Refuse architectures that are told apart but not trained."""
    if facts.refusal or facts.architecture is None or facts.architecture in ARCHITECTURES:
        return facts
    able = " and ".join(a.label for a in ARCHITECTURES.values())
    words = f"This model is {LABELS[facts.architecture]}; only {able} can be trained yet."
    return replace(facts, refusal=words)


# Folders


def _folder(folder: Path) -> ModelFacts:
    transformer = _config(folder / "transformer" / "config.json")
    unet = _config(folder / "unet" / "config.json")
    if unet is None and transformer is None:
        return _no_model(folder)
    facts = ModelFacts(layout="diffusers", path=folder, bytes=_weights_bytes(folder))
    if transformer is not None:
        return _transformer_folder(facts, transformer)
    assert unet is not None
    verdict = _unet_verdict(unet)
    if verdict.architecture not in RULES:
        return replace(
            facts, architecture=verdict.architecture, reason=verdict.reason, refusal=verdict.refusal
        )
    parts = ["vae", "text_encoder", "tokenizer", "scheduler"]
    if verdict.architecture == "sdxl":
        parts += ["text_encoder_2", "tokenizer_2"]
    missing = [part for part in parts if not (folder / part).is_dir()]
    if missing:
        return replace(
            facts,
            architecture=verdict.architecture,
            reason=verdict.reason,
            refusal=f"{folder.name}: the folder lacks {', '.join(missing)}. Copy the whole model.",
        )
    scheduler = _config(folder / "scheduler" / "scheduler_config.json") or {}
    return _sd_folder(facts, verdict, unet, scheduler)


def _sd_folder(
    facts: ModelFacts, verdict: Verdict, unet: dict[str, Any], scheduler: dict[str, Any]
) -> ModelFacts:
    assert facts.path is not None
    assert verdict.architecture is not None
    try:
        shape = RULES[verdict.architecture].of_configs(_configs_by_role(facts.path, "unet"))
    except (KeyError, TypeError, ValueError) as error:
        return replace(
            facts, architecture=verdict.architecture, reason=verdict.reason,
            refusal=f"{facts.path.name}: {error}.",
        )  # fmt: skip
    if str(scheduler.get("_class_name", "")).startswith("EDM"):
        return replace(
            facts, refusal=f"{facts.path.name}: This is Playground 2.5, by its scheduler."
        )
    v = scheduler.get("prediction_type") == "v_prediction"
    return replace(
        facts,
        architecture=verdict.architecture,
        prediction="v" if v else "epsilon",
        zero_terminal_snr=bool(scheduler.get("rescale_betas_zero_snr", False)),
        shape=shape,
        reason=f"{verdict.reason}; {'v' if v else 'epsilon'} by its scheduler",
    )


def _no_model(folder: Path) -> ModelFacts:
    own = _config(folder / "config.json")
    if own is not None and "_class_name" in own:
        words = f"This folder holds only a {own['_class_name']}; choose the whole model's folder."
    else:
        words = f"{folder.name}: no diffusers model is in this folder (no unet/config.json)."
        inside = sorted(p.name for p in folder.glob("*.safetensors"))[:3]
        if inside:
            words += f" Did you mean the file {inside[0]} in it?"
    return ModelFacts(layout="unknown", refusal=words, path=folder)


def _transformer_folder(facts: ModelFacts, config: dict[str, Any]) -> ModelFacts:
    name = str(config.get("_class_name", "a transformer"))
    known = {
        "FluxTransformer2DModel": "flux",
        "SD3Transformer2DModel": "sd3",
        "Lumina2Transformer2DModel": "lumina2",
        "HunyuanImageTransformer2DModel": "hunyuan_image",
        "CosmosTransformer3DModel": "anima",
    }
    architecture = known.get(name)
    if architecture is None:
        words = f"Its denoiser is {name}, which Graft does not know."
        return replace(facts, reason=name, refusal=words)
    told = replace(facts, architecture=architecture, reason=name)
    assert facts.path is not None
    if architecture == "anima" and not (facts.path / "text_conditioner").is_dir():
        words = f"{facts.path.name}: {NO_ADAPTER}"
        told = replace(told, variant=WITHOUT_ADAPTER, refusal=words)
    rules = RULES[architecture]
    try:
        shape = rules.of_configs(_configs_by_role(facts.path))
    except (KeyError, TypeError, ValueError) as error:
        return replace(told, refusal=f"{facts.path.name}: {error}.")
    return replace(told, shape=shape, variant=rules.variant(shape) or told.variant)


def _configs_by_role(folder: Path, denoiser: str = "transformer") -> dict[str, dict[str, Any]]:
    """The configs of a model folder's parts, as `SiteRules.of_configs` takes them."""
    parts = {"denoiser": denoiser} | {
        role: role
        for role in ("text_encoder", "text_encoder_2", "text_encoder_3", "text_conditioner")
    }
    configs = {role: _config(folder / part / "config.json") for role, part in parts.items()}
    return {role: config for role, config in configs.items() if config is not None}


def _unet_verdict(unet: dict[str, Any]) -> Verdict:
    """The same table, for a config: the few names that it asks for are made of the config."""
    width: Any = unet.get("cross_attention_dim") or 0
    width = width[0] if isinstance(width, list) else width
    projection = (1, 1) if unet.get("use_linear_projection") else (1, 1, 1, 1)
    inner = "down_blocks.0.attentions.0"
    names: dict[str, tuple[int, ...]] = {
        "conv_in.weight": (1, int(unet.get("in_channels", 4)), 3, 3),
        "down_blocks.0.resnets.0.conv1.weight": (1, 1, 3, 3),
        f"{inner}.proj_in.weight": projection,
        f"{inner}.transformer_blocks.0.attn2.to_k.weight": (1, int(width)),
    }
    if unet.get("addition_embed_type") == "text_time":
        inputs = int(unet.get("projection_class_embeddings_input_dim") or 0)
        names["add_embedding.linear_1.weight"] = (1, inputs)
        depths: Any = unet.get("transformer_layers_per_block")
        if isinstance(depths, list) and isinstance(depths[-1], int):
            names[f"down_blocks.2.attentions.0.transformer_blocks.{depths[-1] - 1}.x"] = (1,)
    return verdict_of(names)


def _config(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except ValueError:
        raise FileProblem(f"{path}: this is not valid JSON. Copy the model again.") from None
    return content if isinstance(content, dict) else None


def _weights_bytes(folder: Path) -> int:
    files = [p for end in ("safetensors", "bin") for p in folder.glob(f"*/*.{end}")]
    return sum(p.stat().st_size for p in files)


# Files


def _file(path: Path) -> ModelFacts:
    if path.suffix.lower() in PICKLES:
        return _pickle(path)
    header = read_header(path)
    shapes = {name: info.shape for name, info in header.entries.items()}
    facts = _of_names(path, shapes, "single_file")
    lost = lost_scale(header.entries)
    if lost is not None and not facts.refusal:
        return replace(facts, refusal=without_scale(path.name, lost))
    if facts.architecture in UNET and not facts.refusal:
        prediction, how = prediction_of_file(facts.architecture, path, header)
        facts = replace(facts, prediction=prediction, reason=f"{facts.reason}; {how}")
    return facts


def _pickle(path: Path) -> ModelFacts:
    names = read_pickle_names(path)
    facts = _of_names(path, names.shapes, "pickle")
    if names.foreign:
        return replace(
            facts,
            refusal=f"{path.name}: this checkpoint holds Python objects ({names.foreign[0]}). They "
            "could run code and are not loaded. Convert it to .safetensors.",
        )
    if facts.architecture in UNET and not facts.refusal:
        sibling = sibling_prediction(path)
        if sibling:
            prediction, how = sibling, f"{sibling} by the .yaml beside it"
        else:
            prediction, how = usual_prediction(facts.architecture, names.shapes)
        facts = replace(facts, prediction=prediction, reason=f"{facts.reason}; {how}")
    return facts


def _of_names(path: Path, shapes: Shapes, layout: Layout) -> ModelFacts:
    verdict = verdict_of(shapes)
    facts = ModelFacts(
        architecture=verdict.architecture,
        variant=verdict.variant,
        zero_terminal_snr="ztsnr" in shapes,
        layout="denoiser" if verdict.layout == "denoiser" else layout,
        reason=verdict.reason,
        refusal=f"{path.name}: {verdict.refusal}" if verdict.refusal else "",
        path=path,
        bytes=path.stat().st_size,
        absent=absent_parts(verdict.architecture, shapes),
    )
    text = _TEXT_PREFIXES.get(verdict.architecture or "")
    if text and (verdict.layout == "denoiser" or not any(n.startswith(text) for n in shapes)):
        words = "it holds only the U-Net, without text encoder. Choose a whole checkpoint."
        return replace(facts, refusal=f"{path.name}: {words}")
    readable = not verdict.refusal or verdict.variant == WITHOUT_ADAPTER
    if verdict.architecture not in RULES or not readable:
        return facts
    shape = RULES[verdict.architecture].of_names(bare_names(shapes))
    if shape is None:
        words = "the picture model in it is not whole"
        if verdict.architecture in SD:
            words = "it has not the 25 blocks of SD 1.x and 2.x"
        return replace(facts, refusal=f"{path.name}: {words}.")
    return replace(facts, shape=shape)
