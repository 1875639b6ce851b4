"""What every loader does, whatever the architecture: quiet libraries, refuse, merge."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from engine.architectures.architecture import Loading, ModelProblem, TrainableModel
from engine.plan.detect import ModelFacts, mismatch
from engine.plan.header import FileProblem
from engine.schema.model import Model

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
