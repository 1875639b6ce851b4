"""T5 as a text encoder: loaded from whatever holds it, and how it is fed (spec: 1.4, 1.5, 2).

For FLUX.1 and SD3, which use the encoder half of T5-XXL 1.1. Widths are read off the tensors, so
smaller ones of the same build load too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import T5Config, T5EncoderModel

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.assemble import not_whole
from engine.architectures.loading.checkpoint import Checkpoint, open_checkpoint
from engine.architectures.loading.folder import locate
from engine.architectures.loading.resources import RESOURCES

T5_TOKENIZER = RESOURCES / "tokenizers" / "t5"
INSIDE = "text_encoders.t5xxl.transformer."
"""Where files that hold a whole model keep it."""

MEND = (
    "Give one under T5-XXL: t5xxl_fp16.safetensors or t5xxl_fp8_e4m3fn.safetensors, published as "
    "comfyanonymous/flux_text_encoders."
)
_FIRST = "encoder.block.0.layer.0."
_QUERY = f"{_FIRST}SelfAttention.q.weight"
_OTHERS = {
    "text_model.encoder.layers.0.mlp.fc1.weight": "a CLIP text encoder",
    "encoder.layers.0.mlp.fc1.weight": "a CLIP text encoder",
    "double_blocks.0.img_attn.qkv.weight": "FLUX's picture model",
    "decoder.conv_in.weight": "a VAE",
    "layers.0.self_attn.q_proj.weight": "a language model of another kind",
    "model.layers.0.self_attn.q_proj.weight": "a language model of another kind",
}


def load_t5(
    named: str | None,
    source: Path,
    checkpoint: Checkpoint | None,
    part: str,
    dtype: torch.dtype,
    *,
    offline: bool,
    field: str,
) -> T5EncoderModel:
    """Load the encoder in eval mode, without dropout.

    Args:
        named: the job's own file, folder or hub id of it, if there is one.
        source: the base model: its folder, or its file.
        checkpoint: that file, opened; None for a folder.
        part: the subfolder of a diffusers folder that holds it.
        dtype: of its weights; in fp16 the library keeps a few of them in fp32.
        offline: never use the network.
        field: the job's field of `named`.

    Raises:
        ModelProblem: if it is not there, broken, or another model.
    """
    if named:
        source = locate(named, offline=offline, field=field)
        if source.is_dir():
            inner = source / part
            return _from_folder(inner if inner.is_dir() else source, dtype, field)
        return _from_file(open_checkpoint(source, field), "", dtype, field)
    if checkpoint is not None:
        return _from_file(checkpoint, INSIDE, dtype, field)
    return _from_folder(source / part, dtype, field)


def load_t5_tokenizer(chosen: str | None, source: Path, part: str) -> Any:
    """The job's tokenizer folder, else the model's own (subfolder `part`), else the shipped one.

    Raises:
        ModelProblem: if the job's folder holds no tokenizer.
    """
    folder = Path(chosen).expanduser() if chosen else source / part
    if not chosen and not folder.is_dir():
        return _shipped_tokenizer()
    try:
        return _tokenizer_in(folder)
    except (OSError, ValueError) as error:
        raise ModelProblem(
            f"{folder} holds no tokenizer: {str(error).splitlines()[0]}",
            "Leave T5 tokenizer empty to use the usual one.",
            "model.tokenizer_2",
        ) from None


@lru_cache(maxsize=1)
def _shipped_tokenizer() -> Any:
    """Read once in a process: it takes a second, and nothing changes it."""
    return _tokenizer_in(T5_TOKENIZER)


def _tokenizer_in(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def encode_t5(
    encoder: T5EncoderModel,
    tokenizer: Any,
    captions: Sequence[str],
    max_tokens: int,
    *,
    masked: bool,
) -> tuple[Tensor, Tensor]:
    """Captions → states (b, max_tokens, width) and which of them are text (b, max_tokens), bool.

    Args:
        encoder: where it lies is where the states come out.
        tokenizer: of transformers; begins with nothing, ends with </s>, pads with 0.
        captions: longer ones are cut.
        max_tokens: the length all are padded to.
        masked: text does not see the padding.
    """
    batch = tokenizer(
        list(captions),
        padding="max_length",
        max_length=max_tokens,
        truncation=True,
        return_tensors="pt",
    )
    mask = batch.attention_mask.to(encoder.device)
    output = encoder(
        input_ids=batch.input_ids.to(encoder.device), attention_mask=mask if masked else None
    )
    return output.last_hidden_state, mask.bool()


def _from_folder(folder: Path, dtype: torch.dtype, field: str) -> T5EncoderModel:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelProblem(f"{folder} holds no T5 text encoder.", MEND, field)
    kind = json.loads(path.read_text("utf-8")).get("model_type")
    if kind != "t5":
        raise ModelProblem(f"The text encoder in {folder} is {kind}, not T5.", MEND, field)
    config = T5Config.from_pretrained(str(folder))
    config.dropout_rate = 0.0
    try:
        model, info = T5EncoderModel.from_pretrained(
            str(folder), config=config, dtype=dtype, local_files_only=True,
            output_loading_info=True,
        )  # pyright: ignore[reportGeneralTypeIssues]  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelProblem(
            f"{folder} could not be loaded: {str(error).splitlines()[0]}",
            "Download the folder again, or choose another one.",
            field,
        ) from None
    if info["missing_keys"]:
        raise ModelProblem(f"The T5 in {folder} is not whole.", "Download it again.", field)
    return model.eval()


def _from_file(
    checkpoint: Checkpoint, prefix: str, dtype: torch.dtype, field: str
) -> T5EncoderModel:
    names = _names_of_t5(checkpoint, prefix)
    if _QUERY not in names.values():
        found = next((what for name, what in _OTHERS.items() if name in checkpoint.shapes), "")
        words = f"This is {found}, no T5" if found and not prefix else "It holds no T5"
        raise ModelProblem(f"{checkpoint.path.name}: {words} text encoder.", MEND, field)
    shapes = {given: checkpoint.shapes[stored] for stored, given in names.items()}
    try:
        config = _config_of(shapes)
    except KeyError as missing:
        raise not_whole(checkpoint, "T5", missing.args) from None
    model, info = T5EncoderModel.from_pretrained(
        None, config=config, state_dict=checkpoint.read(names, dtype), dtype=dtype,
        output_loading_info=True,
    )  # pyright: ignore[reportGeneralTypeIssues]  # fmt: skip
    wrong = [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]
    if wrong:
        problem = not_whole(checkpoint, "T5", map(str, wrong))
        raise ModelProblem(problem.message, problem.mend, field)
    return model.eval()


def _names_of_t5(checkpoint: Checkpoint, prefix: str) -> dict[str, str]:
    """{name in the file: name in the model}, of the encoder alone."""
    below = checkpoint.below(prefix)
    if not prefix and _QUERY not in below:
        below = checkpoint.below("transformer.")
    names = {s: g for s, g in below.items() if g.startswith(("encoder.", "shared."))}
    if "shared.weight" in names.values():  # the same table, written twice
        names = {s: g for s, g in names.items() if g != "encoder.embed_tokens.weight"}
    return names


def _config_of(shapes: Mapping[str, tuple[int, ...]]) -> T5Config:
    """The configuration of T5 1.1 with the file's own widths."""
    table = shapes.get("shared.weight") or shapes["encoder.embed_tokens.weight"]
    heads = shapes[f"{_FIRST}SelfAttention.relative_attention_bias.weight"]
    layers = {int(name.split(".")[2]) for name in shapes if name.startswith("encoder.block.")}
    return T5Config(
        vocab_size=table[0],
        d_model=table[1],
        d_kv=shapes[_QUERY][0] // heads[1],
        d_ff=shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0],
        num_layers=max(layers) + 1,
        num_heads=heads[1],
        relative_attention_num_buckets=heads[0],
        relative_attention_max_distance=128,
        dropout_rate=0.0,
        layer_norm_epsilon=1e-6,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        tie_word_embeddings=False,  # pyright: ignore[reportCallIssue]
    )
