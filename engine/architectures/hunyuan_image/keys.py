"""Checkpoints of HunyuanImage-2.1 to the names of diffusers' classes (spec: training-dit 3.2).

The denoiser's file comes in three spellings, which may even be mixed: fused as sd-scripts reads it
(`img_attn_qkv`), split (`img_attn_q`), and ComfyUI's, named like FLUX (`img_attn.qkv`). One layer
of a file may be several of the library's, one below the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

Targets = tuple[str, ...]

_SWAPPED = "norm_out.linear"
"""Stored as (shift, scale) in the original, and as (scale, shift) in the library."""


def _embedder(theirs: str, ours: str) -> dict[str, str]:
    """The two layers of an embedder, which every spelling names in its own way."""
    spelled = (("mlp.0", "mlp.2"), ("linear_1", "linear_2"), ("in_layer", "out_layer"))
    first = {f"{theirs}.{name}": f"{ours}.linear_1" for name, _ in spelled}
    second = {f"{theirs}.{name}": f"{ours}.linear_2" for _, name in spelled}
    return first | second


_TOP: dict[str, str] = {
    "img_in.proj": "x_embedder.proj",
    "byt5_in.layernorm": "context_embedder_2.norm",
    "byt5_in.fc1": "context_embedder_2.linear_1",
    "byt5_in.fc2": "context_embedder_2.linear_2",
    "byt5_in.fc3": "context_embedder_2.linear_3",
    "txt_in.input_embedder": "context_embedder.proj_in",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": _SWAPPED,
    **_embedder("time_in", "time_guidance_embed.timestep_embedder"),
    **_embedder("txt_in.t_embedder", "context_embedder.time_text_embed.timestep_embedder"),
    **_embedder("txt_in.c_embedder", "context_embedder.time_text_embed.text_embedder"),
}


def _layers(*spelled: tuple[str, str | Targets]) -> dict[str, Targets]:
    """A table from lines of alternative names, separated by blanks, and what they become."""
    table: dict[str, Targets] = {}
    for names, targets in spelled:
        for name in names.split():
            table[name] = (targets,) if isinstance(targets, str) else targets
    return table


def _stream(
    name: str, norm: str, qkv: Targets, out: str, ff: str, qk_norm: str
) -> dict[str, Targets]:
    """One of the two streams of a double block."""
    query, key, value = (f"attn.{part}" for part in qkv)
    return _layers(
        (f"{name}_mod.linear {name}_mod.lin", f"{norm}.linear"),
        (f"{name}_attn_qkv {name}_attn.qkv", (query, key, value)),
        (f"{name}_attn_q", query),
        (f"{name}_attn_k", key),
        (f"{name}_attn_v", value),
        (f"{name}_attn_q_norm {name}_attn.norm.query_norm", f"attn.{qk_norm}_q"),
        (f"{name}_attn_k_norm {name}_attn.norm.key_norm", f"attn.{qk_norm}_k"),
        (f"{name}_attn_proj {name}_attn.proj", f"attn.{out}"),
        (f"{name}_mlp.fc1 {name}_mlp.0", f"{ff}.net.0.proj"),
        (f"{name}_mlp.fc2 {name}_mlp.2", f"{ff}.net.2"),
    )


_DOUBLE = {
    **_stream("img", "norm1", ("to_q", "to_k", "to_v"), "to_out.0", "ff", "norm"),
    **_stream(
        "txt", "norm1_context", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out",
        "ff_context", "norm_added",
    ),
}  # fmt: skip
_SINGLE = _layers(
    ("linear1", ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")),
    ("linear1_q", "attn.to_q"),
    ("linear1_k", "attn.to_k"),
    ("linear1_v", "attn.to_v"),
    ("linear1_mlp", "proj_mlp"),
    ("linear2 linear2.fc", "proj_out"),
    ("q_norm norm.query_norm", "attn.norm_q"),
    ("k_norm norm.key_norm", "attn.norm_k"),
    ("modulation.linear modulation.lin", "norm.linear"),
)
_REFINER = _layers(
    ("norm1", "norm1"),
    ("norm2", "norm2"),
    ("self_attn_qkv self_attn.qkv", ("attn.to_q", "attn.to_k", "attn.to_v")),
    ("self_attn_proj self_attn.proj", "attn.to_out.0"),
    ("mlp.fc1 mlp.0", "ff.net.0.proj"),
    ("mlp.fc2 mlp.2", "ff.net.2"),
    ("adaLN_modulation.1", "norm_out.linear"),
)
_LISTS = {
    "double_blocks": ("transformer_blocks", _DOUBLE),
    "single_blocks": ("single_transformer_blocks", _SINGLE),
    "txt_in.individual_token_refiner.blocks": (
        "context_embedder.token_refiner.refiner_blocks", _REFINER,
    ),
}  # fmt: skip
_BLOCK = re.compile(rf"({'|'.join(map(re.escape, _LISTS))})\.(\d+)\.(.+)")


def denoiser_names(name: str) -> Targets:
    """The library's names for a tensor of a file; its own where it is not known.

    >>> denoiser_names("double_blocks.3.img_attn.norm.key_norm.scale")
    ('transformer_blocks.3.attn.norm_k.weight',)
    """
    layer, _, kind = name.rpartition(".")
    kind = "weight" if kind == "scale" else kind
    if layer in _TOP:
        return (f"{_TOP[layer]}.{kind}",)
    block = _BLOCK.fullmatch(layer)
    if block is None:
        return (name,)
    here, layers = _LISTS[block[1]]
    targets = layers.get(block[3])
    return (name,) if targets is None else tuple(f"{here}.{block[2]}.{t}.{kind}" for t in targets)


def convert_denoiser(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give a denoiser's tensors, in any spelling, the names and places of the library's class.

    Parts of a fused layer are views into it: nothing is copied but the last modulation.
    """
    original = any(name.startswith("double_blocks.") for name in tensors)
    width = next((len(t) for n, t in tensors.items() if n.endswith("img_in.proj.weight")), 0)
    converted: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        targets = denoiser_names(name)
        first, *others = targets
        if others:
            # All but the last are as wide as a token; the last takes what is left.
            sizes = [width] * len(others)
            parts = tensor.split([*sizes, len(tensor) - sum(sizes)])
        elif original and first.startswith(f"{_SWAPPED}."):
            parts = (_swapped(tensor),)
        else:
            parts = (tensor,)
        converted.update(zip(targets, parts, strict=True))
    return converted


def _swapped(tensor: Tensor) -> Tensor:
    """The two halves of the rows in the other order."""
    return tensor.roll(len(tensor) // 2, dims=0)


# The VAE

_VAE_MIDDLE = {
    "block_1": "resnets.0",
    "block_2": "resnets.1",
    "attn_1": "attentions.0",
}
_VAE_ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "proj"}
_VAE_LEVEL = re.compile(
    r"(encoder|decoder)\.(?:down|up)\.(\d+)\.(?:block\.(\d+)|(?:down|up)sample)"
)


def vae_name(name: str, resnets: int) -> str:
    """The library's name of a VAE's tensor; `resnets` is how many a level of the encoder has.

    >>> vae_name("decoder.up.1.block.2.nin_shortcut.weight", 2)
    'decoder.up_blocks.6.conv_shortcut.weight'
    """
    level = _VAE_LEVEL.match(name)
    if level:
        depth = resnets if level[1] == "encoder" else resnets + 1
        number = int(level[2]) * (depth + 1) + (depth if level[3] is None else int(level[3]))
        blocks = "down_blocks" if level[1] == "encoder" else "up_blocks"
        rest = name[level.end() :].replace(".nin_shortcut.", ".conv_shortcut.")
        return f"{level[1]}.{blocks}.{number}{rest}"
    middle = re.fullmatch(r"(encoder|decoder)\.mid\.(\w+)\.(.+)", name)
    if middle and middle[2] in _VAE_MIDDLE:
        layer, _, kind = middle[3].rpartition(".")
        inner = f"{_VAE_ATTENTION.get(layer, layer)}.{kind}"
        return f"{middle[1]}.mid_block.{_VAE_MIDDLE[middle[2]]}.{inner}"
    return name


def convert_vae(tensors: Mapping[str, Tensor], resnets: int) -> dict[str, Tensor]:
    """Give a VAE's tensors the library's names.

    Tencent's own file keeps the pictures' convolutions as those of a video of one frame.
    """
    return {
        vae_name(name, resnets): tensor.squeeze(2) if tensor.dim() == 5 else tensor
        for name, tensor in tensors.items()
    }
