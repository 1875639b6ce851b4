"""Eight-bit weights whose scale is missing; read as they are, they would be wrong in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.architectures.architecture import ModelProblem
from engine.architectures.loading.checkpoint import open_checkpoint
from engine.plan.before_loading import problems_before_loading
from engine.plan.detect import look_at
from engine.plan.fp8_scales import lost_scale
from engine.plan.header import TensorInfo
from tests.bad_input.conftest import Sets

FIRST, SECOND = "blocks.0.attn.q", "blocks.1.attn.q"


def header(*names: str) -> dict[str, TensorInfo]:
    """Entries: matrices in fp8 for weights, single numbers for what stands beside them."""
    weight, number = TensorInfo("F8_E4M3", (4, 4), 0, 16), TensorInfo("F32", (), 0, 4)
    return {name: weight if name.endswith(".weight") else number for name in names}


@pytest.mark.parametrize(
    ("names", "lost"),
    [
        ((f"{FIRST}.weight", f"{SECOND}.weight"), None),  # plain fp8
        ((f"{FIRST}.weight", f"{FIRST}.scale_weight"), None),
        ((f"{FIRST}.weight", f"{FIRST}.weight_scale", f"{SECOND}.weight"), SECOND),
        ((f"{FIRST}.weight", "scaled_fp8"), FIRST),
        ((f"{FIRST}.weight", f"{FIRST}.scale_weight", "embed.weight", "scaled_fp8"), None),
        ((f"{FIRST}.weight", f"{FIRST}.comfy_quant"), FIRST),
        ((f"t5.{FIRST}.weight", f"clip.{FIRST}.weight", "t5.scaled_fp8"), f"t5.{FIRST}"),
    ],
)
def test_a_lost_scale_is_seen_in_the_header(names: tuple[str, ...], lost: str | None) -> None:
    assert lost_scale(header(*names)) == (lost and f"{lost}.weight")


def test_it_is_told_at_the_field_before_anything_is_read(sets: Sets, tmp_path: Path) -> None:
    tensors = load_file(sets.part("flux", "text_encoder_2"))
    small = {k: t.to(torch.float8_e4m3fn) if t.dim() == 2 else t for k, t in tensors.items()}
    plain, bare = tmp_path / "plain.safetensors", tmp_path / "bare.safetensors"
    save_file(small, plain)
    save_file(small | {"scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn)}, bare)
    job = sets.job("flux", model={"text_encoder_2": str(plain)})
    assert list(problems_before_loading(job, look_at(job.model.path))) == []
    job = sets.job("flux", model={"text_encoder_2": str(bare)})
    (told,) = problems_before_loading(job, look_at(job.model.path))
    assert told.path == "model.text_encoder_2"
    assert "is in fp8, and the scale that belongs to it is missing." in told.message
    with pytest.raises(ModelProblem) as caught:
        open_checkpoint(bare, "model.text_encoder_2")
    assert (caught.value.field, caught.value.message) == (told.path, told.message)


def test_of_the_base_model_too(sets: Sets, tmp_path: Path) -> None:
    tensors = load_file(sets.base("flux"))
    small = {k: t.to(torch.float8_e4m3fn) if t.dim() == 2 else t for k, t in tensors.items()}
    path = tmp_path / "flux.safetensors"
    save_file(small | {"scaled_fp8": torch.zeros(0)}, path)
    facts = look_at(str(path))
    assert facts.architecture == "flux"
    job = sets.job("flux", model={"path": str(path)})
    (told,) = problems_before_loading(job, facts)
    assert told.path == "model.path"
    assert "the scale that belongs to it is missing" in told.message
