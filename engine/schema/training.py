"""`[training]`: how long, how large a step, in which precision, and how it is measured."""

from __future__ import annotations

from typing import Literal

from engine.schema.architectures import FLOW
from engine.schema.field import When, option
from engine.schema.table import StepsOrShare, Table


class Training(Table):
    """Length, batch, precision, EMA, seeds and validation (spec: data-loop 4)."""

    epochs: int | None = option(
        None,
        "Epochs",
        "How often every picture is used (times its repeats). Empty: the number of steps decides; "
        "with neither it is 10.",
        ge=1,
        le=100000,
        basic=True,
        empty="10, unless steps",
        aliases=("max_train_epochs",),
    )
    steps: int | None = option(
        None,
        "Steps",
        "Total optimizer steps; used when epochs is empty. One step is one change of the adapter, "
        "whatever the accumulation.",
        ge=1,
        le=10_000_000,
        basic=True,
        empty="by epochs",
        aliases=("max_train_steps",),
    )
    batch_size: int = option(
        1,
        "Batch size",
        "Pictures in one pass. More is steadier and needs more memory.",
        ge=1,
        le=256,
        basic=True,
        aliases=("train_batch_size",),
    )
    gradient_accumulation: int = option(
        1,
        "Gradient accumulation",
        "Passes that make one step: the effect of a larger batch without its memory.",
        ge=1,
        le=1024,
        aliases=("gradient_accumulation_steps",),
    )
    loss_average: Literal["sample", "batch"] = option(
        "sample",
        "Every picture counts",
        "Equally within a step (sample), or equally within its batch (batch), as sd-scripts does.",
        choice_labels={"sample": "equally in a step", "batch": "equally in its batch"},
    )
    precision: Literal["auto", "bf16", "fp16", "fp32"] = option(
        "auto",
        "Precision",
        "Number format of the passes. bf16 is fast and safe on cards of 2020 and newer; fp16 for "
        "older ones; fp32 is slow and exact.",
        section="Precision and memory",
        basic=True,
        aliases=("mixed_precision",),
        choice_labels={"auto": "best for this device"},
    )
    adapter_precision: Literal["fp32", "bf16"] = option(
        "fp32",
        "Adapter trained as",
        "bf16 halves the adapter's memory, but small changes get lost unless the optimizer rounds "
        "stochastically.",
        section="Precision and memory",
        aliases=("full_bf16",),
    )
    gradient_checkpointing: bool = option(
        False,
        "Gradient checkpointing",
        "Computes parts of the forward pass twice instead of remembering them: a third slower, "
        "less than half the memory.",
        section="Precision and memory",
        basic=True,
    )
    offload_activations: bool = option(
        False,
        "Checkpoints in main memory",
        "What gradient checkpointing remembers waits in the computer's memory instead of the "
        "card's: up to 1 GB less, a sixth slower.",
        section="Precision and memory",
        aliases=("cpu_offload_checkpointing",),
        only_if=When("training.gradient_checkpointing", is_set=True),
    )
    blocks_to_swap: int | None = option(
        None,
        "Blocks to swap",
        "So many of the picture model's blocks wait in the computer's memory and come to the card "
        "one after the other. More blocks, less memory, slower steps.",
        ge=1,
        le=100,
        empty="none",
        section="Precision and memory",
        applies_to=FLOW,
        only_if=When("training.gradient_checkpointing", is_set=True),
    )
    compile: bool = option(
        False,
        "Compile",
        "Compile the model's repeated blocks with torch.compile: minutes at the start, faster "
        "steps after.",
        section="Precision and memory",
        aliases=("torch_compile",),
    )
    ema: float = option(
        0.0,
        "EMA decay",
        "Keep a running average of the adapter and save that: smoother results. 0.99–0.999 for "
        "runs of 1,000 steps and more; 0 is off.",
        ge=0,
        lt=1,
        section="Steadiness",
    )
    stop_text_encoder_after: StepsOrShare | None = option(
        None,
        "Stop text encoder after",
        "After this many steps, or this share of the run, the text encoder's adapter stays as it "
        "is.",
        empty="never",
        section="Steadiness",
        only_if=When("network.train", equals=("both",)),
    )
    seed: int = option(
        42,
        "Seed",
        "Start of all chance: the same seed gives the same run.",
        ge=0,
        lt=2**63,
        section="Steadiness",
    )
    deterministic: bool = option(
        False,
        "Bit-exact on the GPU",
        "Use only kernels that give the same bits each time; slower. On the CPU runs are bit-exact "
        "anyway.",
        section="Steadiness",
    )
    workers: int = option(
        2,
        "Loader processes",
        "Processes that prepare pictures while the model works. They change nothing in the result.",
        ge=0,
        le=64,
        section="Steadiness",
        aliases=("max_data_loader_n_workers",),
    )
    validate_every_steps: int | None = option(
        None,
        "Validate every (steps)",
        "Measure the held-out pictures every so many steps.",
        ge=1,
        empty="off",
        section="Validation",
        aliases=("validate_every_n_steps",),
    )
    validate_every_epochs: int | None = option(
        1,
        "Validate every (epochs)",
        "Measure the held-out pictures every so many epochs.",
        ge=1,
        empty="off",
        section="Validation",
        aliases=("validate_every_n_epochs",),
    )
    validation_timesteps: int = option(
        8,
        "Validation timesteps",
        "At how many fixed noise levels each held-out picture is measured: the same ones with the "
        "same noise every time.",
        ge=1,
        le=100,
        section="Validation",
    )
    validation_pictures: int | None = option(
        None,
        "Validation pictures at most",
        "Measure only this many of the held-out pictures.",
        ge=1,
        empty="all",
        section="Validation",
        aliases=("max_validation_steps",),
    )
