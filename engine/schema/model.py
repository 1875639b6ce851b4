"""`[model]`: the base model the adapter is for, and how it is loaded."""

from __future__ import annotations

from typing import Literal

from engine.schema.architectures import ARCHITECTURES, FLOW, LUMINA_SYSTEM_PROMPTS, UNET
from engine.schema.field import option
from engine.schema.table import Table

MODEL_FILES = (".safetensors", ".ckpt", ".pt")


class Merge(Table):
    """An adapter merged into the base before training."""

    file: str = option(
        "",
        "Adapter file",
        "A LoRA file that is merged into the base model before training.",
        path="file",
        extensions=(".safetensors",),
        aliases=("base_weights",),
    )
    weight: float = option(
        1.0,
        "Weight",
        "How strongly it is merged; 1 is as trained, 0.5 half of it.",
        aliases=("base_weights_multiplier",),
    )


class Model(Table):
    """The base model: files, prediction type, text length, precision."""

    architecture: Literal[
        "sd1", "sd2", "sdxl", "flux", "sd3", "lumina2", "hunyuan_image", "anima"
    ] = option(
        "sd1",
        "Architecture",
        "The family of the base model. It decides which options there are.",
        basic=True,
        choice_labels={a.id: a.label for a in ARCHITECTURES.values()},
    )
    path: str = option(
        "",
        "Base model",
        "The model the adapter will sit on: a .safetensors or .ckpt file, a diffusers folder, or a "
        "hub id such as stable-diffusion-v1-5/stable-diffusion-v1-5. It is read, never changed.",
        basic=True,
        path="model",
        extensions=MODEL_FILES,
        aliases=("pretrained_model_name_or_path",),
    )
    vae: str | None = option(
        None,
        "VAE",
        "A file or folder with the VAE, where the base model does not hold it or its author names "
        "another.",
        empty="the one in the model",
        path="model",
        extensions=MODEL_FILES,
        aliases=("ae",),
        basic=True,
    )
    denoiser: str | None = option(
        None,
        "Picture model",
        "Another picture model than the one in the base model: a file in its original layout, or a "
        "folder. Leave empty if the base model is that file.",
        empty="the one in the model",
        section="Files",
        path="model",
        extensions=MODEL_FILES,
        aliases=("dit", "transformer"),
        applies_to=FLOW,
    )
    text_encoder: str | None = option(
        None,
        "Text encoder",
        "A file or folder with the first text encoder, where the base model does not hold it.",
        label_by={
            "flux": "CLIP-L",
            "sd3": "CLIP-L",
            "lumina2": "Gemma 2",
            "hunyuan_image": "Qwen2.5-VL",
            "anima": "Qwen3",
        },
        empty="the one in the model",
        section="Files",
        path="model",
        extensions=MODEL_FILES,
        aliases=("clip_l", "gemma2", "qwen3"),
        applies_to=FLOW,
        basic=True,
    )
    text_encoder_2: str | None = option(
        None,
        "Text encoder 2",
        "A file or folder with the second text encoder, where the base model does not hold it.",
        label_by={"flux": "T5-XXL", "sd3": "OpenCLIP-G", "hunyuan_image": "ByT5"},
        empty="the one in the model",
        section="Files",
        path="model",
        extensions=MODEL_FILES,
        aliases=("clip_g", "byt5"),
        applies_to=("flux", "sd3", "hunyuan_image"),
        basic=True,
    )
    text_encoder_3: str | None = option(
        None,
        "Text encoder 3",
        "A file or folder with T5-XXL, in fp16, bf16 or fp8. SD3 works without it, at a loss for "
        "long captions.",
        label_by={"sd3": "T5-XXL"},
        empty="the one in the model",
        section="Files",
        path="model",
        extensions=MODEL_FILES,
        aliases=("t5xxl",),
        applies_to=("sd3",),
        basic=True,
    )
    text_conditioner: str | None = option(
        None,
        "LLM adapter",
        "The part between Qwen3 and the picture model, if it is not in the base model's file.",
        empty="the one in the model",
        section="Files",
        path="model",
        extensions=MODEL_FILES,
        aliases=("llm_adapter_path",),
        applies_to=("anima",),
    )
    tokenizer: str | None = option(
        None,
        "Tokenizer",
        "A folder with the first text encoder's vocabulary, where neither the model nor the hub's "
        "cache has it.",
        empty="found by itself",
        section="Files",
        path="folder",
        applies_to=("lumina2", "hunyuan_image", "anima"),
    )
    tokenizer_2: str | None = option(
        None,
        "T5 tokenizer",
        "A folder with T5's vocabulary, if it is to be another than the usual one.",
        empty="the usual one",
        section="Files",
        path="folder",
        aliases=("t5_tokenizer_path",),
        applies_to=("flux", "sd3", "anima"),
    )
    prediction: Literal["auto", "epsilon", "v"] = option(
        "auto",
        "Prediction",
        "What the model was taught to predict: noise (epsilon) or velocity (v). Read from the "
        "model where it says so; SD 2.x files at 768 px are usually v, at 512 px epsilon.",
        aliases=("v_parameterization",),
        applies_to=("sd1", "sd2", "sdxl"),
        choice_labels={"auto": "from the model", "epsilon": "epsilon", "v": "v"},
    )
    clip_skip: int | None = option(
        None,
        "Clip skip",
        "Which layer of the text encoder is used, counted from the end. Many anime models of SD "
        "1.x were trained with 2. SDXL always was: it takes 2 without this. Use the same number in "
        "your viewer.",
        ge=1,
        le=12,
        empty="as the model was trained",
        applies_to=UNET,
    )
    max_tokens: int = option(
        75,
        "Caption length",
        "How many tokens of a caption are used; longer ones are cut. A word is one to three "
        "tokens. CLIP takes 75, 150 or 225; language models take more at little cost.",
        ge=1,
        le=4096,
        unit="tokens",
        aliases=("max_token_length", "gemma2_max_token_length", "qwen3_max_token_length"),
        applies_to=(*UNET, "lumina2", "anima"),
    )
    t5_max_tokens: int | None = option(
        None,
        "T5 caption length",
        "How many tokens of a caption T5 reads; longer ones are cut, shorter ones padded, and the "
        "padding counts as text. Use the same number in your viewer. Empty: 512 for FLUX.1-dev, "
        "256 for schnell and SD3, the caption length for Anima.",
        ge=8,
        le=4096,
        unit="tokens",
        empty="the model's own",
        aliases=("t5xxl_max_token_length", "t5_max_token_length"),
        applies_to=("flux", "sd3", "anima"),
    )
    t5_attention_mask: bool = option(
        False,
        "Leave T5's padding out",
        "Captions do not see what they were padded with. The models were trained with the padding; "
        "an adapter trained without is worse in viewers that keep it, as nearly all do.",
        aliases=("apply_t5_attn_mask",),
        applies_to=("flux", "sd3"),
    )
    clip_attention_mask: bool = option(
        False,
        "Leave CLIP's padding out",
        "The same for CLIP-L and OpenCLIP-G: what stands behind the end of a caption is not seen.",
        aliases=("apply_lg_attn_mask",),
        applies_to=("sd3",),
    )
    system_prompt: str = option(
        "",
        "System prompt",
        "Stands before every caption and preview prompt, as the model was taught. Lumina-Image 2's "
        "own is offered; finetunes have theirs. Use the same one in your viewer.",
        empty="none",
        applies_to=("lumina2",),
        suggestions=LUMINA_SYSTEM_PROMPTS,
    )
    weights: Literal["auto", "fp32", "bf16", "fp16", "int8", "fp8_scaled", "fp8", "nf4"] = option(
        "auto",
        "Weights kept as",
        "How the frozen base model lies in memory. Automatic follows the training precision. int8 "
        "needs half of bf16 at an error of 1 % in each layer, fp8 3 % and more, nf4 a quarter at "
        "18 %; adapters learn around it. nf4 needs bitsandbytes and an NVIDIA card.",
        section="Precision",
        aliases=("fp8_base", "fp8_scaled"),
        choice_labels={
            "auto": "as the training precision",
            "int8": "int8, a scale per row",
            "fp8_scaled": "fp8, a scale per row",
            "fp8": "fp8, cast",
            "nf4": "nf4, 4 bits",
        },
    )
    text_encoder_weights: Literal["auto", "fp32", "bf16", "fp16", "int8", "fp8_scaled", "fp8"] = (
        option(
            "auto",
            "Text encoders kept as",
            "The same for the text encoders; int8 suits large ones, such as T5-XXL. With kept "
            "captions they leave memory before the first step in any case.",
            section="Precision",
            aliases=("t5xxl_dtype", "fp8_vl"),
            choice_labels={
                "auto": "as the training precision",
                "int8": "int8, a scale per row",
                "fp8_scaled": "fp8, a scale per row",
                "fp8": "fp8, cast",
            },
        )
    )
    vae_precision: Literal["fp32", "bf16", "fp16"] = option(
        "fp32",
        "VAE precision",
        "Precision of the picture encoder. fp32 is exact and the VAE is small; bf16 halves its "
        "memory at a visible loss; fp16 overflows with some VAEs.",
        section="Precision",
        aliases=("no_half_vae",),
    )
    attention: Literal["auto", "flash", "efficient", "cudnn", "math"] = option(
        "auto",
        "Attention",
        "The kernel for attention. Automatic lets PyTorch choose the fastest that fits; math is "
        "slow and exact.",
        section="Precision",
        aliases=("attn_mode", "sdpa", "xformers"),
    )
    merge: list[Merge] = option(
        list,
        "Merge before training",
        "Adapters merged into the base model in memory before training starts; the file of the "
        "base model is not changed.",
        section="Start from",
    )
