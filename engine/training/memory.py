"""The device a run computes on: which, how much memory it has and how much is in use."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import psutil
import torch

from engine.schema.job import Job
from engine.schema.problem import JobError, Problem

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True)
class Device:
    """Where the run computes."""

    id: str  # "cuda:0", "mps" or "cpu"
    name: str  # as shown to the person
    memory_bytes: int

    @property
    def type(self) -> str:
        """The id without its number: "cuda", "mps" or "cpu"."""
        return self.id.partition(":")[0]


def choose_device(wish: str) -> Device:
    """Find the device of `launch.device`.

    Raises:
        JobError: it is not on this machine.
    """
    device = _best() if wish == "auto" else wish
    if device == "cuda":
        device = "cuda:0"
    if device.startswith("cuda"):
        number = int(device.partition(":")[2])
        if not torch.cuda.is_available() or number >= torch.cuda.device_count():
            raise _missing(device, f"{torch.cuda.device_count()} NVIDIA cards can be used")
        facts = torch.cuda.get_device_properties(number)
        return Device(device, facts.name, facts.total_memory)
    if device == "mps" and not torch.backends.mps.is_available():
        raise _missing(device, "this is no Mac with an Apple GPU")
    return Device(device, "Apple GPU" if device == "mps" else "CPU", psutil.virtual_memory().total)


def choose_precision(job: Job, device: Device) -> str:
    """Resolve `training.precision` for the device: bf16, fp16 or fp32.

    Raises:
        JobError: the device cannot compute in it.
    """
    wish = job.training.precision
    if wish == "auto":
        if device.type != "cuda":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if wish == "fp16" and device.type == "cpu":
        words = "fp16 cannot be trained on the processor; choose fp32 or bf16."
        fix = (("training.precision", "fp32"),)
        raise JobError([Problem("training.precision", words, fix=fix, fix_label="Choose fp32")])
    return wish


def memory_in_use(device: Device) -> tuple[int, int]:
    """Bytes in use now and at most so far: of the card, or of this process on the processor."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device.id), torch.cuda.max_memory_allocated(device.id)
    now = psutil.Process().memory_info().rss
    return now, max(now, _process_peak())


def _process_peak() -> int:
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _missing(device: str, found: str) -> JobError:
    words = f"There is no device {device} here: {found}. auto takes what there is."
    fix = (("launch.device", "auto"),)
    return JobError([Problem("launch.device", words, fix=fix, fix_label="Choose auto")])
