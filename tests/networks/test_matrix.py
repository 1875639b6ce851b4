"""Every variant on every architecture: trains, saves, reloads, merges, resumes.

A cell trains two steps with AdamW on a tiny model of the architecture's real block structure.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.architectures import load
from engine.architectures.architecture import Loading, TrainableModel
from engine.networks import Network, attach_file
from engine.networks.file import save
from engine.plan.adapter_size import numbers_of, total_of
from engine.plan.ranks import place
from engine.plan.site import Placement
from engine.schema.architectures import ARCHITECTURES, UNET
from engine.schema.job import Job
from engine.schema.model import Model
from engine.schema.network import Network as NetworkOptions
from engine.schema.network_variants import FUSED
from engine.schema.optimizer import Optimizer
from engine.schema.variant_rules import broken_variants
from tests.networks.parts import error
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


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @lru_cache(maxsize=1)
    def of(architecture: str) -> Base:
        path = MAKERS[architecture](tmp_path_factory.mktemp(architecture))
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
        return Base(model, noisy, times, text, output)

    return of


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


def training(base: Base, options: NetworkOptions, placements: tuple[Placement, ...]) -> Training:
    components = {"denoiser": base.model.components["denoiser"]}
    network = Network.create(placements, components, options, SEED)
    params = [p for g in network.parameter_groups(Optimizer()) for p in g.params]
    network.attach()
    network.train()
    return Training(network, torch.optim.AdamW(params, lr=0.02, fused=True), base)


def check_gradients(run: Training) -> None:
    """All that has a gradient is finite, and something of every adapter learns."""
    params = [p for g in run.optimizer.param_groups for p in g["params"]]
    given = [p.grad for p in params if p.grad is not None]
    assert all(g.isfinite().all() for g in given)
    learning = sum(bool(g.any()) for g in given)
    assert learning >= 0.3 * len(given)  # the first step moves `up` or the scalar alone


@pytest.mark.parametrize(("architecture", "variant"), cells())
def test_a_cell_of_the_matrix(
    architecture: str, variant: str, base: Any, tmp_path: Path, request: Any
) -> None:
    here: Base = base(architecture)
    options = options_of(architecture, variant)
    sites = [s for s in here.model.sites if s.component == "denoiser"]
    placements = place(options, sites, architecture)
    assert any(p.site.kind == "norm" for p in placements) == options.train_norm
    run = training(here, options, placements)
    request.addfinalizer(run.network.detach)
    counted = total_of([numbers_of(p, options) for p in placements])
    assert counted.held == sum(p.numel() for p in run.network.parameters())
    trained = sum(p.numel() for g in run.optimizer.param_groups for p in g["params"])
    assert counted.trained == trained
    run.network.eval()
    assert error([here.shown()], [here.output]) < 1e-5  # a new adapter adds nothing
    run.network.train()
    run.step(0)
    check_gradients(run)
    run.optimizer.zero_grad()
    kept = run.state()
    run.step(1)
    check_gradients(run)
    run.network.apply_max_norm(50.0)
    weights = run.network.weights()
    alphas = sum(t.numel() for key, t in weights.items() if key.endswith(".alpha"))
    assert counted.stored == sum(t.numel() for t in weights.values()) - alphas
    assert counted.keys == len(weights)
    run.network.eval()
    output = here.shown()
    assert error([output], [here.output]) > 1e-4
    run.network.detach()

    again = training(here, options, placements)  # resumed after the first step
    request.addfinalizer(again.network.detach)
    again.network.load_state_dict(kept["network"])
    again.optimizer.load_state_dict(kept["optimizer"])
    again.step(1)
    again.network.apply_max_norm(50.0)
    assert all(torch.equal(t, weights[key]) for key, t in again.network.weights().items())
    again.network.detach()

    path = tmp_path / "saved.safetensors"
    save(path, weights, {}, "fp32")
    components: dict[str, nn.Module] = {"denoiser": here.model.components["denoiser"]}
    handle = attach_file(architecture, components, path)
    assert handle.unused == ()
    assert error([here.shown()], [output]) < 1e-5
    kept_base = copy.deepcopy(components["denoiser"].state_dict())
    handle.merge()
    assert error([here.shown()], [output]) < 1e-4
    components["denoiser"].load_state_dict(kept_base)
    assert torch.equal(here.shown(), here.output)
