"""`[[dataset.folders]]`: one folder of pictures, its captions and how often it is used."""

from __future__ import annotations

from typing import Literal

from engine.schema.field import When, option
from engine.schema.table import Table

_SHUFFLES = "Captions"


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
