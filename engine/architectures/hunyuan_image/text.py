"""Captions for HunyuanImage-2.1: the language part of Qwen2.5-VL, and ByT5 for what is quoted.

Spec: training-dit 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

BEFORE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, "
    "quantity, text, spatial relationships of the objects and background:<|im_end|>\n"
    "<|im_start|>user\n"
)
AFTER = "<|im_end|>"
"""What the model was taught to read around a caption; the states of `BEFORE` are left out."""

MAX_TOKENS = 1024  # of a caption
MAX_GLYPHS = 128  # ByT5's ids of all that is in quotes
_QUOTES = (r'"(.*?)"', r"‘(.*?)’", r"“(.*?)”")


def glyph_text(caption: str) -> str | None:
    """What is to be written in the picture, in the words that ByT5 was trained on.

    Texts in straight double quotes come first, then those in curly single and double ones. A
    straight single quote is an apostrophe. None if nothing is quoted.
    """
    found = [text for pattern in _QUOTES for text in re.findall(pattern, caption)]
    return "".join(f'Text "{text}". ' for text in found) or None


@dataclass(frozen=True)
class HunyuanText:
    """The two encoders and their tokenizers.

    Attributes:
        encoder: transformers' Qwen2_5_VLTextModel without its last two layers and its norm.
        tokenizer: its Qwen2Tokenizer, padding on the right.
        glyph_encoder: transformers' T5EncoderModel.
        glyph_tokenizer: its ByT5Tokenizer.
    """

    encoder: nn.Module
    tokenizer: Any
    glyph_encoder: nn.Module
    glyph_tokenizer: Any

    @property
    def dropped(self) -> int:
        """How many tokens of `BEFORE` are left out: 34 with Qwen's vocabulary."""
        return len(self.tokenizer(BEFORE).input_ids)

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Encode captions, each with one token of text at least.

        Returns:
            states (b, L, width) of Qwen and glyphs (b, G, width) of ByT5, with masks (b, L) and
            (b, G), bool. Without any quotes G is 1, and masked.
        """
        states, mask = self._states(captions)
        glyphs, glyph_mask = self._glyphs([glyph_text(caption) for caption in captions])
        return {
            "states": states,
            "states_mask": mask,
            "glyphs": glyphs,
            "glyphs_mask": glyph_mask,
        }

    def _states(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        dropped = self.dropped
        batch = self.tokenizer(
            [BEFORE + caption + AFTER for caption in captions],
            padding=True,
            truncation=True,
            max_length=dropped + MAX_TOKENS,
            return_tensors="pt",
        )
        device = next(self.encoder.parameters()).device
        mask = batch.attention_mask.to(device)
        output = self.encoder(
            input_ids=batch.input_ids.to(device), attention_mask=mask, use_cache=False
        )
        return output.last_hidden_state[:, dropped:], mask[:, dropped:].bool()

    def _glyphs(self, texts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        """ByT5's states of the texts, zeros and masked where there is none."""
        weight = next(self.glyph_encoder.parameters())
        width = weight.shape[1]
        written = [i for i, text in enumerate(texts) if text is not None]
        if not written:
            mask = torch.zeros(len(texts), 1, dtype=torch.bool, device=weight.device)
            return weight.new_zeros(len(texts), 1, width), mask
        batch = self.glyph_tokenizer(
            [texts[i] for i in written],
            padding=True,
            truncation=True,
            max_length=MAX_GLYPHS,
            return_tensors="pt",
        )
        seen = batch.attention_mask.to(weight.device)
        # The mask as numbers: that is how the encoder was trained and is run everywhere.
        output = self.glyph_encoder(
            input_ids=batch.input_ids.to(weight.device), attention_mask=seen.float()
        )
        rows = output.last_hidden_state
        states = rows.new_zeros(len(texts), rows.shape[1], width)
        mask = torch.zeros(states.shape[:2], dtype=torch.bool, device=states.device)
        states[written], mask[written] = rows, seen.bool()
        return states, mask
