"""`[dataset]`: pictures, buckets and caches."""

from __future__ import annotations

from typing import Literal

from engine.schema.architectures import UNET
from engine.schema.dataset_folder import Folder
from engine.schema.field import When, option
from engine.schema.table import ResolutionList, Table

_BUCKETS = When("dataset.buckets", equals=(True,))


class Dataset(Table):
    """Everything that all folders share: sizes, buckets, caches, held-out pictures."""

    folders: list[Folder] = option(
        list,
        "Folders",
        "The folders of pictures to learn from.",
        basic=True,
    )
    resolution: ResolutionList = option(
        lambda: ["512"],
        "Resolution",
        "Size to train at. One number is the side of a square; its area is what counts, other "
        "shapes get the same number of pixels. 512x768 is an area too; several numbers train every "
        "picture at each of them.",
        unit="px",
        basic=True,
    )
    trigger_word: str = option(
        "",
        "Trigger word",
        "A word that will call what is learned. It replaces [trigger] in captions and is put in "
        "front where it is missing.",
        basic=True,
    )
    validation_share: float = option(
        0.0,
        "Held-out share",
        "Part of the pictures that is never trained on, to measure with. 0.1–0.2 of 20 pictures or "
        "more is useful.",
        ge=0,
        lt=1,
        basic=True,
        aliases=("validation_split",),
    )
    validation_seed: int | None = option(
        None,
        "Held-out draw",
        "Which pictures are held out; another number draws others.",
        ge=0,
        empty="the run's seed",
    )
    buckets: bool = option(
        True,
        "Aspect-ratio buckets",
        "Train pictures in their own shape, grouped by similar ones, instead of cutting all of "
        "them to one shape.",
        section="Buckets",
        aliases=("enable_bucket",),
    )
    bucket_min: int = option(
        256,
        "Shortest side",
        "No bucket has a side below this.",
        ge=32,
        le=8192,
        unit="px",
        section="Buckets",
        aliases=("min_bucket_reso",),
        only_if=_BUCKETS,
    )
    bucket_max: int | None = option(
        None,
        "Longest side",
        "No bucket has a side above this.",
        ge=64,
        le=16384,
        unit="px",
        section="Buckets",
        empty="twice the resolution",
        aliases=("max_bucket_reso",),
        only_if=_BUCKETS,
    )
    bucket_step: int = option(
        64,
        "Step of the sides",
        "Finer steps crop less and make more buckets.",
        ge=8,
        le=512,
        multiple_of=8,
        unit="px",
        section="Buckets",
        aliases=("bucket_reso_steps",),
        only_if=_BUCKETS,
    )
    bucket_rule: Literal["balanced", "ratio"] = option(
        "balanced",
        "Choice of bucket",
        "Balanced treats upright and wide pictures alike; ratio chooses as sd-scripts does.",
        section="Buckets",
        only_if=_BUCKETS,
    )
    upscale: bool = option(
        True,
        "Enlarge small pictures",
        "Pictures smaller than the resolution are enlarged. Off: they are trained at their size.",
        section="Buckets",
        aliases=("bucket_no_upscale",),
        only_if=_BUCKETS,
    )
    resize_filter: Literal["lanczos", "bicubic", "bilinear", "box", "nearest"] = option(
        "lanczos",
        "Resize filter",
        "How pictures are scaled. Nearest is for pixel art.",
        section="Buckets",
        aliases=("resize_interpolation",),
    )
    background: str = option(
        "#ffffff",
        "Behind transparency",
        "Color put behind transparent pictures.",
        section="Buckets",
    )
    mix_folders: bool = option(
        True,
        "Mix folders in a batch",
        "Pictures of different folders may share a batch. Off keeps folders apart.",
        section="Buckets",
    )
    short_batches: Literal["keep", "drop"] = option(
        "keep",
        "Last short batch",
        "A bucket's last batch may be short: keep it, or drop its pictures for that epoch.",
        section="Buckets",
    )
    cache_latents: Literal["off", "memory", "disk"] = option(
        "memory",
        "Keep encoded pictures",
        "Encode every picture once, before training, and let the VAE leave memory. On disk the "
        "next run starts sooner.",
        section="Cache",
        aliases=("cache_latents_to_disk",),
    )
    cache_text: Literal["off", "memory", "disk"] = option(
        "off",
        "Keep encoded captions",
        "Encode every caption once and let the text encoders leave memory. Not while they are "
        "trained; but of several, those can rest that are not: T5 beside a CLIP that learns, or "
        "one of two CLIPs at rate 0.",
        section="Cache",
        aliases=("cache_text_encoder_outputs",),
    )
    text_variations: int = option(
        1,
        "Caption variations",
        "With kept captions: how many draws of shuffling, dropout and wildcards each caption gets; "
        "epochs take them in turn.",
        ge=1,
        le=1000,
        section="Cache",
        only_if=When("dataset.cache_text", not_equals=("off",)),
    )
    cache_precision: Literal["bf16", "fp32"] = option(
        "bf16",
        "Kept as",
        "Precision of what is kept. bf16 halves the space.",
        section="Cache",
    )
    cache_batch_size: int = option(
        1,
        "Encode at once",
        "Pictures encoded in one go; more is faster and needs more memory.",
        ge=1,
        le=64,
        section="Cache",
        aliases=("vae_batch_size",),
    )
    cache_directory: str | None = option(
        None,
        "Cache folder",
        "Where encoded pictures and captions are kept.",
        path="new_folder",
        section="Cache",
        empty="beside the runs",
    )
    cache_limit_gb: float | None = option(
        50.0,
        "Cache limit",
        "When a run starts and the cache folder holds more, what was not used for longest is "
        "deleted. What the run needs itself always stays.",
        gt=0,
        unit="GB",
        empty="none",
        section="Cache",
    )
    weighted_captions: bool = option(
        False,
        "Weights in captions",
        "(word:1.3) and [word] in captions strengthen and weaken words.",
        section="Cache",
        applies_to=UNET,
    )
