"""What each architecture is, as data: its words, its blocks, its encoders and its numbers.

The schema, the plan and the window read this table; nothing else lists architectures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SD = ("sd1", "sd2")
UNET = (*SD, "sdxl")
CLIP = (*UNET, "flux", "sd3")
STREAMS = ("flux", "hunyuan_image")  # with double-stream and single-stream blocks
FLOW = ("flux", "sd3", "lumina2", "hunyuan_image", "anima")

LUMINA_SYSTEM_PROMPTS = (
    "You are an assistant designed to generate superior images with the superior degree of "
    "image-text alignment based on textual prompts or user prompts.",
    "You are an assistant designed to generate high-quality images based on user prompts.",
    "You are an assistant designed to generate high-quality images with the highest degree of "
    "image-text alignment based on textual prompts.",
    "You are an assistant designed to generate anime images based on textual prompts.",
)
"""Those the model and its finetunes were taught with (spec: training-dit 2.3)."""


@dataclass(frozen=True)
class BlockName:
    """One block of the denoiser as people know it: `IN04`, and what it is in the model."""

    name: str
    part: str  # IN, MID, OUT: the groups that the editor brackets; EMB and END stand alone
    modules: str


@dataclass(frozen=True)
class Architecture:
    """An architecture Graft trains.

    `blocks` are in the order of `block_dims`; `lr_weight_counts` says how many of them belong to
    down, mid and up weights, and `lr_weight_first` where the down ones begin (spec: networks 4.1).
    `block_counts` names the options that select blocks by number, with how many blocks the largest
    published model has.
    """

    id: str
    label: str
    denoiser: str  # the diffusers class
    flow: bool  # flow matching, or noise prediction with a discrete schedule
    text_encoders: tuple[str, ...]  # what a person calls them, in order
    resolution: int
    resolution_step: int  # buckets are multiples of it
    picture_step: int  # preview sides are multiples of it
    vae: str  # whose latents it works on; those of one name can share a VAE's file
    latent_channels: int
    latent_scale: int = 8  # pixels of a latent's side
    blocks: tuple[BlockName, ...] = ()
    lr_weight_first: int = 0
    lr_weight_counts: tuple[int, int, int] = (0, 0, 0)
    block_counts: Mapping[str, int] = field(default_factory=dict)  # selecting option → its blocks
    defaults: Mapping[str, object] = field(default_factory=dict)  # dotted path → value


def _sd_blocks() -> tuple[BlockName, ...]:
    """Name the 25 blocks of an SD 1.x/2.x U-Net (spec: networks 4.1)."""
    blocks = [BlockName("IN00", "IN", "conv_in")]
    for level in range(4):
        attention = level < 3
        for layer in range(2):
            kind = "resnet and attention" if attention else "resnet"
            blocks.append(_block("IN", len(blocks), f"down_blocks.{level}, {kind} {layer}"))
        if attention:
            blocks.append(_block("IN", len(blocks), f"down_blocks.{level}, downsampler"))
    blocks.append(BlockName("MID", "MID", "mid_block, two resnets and attention"))
    for level in range(4):
        for layer in range(3):
            kind = "resnet and attention" if level > 0 else "resnet"
            sampler = " and upsampler" if layer == 2 and level < 3 else ""
            words = f"up_blocks.{level}, {kind} {layer}{sampler}"
            blocks.append(_block("OUT", 3 * level + layer, words))
    return tuple(blocks)


def _sdxl_blocks() -> tuple[BlockName, ...]:
    """Name the 23 blocks of SDXL's U-Net (spec: networks 4.1).

    The first and the last hold nothing that adapters sit on, but lists in job files count them.
    """
    blocks = [
        BlockName("EMB", "EMB", "time and label embedding"),
        BlockName("IN00", "IN", "conv_in"),
    ]
    for level in range(3):
        kind = "resnet and attention" if level > 0 else "resnet"
        for layer in range(2):
            words = f"down_blocks.{level}, {kind} {layer}"
            blocks.append(_block("IN", len(blocks) - 1, words))
        if level < 2:
            blocks.append(_block("IN", len(blocks) - 1, f"down_blocks.{level}, downsampler"))
    for number, words in enumerate(("first resnet", "attention", "second resnet")):
        blocks.append(_block("MID", number, f"mid_block, {words}"))
    for level in range(3):
        for layer in range(3):
            kind = "resnet and attention" if level < 2 else "resnet"
            sampler = " and upsampler" if layer == 2 and level < 2 else ""
            words = f"up_blocks.{level}, {kind} {layer}{sampler}"
            blocks.append(_block("OUT", 3 * level + layer, words))
    return (*blocks, BlockName("END", "END", "conv_out"))


def _block(part: str, number: int, modules: str) -> BlockName:
    return BlockName(f"{part}{number:02d}", part, modules)


_SD_BLOCKS = _sd_blocks()


def _at(side: int) -> dict[str, object]:
    """Square pictures of this side, in training and in previews."""
    return {
        "dataset.resolution": [str(side)],
        "samples.width": side,
        "samples.height": side,
    }


_CALM: dict[str, object] = {
    "network.train": "denoiser",
    "network.alpha": 16.0,
    "dataset.cache_text": "disk",
}
"""Large flow models: the text encoders rest and leave memory, and the scale is 1 (spec:
training-sd-flux 7)."""

ARCHITECTURES: dict[str, Architecture] = {
    architecture.id: architecture
    for architecture in (
        Architecture(
            id="sd1",
            label="SD 1.x",
            denoiser="UNet2DConditionModel",
            flow=False,
            text_encoders=("CLIP-L",),
            resolution=512,
            resolution_step=64,
            picture_step=8,
            vae="SD",
            latent_channels=4,
            blocks=_SD_BLOCKS,
            lr_weight_first=0,
            lr_weight_counts=(12, 1, 12),
        ),
        Architecture(
            id="sd2",
            label="SD 2.x",
            denoiser="UNet2DConditionModel",
            flow=False,
            text_encoders=("OpenCLIP-H",),
            resolution=768,
            resolution_step=64,
            picture_step=8,
            vae="SD",
            latent_channels=4,
            blocks=_SD_BLOCKS,
            lr_weight_first=0,
            lr_weight_counts=(12, 1, 12),
            defaults=_at(768),
        ),
        Architecture(
            id="sdxl",
            label="SDXL",
            denoiser="UNet2DConditionModel",
            flow=False,
            text_encoders=("CLIP-L", "OpenCLIP-G"),
            resolution=1024,
            resolution_step=64,
            picture_step=8,
            vae="SDXL",
            latent_channels=4,
            blocks=_sdxl_blocks(),
            lr_weight_first=1,
            lr_weight_counts=(9, 3, 9),
            defaults=_at(1024)
            | {"network.train": "denoiser", "network.rank": 32, "network.alpha": 16.0},
        ),
        Architecture(
            id="flux",
            label="FLUX.1",
            denoiser="FluxTransformer2DModel",
            flow=True,
            text_encoders=("CLIP-L", "T5-XXL"),
            resolution=1024,
            resolution_step=16,
            picture_step=16,
            vae="FLUX",
            latent_channels=16,
            block_counts={"train_double_block_indices": 19, "train_single_block_indices": 38},
            defaults=_at(1024)
            | _CALM
            | {
                "objective.timestep_sampling": "flux_shift",
                "samples.steps": 20,
                "samples.cfg": 1.0,
            },
        ),
        Architecture(
            id="sd3",
            label="SD3",
            denoiser="SD3Transformer2DModel",
            flow=True,
            text_encoders=("CLIP-L", "OpenCLIP-G", "T5-XXL"),
            resolution=1024,
            resolution_step=16,
            picture_step=16,
            vae="SD3",
            latent_channels=16,
            block_counts={"train_block_indices": 38},
            defaults=_at(1024)
            | _CALM
            | {
                "objective.timestep_sampling": "sigma",
                "objective.weighting": "logit_normal",
                "objective.flow_shift": 1.0,
                "samples.steps": 28,
                "samples.cfg": 4.5,
            },
        ),
        Architecture(
            id="lumina2",
            label="Lumina-Image 2",
            denoiser="Lumina2Transformer2DModel",
            flow=True,
            text_encoders=("Gemma 2",),
            resolution=1024,
            resolution_step=16,
            picture_step=16,
            vae="FLUX",
            latent_channels=16,
            block_counts={"train_block_indices": 26},
            defaults=_at(1024)
            | _CALM
            | {
                "objective.timestep_sampling": "nextdit_shift",
                "objective.flow_shift": 6.0,
                "model.max_tokens": 256,
                "model.system_prompt": LUMINA_SYSTEM_PROMPTS[0],
                "samples.steps": 30,
                "samples.cfg": 4.0,
            },
        ),
        Architecture(
            id="hunyuan_image",
            label="HunyuanImage-2.1",
            denoiser="HunyuanImageTransformer2DModel",
            flow=True,
            text_encoders=("Qwen2.5-VL", "ByT5"),
            resolution=1024,
            resolution_step=32,
            picture_step=32,
            vae="HunyuanImage",
            latent_channels=64,
            latent_scale=32,
            block_counts={"train_double_block_indices": 20, "train_single_block_indices": 40},
            defaults=_at(1024)
            | _CALM
            | {
                "objective.timestep_sampling": "sigma",
                "objective.flow_shift": 5.0,
                "samples.steps": 25,
                "samples.cfg": 3.5,
            },
        ),
        Architecture(
            id="anima",
            label="Anima",
            denoiser="CosmosTransformer3DModel",
            flow=True,
            text_encoders=("Qwen3",),
            resolution=1024,
            resolution_step=16,
            picture_step=16,
            vae="Qwen-Image",
            latent_channels=16,
            block_counts={"train_block_indices": 28},
            defaults=_at(1024)
            | _CALM
            | {
                "objective.timestep_sampling": "sigmoid",
                "objective.flow_shift": 1.0,
                "model.max_tokens": 512,
                "samples.steps": 30,
                "samples.cfg": 4.0,
            },
        ),
    )
}
