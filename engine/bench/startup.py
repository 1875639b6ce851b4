"""From the start of the engine to its first step, by phase, and the memory at most in use.

The job is one picture of 512 px on a single file of SD 1.5's size (2.1 GB in half precision, random
weights), trained in float32: imports, reading, casting to 4.3 GB, one VAE pass. The goals are half
the time and 0.6 of the memory of sd-scripts on the same job (18 s and 8.5 GB).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from engine.protocol import Phase, Step, parse_event
from engine.schema.job_file import save_job

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "resources" / "models" / "sd1"
GOAL_SECONDS, GOAL_BYTES = 9.0, 0.6 * 8.5e9


def run(quick: bool = False) -> dict[str, Any]:
    """Measure; `quick` takes a toy model and a small picture.

    Returns:
        Seconds from the start of the process to the beginning of each phase and to the end of the
        first step, by the clock and of the processor; the highest memory in use until then.
    """
    with tempfile.TemporaryDirectory(prefix="graft-bench-") as name:
        folder = Path(name)
        model = _write_model(folder, quick)
        job = _write_job(folder, model, 64 if quick else 512)
        figures = _measure(job)
    if not quick:
        figures["goal_seconds_to_first_step"] = GOAL_SECONDS
        figures["goal_memory_bytes"] = GOAL_BYTES
    return figures


def _measure(job: Path) -> dict[str, Any]:
    """Start the engine as the window does, and read its events until the first step is done."""
    command = [sys.executable, "-u", str(ROOT / "main.py"), "train", str(job), "--events"]
    started = time.time()
    engine = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert engine.stdin is not None
    assert engine.stdout is not None
    process = psutil.Process(engine.pid)
    seconds: dict[str, float] = {}
    worked: dict[str, float] = {}
    memory: dict[str, int] = {}
    figures: dict[str, Any] = {
        "seconds_until": seconds,
        "processor_seconds_until": worked,
        "memory_peak_bytes_until": memory,
    }
    try:
        for line in engine.stdout:
            event = parse_event(line)
            if isinstance(event, Phase) and event.name not in seconds:
                seconds[event.name] = event.time - started
                worked[event.name] = _processor_seconds(process)
                memory[event.name] = peak_bytes(process)
            elif isinstance(event, Step):
                seconds["first_step_done"] = event.time - started
                worked["first_step_done"] = _processor_seconds(process)
                memory["first_step_done"] = event.memory_peak_bytes
                break
        else:
            raise RuntimeError("the engine ended before its first step")
    finally:
        engine.stdin.close()
        engine.stdout.read()
        engine.wait()
    return figures


def _processor_seconds(process: psutil.Process) -> float:
    """What the process has computed so far, on all cores: steadier than the clock."""
    times = process.cpu_times()
    return times.user + times.system


def peak_bytes(process: psutil.Process) -> int:
    """The most memory the process has had; where the system does not tell, what it has now."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return process.memory_info().rss


def _write_model(folder: Path, quick: bool) -> Path:
    """Write a single file in the original layout with random weights, in half precision."""
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel

    # The tests' writer of such files: the loader's key maps inverted.
    from tests.tiny import make_sd1
    from tests.tiny_ldm import ldm_state_dict

    if quick:
        return make_sd1(folder, "single_file")
    torch.set_default_dtype(torch.float16)
    try:
        unet = UNet2DConditionModel.from_config(_config("unet"))
        vae = AutoencoderKL.from_config(_config("vae"))
        text = CLIPTextModel(CLIPTextConfig.from_pretrained(CONFIGS.parent / "clip_l"))
    finally:
        torch.set_default_dtype(torch.float32)
    path = folder / "random.safetensors"
    save_file(ldm_state_dict(unet, vae, text, "sd1"), path)  # pyright: ignore[reportArgumentType]
    return path


def _config(part: str) -> dict[str, Any]:
    return json.loads((CONFIGS / part / "config.json").read_text(encoding="utf-8"))


def _write_job(folder: Path, model: Path, side: int) -> Path:
    from PIL import Image

    pictures = folder / "pictures"
    pictures.mkdir()
    Image.effect_noise((side, side), 60).convert("RGB").save(pictures / "noise.png")
    job = folder / "job.toml"
    save_job(
        job,
        {
            "model": {"path": str(model)},
            "dataset": {"folders": [{"path": str(pictures)}], "resolution": [str(side)]},
            "training": {"steps": 1, "precision": "fp32"},
            "samples": {"enabled": False},
            "output": {"directory": str(folder / "runs"), "name": "bench"},
            "launch": {"device": "cpu"},
        },
    )
    return job
