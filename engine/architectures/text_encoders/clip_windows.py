"""Captions to CLIP's token windows and back to one row of states (spec: training-sd-flux 2).

A window is 77 ids: begin, 75 of the caption, end. Longer captions take several windows, whose
states are joined to 75·windows + 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

WINDOW = 75
DEFAULT_PAD = "<|endoftext|>"


@dataclass(frozen=True)
class ClipTokenizer:
    """The library's tokenizer with the ids that frame a window."""

    tokenizer: Any  # transformers.CLIPTokenizer
    begin: int
    end: int
    pad: int

    def ids(self, text: str) -> list[int]:
        """The ids of a text, unframed and uncut."""
        return self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids

    def padded_with(self, token: str) -> ClipTokenizer:
        """The same tokenizer with another token behind short captions."""
        return replace(self, pad=self.tokenizer.convert_tokens_to_ids(token))


@dataclass(frozen=True)
class Windows:
    """Captions as ids (b, windows, 77) with a weight for each (b, windows, 77)."""

    ids: Tensor
    weights: Tensor


def load_tokenizer(folder: Path) -> ClipTokenizer:
    """Load vocab.json and merges.txt of a folder, or its tokenizer.json.

    The pad token is kept apart: SD 2.x pads with "!", and a tokenizer told so would read every "!"
    of a caption as padding.
    """
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(
        str(folder), model_max_length=WINDOW + 2, pad_token=DEFAULT_PAD, local_files_only=True
    )
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    if not isinstance(begin, int) or not isinstance(end, int):
        raise ValueError(f"the tokenizer in {folder} has no begin and end token")
    pad = tokenizer.convert_tokens_to_ids(_pad_token(folder))
    return ClipTokenizer(tokenizer, begin, end, pad if isinstance(pad, int) else end)


def _pad_token(folder: Path) -> str:
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            pad = json.loads(path.read_text("utf-8")).get("pad_token")
            if pad is not None:
                return pad["content"] if isinstance(pad, dict) else pad
    return DEFAULT_PAD


def windows_of(
    tokenizer: ClipTokenizer, texts: Sequence[str], count: int | None, *, weighted: bool
) -> Windows:
    """Cut texts into `count` windows each; None: as many as the longest one needs.

    With `weighted`, parentheses give weights and are not part of the text.
    """
    rows = [_weighted_ids(tokenizer, text) if weighted else _ids(tokenizer, text) for text in texts]
    if count is None:
        count = max(1, *(-(-len(ids) // WINDOW) for ids, _ in rows))
    framed = [_frame(tokenizer, ids, weights, count) for ids, weights in rows]
    return Windows(torch.tensor([f[0] for f in framed]), torch.tensor([f[1] for f in framed]))


def _ids(tokenizer: ClipTokenizer, text: str) -> tuple[list[int], list[float]]:
    ids = tokenizer.ids(text)
    return ids, [1.0] * len(ids)


def _weighted_ids(tokenizer: ClipTokenizer, text: str) -> tuple[list[int], list[float]]:
    ids: list[int] = []
    weights: list[float] = []
    for piece, weight in weighted_pieces(text):
        new = tokenizer.ids(piece)
        ids += new
        weights += [weight] * len(new)
    return ids, weights


def _frame(
    tokenizer: ClipTokenizer, ids: list[int], weights: list[float], count: int
) -> tuple[list[list[int]], list[list[float]]]:
    """Lay ids out in `count` windows; padding and frames weigh 1."""
    room = WINDOW * count
    body = [*ids[:room], tokenizer.end]
    body += [tokenizer.pad] * (room + 1 - len(body))
    body_weights = weights[:room] + [1.0] * (room - min(len(weights), room))
    last = body[room]
    windows = []
    for start in range(0, room, WINDOW):
        part = body[start : start + WINDOW]
        close = last
        if tokenizer.pad != tokenizer.end:
            if part[-1] not in (tokenizer.end, tokenizer.pad):
                close = tokenizer.end
            if part[0] == tokenizer.pad:
                part = [tokenizer.end, *part[1:]]
        windows.append([tokenizer.begin, *part, close])
    weight_windows = [
        [1.0, *body_weights[start : start + WINDOW], 1.0] for start in range(0, room, WINDOW)
    ]
    return windows, weight_windows


def encode_windows(
    encoder: nn.Module,
    windows: Windows,
    clip_skip: int | None,
    *,
    use_weights: bool,
    keep_mean: bool,
) -> Tensor:
    """Run SD's encoder over all windows and join them: (b, 75·windows + 2, width).

    Args:
        encoder: transformers' CLIPTextModel.
        windows: ids and weights.
        clip_skip: None or 1 for the last layer, k for the k-th from the end under the final norm.
        use_weights: multiply every token's state by its weight.
        keep_mean: then bring each caption's states back to the mean they had.
    """
    output, shape = _run(encoder, windows, hidden=clip_skip is not None and clip_skip > 1)
    states = output.last_hidden_state
    if clip_skip is not None and clip_skip > 1:
        states = encoder.final_layer_norm(output.hidden_states[-clip_skip])  # pyright: ignore[reportCallIssue]
    joined = _join(states.reshape(*shape, -1))
    return weigh(joined, windows, keep_mean=keep_mean) if use_weights else joined


@dataclass(frozen=True)
class ClipOutput:
    """A layer's states (b, 75·windows + 2, width), and the pooled vector (b, width)."""

    states: Tensor
    pooled: Tensor


def encode_hidden(
    encoder: nn.Module, windows: Windows, layer: int = -2, *, mask_padding: bool = False
) -> ClipOutput:
    """Run an encoder over all windows; take a layer's states without the final norm.

    Args:
        encoder: transformers' CLIPTextModel, whose pooled vector is not projected, or
            CLIPTextModelWithProjection, whose is.
        windows: ids and weights; the weights are not used (see `weigh`).
        layer: index into the hidden states: -2 is the layer before the last.
        mask_padding: no token sees what is behind the end of its caption.

    Returns:
        The states of all windows joined, and the pooled vector of the first window.
    """
    output, (b, count, length) = _run(encoder, windows, hidden=True, mask_padding=mask_padding)
    pooled = output.text_embeds if "text_embeds" in output else output.pooler_output
    states = output.hidden_states[layer].reshape(b, count, length, -1)
    return ClipOutput(_join(states), pooled.reshape(b, count, -1)[:, 0])


def _run(
    encoder: nn.Module, windows: Windows, *, hidden: bool, mask_padding: bool = False
) -> tuple[Any, torch.Size]:
    device = next(encoder.parameters()).device
    ids = windows.ids.flatten(0, 1).to(device)
    mask = _before_padding(ids) if mask_padding else None
    output = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=hidden)
    return output, windows.ids.shape


def _before_padding(ids: Tensor) -> Tensor:
    """1 up to and with the first end token of each row (its highest id), 0 behind it."""
    ends = ids == ids.max(dim=1, keepdim=True).values
    return (ends.cumsum(dim=1) - ends.long() == 0).long()


def weigh(states: Tensor, windows: Windows, *, keep_mean: bool) -> Tensor:
    """Multiply joined states by their tokens' weights.

    With `keep_mean`, each caption's states are then brought back to the mean they had.
    """
    if bool((windows.weights == 1).all()):
        return states
    weighted = states * _join(windows.weights[..., None].to(states))
    if keep_mean:
        before = states.float().mean(dim=(1, 2), keepdim=True)
        after = weighted.float().mean(dim=(1, 2), keepdim=True)
        weighted = weighted * (before / after).to(weighted)
    return weighted


def _join(windows: Tensor) -> Tensor:
    """(b, windows, 77, d) → (b, 75·windows + 2, d): one begin, all bodies, the last close."""
    bodies = windows[:, :, 1:-1].flatten(1, 2)
    return torch.cat([windows[:, 0, :1], bodies, windows[:, -1, -1:]], dim=1)


_SIGNS = re.compile(r"\\[\\()\[\]]|:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*\)|[()\[\]]|[^\\()\[\]:]+|[\\:]")
STRONGER, WEAKER = 1.1, 1 / 1.1


def weighted_pieces(text: str) -> list[tuple[str, float]]:
    r"""Split a prompt at its weights: `(a)` ×1.1, `[a]` ÷1.1, `(a:1.5)`, `\(` is a bracket.

    Brackets that are never closed count to the end; a closing one without an opening is text.
    """
    pieces: list[tuple[str, float]] = []
    round_open: list[int] = []  # index of the first piece inside each open bracket
    square_open: list[int] = []

    def weigh(start: int, factor: float) -> None:
        pieces[start:] = [(piece, weight * factor) for piece, weight in pieces[start:]]

    for sign in _SIGNS.findall(text):
        if sign[0] == "\\" and len(sign) == 2:
            pieces.append((sign[1], 1.0))
        elif sign == "(":
            round_open.append(len(pieces))
        elif sign == "[":
            square_open.append(len(pieces))
        elif sign == ")" and round_open:
            weigh(round_open.pop(), STRONGER)
        elif sign == "]" and square_open:
            weigh(square_open.pop(), WEAKER)
        elif sign[0] == ":" and sign[-1] == ")" and round_open:
            weigh(round_open.pop(), float(sign[1:-1]))
        else:
            pieces.append((sign, 1.0))
    for start in round_open:
        weigh(start, STRONGER)
    for start in square_open:
        weigh(start, WEAKER)
    return _merged(pieces)


def without_weights(prompts: Sequence[str]) -> list[str]:
    """Prompts for an encoder that knows no weights: the words without their brackets."""
    return ["".join(piece for piece, _ in weighted_pieces(prompt)) for prompt in prompts]


def _merged(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Join neighbors of equal weight, so that words are not cut where nothing changes."""
    merged: list[tuple[str, float]] = []
    for piece, weight in pieces:
        if merged and merged[-1][1] == weight:
            merged[-1] = merged[-1][0] + piece, weight
        else:
            merged.append((piece, weight))
    return merged
