"""Files of SDXL's real size: reading and attaching an adapter, and the memory of loading a model.

Both measurements have a process of their own, so that neither's memory counts for the other. The
model file is written without its gigabytes: the header of a real one, and behind it a hole that
reads as zeros. What is measured is therefore the work and not the disk. Time and memory do not
depend on the values.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "resources" / "models"
RANK = 32
GOAL_PEAK = 1.2

_ONE = "import json, sys; from engine.bench import files; print(json.dumps(files.{}({})))"


def run(quick: bool = False) -> dict[str, Any]:
    """Measure; `quick` takes a toy model.

    Returns:
        For a rank-32 adapter of U-Net and both text encoders: its size, its adapters, and seconds
        to read the file, to read and attach it, and to detach it. For a single model file in bf16:
        the bytes of its weights in memory, seconds, the highest memory in use while it was loaded,
        and that, less what the process had before, as a ratio to the weights (goal 1.2).
    """
    with tempfile.TemporaryDirectory(prefix="graft-bench-") as name:
        folder = Path(name)
        model = _write_model(folder, quick)
        figures: dict[str, Any] = {
            "adapter": _in_own_process("adapter", f"{name!r}, {quick}"),
            "model": _in_own_process("model", repr(str(model))),
        }
    if not quick:
        figures["model"]["goal_peak_to_weights"] = GOAL_PEAK
    return figures


def adapter(folder: str, quick: bool) -> dict[str, Any]:
    """Time an adapter file on modules of SDXL's sizes, of which no weight is ever touched."""
    from engine.networks import attach_file
    from engine.networks.file import read

    torch.set_num_threads(1)
    components: dict[str, nn.Module] = {
        # Memory that is asked for and never touched is never given.
        role: module if quick else module.to_empty(device="cpu")
        for role, module in _modules(quick).items()
        if role != "vae"
    }
    path, count = _write_adapter(Path(folder), components)
    reading, attaching, detaching = [], [], []
    for _ in range(3):
        start = time.perf_counter()
        read(path)
        reading.append(time.perf_counter() - start)
        start = time.perf_counter()
        handle = attach_file("sdxl", components, path)
        attaching.append(time.perf_counter() - start)
        start = time.perf_counter()
        handle.detach()
        detaching.append(time.perf_counter() - start)
    return {
        "file_bytes": path.stat().st_size,
        "adapters": count,
        "seconds_to_read": min(reading),
        "seconds_to_read_and_attach": min(attaching),
        "seconds_to_detach": min(detaching),
    }


def model(path: str) -> dict[str, Any]:
    """Load a single file in bf16 as a run does, and look at the memory."""
    from engine.architectures import load
    from engine.architectures.architecture import Loading
    from engine.bench.startup import peak_bytes
    from engine.schema.model import Model

    _import_first()
    options = Model.model_validate({"architecture": "sdxl", "path": path, "vae_precision": "bf16"})
    loading = Loading("sdxl", options, torch.device("cpu"), torch.bfloat16)
    this = psutil.Process()
    before = peak_bytes(this)
    start, worked = time.perf_counter(), time.process_time()
    loaded: Any = load(loading)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    peak = peak_bytes(this)
    modules = [*loaded.components.values(), loaded.pictures.vae]
    weights = sum(p.numel() * p.element_size() for m in modules for p in m.parameters())
    return {
        "file_bytes": Path(path).stat().st_size,
        "weight_bytes": weights,
        "seconds": seconds,
        "processor_seconds": worked,
        "memory_before_bytes": before,
        "memory_peak_bytes": peak,
        "peak_to_weights": (peak - before) / weights,
    }


def _import_first() -> None:
    """Import the libraries, so that their own memory does not count as loading's."""
    import engine.architectures.sdxl.load  # noqa: F401


def _in_own_process(function: str, arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _ONE.format(function, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.strip().splitlines()[-1])


def _modules(quick: bool) -> dict[str, Any]:
    """SDXL's parts in bf16: of real sizes without memory, or the tests' toy ones."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    if quick:
        from tests.tiny_sdxl import tiny_sdxl

        tiny = tiny_sdxl()
        parts: tuple[Any, ...] = (tiny.unet, tiny.vae, tiny.clip_l, tiny.clip_g)
    else:
        with torch.device("meta"):
            parts = (
                UNet2DConditionModel.from_config(_config("sdxl/unet")),
                AutoencoderKL.from_config(_config("sdxl/vae")),
                CLIPTextModel(CLIPTextConfig.from_pretrained(CONFIGS / "clip_l")),
                CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(CONFIGS / "clip_g")),
            )
    names = ("denoiser", "vae", "text_encoder", "text_encoder_2")
    return {
        name: nn.Module.to(part, torch.bfloat16).requires_grad_(False)
        for name, part in zip(names, parts, strict=True)
    }


def _config(part: str) -> dict[str, Any]:
    return json.loads((CONFIGS / part / "config.json").read_text(encoding="utf-8"))


def _write_adapter(folder: Path, components: dict[str, nn.Module]) -> tuple[Path, int]:
    """Write an adapter of every attention layer; returns it and how many adapters it has."""
    from engine.networks.file import save
    from engine.networks.network import Network
    from engine.networks.shape import shape_of
    from engine.plan.ranks import place
    from engine.plan.sites import sites_of
    from engine.schema.network import Network as NetworkOptions

    options = NetworkOptions.model_validate({"rank": RANK, "alpha": RANK / 2})
    sites = [s for s in sites_of("sdxl", shape_of("sdxl", components)) if s.default]
    network = Network.create(place(options, sites, "sdxl"), components, options, seed=1)
    adapters = network.each_adapter()
    for each in adapters:
        nn.init.normal_(each.up, std=1e-3)
    path = folder / "adapter.safetensors"
    save(path, network.weights(), {}, "fp16")
    return path, len(adapters)


def _write_model(folder: Path, quick: bool) -> Path:
    """Write a single file in the original layout, in bf16, all its weights zero."""
    # The tests' writer of such files: the loader's key maps inverted.
    from tests.tiny import SHIPPED_VOCABULARY
    from tests.tiny_sdxl import TinySdxl, sdxl_state_dict, tiny_sdxl

    if quick:
        tiny = tiny_sdxl(vocabulary=SHIPPED_VOCABULARY)
        return _write_hollow(folder / "model.safetensors", sdxl_state_dict(tiny))
    parts = _modules(quick)
    whole = TinySdxl(
        parts["denoiser"], parts["vae"], parts["text_encoder"], parts["text_encoder_2"]
    )
    return _write_hollow(folder / "model.safetensors", sdxl_state_dict(whole))


def _write_hollow(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """Write a safetensors file whose bf16 values are a hole in the file."""
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + 2 * tensor.numel()
        shape = list(tensor.shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))  # noqa: T201
