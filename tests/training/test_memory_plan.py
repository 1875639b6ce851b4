"""What the plan says of memory is what a run allocates: weights, adapters, gradients, optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.plan.detect import look_at
from engine.plan.summary import summarize
from engine.schema.architectures import ARCHITECTURES
from engine.training.control import Control
from engine.training.events import Events, ListSink
from engine.training.run import create_run
from engine.training.session import Session, prepare
from engine.training.together import Together
from engine.training.update import update
from tests.tiny_sets import MAKERS
from tests.training.conftest import job_of

CASES: list[tuple[str, dict[str, Any]]] = [
    *((a, {}) for a in ARCHITECTURES),
    ("sd1", {"network.conv_dim": 4, "network.dora_wd": True}),
    ("sdxl", {"model.weights": "int8", "model.text_encoder_weights": "int8"}),
    ("flux", {"model.weights": "fp8_scaled", "optimizer.name": "Lion"}),
    ("anima", {"model.weights": "fp8"}),
]


def held(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors, each counted once."""
    return sum({t.data_ptr(): t.numel() * t.element_size() for t in tensors}.values())


def of_module(module: nn.Module) -> int:
    return held((*module.parameters(), *module.buffers()))


def text_modules(model: Any) -> list[nn.Module]:
    """All text encoders, also those that never take adapters."""
    found = [m for role, m in model.components.items() if role != "denoiser"]
    if not found:
        found = [model.text.encoder, model.text.glyph_encoder]
    return found


def states(session: Session) -> int:
    found = (v for s in session.optimizer.state.values() for v in s.values())
    return held(t for t in found if isinstance(t, Tensor) and t.numel() > 1)


@pytest.mark.parametrize(("architecture", "changes"), CASES)
def test_static_parts_are_exact(
    architecture: str, changes: dict[str, Any], job_data: dict[str, Any], tmp_path: Path
) -> None:
    path = MAKERS[architecture](tmp_path / "model")
    step = ARCHITECTURES[architecture].resolution_step
    job = job_of(
        job_data,
        {
            "model.architecture": architecture,
            "model.path": str(path),
            "dataset.bucket_step": step,
            "training.batch_size": 1,
            "training.gradient_accumulation": 1,
            "network.train": "denoiser",
            **changes,
        },
    )
    plan = summarize(job, look_at(str(path)))
    foretold = {part.name: part.high for part in plan.memory.parts}
    run = create_run(job)
    session = prepare(job, run, Events(ListSink()), Control(), Together(1, 0))
    try:
        planned = next(iter(session.loader.steps(0)))
        seen: dict[str, int] = {}
        zero = session.optimizer.zero_grad
        session.optimizer.zero_grad = lambda *_, **__: seen.setdefault(  # pyright: ignore
            "gradients", held(p.grad for p in session.parameters if p.grad is not None)
        )
        update(session, planned.micros, 0, planned.samples)
        session.optimizer.zero_grad = zero
    finally:
        session.loader.close()
        session.network.detach()
        run.close()
    text = sum(of_module(m) for m in text_modules(session.model))
    wanted = {
        "picture model": of_module(session.model.components["denoiser"]),
        "text encoder": text,
        "VAE": of_module(session.model.pictures.vae),
        "adapters": held(session.network.parameters()),
        "gradients": seen["gradients"],
        "optimizer": states(session),
    }
    found = {name: foretold[name] for name in wanted}
    assert found == {name: pytest.approx(size, rel=0.01) for name, size in wanted.items()}
    assert torch.is_grad_enabled()
