"""What a model's file may lack, for the job to name beside it (spec: training-sd-flux 1.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.schema.model import Model


@dataclass(frozen=True)
class Part:
    """A part that may lie in the model's file or in one of its own.

    Attributes:
        field: of `[model]`, that names its own file.
        words: what it is, and how its file is usually called.
        prefixes: what its tensors begin with in a file that holds it.
    """

    field: str
    words: str
    prefixes: tuple[str, ...]


_VAE = ("vae.", "first_stage_model.")

PARTS: dict[str, tuple[Part, ...]] = {
    "flux": (
        Part("text_encoder", "CLIP-L (clip_l.safetensors)", ("text_encoders.clip_l.",)),
        Part("text_encoder_2", "T5-XXL (t5xxl_fp16.safetensors)", ("text_encoders.t5xxl.",)),
        Part("vae", "VAE (ae.safetensors)", _VAE),
    ),
    "sd3": (
        Part("text_encoder", "CLIP-L (clip_l.safetensors)", ("text_encoders.clip_l.",)),
        Part("text_encoder_2", "OpenCLIP-G (clip_g.safetensors)", ("text_encoders.clip_g.",)),
        Part("vae", "VAE (it is inside every published SD3 checkpoint)", _VAE),
    ),
    "lumina2": (
        Part(
            "text_encoder", "Gemma 2 (gemma_2_2b_fp16.safetensors)", ("text_encoders.gemma2_2b.",)
        ),
        Part("vae", "VAE (ae.safetensors)", _VAE),
    ),
    "hunyuan_image": (
        Part("text_encoder", "Qwen2.5-VL (qwen_2.5_vl_7b.safetensors)", ()),
        Part("text_encoder_2", "ByT5 (byt5_small_glyphxl_fp16.safetensors)", ()),
        Part("vae", "VAE (hunyuan_image_2.1_vae_fp16.safetensors)", ()),
    ),
    "anima": (
        Part("text_encoder", "Qwen3 (qwen_3_06b_base.safetensors)", ("text_encoders.qwen3_06b.",)),
        Part("vae", "VAE (qwen_image_vae.safetensors)", _VAE),
    ),
}
"""Architecture → its parts beside the picture model; T5, which SD3 can do without, is none."""

MENDS = {
    "flux": "Give them in the fields of these names. The text encoders are published as "
    "comfyanonymous/flux_text_encoders, the VAE beside the model.",
    "sd3": "Give them in the fields of these names. The text encoders are published beside the "
    "model, in its folder text_encoders.",
    "lumina2": "Give them in the fields of these names. They are published as "
    "Comfy-Org/Lumina_Image_2.0_Repackaged, the VAE as FLUX.1's too.",
    "hunyuan_image": "Give them in the fields of these names. They are published for ComfyUI as "
    "Comfy-Org/HunyuanImage_2.1_ComfyUI.",
    "anima": "Give them in the fields of these names. They are published beside the model as "
    "circlestone-labs/Anima.",
}
"""Architecture → where they come from."""


def absent_parts(architecture: str | None, names: Iterable[str]) -> tuple[Part, ...]:
    """The parts of which a file has no tensor."""
    known = list(names)
    return tuple(
        part
        for part in PARTS.get(architecture or "", ())
        if not any(name.startswith(part.prefixes) for name in known)
    )


def unnamed(absent: Iterable[Part], model: Model) -> list[Part]:
    """Those of the absent parts that the job does not name either."""
    return [part for part in absent if not getattr(model, part.field)]


def words_on(file: str, parts: Iterable[Part]) -> str:
    """Say which parts a file needs beside it."""
    needed = ", ".join(part.words for part in parts)
    return f"{file} holds only the picture model; it also needs {needed}."
