"""`[dataset]` and `[[dataset.folders]]`: pictures, captions, buckets and caches."""

from __future__ import annotations

from typing import Literal

from engine.schema.architectures import UNET
from engine.schema.field import When, option
from engine.schema.table import ResolutionList, Table

_SHUFFLES = "Captions"
_BUCKETS = When("dataset.buckets", equals=(True,))


class Folder(Table):
    """A folder of pictures with a caption file beside each (spec: data-loop 1)."""

    path: str = option(
        "",
        "Folder",
        "A folder of pictures. Captions are text files of the same name beside them.",
        basic=True,
        path="folder",
        aliases=("image_dir", "train_data_dir"),
    )
    enabled: bool = option(True, "Use", "Leave the folder in the job, but do not train on it.")
    role: Literal["train", "regularization", "validation"] = option(
        "train",
        "Role",
        "Train: what is learned. Regularization: ordinary pictures of the same kind, which hold "
        "the model in place. Validation: held out, only measured.",
        aliases=("is_reg",),
    )
    repeats: float = option(
        1.0,
        "Repeats",
        "How often each picture is used in an epoch. 2.5 is twice, and a third time for half of "
        "them, drawn anew every epoch.",
        ge=0,
        le=10000,
        basic=True,
        unit="×",
        aliases=("num_repeats", "dataset_repeats"),
    )
    samples_per_epoch: int | None = option(
        None,
        "Pictures per epoch",
        "Use exactly this many in each epoch, drawn anew, instead of repeats. Regularization "
        "folders default to as many as there are training samples.",
        ge=1,
        empty="all × repeats",
    )
    recursive: bool = option(False, "With subfolders", "Also look into folders inside it.")
    loss_weight: float = option(
        1.0,
        "Loss weight",
        "How much these pictures count; 1 is normal.",
        ge=0,
        aliases=("prior_loss_weight",),
    )
    preserve_prior: bool = option(
        False,
        "Keep the model's own answer",
        "Train towards what the model without adapter predicts for these pictures, so that it "
        "stays as it was there. Costs one more forward pass for them.",
    )
    caption_extension: str = option(
        ".txt",
        "Caption files end in",
        "Ending of the caption files beside the pictures.",
        section=_SHUFFLES,
        suggestions=(".txt", ".caption"),
        aliases=("caption_extention",),
    )
    metadata_file: str | None = option(
        None,
        "Caption list",
        "A JSON or JSONL file with a caption or tags for each picture, as fine-tuning tools write "
        "it; used instead of caption files.",
        empty="caption files",
        section=_SHUFFLES,
        path="file",
        extensions=(".json", ".jsonl"),
        aliases=("in_json",),
    )
    fallback_caption: str = option(
        "",
        "Caption when there is none",
        "Used for pictures without a caption file.",
        section=_SHUFFLES,
        basic=True,
        aliases=("class_tokens",),
    )
    caption_prefix: str = option(
        "", "Put before", "Text in front of every caption.", section=_SHUFFLES
    )
    caption_suffix: str = option("", "Put after", "Text behind every caption.", section=_SHUFFLES)
    multi_line: Literal["first", "random"] = option(
        "first",
        "Several lines",
        "What to do with captions of several lines: use the first, or draw one each time.",
        section=_SHUFFLES,
    )
    wildcards: bool = option(
        False,
        "Wildcards",
        "{red|blue} draws one of the words each time, {2::red|blue} with a weight; of several "
        "lines one is drawn.",
        section=_SHUFFLES,
        aliases=("enable_wildcard",),
    )
    tag_separator: str = option(
        ",",
        "Tags are separated by",
        "The sign between tags.",
        section="Tags",
        aliases=("caption_separator",),
    )
    shuffle_tags: bool = option(
        False,
        "Shuffle tags",
        "Order the tags anew each time, so that their place means nothing.",
        section="Tags",
        aliases=("shuffle_caption",),
        basic=True,
    )
    keep_tags: int = option(
        0,
        "Keep first tags",
        "How many tags at the front stay in place and are never dropped.",
        ge=0,
        section="Tags",
        aliases=("keep_tokens",),
    )
    keep_separator: str = option(
        "",
        "Keep mark",
        "A sign such as ||| that parts fixed tags from shuffled ones; the sign itself is removed.",
        section="Tags",
        aliases=("keep_tokens_separator",),
    )
    group_separator: str = option(
        "",
        "Group mark",
        "A sign such as ;; between tags that stay together when shuffled; it becomes the tag "
        "separator.",
        section="Tags",
        aliases=("secondary_separator",),
    )
    tag_dropout: float = option(
        0.0,
        "Tag dropout",
        "Chance that a single tag is left out.",
        ge=0,
        le=1,
        section="Tags",
        aliases=("caption_tag_dropout_rate",),
    )
    tag_warmup: float = option(
        0.0,
        "Tag warm-up",
        "Over how many steps the number of tags grows to all of them; below 1 it is a share of the "
        "run. 0 uses all from the start.",
        ge=0,
        section="Tags",
        aliases=("token_warmup_step",),
    )
    tag_warmup_start: int = option(
        1,
        "Tags at the start",
        "With how many tags the warm-up begins.",
        ge=0,
        section="Tags",
        aliases=("token_warmup_min",),
    )
    caption_dropout: float = option(
        0.0,
        "Caption dropout",
        "Chance that the whole caption is left out; 0.05–0.1 helps the picture without words.",
        ge=0,
        le=1,
        section=_SHUFFLES,
        aliases=("caption_dropout_rate",),
    )
    caption_dropout_every_epochs: int = option(
        0,
        "Empty captions every",
        "Every n-th epoch has no captions at all; 0 is never.",
        ge=0,
        unit="epochs",
        section=_SHUFFLES,
        aliases=("caption_dropout_every_n_epochs",),
    )
    flip: float = option(
        0.0,
        "Mirror",
        "Chance that a picture is mirrored. Not for faces, letters or captions that say left.",
        ge=0,
        le=1,
        section="Pictures",
        aliases=("flip_aug",),
    )
    random_crop: bool = option(
        False,
        "Random crop",
        "Cut the picture to its bucket at a random place, not the middle.",
        section="Pictures",
    )
    color_jitter: float = option(
        0.0,
        "Color jitter",
        "How strongly hue and brightness are varied, 0 to 1. Not together with cached latents.",
        ge=0,
        le=1,
        section="Pictures",
        aliases=("color_aug",),
    )
    mask: Literal["none", "alpha", "file", "folder"] = option(
        "none",
        "Mask",
        "Learn only where the mask is bright: the picture's own transparency, a file "
        "NAME-masklabel.png beside it, or a picture of the same name in another folder.",
        section="Pictures",
        aliases=("alpha_mask", "masked_loss"),
    )
    mask_folder: str | None = option(
        None,
        "Mask folder",
        "Folder with a mask of the same name for each picture.",
        section="Pictures",
        path="folder",
        aliases=("conditioning_data_dir",),
        only_if=When("dataset.folders[].mask", equals=("folder",)),
    )
    mask_invert: bool = option(
        False,
        "Invert mask",
        "Learn where the mask is dark.",
        section="Pictures",
        only_if=When("dataset.folders[].mask", not_equals=("none",)),
    )


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
        "Sides are multiples of",
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
        "trained, but for T5, which can rest while the CLIP beside it learns.",
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
