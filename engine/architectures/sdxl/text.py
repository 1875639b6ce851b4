"""The text side of SDXL: CLIP-L and OpenCLIP-G, joined, and the sizes that its U-Net is told.

Everything else is `engine.architectures.sd.model.SdModel`'s (spec: training-sd-flux 2).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.architectures.architecture import Text
from engine.architectures.fingerprint import fingerprint
from engine.architectures.text_encoders.clip_windows import (
    ClipTokenizer,
    encode_hidden,
    weigh,
    windows_of,
)

if TYPE_CHECKING:
    from engine.architectures.sd.model import TextOptions
    from engine.architectures.text_encoders.clip_load import Clip

ENCODING_VERSION = 1  # raise it when `SdxlText.encode` changes what it returns
LAYER = 2  # SDXL was trained with the layer before the last of both encoders


class SdxlText:
    """Two encoders; text is {"states": (b, tokens, 768 + 1280), "pooled": (b, 1280)}.

    States are the hidden ones before the last layer, without the final norm; the pooled vector is
    OpenCLIP-G's, projected. Weights in parentheses leave the pooled vector as it is.
    """

    def __init__(
        self,
        clip_l: Clip,
        clip_g: Clip,
        tokenizer_l: ClipTokenizer,
        tokenizer_g: ClipTokenizer,
        options: TextOptions,
    ) -> None:
        """Take the parts as they are; the tokenizers differ in what they pad with."""
        self.clip_l, self.clip_g = clip_l, clip_g
        self.tokenizer_l, self.tokenizer_g = tokenizer_l, tokenizer_g
        self.options = options
        self.encoders: Mapping[str, nn.Module] = {"text_encoder": clip_l, "text_encoder_2": clip_g}
        self._tokenizers = {"text_encoder": tokenizer_l, "text_encoder_2": tokenizer_g}

    def encode(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Captions → states and pooled vectors; gradients flow if grad mode is on."""
        weighted = self.options.weighted_captions
        return self._encode(captions, self.options.windows, weighted=weighted, keep_mean=False)

    def said_anew(
        self, text: Text, captions: Sequence[str], encoders: Collection[str]
    ) -> dict[str, Tensor]:
        """The text with what one encoder says, or both; CLIP-L's are the first of the states."""
        weighted, width = self.options.weighted_captions, self.clip_l.config.hidden_size
        states, pooled = list(text["states"].tensor_split([width], dim=-1)), text["pooled"]
        for i, role in enumerate(self.encoders):
            if role in encoders:
                states[i], own = self._of_one(
                    role, captions, self.options.windows, weighted, keep_mean=False
                )
                pooled = own if role == "text_encoder_2" else pooled
        return {"states": torch.cat(states, dim=-1), "pooled": pooled}

    def encode_prompts(self, prompts: Sequence[str]) -> list[dict[str, Tensor]]:
        """Prompts of one preview → an entry each, all of the longest one's length."""
        text = self._encode(prompts, None, weighted=True, keep_mean=True)
        return [{name: rows[i : i + 1] for name, rows in text.items()} for i in range(len(prompts))]

    def _encode(
        self, texts: Sequence[str], count: int | None, *, weighted: bool, keep_mean: bool
    ) -> dict[str, Tensor]:
        first, _ = self._of_one("text_encoder", texts, count, weighted, keep_mean)
        second, pooled = self._of_one("text_encoder_2", texts, count, weighted, keep_mean)
        return {"states": torch.cat([first, second], dim=-1), "pooled": pooled}

    def _of_one(
        self, role: str, texts: Sequence[str], count: int | None, weighted: bool, keep_mean: bool
    ) -> tuple[Tensor, Tensor]:
        """What one encoder says: its states, weighted, and its pooled vectors."""
        windows = windows_of(self._tokenizers[role], texts, count, weighted=weighted)
        output = encode_hidden(self.encoders[role], windows, -self._layer)
        return weigh(output.states, windows, keep_mean=keep_mean), output.pooled

    @property
    def _layer(self) -> int:
        return self.options.clip_skip or LAYER

    def identity(self) -> dict[str, Any]:
        """What decides the encoding of a caption; read off the weights."""
        return {
            "text_encoder": fingerprint(self.clip_l),
            "text_encoder_2": fingerprint(self.clip_g),
            "precision": str(self.clip_g.dtype),
            "vocabulary": len(self.tokenizer_l.tokenizer),
            "pads": [self.tokenizer_l.pad, self.tokenizer_g.pad],
            "max_tokens": self.options.max_tokens,
            "clip_skip": self._layer,
            "weighted": self.options.weighted_captions,
            "version": ENCODING_VERSION,
        }

    def conditions(self, text: Text, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """The U-Net's arguments: states, the pooled vector, and the sizes of `text["sizes"]`.

        The sizes (b, 6) stay float32: the embedding makes sines of them.
        """
        return {
            "encoder_hidden_states": text["states"].to(device, dtype),
            "added_cond_kwargs": {
                "text_embeds": text["pooled"].to(device, dtype),
                "time_ids": text["sizes"].to(device, torch.float32),
            },
        }
