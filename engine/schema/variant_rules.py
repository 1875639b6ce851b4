"""Rules for the kinds of adapters: what does not go together, told before anything loads."""

from __future__ import annotations

from collections.abc import Iterator

from engine.schema.architectures import UNET, Architecture
from engine.schema.job import Job
from engine.schema.network import Network
from engine.schema.network_variants import FUSED
from engine.schema.options import option_at
from engine.schema.problem import Problem

PACKED = ("int8", "fp8_scaled", "fp8", "nf4")
_LORAPLUS = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
_DROPOUTS = ("dropout", "rank_dropout", "module_dropout")


def broken_variants(job: Job, architecture: Architecture) -> Iterator[Problem]:
    """Yield what is wrong among `network.kind` and the variants (spec: networks 4.7, 4.8, 5–7)."""
    network = job.network
    if network.kind == "dylora":
        yield from _dylora(job)
    if network.kind == "lora_fa":
        for key in _LORAPLUS:
            if getattr(network, key) is not None:
                yield _off(
                    key, None, "LoRA+ needs two trained matrices; LoRA-FA trains one. Turn LoRA+ "
                    "off, or choose LoRA.",
                )  # fmt: skip
    if network.dora_wd:
        yield from _dora(job, architecture)
    if (
        network.use_tucker
        and network.conv_dim is None
        and network.conv_block_dims is None
        and not network.rank_from_file
    ):
        yield _off(
            "use_tucker", False, "Tucker convolutions need adapted convolutions: give a 3×3 conv "
            "rank too.",
        )  # fmt: skip
    if network.train_norm and network.train == "text_encoder":
        yield _off(
            "train_norm", False, "Norm layers are trained in the picture model, and this job "
            "trains the text encoder alone.",
        )  # fmt: skip
    yield from _ggpo(network)


def _dylora(job: Job) -> Iterator[Problem]:
    network = job.network
    if network.rank % network.unit:
        yield Problem(
            "network.unit",
            f"Rank {network.rank} is not a multiple of {network.unit} directions at a time.",
        )
    if network.conv_dim is not None and network.conv_dim != network.rank:
        yield Problem(
            "network.conv_dim",
            f"DyLoRA needs one rank everywhere: 3×3 conv rank {network.conv_dim} is not rank "
            f"{network.rank}.",
            fix=(("network.conv_dim", network.rank),),
            fix_label=f"Set it to {network.rank}",
        )
    for key in ("block_dims", "conv_block_dims"):
        for dim in getattr(network, key) or ():
            if dim % network.unit:
                label = option_at(f"network.{key}").hints.label
                yield Problem(
                    f"network.{key}",
                    f"{label}: {dim} is not a multiple of {network.unit} directions at a time.",
                )
                break
    for key in _DROPOUTS:
        if getattr(network, key):
            label = option_at(f"network.{key}").hints.label
            yield _off(
                key, 0.0, f"{label} does not go with DyLoRA, which leaves directions out in its "
                "own way. Set it to 0.",
            )  # fmt: skip
    for key, words in (("use_tucker", "Tucker convolutions"), ("split_qkv", "Split q, k and v")):
        if getattr(network, key):
            yield _off(key, False, f"{words} do not go with DyLoRA, which needs one plain rank.")
    if job.training.compile:
        yield Problem(
            "training.compile",
            "DyLoRA's gradients go through views that torch.compile does not keep. Turn compile "
            "off, or choose LoRA.",
            fix=(("training.compile", False),),
            fix_label="Turn it off",
        )


def _dora(job: Job, architecture: Architecture) -> Iterator[Problem]:
    if job.network.wd_on_output:
        return
    fix = (("network.wd_on_output", True),)
    if architecture.id in FUSED or architecture.id not in UNET:
        yield Problem(
            "network.wd_on_output",
            f"DoRA by input is for U-Nets: {architecture.label} keeps q, k and v as one layer in "
            "files and apart in the model, and a norm over inputs needs all of it.",
            fix=fix,
            fix_label="By output",
        )
    elif job.model.weights in PACKED or job.model.text_encoder_weights in PACKED:
        yield Problem(
            "network.wd_on_output",
            "DoRA by input needs the base model's weights in 16 or 32 bits; by output it works "
            "over packed ones too.",
            fix=fix,
            fix_label="By output",
        )


def _ggpo(network: Network) -> Iterator[Problem]:
    sigma, beta = network.ggpo_sigma, network.ggpo_beta
    if (sigma is None) != (beta is None):
        missing = "ggpo_sigma" if sigma is None else "ggpo_beta"
        usual = 0.03 if sigma is None else 0.01
        yield Problem(
            f"network.{missing}",
            f"GGPO needs sigma and beta: give {option_at(f'network.{missing}').hints.label} too.",
            fix=((f"network.{missing}", usual),),
            fix_label=f"Set it to {usual}",
        )
    if sigma is None or beta is None:
        return
    apart = {
        "split_qkv": "split q, k and v",
        "use_tucker": "Tucker convolutions",
        "use_scalar": "a trained strength",
    }
    for key, words in apart.items():
        if getattr(network, key):
            yield _off(key, False, f"GGPO does not go with {words}.")
    if network.kind == "dylora":
        yield Problem(
            "network.ggpo_sigma",
            "GGPO does not go with DyLoRA.",
            fix=(("network.ggpo_sigma", None), ("network.ggpo_beta", None)),
            fix_label="Turn GGPO off",
        )


def _off(key: str, value: object, words: str) -> Problem:
    path = f"network.{key}"
    return Problem(path, words, fix=((path, value),), fix_label="Turn it off")
