"""Which layers of `[network]` are trained, and at what rank (spec: networks 4.1–4.6)."""

from __future__ import annotations

from typing import Any, Literal

from engine.schema.architectures import STREAMS, UNET
from engine.schema.block_indices import BlockIndices
from engine.schema.field import When, option
from engine.schema.network_size import NetworkSize
from engine.schema.patterns import PatternList
from engine.schema.table import FloatList, IntList

_CONV = When("network.conv_dim", is_set=True)
_WHAT, _WHERE = "What is trained", "Rank by place"


def _family(label: str, help: str, *architectures: str) -> Any:
    """Declare the rank of a family of layers."""
    return option(
        None,
        label,
        f"{help} 0 leaves them untouched.",
        ge=0,
        le=1024,
        scale="double",
        empty="rank",
        section=_WHERE,
        applies_to=architectures,
    )


class NetworkPlaces(NetworkSize):
    """Parts, blocks, families and patterns, from the coarse to the fine."""

    train: Literal["both", "denoiser", "text_encoder"] = option(
        "both",
        "Train",
        "Which parts get adapters: the picture model, the text encoder, or both. The picture model "
        "alone is calmer and lets the text encoder leave memory.",
        section="What is trained",
        basic=True,
        aliases=("network_train_unet_only", "network_train_text_encoder_only"),
        choice_labels={
            "both": "both",
            "denoiser": "picture model",
            "text_encoder": "text encoder",
        },
        choices_by={"hunyuan_image": ("denoiser",)},
    )
    train_t5xxl: bool = option(
        False,
        "Train T5 too",
        "Also gives T5-XXL adapters when text encoders are trained. It needs much memory, and few "
        "programs read that part of the file.",
        section=_WHAT,
        applies_to=("flux", "sd3"),
        only_if=When("network.train", not_equals=("denoiser",)),
    )
    train_llm_adapter: bool = option(
        False,
        "Train the LLM adapter",
        "Also adapts the part that translates Qwen3's words for the picture model. It is trained "
        "at the picture model's rate, and captions may be kept encoded all the same.",
        section=_WHAT,
        applies_to=("anima",),
        only_if=When("network.train", not_equals=("text_encoder",)),
    )
    train_blocks: Literal[
        "all", "double", "single", "transformer", "refiners", "noise_refiner", "context_refiner"
    ] = option(
        "all",
        "Blocks",
        "Which kind of blocks gets adapters. Anything but all also leaves out the last layer of "
        "Lumina.",
        section=_WHAT,
        applies_to=(*STREAMS, "lumina2"),
        choice_labels={
            "double": "double only",
            "single": "single only",
            "transformer": "without refiners",
            "refiners": "refiners only",
            "noise_refiner": "noise refiner only",
            "context_refiner": "context refiner only",
        },
        choices_by={
            **dict.fromkeys(STREAMS, ("all", "double", "single")),
            "lumina2": ("all", "transformer", "refiners", "noise_refiner", "context_refiner"),
        },
    )
    train_double_block_indices: BlockIndices = option(
        "all",
        "Double blocks",
        "Which double blocks are trained: numbers from 0 and ranges such as 0-3,5, all, or none.",
        section=_WHAT,
        applies_to=STREAMS,
    )
    train_single_block_indices: BlockIndices = option(
        "all",
        "Single blocks",
        "Which single blocks are trained: numbers from 0 and ranges such as 0-3,5, all, or none. "
        "7,20 is a small adapter for a likeness.",
        section=_WHAT,
        applies_to=STREAMS,
    )
    train_block_indices: BlockIndices = option(
        "all",
        "Blocks by number",
        "Which blocks are trained: numbers from 0 and ranges such as 0-3,5, all, or none.",
        section=_WHAT,
        applies_to=("sd3", "lumina2", "anima"),
    )
    conv_dim: int | None = option(
        None,
        "3×3 conv rank",
        "Also adapts the U-Net's 3×3 convolutions and resnet layers, where texture lives. Off is "
        "fine for subjects; try 4–8 for styles.",
        ge=1,
        le=1024,
        scale="double",
        empty="off",
        section="What is trained",
        applies_to=UNET,
    )
    conv_alpha: float | None = option(
        None,
        "3×3 conv alpha",
        "Alpha of the 3×3 layers; 1 if left empty.",
        ge=0,
        empty="1",
        section="What is trained",
        applies_to=UNET,
        only_if=_CONV,
    )
    exclude_patterns: PatternList | None = option(
        None,
        "Leave out layers",
        "Patterns with commas between; a layer whose name has one of them gets no adapter. A "
        "pattern is a regular expression, looked for anywhere in the name: as in the file "
        "(double_blocks_0_img_attn) or as in the model (double_blocks.0.img_attn); ^ and $ bind it "
        "to the ends.",
        empty="none",
        section=_WHAT,
    )
    include_patterns: PatternList | None = option(
        None,
        "Take in layers",
        "The same for layers that get one although they are left out above or are not trained by "
        "default, such as embedders. To train only what is named here, leave out .* above.",
        empty="none",
        section=_WHAT,
    )
    block_dims: IntList | None = option(
        None,
        "Rank per block",
        "Own rank for each block, drawn at the right or typed as a list. 0 leaves a block "
        "untouched.",
        empty="the same everywhere",
        section="Rank by place",
        applies_to=UNET,
        blocks=True,
    )
    block_alphas: FloatList | None = option(
        None,
        "Alpha per block",
        "Own alpha for each block.",
        empty="the same everywhere",
        section="Rank by place",
        applies_to=UNET,
        blocks=True,
    )
    conv_block_dims: IntList | None = option(
        None,
        "Conv rank per block",
        "The same for the 3×3 layers; turns them on by itself.",
        empty="3×3 conv rank everywhere",
        section="Rank by place",
        applies_to=UNET,
        blocks=True,
    )
    conv_block_alphas: FloatList | None = option(
        None,
        "Conv alpha per block",
        "Own alpha of the 3×3 layers for each block.",
        empty="3×3 conv alpha everywhere",
        section="Rank by place",
        applies_to=UNET,
        blocks=True,
    )
    img_attn_dim: int | None = _family(
        "Picture attention", "Rank of the picture's attention in double blocks.", *STREAMS
    )
    txt_attn_dim: int | None = _family(
        "Text attention", "Rank of the text's attention in double blocks.", *STREAMS
    )
    img_mlp_dim: int | None = _family(
        "Picture MLP", "Rank of the picture's feed-forward layers in double blocks.", *STREAMS
    )
    txt_mlp_dim: int | None = _family(
        "Text MLP", "Rank of the text's feed-forward layers in double blocks.", *STREAMS
    )
    img_mod_dim: int | None = _family(
        "Picture modulation", "Rank of the picture's modulation in double blocks.", *STREAMS
    )
    txt_mod_dim: int | None = _family(
        "Text modulation", "Rank of the text's modulation in double blocks.", *STREAMS
    )
    single_dim: int | None = _family(
        "Single blocks' layers", "Rank of the two large layers of single blocks.", *STREAMS
    )
    single_mod_dim: int | None = _family(
        "Single blocks' modulation", "Rank of the modulation of single blocks.", *STREAMS
    )
    context_attn_dim: int | None = _family("Text attention", "Rank of the text's attention.", "sd3")
    context_mlp_dim: int | None = _family(
        "Text MLP", "Rank of the text's feed-forward layers.", "sd3"
    )
    context_mod_dim: int | None = _family(
        "Text modulation", "Rank of the text's modulation.", "sd3"
    )
    x_attn_dim: int | None = _family(
        "Picture attention", "Rank of the picture's attention, the second one included.", "sd3"
    )
    x_mlp_dim: int | None = _family(
        "Picture MLP", "Rank of the picture's feed-forward layers.", "sd3"
    )
    x_mod_dim: int | None = _family(
        "Picture modulation", "Rank of the picture's modulation.", "sd3"
    )
    attn_dim: int | None = _family("Attention", "Rank of the attention layers.", "lumina2")
    mlp_dim: int | None = _family("MLP", "Rank of the feed-forward layers.", "lumina2")
    mod_dim: int | None = _family("Modulation", "Rank of the modulation layers.", "lumina2")
    refiner_dim: int | None = _family(
        "Refiners", "Rank of everything in the refiners, whatever stands above.", "lumina2"
    )
    in_dims: IntList | None = option(
        None,
        "Input layers",
        "Ranks of the layers before the blocks, five numbers: picture, time, pooled text, "
        "guidance, text. 0 leaves one untouched.",
        empty="not trained",
        section=_WHERE,
        parts=("picture", "time", "pooled text", "guidance", "text"),
        applies_to=("flux",),
    )
    emb_dims: IntList | None = option(
        None,
        "Embedders",
        "Ranks of the layers around the blocks, six numbers: text, time, picture, pooled text, "
        "last modulation, last layer. 0 leaves one untouched.",
        empty="not trained",
        section=_WHERE,
        parts=("text", "time", "picture", "pooled text", "last modulation", "last layer"),
        applies_to=("sd3",),
    )
    embedder_dims: IntList | None = option(
        None,
        "Embedders",
        "Ranks of the layers before the blocks, three numbers: picture, time, text. 0 leaves one "
        "untouched.",
        empty="not trained",
        section=_WHERE,
        parts=("picture", "time", "text"),
        applies_to=("lumina2",),
    )
    network_reg_dims: PatternList | None = option(
        None,
        "Rank by pattern",
        "Pairs pattern=rank with commas between, such as single_blocks=0, double_blocks_0_=8. The "
        "first pattern found in a layer's name decides over all ranks and block numbers above; 0 "
        "leaves the layer untouched. Patterns are looked for as in Leave out layers.",
        empty="none",
        section=_WHERE,
    )
