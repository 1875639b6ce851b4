"""Base models: one room an architecture, one call to load any of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.architectures.architecture import Loading, TrainableModel

LOADERS = {
    "sd1": "sd",
    "sd2": "sd",
    "sdxl": "sdxl",
    "flux": "flux",
    "sd3": "sd3",
    "lumina2": "lumina2",
    "hunyuan_image": "hunyuan_image",
    "anima": "anima",
}
"""Architecture → its room, whose `load.py` loads it; imported when it is asked for."""


def load(loading: Loading) -> TrainableModel:
    """Load the base model of a job onto a device.

    Raises:
        ModelProblem: with what is wrong, what to do, and the field it concerns.
        KeyError: for an architecture that there is not.
    """
    module = import_module(f"engine.architectures.{LOADERS[loading.architecture]}.load")
    _refuse_wrong_parts(loading)
    return module.load(loading)


def _refuse_wrong_parts(loading: Loading) -> None:
    """Look at all files of parts before the first is read.

    Raises:
        ModelProblem: for the first that is another part than its field is for.
    """
    from engine.architectures.architecture import ModelProblem
    from engine.plan.detect import look_at
    from engine.plan.part_files import part_problems

    for problem in part_problems(loading.model, look_at(loading.model.path)):
        raise ModelProblem(problem.message, field=problem.path)
