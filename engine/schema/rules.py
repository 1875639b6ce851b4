"""Rules between fields: each yields errors, in words, at the field that should change."""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.schema.architectures import ARCHITECTURES, CLIP, UNET, Architecture
from engine.schema.flow_rules import broken_sizes, broken_text_dropout
from engine.schema.job import Job
from engine.schema.launch_rules import broken_launch
from engine.schema.optimizers import FURTHER, NAMED, kind_of
from engine.schema.options import get_at, option_at, options
from engine.schema.place_rules import broken_places
from engine.schema.problem import Problem
from engine.schema.table import steps_of
from engine.schema.text_encoders import adapted_encoders, encoder_rate, live_encoders
from engine.schema.variant_rules import broken_variants

HIGHEST_RATE = 10.0


def broken_rules(job: Job) -> Iterator[Problem]:
    """Yield every broken rule of a job whose single values are valid."""
    architecture = ARCHITECTURES[job.model.architecture]
    yield from _needed(job)
    yield from _model(job, architecture)
    yield from _foreign_options(job, architecture)
    yield from _foreign_choices(job, architecture)
    yield from broken_places(job, architecture)
    yield from broken_variants(job, architecture)
    yield from _optimizer(job, architecture)
    yield from _schedule(job)
    yield from _dataset(job)
    yield from _objective(job)
    yield from broken_sizes(job, architecture)
    yield from broken_text_dropout(job, architecture)
    yield from _output(job)
    yield from broken_launch(job)


def _needed(job: Job) -> Iterator[Problem]:
    if not job.model.path.strip():
        yield Problem("model.path", "Choose a base model: a file, a diffusers folder or a hub id.")
    trained = [f for f in job.dataset.folders if f.enabled and f.role == "train"]
    if not trained:
        yield Problem("dataset.folders", "Choose a folder of pictures to learn from.")
    for i, folder in enumerate(job.dataset.folders):
        if not folder.path.strip():
            yield Problem(f"dataset.folders[{i}].path", "Choose a folder of pictures.")
        if folder.mask == "folder" and not folder.mask_folder:
            yield Problem(f"dataset.folders[{i}].mask_folder", "Choose the folder with the masks.")


CLIP_LENGTHS = (75, 150, 225)
"""Tokens of one, two and three of CLIP's windows."""

T5_LENGTH = 512
"""The most tokens that FLUX.1 and SD3 read from T5."""

LONGEST_CAPTION = {"lumina2": 296}
"""Tokens an architecture has places for; its own table of positions ends there."""

NOT_IN_FP16 = ("lumina2", "hunyuan_image", "anima")
"""Architectures whose numbers grow beyond what fp16 can hold (spec: training-dit 1.4)."""


def _model(job: Job, architecture: Architecture) -> Iterator[Problem]:
    for i, merge in enumerate(job.model.merge):
        if not merge.file.strip():
            words = "Choose the adapter file to merge, or take this line out."
            yield Problem(f"model.merge[{i}].file", words)
    tokens, longest = job.model.max_tokens, LONGEST_CAPTION.get(architecture.id)
    if architecture.id in UNET and tokens not in CLIP_LENGTHS:
        yield Problem(
            "model.max_tokens",
            f"{architecture.label} takes captions of 75, 150 or 225 tokens, not {tokens}.",
            fix=(("model.max_tokens", min((n for n in CLIP_LENGTHS if n >= tokens), default=225)),),
        )
    if longest is not None and tokens > longest:
        yield Problem(
            "model.max_tokens",
            f"{architecture.label} has places for {longest} tokens of text, not {tokens}.",
            fix=(("model.max_tokens", longest),),
            fix_label=f"Set {longest}",
        )
    if architecture.id in CLIP and (job.model.t5_max_tokens or 0) > T5_LENGTH:
        yield Problem(
            "model.t5_max_tokens",
            f"{architecture.label} was taught with at most {T5_LENGTH} tokens from T5, not "
            f"{job.model.t5_max_tokens}.",
            fix=(("model.t5_max_tokens", T5_LENGTH),),
            fix_label=f"Set {T5_LENGTH}",
        )
    if architecture.id in NOT_IN_FP16:
        for path in ("model.weights", "training.precision"):
            if get_at(job.model_dump(), path) == "fp16":
                yield Problem(
                    path,
                    f"{architecture.label} overflows in fp16 and learns nothing: use bf16, or fp32 "
                    "where the card has no bf16.",
                    fix=((path, "bf16"),),
                    fix_label="Use bf16",
                )


def _foreign_options(job: Job, architecture: Architecture) -> Iterator[Problem]:
    data = job.model_dump()
    for path, entry in options().items():
        if entry.applies(architecture.id) or "[]" in path or entry.kind == "table":
            continue
        if get_at(data, path) != entry.default:
            *owners, last = [a.label for a in ARCHITECTURES.values() if entry.applies(a.id)]
            named = f"{', '.join(owners)} and {last}" if owners else last
            words = f"it is there for {named} only"
            yield Problem(
                path,
                f"{entry.hints.label} is not an option of {architecture.label}: {words}.",
                fix=((path, entry.default),),
                fix_label="Remove it",
            )


def _foreign_choices(job: Job, architecture: Architecture) -> Iterator[Problem]:
    """Choices that the architecture lacks, such as training an encoder that stays as it is."""
    data = job.model_dump()
    for path, entry in options().items():
        had = entry.choices_of(architecture.id)
        value = None if had == entry.choices or "[]" in path else get_at(data, path)
        if value is None or value in had:
            continue
        words = [str(entry.hints.choice_labels.get(v, v)) for v in (value, *had)]
        yield Problem(
            path,
            f"{entry.label(architecture.id)}: {words[0]} is not there for {architecture.label}; "
            f"it has {' and '.join(words[1:])}.",
            fix=((path, had[0]),),
            fix_label=f"Set {words[1]}",
        )


def _optimizer(job: Job, architecture: Architecture) -> Iterator[Problem]:
    kind = kind_of(job.optimizer.name)
    if kind is None:
        import difflib

        near = difflib.get_close_matches(job.optimizer.name, (*NAMED, *FURTHER), n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else " AdamW is a good choice."
        fix = (("optimizer.name", near[0]),) if near else ()
        yield Problem(
            "optimizer.name", f"'{job.optimizer.name}' is not an optimizer.{hint}", fix=fix
        )
        return
    network, optimizer = job.network, job.optimizer
    if kind.single_lr:
        for key in (
            "loraplus_lr_ratio",
            "loraplus_unet_lr_ratio",
            "loraplus_text_encoder_lr_ratio",
        ):
            if getattr(network, key):
                yield Problem(
                    f"network.{key}",
                    f"LoRA+ cannot be used with {kind.name}: it needs one learning rate. Turn "
                    "LoRA+ off or choose AdamW.",
                    fix=((f"network.{key}", None),),
                    fix_label="Turn LoRA+ off",
                )
        for key in ("down_lr_weight", "mid_lr_weight", "up_lr_weight", "network_reg_lrs"):
            if getattr(network, key):
                label = option_at(f"network.{key}").hints.label
                yield Problem(
                    f"network.{key}",
                    f"{label} cannot be used with {kind.name}: it needs one learning rate. Clear "
                    "it or choose AdamW.",
                )
        # A part at rate 0 is not trained, and needs no rate.
        if len(_rates(job, architecture) - {0.0}) > 1:
            yield Problem(
                "optimizer.text_encoder_lr",
                f"{kind.name} needs one learning rate; those of the trained parts differ. Make "
                "them equal or choose AdamW.",
            )
    if kind.schedule_free and optimizer.schedule != "constant":
        yield Problem(
            "optimizer.schedule",
            f"{kind.name} has its schedule inside: choose constant.",
            fix=(("optimizer.schedule", "constant"),),
            fix_label="Choose constant",
        )
    if _rates(job, architecture) == {0.0}:
        yield Problem("optimizer.learning_rate", "With a learning rate of 0 nothing is learned.")
    yield from _text_encoder_rates(job, architecture)


def _rates(job: Job, architecture: Architecture) -> set[float]:
    """The learning rates of the trained parts."""
    optimizer, train = job.optimizer, job.network.train
    own: set[float | None] = set()
    if train != "text_encoder":
        own.add(optimizer.denoiser_lr)
    if train != "denoiser":
        own |= {encoder_rate(job, i) for i in adapted_encoders(job)}
    return {optimizer.learning_rate if rate is None else rate for rate in own}


def _text_encoder_rates(job: Job, architecture: Architecture) -> Iterator[Problem]:
    path, rates = "optimizer.text_encoder_lr", job.optimizer.text_encoder_lr or []
    encoders = architecture.text_encoders
    if not all(0 <= rate <= HIGHEST_RATE for rate in rates):
        yield Problem(path, f"A learning rate is a number from 0 to {HIGHEST_RATE:g}.")
    elif len(rates) > len(encoders):
        yield Problem(
            path,
            f"{len(rates)} learning rates, but {architecture.label} has "
            f"{len(encoders)} text encoder{'s' if len(encoders) > 1 else ''}: "
            f"{', '.join(encoders)}.",
            fix=((path, rates[: len(encoders)]),),
            fix_label="Keep the first",
        )


def _schedule(job: Job) -> Iterator[Problem]:
    for path in ("optimizer.warmup", "optimizer.decay", "training.stop_text_encoder_after"):
        value = get_at(job.model_dump(), path)
        if value is None:
            continue
        try:
            steps_of(value, 1000)
        except ValueError as error:
            label = option_at(path).hints.label
            words = (
                str(error)
                if "mean" in str(error) or "%" in str(error)
                else (f"{value!r} is neither steps, a share nor a percentage")
            )
            yield Problem(path, f"{label}: {words}.")
    if job.optimizer.schedule == "piecewise_constant":
        pattern = r"(\s*[\d.]+\s*:\s*\d+\s*,)*\s*[\d.]+\s*"
        if not re.fullmatch(pattern, job.optimizer.step_rules):
            yield Problem(
                "optimizer.step_rules",
                "Write factor:until step, and the last factor: 1:500,0.1:800,0.01.",
            )


def _trains_all_it_keeps(job: Job) -> bool:
    """Kept captions are of use only where an encoder is left alone: all of them, or some."""
    return len(live_encoders(job)) == len(ARCHITECTURES[job.model.architecture].text_encoders)


def _dataset(job: Job) -> Iterator[Problem]:
    dataset = job.dataset
    for item in dataset.resolution or [""]:
        match = re.fullmatch(r"\s*(\d+)\s*(?:[x×]\s*(\d+)\s*)?", item)
        sides = [int(s) for s in match.groups() if s] if match else []
        if not sides or not all(64 <= side <= 8192 for side in sides):
            yield Problem(
                "dataset.resolution",
                f"'{item}' is not a size: write 512 or 512x768, each side 64 to 8192.",
            )
            return
    if (
        dataset.buckets
        and dataset.bucket_max is not None
        and dataset.bucket_max < dataset.bucket_min
    ):
        yield Problem(
            "dataset.bucket_max",
            f"Longest side ({dataset.bucket_max}) is below the shortest ({dataset.bucket_min}).",
        )
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", dataset.background):
        yield Problem("dataset.background", "Write the color as #ffffff (red, green, blue).")
    if dataset.cache_text != "off" and _trains_all_it_keeps(job):
        yield Problem(
            "dataset.cache_text",
            "Kept captions would hide the text encoder's training. Train the picture model only, "
            "or do not keep captions.",
            fix=(("dataset.cache_text", "off"),),
            fix_label="Do not keep captions",
        )
    for i, folder in enumerate(dataset.folders):
        if folder.color_jitter > 0 and dataset.cache_latents != "off":
            yield Problem(
                f"dataset.folders[{i}].color_jitter",
                "Color jitter needs the pictures anew each time: set kept pictures to off.",
                fix=(("dataset.cache_latents", "off"),),
                fix_label="Do not keep encoded pictures",
            )
        if folder.random_crop and dataset.cache_latents != "off":
            yield Problem(
                f"dataset.folders[{i}].random_crop",
                "A random crop needs the pictures anew each time: set kept pictures to off.",
                fix=(("dataset.cache_latents", "off"),),
                fix_label="Do not keep encoded pictures",
            )
        if not folder.caption_extension.startswith("."):
            yield Problem(
                f"dataset.folders[{i}].caption_extension", "The ending begins with a dot: .txt"
            )
        if folder.tag_separator == "":
            yield Problem(f"dataset.folders[{i}].tag_separator", "Give the sign between tags.")


def _objective(job: Job) -> Iterator[Problem]:
    objective = job.objective
    low = objective.timestep_min or 0
    high = objective.timestep_max if objective.timestep_max is not None else 1000
    if low >= high:
        yield Problem(
            "objective.timestep_max",
            f"Highest timestep ({high}) must be above the lowest ({low}).",
        )
    if job.model.prediction == "epsilon":
        for key in ("zero_terminal_snr", "v_loss_like_noise"):
            if getattr(objective, key):
                label = option_at(f"objective.{key}").hints.label
                yield Problem(
                    f"objective.{key}",
                    f"{label} is for v-prediction models; this one predicts noise.",
                )
    if job.model.prediction == "v" and objective.v_like_loss:
        yield Problem("objective.v_like_loss", "Add v-like loss is for models that predict noise.")


def _output(job: Job) -> Iterator[Problem]:
    if re.search(r'[\\/:*?"<>|\x00-\x1f]', job.output.name) or job.output.name in (".", ".."):
        yield Problem("output.name", 'A file name cannot have any of \\ / : * ? " < > | in it.')
    for tracker in job.output.trackers:
        if tracker not in ("tensorboard", "wandb"):
            yield Problem("output.trackers", f"'{tracker}' is not one of tensorboard, wandb.")
    for i, prompt in enumerate(job.samples.prompts):
        if prompt.enabled and not prompt.prompt.strip():
            yield Problem(f"samples.prompts[{i}].prompt", "Write what the preview shows.")
