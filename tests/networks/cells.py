"""Cells of the matrix: each variant on each architecture's tiny model, ready to train."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.architectures import load
from engine.architectures.architecture import Loading, TrainableModel
from engine.networks import Network
from engine.plan.ranks import place
from engine.plan.site import Placement
from engine.schema.architectures import ARCHITECTURES, UNET
from engine.schema.job import Job
from engine.schema.model import Model
from engine.schema.network import Network as NetworkOptions
from engine.schema.network_variants import FUSED
from engine.schema.optimizer import Optimizer
from engine.schema.variant_rules import broken_variants
from tests.tiny_sets import MAKERS

SEED = 3
OF_ANY: dict[str, dict[str, Any]] = {
    "lora": {},
    "dylora": {"kind": "dylora", "unit": 2},
    "dylora_truncated_dora": {
        "kind": "dylora", "unit": 2, "dylora_mode": "truncate", "dora_wd": True,
    },
    "lora_fa_dora_scalar_rs": {
        "kind": "lora_fa", "dora_wd": True, "use_scalar": True, "rs_lora": True,
    },
    "ggpo": {"ggpo_sigma": 0.3, "ggpo_beta": 0.01},
}  # fmt: skip
OF_UNETS: dict[str, dict[str, Any]] = {
    "norm_tucker_scalar_dora": {
        "conv_dim": 4, "train_norm": True, "use_tucker": True, "use_scalar": True, "dora_wd": True,
    },
    "dora_by_input": {"conv_dim": 4, "dora_wd": True, "wd_on_output": False},
}  # fmt: skip
OF_NORMS: dict[str, dict[str, Any]] = {"norm": {"train_norm": True}}
WITH_NORMS = ("flux", "lumina2", "hunyuan_image", "anima")  # SD3: tests/networks/test_sd3_norms.py
OF_FUSED: dict[str, dict[str, Any]] = {"split_dora": {"split_qkv": True, "dora_wd": True}}


def cells() -> list[tuple[str, str]]:
    """Architecture and variant, for all that there are."""
    found = []
    for architecture in MAKERS:
        variants = [*OF_ANY]
        variants += OF_UNETS if architecture in UNET else ()
        variants += OF_NORMS if architecture in WITH_NORMS else ()
        variants += OF_FUSED if architecture in FUSED else ()
        found += [(architecture, variant) for variant in variants]
    return found


@dataclass(frozen=True)
class Base:
    """A tiny model with one picture and caption, encoded."""

    architecture: str
    model: TrainableModel
    noisy: Tensor
    times: Tensor
    text: Mapping[str, Tensor]
    output: Tensor

    def predict(self) -> Tensor:
        return self.model.predict(self.noisy, self.times, self.text)

    @torch.no_grad()
    def shown(self) -> Tensor:
        return self.predict()

    def placements(self, options: NetworkOptions) -> tuple[Placement, ...]:
        """What of the denoiser gets an adapter, and of which rank."""
        sites = [s for s in self.model.sites if s.component == "denoiser"]
        return place(options, sites, self.architecture)


def base_of(architecture: str, folder: Path) -> Base:
    """Write a tiny set into an empty folder and load it."""
    path = MAKERS[architecture](folder)
    options = Model(architecture=architecture, path=str(path))  # pyright: ignore[reportArgumentType]
    model = load(Loading(architecture, options, torch.device("cpu"), torch.float32))
    torch.manual_seed(SEED)
    with torch.no_grad():
        pixels = torch.rand(1, 3, 64, 64) * 2 - 1
        latents = model.pictures.scaled(model.pictures.encode(pixels))
        text = dict(model.encode_text(["a cat"]))
    text["sizes"] = torch.tensor([[64, 64, 0, 0, 64, 64]])
    noisy = torch.randn_like(latents)
    times = torch.tensor([0.5 if model.prediction == "flow" else 500])
    with torch.no_grad():
        output = model.predict(noisy, times, text)
    return Base(architecture, model, noisy, times, text, output)


def options_of(architecture: str, variant: str) -> NetworkOptions:
    changes = (OF_ANY | OF_UNETS | OF_NORMS | OF_FUSED)[variant]
    given = {"rank": 4, "alpha": 4, "train": "denoiser", **changes}
    job = Job.model_validate({"model": {"architecture": architecture}, "network": given})
    assert list(broken_variants(job, ARCHITECTURES[architecture])) == []
    return job.network


@dataclass
class Training:
    """A network on a model, and what a run does with it."""

    network: Network
    optimizer: torch.optim.Optimizer
    base: Base

    def step(self, number: int) -> None:
        """One step, the random numbers of which follow from its number alone."""
        self.network.draw(SEED, "directions", number)
        torch.manual_seed(number)
        target = torch.randn_like(self.base.output)
        (self.base.predict() - target).square().mean().backward()
        self.network.hand_over_gradients()
        self.network.measure_noise()
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """What a run keeps to go on."""
        return copy.deepcopy(
            {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        )


def training(base: Base, options: NetworkOptions) -> Training:
    """Put a new network on the model; the same options give the same numbers."""
    components = {"denoiser": base.model.components["denoiser"]}
    network = Network.create(base.placements(options), components, options, SEED)
    params = [p for g in network.parameter_groups(Optimizer()) for p in g.params]
    network.attach()
    network.train()
    return Training(network, torch.optim.AdamW(params, lr=0.02, fused=True), base)
