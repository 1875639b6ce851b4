"""`[output]`: files, how often they are written, and what they say about themselves."""

from __future__ import annotations

from typing import Literal

from engine.schema.field import When, option
from engine.schema.table import Table, TextList

_ABOUT = "output.metadata.write"


class Metadata(Table):
    """`[output.metadata]`: texts for the file's header (spec: networks 2)."""

    write: bool = option(
        True,
        "Describe the training",
        "Write the settings of this training into the file, as sd-scripts does. Off leaves only "
        "what programs need.",
        aliases=("no_metadata",),
    )
    title: str = option(
        "", "Title", "Name shown by programs.", empty="the file's name", aliases=("metadata_title",)
    )
    author: str = option("", "Author", "Who made it.", aliases=("metadata_author",))
    description: str = option(
        "", "Description", "What it is for.", long_text=True, aliases=("metadata_description",)
    )
    license: str = option(
        "", "License", "Under which terms others may use it.", aliases=("metadata_license",)
    )
    tags: str = option(
        "", "Tags", "Words to find it by, separated by commas.", aliases=("metadata_tags",)
    )
    usage_hint: str = option(
        "", "How to use it", "A hint for whoever uses it.", aliases=("metadata_usage_hint",)
    )
    trigger_phrase: str = option(
        "",
        "Trigger phrase",
        "The words that call it.",
        empty="the trigger word",
        aliases=("metadata_trigger_phrase",),
    )
    thumbnail: str | None = option(
        None,
        "Thumbnail",
        "A small picture kept in the file.",
        empty="none",
        path="file",
        extensions=(".png", ".jpg", ".jpeg", ".webp"),
        aliases=("metadata_thumbnail",),
    )
    comment: str = option(
        "", "Comment", "Free text about this training.", aliases=("training_comment",)
    )


class Output(Table):
    """Where files go and which are kept (spec: data-loop 5)."""

    directory: str = option(
        "",
        "Folder for runs",
        "Each run gets a folder of its own in here.",
        path="new_folder",
        basic=True,
        empty="Documents/Graft",
        aliases=("output_dir",),
    )
    name: str = option(
        "",
        "Name",
        "Name of the adapter file and of the run.",
        basic=True,
        empty="from the first folder",
        aliases=("output_name",),
    )
    precision: Literal["bf16", "fp16", "fp32"] = option(
        "bf16",
        "File precision",
        "Number format in the file. fp16 is understood everywhere; fp32 is twice as large.",
        aliases=("save_precision",),
    )
    layout: Literal["kohya", "comfyui"] = option(
        "kohya",
        "Layer names",
        "Whose names the layers get in the file. ComfyUI spells HunyuanImage's layers in its own "
        "way and finds only half of them by the others'.",
        applies_to=("hunyuan_image",),
        choice_labels={"kohya": "sd-scripts'", "comfyui": "ComfyUI's"},
    )
    every_steps: int | None = option(
        None,
        "Save every (steps)",
        "Write a file every so many steps.",
        ge=1,
        empty="off",
        section="While training",
        aliases=("save_every_n_steps",),
    )
    every_epochs: int | None = option(
        1,
        "Save every (epochs)",
        "Write a file every so many epochs.",
        ge=1,
        empty="off",
        section="While training",
        basic=True,
        aliases=("save_every_n_epochs",),
    )
    keep_last: int | None = option(
        None,
        "Keep the last",
        "How many of those files are kept. The best by validation, the last and starred ones "
        "always are.",
        ge=1,
        empty="all",
        unit="files",
        section="While training",
        aliases=("save_last_n_steps", "save_last_n_epochs"),
    )
    save_state: bool = option(
        True,
        "Save the state with them",
        "Also write what is needed to continue exactly from there, so that a crash costs little.",
        section="While training",
    )
    state_at_end: bool = option(
        False,
        "State at the end",
        "Keep the state of the finished run, to train longer later.",
        section="While training",
        aliases=("save_state_on_train_end",),
    )
    keep_states: int = option(
        1,
        "Keep states",
        "How many states are kept.",
        ge=1,
        le=1000,
        section="While training",
    )
    ema_files: Literal["ema", "both"] = option(
        "ema",
        "With EMA, save",
        "The averaged adapter, or both it and the plain one.",
        section="While training",
        only_if=When("training.ema", is_set=True),
    )
    trackers: TextList = option(
        list,
        "Also log to",
        "tensorboard or wandb, if that package is installed; the run folder has everything anyway.",
        section="While training",
        suggestions=("tensorboard", "wandb"),
        aliases=("log_with",),
    )
    metadata: Metadata = option(Metadata, "About the file", "Texts for the file's header.")
