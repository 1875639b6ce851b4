"""Files of sd-scripts on Anima: outputs as the peer computed them (golden README)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers.models.condition_embedders.condition_embedder_anima import AnimaTextConditioner
from diffusers.models.transformers.transformer_cosmos import CosmosTransformer3DModel
from torch import Tensor, nn

from engine.architectures.anima.load import provide_resize
from engine.networks import attach_file
from tests.networks.golden_case import check_case

HERE = Path(__file__).parents[1] / "golden" / "anima"
OUTPUTS = ("adapter", "dit", "dit_noadapter")


@pytest.fixture(scope="module")
def components() -> dict[str, nn.Module]:
    provide_resize()
    models: dict[str, nn.Module] = {
        "denoiser": CosmosTransformer3DModel.from_pretrained(HERE / "transformer"),
        "text_conditioner": AnimaTextConditioner.from_pretrained(HERE / "text_conditioner"),
    }
    for model in models.values():
        model.float().requires_grad_(False).eval()
    return models


@torch.no_grad()
def run(components: dict[str, nn.Module], io: Mapping[str, Tensor]) -> dict[str, Tensor]:
    questions, asked = io["in.t5_ids"], io["in.t5_mask"]
    context = components["text_conditioner"](
        source_hidden_states=io["in.ctx"],
        target_input_ids=questions,
        target_attention_mask=asked,
        source_attention_mask=io["in.ctx_mask"],
    )[:, : questions.shape[1]]

    def denoise(context: Tensor) -> Tensor:
        return components["denoiser"](
            hidden_states=io["in.x"],
            timestep=io["in.t"],
            encoder_hidden_states=context,
            padding_mask=io["in.padding_mask"][:1],
            return_dict=False,
        )[0]

    return {
        "adapter": context,
        "dit": denoise(context),
        "dit_noadapter": denoise(io["in.ctx"][:, : questions.shape[1]]),
    }


@pytest.mark.parametrize(
    ("name", "changed", "count"),
    [("all", {"dit", "dit_noadapter"}, 20), ("llm_adapter", set(OUTPUTS), 40)],
)
def test_outputs_equal_the_peers_and_detach_is_bit_exact(
    name: str, changed: set[str], count: int, components: dict[str, nn.Module]
) -> None:
    """Denoiser and LLM adapter: deltas at weight 1 and 0.5, every key used."""
    handle = check_case("anima", components, run, HERE / f"{name}.safetensors", changed=changed)
    assert handle.unused == ()
    assert len(handle.used) == count


def test_an_absent_adapter_is_reported(components: dict[str, nn.Module]) -> None:
    """A file with an LLM adapter's part on the denoiser alone: used as far as it goes."""
    alone = {"denoiser": components["denoiser"]}
    handle = attach_file("anima", alone, HERE / "llm_adapter.safetensors")
    handle.detach()
    assert len(handle.used) == 20
    assert {u.reason for u in handle.unused} == {"the text conditioner is not given"}
