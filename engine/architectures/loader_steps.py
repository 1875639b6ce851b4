"""What every loader does, whatever the architecture: quiet libraries, refuse, VAE, merge."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from engine.architectures import folder, single_file
from engine.architectures.architecture import Loading, ModelProblem, TrainableModel
from engine.architectures.checkpoint import Checkpoint, open_checkpoint
from engine.plan.detect import ModelFacts, mismatch
from engine.plan.header import FileProblem
from engine.schema.model import Model

VAE_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
log = logging.getLogger(__name__)


def quiet_libraries() -> None:
    """Their load reports and bars are for notebooks; what matters is checked and told here."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    logging.getLogger("transformers").setLevel(logging.ERROR)


def require_model(
    facts: ModelFacts, architecture: str, source: Path, field: str = "model.path"
) -> None:
    """Refuse what cannot be the base of this job.

    Raises:
        ModelProblem: in the words of the plan, which the window shows too.
    """
    wrong = mismatch(facts, architecture)
    if wrong:
        raise ModelProblem(f"{source.name}: {wrong}", field=field)
    if facts.refusal:
        raise ModelProblem(facts.refusal, field=field)
    if facts.architecture is None:
        words = f"{source.name} is no model that Graft knows."
        raise ModelProblem(words, "Choose another file.", field)


def refuse_half(loading: Loading) -> None:
    """Refuse fp16, in which the denoiser's numbers overflow (spec: training-dit 1.4).

    Raises:
        ModelProblem: naming the field.
    """
    if loading.dtype == torch.float16:
        raise ModelProblem(
            "This model overflows in fp16 and would learn nothing.",
            "Train in bf16, or in fp32 where the card has no bf16.",
            "training.precision",
        )


def refuse_flash(loading: Loading) -> None:
    """Refuse the one kernel that takes no mask, for models that cannot do without.

    Raises:
        ModelProblem: naming the field.
    """
    if loading.model.attention == "flash" and loading.device.type == "cuda":
        raise ModelProblem(
            "The attention kernel 'flash' takes no mask, and this model needs one for captions.",
            "Set Attention to auto.",
            "model.attention",
        )


def load_job_vae(
    loading: Loading,
    source: Path,
    checkpoint: Checkpoint | None,
    configs: Path,
    channels: int = 4,
) -> AutoencoderKL:
    """Load the VAE that the job names, or else the model's own, in the job's precision.

    Args:
        loading: the job's wishes.
        source: the base model: its folder, or its file.
        checkpoint: that file, opened; None for a folder.
        configs: our folder of configs, for a file in the original layout.
        channels: of its latents.

    Raises:
        ModelProblem: if it is not there, broken, or another architecture's.
    """
    model, field = loading.model, "model.path"
    dtype = VAE_DTYPES[model.vae_precision]
    if model.vae:
        field = "model.vae"
        source = folder.locate(model.vae, offline=loading.offline, field=field)
        checkpoint = open_checkpoint(source, field) if source.is_file() else None
    if checkpoint is None:
        return folder.load_vae(source, dtype, field, channels)
    return single_file.load_vae(checkpoint, configs, dtype, field, channels)


def merge_adapters(loaded: TrainableModel, model: Model) -> None:
    """Merge the job's adapters into the base, in memory.

    Raises:
        ModelProblem: if a file cannot be read or is for another model.
    """
    if not model.merge:
        return
    from engine.networks import AdapterProblem, attach_file

    for i, item in enumerate(model.merge):
        try:
            handle = attach_file(
                loaded.architecture, loaded.components, Path(item.file).expanduser(), item.weight
            )
        except (AdapterProblem, FileProblem) as problem:
            raise ModelProblem(str(problem), field=f"model.merge[{i}].file") from None
        if handle.unused:
            log.warning(
                "%s: %d of its adapters are left out: %s",
                item.file, len(handle.unused), handle.unused[0].reason,
            )  # fmt: skip
        handle.merge()
