"""The base model of a job in sd-scripts' options."""

from __future__ import annotations

from engine.interop.exported import Sheet
from engine.schema.architectures import UNET

_FILES = {
    "flux": {"vae": "ae", "text_encoder": "clip_l", "text_encoder_2": "t5xxl"},
    "sd3": {"vae": "vae", "text_encoder": "clip_l", "text_encoder_2": "clip_g",
            "text_encoder_3": "t5xxl"},
    "lumina2": {"vae": "ae", "text_encoder": "gemma2"},
    "hunyuan_image": {"vae": "vae", "text_encoder": "text_encoder", "text_encoder_2": "byt5"},
    "anima": {"vae": "vae", "text_encoder": "qwen3", "text_conditioner": "llm_adapter_path",
              "tokenizer_2": "t5_tokenizer_path"},
}  # fmt: skip
_LENGTHS = {
    "lumina2": (("model.max_tokens", "gemma2_max_token_length"),),
    "anima": (("model.max_tokens", "qwen3_max_token_length"),
              ("model.t5_max_tokens", "t5_max_token_length")),
    "flux": (("model.t5_max_tokens", "t5xxl_max_token_length"),),
    "sd3": (("model.t5_max_tokens", "t5xxl_max_token_length"),),
}  # fmt: skip


def put_model(sheet: Sheet) -> None:
    """Write the model's files, lengths, precision and attention."""
    architecture, model = sheet.architecture, sheet.job.model
    sheet.put("v2", architecture == "sd2")
    path, own = sheet.get("model.path"), sheet.get("model.denoiser")
    sheet.put("pretrained_model_name_or_path", own or path)
    if own:
        sheet.lack("model.path", "sd-scripts reads the picture model's own file")
    for field, name in _FILES.get(architecture, {"vae": "vae"}).items():
        sheet.take(f"model.{field}", name)
    for field, name in _LENGTHS.get(architecture, ()):
        sheet.take(field, name)
    if architecture in UNET:
        tokens = sheet.get("model.max_tokens")
        sheet.put("max_token_length", tokens if tokens != 75 else None)
        sheet.put("v_parameterization", sheet.get("model.prediction") == "v")
        if architecture != "sdxl":
            sheet.take("model.clip_skip", "clip_skip")
    sheet.take("model.t5_attention_mask", "apply_t5_attn_mask")
    sheet.take("model.clip_attention_mask", "apply_lg_attn_mask")
    sheet.take("model.system_prompt", "system_prompt")
    _weights(sheet)
    sheet.put("no_half_vae", sheet.get("model.vae_precision") == "fp32" and architecture in UNET)
    _attention(sheet)
    if model.merge:
        sheet.put("base_weights", [merge.file for merge in model.merge])
        sheet.put("base_weights_multiplier", [merge.weight for merge in model.merge])


def _weights(sheet: Sheet) -> None:
    kept = sheet.get("model.weights")
    scaled = sheet.architecture in ("hunyuan_image", "anima")
    if kept == "fp8":
        name = "fp8_base_unet" if sheet.architecture == "flux" else "fp8_base"
        sheet.put(name, True)
    elif kept == "fp8_scaled" and scaled:
        sheet.put("fp8_scaled", True)
    elif kept in ("int8", "nf4", "fp8_scaled"):
        sheet.put("fp8_base", True)
        sheet.lack("model.weights", f"sd-scripts keeps no weights as {kept}; it is fp8 there")
    elif kept != "auto":
        sheet.lack("model.weights", "weights follow mixed_precision there")
    encoders = sheet.get("model.text_encoder_weights")
    if encoders == "fp8_scaled" and sheet.architecture == "hunyuan_image":
        sheet.put("fp8_vl", True)
    elif encoders == "fp8" and kept == "fp8" and sheet.architecture in UNET:
        return
    elif encoders in ("fp8", "fp16", "bf16", "fp32") and sheet.architecture == "sd3":
        sheet.put("t5xxl_dtype", {"fp8": "fp8_e4m3fn", "fp32": "float"}.get(encoders, encoders))
    elif encoders != "auto":
        sheet.lack("model.text_encoder_weights", "sd-scripts keeps them as their file has them")


def _attention(sheet: Sheet) -> None:
    kernel = sheet.get("model.attention")
    if sheet.architecture in ("hunyuan_image", "anima"):
        sheet.put("attn_mode", "flash" if kernel == "flash" else "torch")
    elif kernel == "flash" and sheet.architecture == "lumina2":
        sheet.put("use_flash_attn", True)
    else:
        sheet.put("sdpa", True)
        if kernel != "auto":
            sheet.lack("model.attention", "PyTorch chooses the kernel there")
