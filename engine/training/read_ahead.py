"""Having the model's files read while the libraries are still being imported.

Imports take the processor for seconds and leave the disk idle; a model of several gigabytes takes
it for seconds more. So the system is asked for the files' pages as soon as the job is known.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from engine.schema.model import Model

SHARE = 0.5  # of the free memory that may be filled so


def read_ahead(model: Model) -> list[Path]:
    """Ask the system to read the job's model files soon; returns those, and does not wait.

    Folders are left alone, as they may hold the same weights in several precisions; so are files
    that would fill the memory, and systems without such a call.
    """
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return []
    named = (
        model.path, model.denoiser, model.text_encoder, model.text_encoder_2,
        model.text_encoder_3, model.vae,
    )  # fmt: skip
    files = [Path(name) for name in named if name and Path(name).is_file()]
    if sum(file.stat().st_size for file in files) > SHARE * psutil.virtual_memory().available:
        return []
    asked = []
    for file in files:
        try:
            with file.open("rb") as opened:
                advise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        except OSError:  # whoever reads it for good says what is wrong with it
            continue
        asked.append(file)
    return asked
