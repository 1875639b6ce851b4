"""Anima's denoiser and LLM adapter out of files in the original layout (spec: training-dit 4.2)."""

from __future__ import annotations

import json
from typing import Any

import torch
from diffusers.models.condition_embedders.condition_embedder_anima import AnimaTextConditioner
from diffusers.models.transformers.transformer_cosmos import CosmosTransformer3DModel

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.assemble import assemble, not_whole
from engine.architectures.loading.checkpoint import Checkpoint
from engine.architectures.loading.denoiser_names import denoiser_names, renamed
from engine.architectures.loading.resources import RESOURCES
from engine.plan.sites.anima import anima_shape_of_names
from engine.plan.sites.language_model import count_blocks

CONFIGS = RESOURCES / "models" / "anima"
TELLING = ("x_embedder.proj.1.weight", "patch_embed.proj.weight")
ADAPTER = "llm_adapter."
ADAPTER_PREFIXES = (
    "model.diffusion_model.llm_adapter.", "diffusion_model.llm_adapter.", "net.llm_adapter.",
    ADAPTER, "",
)  # fmt: skip
ADAPTER_TELLING = "blocks.0.cross_attn.q_proj.weight"
ADAPTER_ALONE = "embed.weight"  # a denoiser has blocks too, but no vocabulary

RENAMES = (
    (r"^t_embedder\.1\.", "time_embed.t_embedder."),
    (r"^t_embedding_norm\.", "time_embed.norm."),
    (r"^x_embedder\.proj\.1\.", "patch_embed.proj."),
    (r"^final_layer\.linear\.", "proj_out."),
    (r"^final_layer\.adaln_modulation\.([12])\.", r"norm_out.linear_\1."),
    (r"^blocks\.", "transformer_blocks."),
    # Before the attentions: their names are in these.
    (r"\.adaln_modulation_self_attn\.([12])\.", r".norm1.linear_\1."),
    (r"\.adaln_modulation_cross_attn\.([12])\.", r".norm2.linear_\1."),
    (r"\.adaln_modulation_mlp\.([12])\.", r".norm3.linear_\1."),
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"\.output_proj\.", ".to_out.0."),
    (r"\.([qkv])_proj\.", r".to_\1."),
    (r"\.([qk])_norm\.", r".norm_\1."),
    (r"\.mlp\.layer1\.", ".ff.net.0.proj."),
    (r"\.mlp\.layer2\.", ".ff.net.2."),
)


def wanted_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Name in the file → bare name of the denoiser's weights: no adapter, no tables, no counters.

    Empty if the denoiser is not in the file.
    """
    names = denoiser_names(checkpoint, TELLING, (ADAPTER, "pos_embedder.", "accum_"))
    return {stored: bare for stored, bare in names.items() if not bare.endswith("_extra_state")}


def load_denoiser(
    checkpoint: Checkpoint, dtype: torch.dtype, field: str = "model.path"
) -> CosmosTransformer3DModel:
    """Build the denoiser from a file of its own or a whole model's file, in either layout.

    Raises:
        ModelProblem: if it is not there or not whole.
    """
    names = wanted_names(checkpoint)
    if not names:
        raise ModelProblem(
            f"{checkpoint.path.name} holds no picture model of Anima.",
            "Choose the model's file, or a diffusers folder.",
            field,
        )
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    original = TELLING[0] in shapes
    shape = anima_shape_of_names(shapes)
    norm = "blocks.0.self_attn.q_norm" if original else "transformer_blocks.0.attn1.norm_q"
    if shape is None or f"{norm}.weight" not in shapes:
        raise not_whole(checkpoint, "picture model")
    config: dict[str, Any] = json.loads((CONFIGS / "transformer/config.json").read_text("utf-8"))
    head, patch = shapes[f"{norm}.weight"][0], config["patch_size"][1] * config["patch_size"][2]
    config |= {
        "num_attention_heads": shape.width // head,
        "attention_head_dim": head,
        "num_layers": shape.layers,
        "mlp_ratio": shape.mlp / shape.width,
        "text_embed_dim": shape.context_width,
        "adaln_lora_dim": shape.modulation,
        "in_channels": shape.patch_in // patch - 1,  # one more is the padding mask's
        "out_channels": shape.patch_out // patch,
    }
    source = checkpoint.read(names, dtype)
    converted = {renamed(name, RENAMES) if original else name: t for name, t in source.items()}
    what = "picture model"
    return assemble(CosmosTransformer3DModel, config, converted, source, checkpoint, what)


def load_conditioner(
    checkpoint: Checkpoint, dtype: torch.dtype, field: str = "model.path"
) -> AnimaTextConditioner:
    """Build the LLM adapter from the model's file, or from a file of its own.

    Raises:
        ModelProblem: if it is not there or not whole.
    """
    names = _adapter_names(checkpoint)
    if not names:
        raise ModelProblem(
            f"{checkpoint.path.name} holds no LLM adapter.",
            "Use Anima's whole file, or give the adapter's file under LLM adapter.",
            "model.text_conditioner" if field == "model.path" else field,
        )
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    config: dict[str, Any] = json.loads((CONFIGS / "text_conditioner/config.json").read_text())
    try:
        mlp, width = shapes["blocks.0.mlp.0.weight"]
        vocabulary, target = shapes["embed.weight"]
        config |= {
            "source_dim": shapes["blocks.0.cross_attn.k_proj.weight"][1],
            "target_dim": target,
            "model_dim": width,
            "num_layers": count_blocks(shapes, "blocks."),
            "num_attention_heads": width // shapes["blocks.0.cross_attn.q_norm.weight"][0],
            "mlp_ratio": mlp / width,
            "target_vocab_size": vocabulary,
        }
    except KeyError:
        raise not_whole(checkpoint, "LLM adapter") from None
    source = checkpoint.read(names, dtype)
    return assemble(AnimaTextConditioner, config, source, source, checkpoint, "LLM adapter")


def _adapter_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Name in the file → name in the class, of the LLM adapter's tensors."""
    for prefix in ADAPTER_PREFIXES:
        if all(f"{prefix}{name}" in checkpoint.shapes for name in (ADAPTER_TELLING, ADAPTER_ALONE)):
            return checkpoint.below(prefix)
    return {}
