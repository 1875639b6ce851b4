"""Tell a model from the names and shapes of its tensors (spec: training-sd-flux 1.3).

First match wins. The table knows more models than Graft trains, so that a wrong file is called by
its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.plan.part_names import part_kind

Shapes = Mapping[str, tuple[int, ...]]

PREFIX = "model.diffusion_model."
_PREFIXES = (PREFIX, "diffusion_model.", "net.")

LABELS = {
    "sd1": "SD 1.x",
    "sd2": "SD 2.x",
    "sdxl": "SDXL",
    "flux": "FLUX.1",
    "sd3": "SD3",
    "lumina2": "Lumina-Image 2",
    "hunyuan_image": "HunyuanImage-2.1",
    "anima": "Anima",
}
"""Architectures that can be told apart, as people call them."""


@dataclass(frozen=True)
class Verdict:
    """An architecture and how it was told, or why the file is refused."""

    architecture: str | None
    reason: str
    variant: str = ""
    refusal: str = ""
    layout: str = "single_file"  # or "denoiser": the denoiser alone, in the libraries' names
    is_adapter: bool = False


def _refuse(what: str, reason: str, mend: str = "") -> Verdict:
    return Verdict(None, reason, refusal=f"This is {what}. {mend}".strip())


def bare_names(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The same tensors, the denoiser's without the prefix that programs put before them."""
    bare = {}
    for name, shape in shapes.items():
        prefix = next((p for p in _PREFIXES if name.startswith(p)), "")
        bare[name.removeprefix(prefix)] = shape
    return bare


def verdict_of(shapes: Shapes) -> Verdict:
    """Say what a file with these tensors is."""
    names = bare_names(shapes)
    for rule in (
        _quantized,
        _adapter,
        _hunyuan,
        _lumina,
        _cosmos,
        _transformers,
        _original_unet,
        _library_unet,
        _parts,
    ):
        verdict = rule(names)
        if verdict is not None:
            return verdict
    return _refuse("no model that Graft knows", "none of its tensor names is known")


def _size(names: Shapes, name: str, axis: int = 1) -> int | None:
    shape = names.get(name)
    return shape[axis] if shape is not None and len(shape) > axis else None


def _quantized(names: Shapes) -> Verdict | None:
    """Refuse four-bit copies; eight-bit floats, with scales or without, can be read."""
    endings = (".absmax", ".qweight")
    found = next((n for n in names if n.endswith(endings) or "bitsandbytes__" in n), None)
    if found is None:
        return None
    return _refuse(
        "a quantized copy of a model", f"it has {found}",
        "Use the full model (fp8, fp16, bf16 or fp32).",
    )  # fmt: skip


def _adapter(names: Shapes) -> Verdict | None:
    endings = (".lora_down.weight", ".lora_A.weight", ".lora_up.weight", ".hada_w1_a", ".lokr_w1")
    found = next((n for n in names if n.endswith(endings)), None)
    if found is None:
        return None
    refused = _refuse(
        "an adapter (LoRA), not a base model", f"it has {found}",
        "Choose the base model here, and the adapter under Start from a file.",
    )  # fmt: skip
    return replace(refused, is_adapter=True)


def _hunyuan(names: Shapes) -> Verdict | None:
    """HunyuanImage and what is like it (spec: training-dit 1.3); before FLUX, named alike."""
    if "context_embedder_2.linear_1.weight" in names and "x_embedder.proj.weight" in names:
        return _hunyuan_image(names, names["x_embedder.proj.weight"], "denoiser")
    picture = names.get("img_in.proj.weight")
    if picture is None or "txt_in.individual_token_refiner.blocks.0.norm1.weight" not in names:
        return None
    return _hunyuan_image(names, picture, "single_file")


def _hunyuan_image(names: Shapes, picture: tuple[int, ...], layout: str) -> Verdict:
    glyphs = "byt5_in.fc1.weight" in names or layout == "denoiser"
    mend = "Use the base model, hunyuanimage2.1."
    if len(picture) != 4:
        if picture[1] >= 128 and not glyphs:
            return _refuse("the refiner of HunyuanImage-2.1", "it works on video frames", mend)
        return _refuse("HunyuanVideo", "it works on video frames", mend)
    if any(name.startswith("vector_in.") for name in names):
        return _refuse("HunyuanVideo", "it has vector_in", mend)
    distilled = ("time_r_in.", "guidance_in.", "time_guidance_embed.timestep_embedder_r",
                 "time_guidance_embed.guidance_embedder")  # fmt: skip
    if any(name.startswith(distilled) for name in names):
        words = "it is told its guidance and its next timestep"
        return _refuse(
            "the distilled HunyuanImage-2.1, which is not made to be trained", words, mend
        )
    if not glyphs:
        return _refuse("a Hunyuan model without an input for glyphs", "it lacks byt5_in", mend)
    return Verdict("hunyuan_image", "double blocks with an input for glyphs", layout=layout)


def _lumina(names: Shapes) -> Verdict | None:
    """Lumina-Image 2 and what shares its names (spec: training-dit 1.3)."""
    caption = "time_caption_embed.caption_embedder.1.weight"
    layout = "denoiser" if caption in names else "single_file"
    sizes = names.get(caption) or names.get("cap_embedder.1.weight")
    if sizes is None or not any(name.startswith("noise_refiner.0.") for name in names):
        return None
    width, text = sizes
    mend = "Use Lumina-Image 2.0, or a finetune of it."
    if width == 3840:
        return _refuse("Z-Image", f"its width is {width}", mend)
    if text == 2560:
        words = "its text encoder is Gemma 3 instead of Gemma 2"
        return _refuse("a Lumina that reads captions with Gemma 3", words, mend)
    return Verdict("lumina2", f"refiners, text of width {text}", layout=layout)


WITHOUT_ADAPTER = "without adapter"
"""Variant of an Anima's denoiser, or of a plain Cosmos-Predict2: a job may bring the adapter."""

NO_ADAPTER = (
    "This is Cosmos-Predict2, which reads captions with T5, or an Anima without its LLM adapter. "
    "Use the whole Anima file, or give the adapter's file under LLM adapter."
)


def _cosmos(names: Shapes) -> Verdict | None:
    """Anima and other Cosmos-Predict2 models (spec: training-dit 1.3)."""
    original = "blocks.0.cross_attn.k_proj.weight"
    library = "transformer_blocks.0.attn2.to_k.weight"
    patch = names.get("x_embedder.proj.1.weight") or names.get("patch_embed.proj.weight")
    if patch is None or len(patch) != 2 or not (original in names or library in names):
        return None
    if patch[1] == 72:
        return _refuse("Cosmos-Predict2 for video", "it takes frames to go on from", _ANIMA)
    if any(name.startswith(("blocks.28.", "transformer_blocks.28.")) for name in names):
        return _refuse("an enlarged Anima", "it has more than 28 blocks", _ANIMA)
    layout = "single_file" if original in names else "denoiser"
    if "llm_adapter.blocks.0.cross_attn.q_proj.weight" in names:
        return Verdict("anima", "Cosmos blocks with an LLM adapter", layout=layout)
    reason = "Cosmos blocks without an LLM adapter"
    return Verdict("anima", reason, WITHOUT_ADAPTER, NO_ADAPTER, layout)


_ANIMA = "Use Anima's own file."


def _flux_control(inputs: int | None) -> Verdict | None:
    """Refuse the FLUX models that take a second picture, told by the channels of a token."""
    kind = {384: "FLUX Fill", 128: "FLUX Depth or Canny"}.get(inputs or 0)
    if kind is None:
        return None
    return _refuse(kind, f"its input has {inputs} channels", "Use FLUX.1 dev or schnell.")


def _transformers(names: Shapes) -> Verdict | None:
    if "single_stream_modulation.lin.weight" in names:
        return _refuse("FLUX.2", "it has single_stream_modulation")
    if "distilled_guidance_layer.in_proj.bias" in names:
        return _refuse("Chroma", "it has a distilled guidance layer")
    if "double_blocks.0.img_attn.norm.key_norm.scale" in names:
        refusal = _flux_control(_size(names, "img_in.weight"))
        if refusal is not None:
            return refusal
        variant = "dev" if "guidance_in.in_layer.bias" in names else "schnell"
        return Verdict("flux", f"double blocks, {variant} by its guidance layer", variant)
    if "joint_blocks.0.context_block.adaLN_modulation.1.bias" in names:
        return Verdict("sd3", "joint blocks", _sd3_variant(names))
    if "transformer_blocks.0.attn.add_k_proj.weight" in names:
        if "pos_embed.proj.weight" in names:
            return Verdict("sd3", "joint blocks, diffusers names", layout="denoiser")
        refusal = _flux_control(_size(names, "x_embedder.weight"))
        if refusal is not None:
            return refusal
        guided = "time_text_embed.guidance_embedder.linear_1.weight" in names
        variant = "dev" if guided else "schnell"
        return Verdict("flux", "double blocks, diffusers names", variant, layout="denoiser")
    return None


def _sd3_variant(names: Shapes) -> str:
    if any(".x_block.attn2." in name for name in names):
        return "3.5-medium"
    if "joint_blocks.0.context_block.attn.ln_k.weight" in names:
        return "3.5-large"
    return "medium"


def _original_unet(names: Shapes) -> Verdict | None:
    channels = _size(names, "input_blocks.0.0.weight")
    if channels is None:
        return None
    odd = _odd_inputs(channels)
    if odd is not None:
        return odd
    pooled = _size(names, "label_emb.0.0.weight")
    if pooled is not None:
        return _sdxl(names, pooled, "input_blocks.7.1", "single_file")
    width = _size(names, "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight")
    if width is None:
        return _refuse("a U-Net of another kind", "it has no text attention where SD has it")
    openclip = any(name.startswith("cond_stage_model.model.") for name in names)
    linear = len(names.get("input_blocks.1.1.proj_in.weight", ())) == 2
    return _sd_by_width(width, openclip or linear, "single_file")


def _odd_inputs(channels: int) -> Verdict | None:
    kinds = {9: "an inpainting model", 8: "an edit model (pix2pix)", 7: "an upscaler"}
    if channels not in kinds:
        return None
    words = f"its input has {channels} channels instead of 4"
    return _refuse(kinds[channels], words, "Use the ordinary model it was made from.")


def _sdxl(names: Shapes, pooled: int, deepest: str, layout: str) -> Verdict:
    """Tell SDXL from its kin by the label embedding and the depth of its lowest attentions."""
    if pooled == 2560:
        return _refuse("the SDXL refiner", "its label embedding has 2560 inputs", "Use SDXL base.")
    if pooled != 2816:
        return _refuse("an unCLIP model", f"its label embedding has {pooled} inputs")
    pattern = re.compile(rf"{re.escape(deepest)}\.transformer_blocks\.(\d+)\.")
    last = max((int(m[1]) for m in map(pattern.match, names) if m), default=9)
    if last != 9:
        smaller = {3: "SSD-1B", 1: "Segmind Vega"}.get(last, "a pruned SDXL")
        return _refuse(smaller, f"{last + 1} transformer blocks where SDXL has 10", "Use SDXL.")
    if "edm_mean" in names or "edm_std" in names:
        return _refuse("Playground 2.5", "it has edm_mean")
    return Verdict("sdxl", "label embedding of 2816", layout=layout)


def _library_unet(names: Shapes) -> Verdict | None:
    channels = _size(names, "conv_in.weight")
    if channels is None or "down_blocks.0.resnets.0.conv1.weight" not in names:
        return None
    odd = _odd_inputs(channels)
    if odd is not None:
        return odd
    pooled = _size(names, "add_embedding.linear_1.weight")
    if pooled is not None:
        return _sdxl(names, pooled, "down_blocks.2.attentions.0", "denoiser")
    inner = "down_blocks.0.attentions.0"
    width = _size(names, f"{inner}.transformer_blocks.0.attn2.to_k.weight")
    if width is None:
        return None
    return _sd_by_width(width, len(names.get(f"{inner}.proj_in.weight", ())) == 2, "denoiser")


def _sd_by_width(width: int, second: bool, layout: str) -> Verdict:
    """Tell SD 1 from SD 2: by the text's width, and for toy widths by the form of SD 2."""
    if width in (768, 1024):
        second = width == 1024
    architecture = "sd2" if second else "sd1"
    return Verdict(architecture, f"U-Net with text attention of width {width}", layout=layout)


def _parts(names: Shapes) -> Verdict | None:
    """Single parts of models: VAEs and text encoders."""
    found = part_kind(names)
    if found is None:
        return None
    mend = "Choose it under VAE." if found.is_vae else "Choose a whole model here."
    return _refuse(found.words, found.reason, mend)
