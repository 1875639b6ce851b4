"""The golden model and cases: what the peers' own code wrote and computed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel

from tests.networks.cells import Base, base_of

HERE = Path(__file__).parents[1] / "golden" / "sd15"
SHARED = Path(__file__).parents[3] / "shared" / "golden" / "sd15"


def golden_file(name: str) -> Path:
    """A golden file; all of them where the shared folder is, some in the repository."""
    own = HERE / name
    return own if own.exists() else SHARED / name


def golden_cases(*names: str) -> list[str]:
    """Those of the cases whose files are here."""
    return [n for n in names if golden_file(f"{n}.io.safetensors").exists()]


@dataclass
class Golden:
    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel

    @property
    def components(self) -> dict[str, nn.Module]:
        return {"denoiser": self.unet, "text_encoder": self.text_encoder}

    @torch.no_grad()
    def run(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Both models' outputs for a case's inputs."""
        latents = self.unet(tensors["in.x"], tensors["in.t"], tensors["in.ctx"]).sample
        text = self.text_encoder(tensors["in.ids"]).last_hidden_state
        assert isinstance(text, Tensor)
        return {"unet": latents, "te1": text}


@pytest.fixture(scope="session")
def _loaded() -> Golden:
    unet = UNet2DConditionModel.from_pretrained(HERE / "unet")
    text_encoder = CLIPTextModel.from_pretrained(HERE / "te1")
    for model in (unet, text_encoder):
        model.float().requires_grad_(False).eval()
    return Golden(unet, text_encoder)


@pytest.fixture
def golden(_loaded: Golden) -> Golden:
    """A base model of one's own in float32, frozen."""
    return copy.deepcopy(_loaded)


@pytest.fixture
def case() -> Callable[[str], tuple[Path, dict[str, Tensor]]]:
    """A case's adapter file, and its inputs and outputs."""

    def of(name: str) -> tuple[Path, dict[str, Tensor]]:
        return golden_file(f"{name}.safetensors"), load_file(golden_file(f"{name}.io.safetensors"))

    return of


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Base]:
    """Tiny models to train on; the last one asked for is kept."""
    return lru_cache(maxsize=1)(lambda name: base_of(name, tmp_path_factory.mktemp(name)))
