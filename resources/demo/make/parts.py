"""The demo's denoiser and text encoder: SD 1.x's structure at toy width, and how they are fed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from resources.demo.make.tokenizer import END, LENGTH, START

TEXT_WIDTH = 128


@dataclass(slots=True)
class Parts:
    """What is trained together: `text` and `unet`, and the tokenizer that feeds them."""

    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    unet: UNet2DConditionModel

    def modules(self) -> nn.ModuleDict:
        """Both nets under one roof, for one optimizer, one state, one average."""
        return nn.ModuleDict({"text": self.text, "unet": self.unet})

    def tokens(self, captions: list[str], length: int = LENGTH) -> Tensor:
        """Token numbers (n, length), padded with the end token as in SD 1.x."""
        encoded = self.tokenizer(
            captions, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        return encoded.input_ids


def new_scheduler() -> DDIMScheduler:
    """SD 1.x's noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def new_unet(widths: tuple[int, ...] = (32, 64, 96, 96)) -> UNet2DConditionModel:
    """All 25 blocks of SD 1.x at 16x16 latents; attention_head_dim is its count of heads."""
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=widths,
        layers_per_block=2,
        attention_head_dim=2,
        norm_num_groups=16,
        cross_attention_dim=TEXT_WIDTH,
    )
    # On a CPU the flash kernel's backward in bf16 costs a third of the step; plain products do not.
    unet.set_attn_processor(AttnProcessor())
    return unet


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """CLIP's text encoder, two layers of width 128."""
    vocabulary = tokenizer.get_vocab()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        hidden_act="quick_gelu",
        projection_dim=TEXT_WIDTH,
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[END],
    )
    return CLIPTextModel(config)


def new_parts(tokenizer: CLIPTokenizer, seed: int) -> Parts:
    """Fresh nets, the same for the same seed."""
    torch.manual_seed(seed)
    return Parts(tokenizer, new_text_encoder(tokenizer), new_unet())
