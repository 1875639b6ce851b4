"""FLUX.1 files of sd-scripts on the libraries' models: outputs as the peer computed them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from diffusers.loaders.lora_conversion_utils import _convert_kohya_flux_lora_to_diffusers
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, T5EncoderModel

from engine.networks import attach_file
from engine.networks.network import Network
from engine.networks.shape import shape_of
from engine.plan.ranks import place
from engine.plan.sites import sites_of
from engine.schema.network import Network as NetworkOptions
from tests.networks.golden_case import check_case
from tests.networks.parts import error

HERE = Path(__file__).parents[1] / "golden" / "flux"
CASES = ("all", "split_qkv", "train_t5xxl", "type_dims")


@dataclass
class GoldenFlux:
    """The peer's base model, in the libraries' classes."""

    transformer: FluxTransformer2DModel
    clip: CLIPTextModel
    t5: T5EncoderModel

    @property
    def components(self) -> dict[str, nn.Module]:
        return {
            "denoiser": self.transformer,
            "text_encoder": self.clip,
            "text_encoder_2": self.t5,
        }

    @torch.no_grad()
    def run(self, io: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All three outputs for a case's inputs."""
        picture = self.transformer(
            hidden_states=io["in.img"],
            encoder_hidden_states=io["in.txt"],
            pooled_projections=io["in.y"],
            timestep=io["in.t"],  # pyright: ignore[reportArgumentType]
            img_ids=io["in.img_ids"][0],
            txt_ids=io["in.txt_ids"][0],
            guidance=io["in.guidance"],
            return_dict=False,
        )[0]
        pooled = self.clip(io["in.ids"]).pooler_output
        states = self.t5(io["in.t5_ids"]).last_hidden_state
        assert isinstance(pooled, Tensor)
        assert isinstance(states, Tensor)
        return {"dit": picture, "te1": pooled, "t5": states}


@pytest.fixture(scope="module")
def _loaded() -> GoldenFlux:
    transformer = FluxTransformer2DModel.from_pretrained(HERE / "transformer")
    clip = CLIPTextModel.from_pretrained(HERE / "te1")
    t5 = T5EncoderModel.from_pretrained(HERE / "t5")
    for model in (transformer, clip, t5):
        model.float().requires_grad_(False).eval()
    return GoldenFlux(transformer, clip, t5)


@pytest.fixture
def golden(_loaded: GoldenFlux) -> GoldenFlux:
    """A base model of one's own in float32, frozen."""
    return copy.deepcopy(_loaded)


def inputs_of(name: str) -> dict[str, Tensor]:
    return load_file(HERE / f"{name}.io.safetensors")


@pytest.mark.parametrize("name", CASES)
def test_outputs_equal_the_peers_and_detach_is_bit_exact(name: str, golden: GoldenFlux) -> None:
    """The deltas come out near 1e-5; a split file as any reader sees it."""
    handle = check_case(
        "flux",
        golden.components,
        lambda _, io: golden.run(io),
        HERE / f"{name}.safetensors",
        changed={"dit", "te1", "t5"} if name == "train_t5xxl" else {"dit"},
    )
    assert handle.unused == ()


def test_merge_gives_the_attached_output(golden: GoldenFlux) -> None:
    io = inputs_of("train_t5xxl")
    base = golden.run(io)
    attach_file("flux", golden.components, HERE / "train_t5xxl.safetensors").merge()
    merged = golden.run(io)
    for part in base:
        expected = io[f"lora.{part}"] - io[f"base.{part}"]
        assert error([merged[part] - base[part]], [expected]) < 1e-3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("all", {}),
        (
            "type_dims",
            {
                "img_attn_dim": 4, "txt_attn_dim": 2, "img_mlp_dim": 3, "txt_mlp_dim": 0,
                "img_mod_dim": 2, "txt_mod_dim": 0, "single_dim": 5, "single_mod_dim": 0,
            },
        ),
    ],
)  # fmt: skip
def test_the_golden_structure_is_what_place_gives(
    name: str, options: dict[str, int], golden: GoldenFlux
) -> None:
    """networks 9, check 26: names and shapes of a network of ours equal the peer's file."""
    sites = sites_of("flux", shape_of("flux", golden.components))
    chosen = NetworkOptions(rank=4, alpha=2.0, train="denoiser", **options)  # pyright: ignore[reportArgumentType]
    network = Network.create(place(chosen, sites, "flux"), golden.components, chosen, 1)
    theirs = load_file(HERE / f"{name}.safetensors")
    theirs = {n: tuple(t.shape) for n, t in theirs.items() if n.startswith("lora_unet_")}
    assert {n: tuple(t.shape) for n, t in network.weights().items()} == theirs


def test_diffusers_reads_our_files_as_we_do() -> None:
    """networks 9, check 27: its own converter makes 494 modules of a dev file, rows sliced."""
    sites = [s for s in sites_of("flux") if s.component == "denoiser" and s.default]
    count = 0
    file: dict[str, Tensor] = {}
    for site in sites:
        # One column stands for all; every row has a number of its own.
        file[f"{site.name}.lora_down.weight"] = torch.ones(1, 1)
        up = torch.arange(count, count + site.rows, dtype=torch.float32)[:, None]
        file[f"{site.name}.lora_up.weight"] = up
        file[f"{site.name}.alpha"] = torch.tensor(1.0)
        count += site.rows
    theirs = _convert_kohya_flux_lora_to_diffusers(dict(file))
    ups = {name: t for name, t in theirs.items() if name.endswith(".lora_B.weight")}
    assert len(ups) == 494
    for site in sites:
        whole = file[f"{site.name}.lora_up.weight"]
        for segment in site.segments:
            rows = ups[f"transformer.{segment.module}.lora_B.weight"]
            assert torch.equal(rows, whole[slice(*segment.source)])
