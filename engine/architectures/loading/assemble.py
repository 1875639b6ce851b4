"""A library's module out of named tensors: nothing missing, nothing left over, no memory twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.checkpoint import Checkpoint


def assemble(
    cls: Any,
    config: dict[str, Any],
    converted: dict[str, Tensor],
    source: Mapping[str, Tensor],
    checkpoint: Checkpoint,
    what: str,
    *,
    whole: bool = False,
    field: str = "model.path",
) -> Any:
    """Make the module without memory of its own and hand it the tensors, none left over.

    Args:
        cls: the library's class, with `from_config`.
        config: its configuration, with the file's own widths.
        converted: the tensors by the class's names.
        source: the tensors as they were read, to find those that the converter left out.
        checkpoint: the file they come from.
        what: the part, in the person's words.
        whole: the file holds the buffers too, so that large tables need not be computed.
        field: the job's field that names the file.

    Raises:
        ModelProblem: if shapes differ, or tensors are missing or left over.
    """
    # Parameters alone: rotary tables are buffers that no file holds, and must be real.
    with torch.device("meta") if whole else init_empty_weights():
        model = cls.from_config(config)
    try:
        result = model.load_state_dict(converted, strict=False, assign=True)
    except RuntimeError as error:
        raise ModelProblem(
            f"The {what} of {checkpoint.path.name} has other shapes than its architecture: "
            f"{str(error).splitlines()[-1].strip()}",
            "Check the architecture that is chosen.",
            field,
        ) from None
    if result.missing_keys:
        raise not_whole(checkpoint, what, result.missing_keys, field)
    used = {tensor.data_ptr() for tensor in converted.values()}
    extra = [name for name, tensor in source.items() if tensor.data_ptr() not in used]
    extra += result.unexpected_keys
    if extra:
        raise ModelProblem(
            f"The {what} of {checkpoint.path.name} has {len(extra)} tensors more than its "
            f"architecture, such as {extra[0]}.",
            "Check the architecture that is chosen.",
            field,
        )
    return model.eval()


def not_whole(
    checkpoint: Checkpoint, what: str, missing: Iterable[str] = (), field: str = "model.path"
) -> ModelProblem:
    """Say that a part lacks tensors, of which one is named."""
    names = sorted(missing)
    such = f": {len(names)} tensors are missing, such as {names[0]}" if names else ""
    return ModelProblem(
        f"The {what} in {checkpoint.path.name} is not whole{such}.",
        "Download the file again, or choose another one.",
        field,
    )
