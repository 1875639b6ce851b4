"""What torch can compute on here, run by .venv's own Python: `python -m engine.setup.devices`.

Prints one JSON object (`Devices`). Packages are imported by name, as set-up itself has none.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

OPTIONAL = ("bitsandbytes", "torchao", "xformers", "triton")
"""Packages that add something and that Graft trains without."""


@dataclass
class Device:
    """One thing that torch can compute on."""

    name: str
    capability: str = ""
    """CUDA's compute capability, e.g. `sm_90`."""
    served: bool = True
    """Whether this torch was compiled for that capability, or a near enough one."""
    bf16: bool = False
    free_bytes: int = 0
    total_bytes: int = 0


@dataclass
class Devices:
    """Everything the probe found."""

    torch: str = ""
    error: str = ""
    """Why torch does not import, empty if it does."""
    devices: list[Device] = field(default_factory=list)
    compiled_for: list[str] = field(default_factory=list)
    optional: dict[str, str] = field(default_factory=dict)
    """Each optional package: empty if it imports, else the reason why not."""


def probe() -> Devices:
    """Import torch and the optional packages and ask what they can do."""
    found = Devices()
    try:
        torch: Any = importlib.import_module("torch")
    except Exception as err:  # noqa: BLE001 - any failure is the finding
        found.error = f"{type(err).__name__}: {err}"
        return found
    found.torch = torch.__version__
    if torch.cuda.is_available():
        found.compiled_for = list(torch.cuda.get_arch_list())
        found.devices += [_cuda(torch, n, found.compiled_for) for n in range(_count(torch))]
    if torch.backends.mps.is_available():
        found.devices.append(Device("Apple GPU (Metal)", bf16=True))
    features = torch.backends.cpu.get_cpu_capability()
    found.devices.append(Device(f"CPU ({features}, {torch.get_num_threads()} threads)", bf16=True))
    for name in OPTIONAL:
        found.optional[name] = _reason(name)
    return found


def serves(capability: tuple[int, int], compiled_for: list[str]) -> bool:
    """Whether code compiled for these (`sm_80`, `compute_120` …) runs on a capability.

    Binary code runs on the same major version with the same or a higher minor one; `compute_…`
    is compiled by the driver for anything newer.
    """
    if not compiled_for:
        return True
    for arch in compiled_for:
        kind, _, digits = arch.rstrip("af").partition("_")
        if not digits.isdigit():
            continue
        built = (int(digits[:-1]), int(digits[-1]))
        if kind == "sm" and built[0] == capability[0] and built[1] <= capability[1]:
            return True
        if kind == "compute" and built <= capability:
            return True
    return False


def _count(torch: Any) -> int:
    return int(torch.cuda.device_count())


def _cuda(torch: Any, number: int, compiled_for: list[str]) -> Device:
    capability = torch.cuda.get_device_capability(number)
    device = Device(torch.cuda.get_device_name(number), "sm_{}{}".format(*capability))
    if torch.version.cuda:  # ROCm reports capabilities that its architectures are not named by
        device.served = serves(tuple(capability), compiled_for)
    device.bf16 = capability[0] >= 8
    if device.served:
        device.free_bytes, device.total_bytes = torch.cuda.mem_get_info(number)
    return device


def _reason(name: str) -> str:
    if importlib.util.find_spec(name) is None:
        return "not installed"
    try:
        importlib.import_module(name)
    except Exception as err:  # noqa: BLE001 - any failure is the reason
        first = (str(err).splitlines() or [""])[0]
        return f"does not import ({type(err).__name__}: {first})"
    return ""


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(asdict(probe())) + "\n")
