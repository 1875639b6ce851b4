"""Trained norms of Anima: in the picture model, and in the LLM adapter that makes its text."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.architectures import load
from engine.architectures.architecture import Loading
from engine.networks import attach_file
from engine.networks.start import start_network
from engine.networks.variants.norm import NormDelta
from engine.schema.model import Model
from engine.schema.network import Network as Options
from tests.tiny_anima import make_anima


def test_norms_of_the_llm_adapter_learn_with_its_layers(tmp_path: Path) -> None:
    """networks 5.2: the norms beside adapted layers, wherever these are."""
    options = Model(architecture="anima", path=str(make_anima(tmp_path / "model")))
    model = load(Loading("anima", options, torch.device("cpu"), torch.float32))
    chosen = Options(rank=2, alpha=2.0, train="denoiser", train_norm=True, train_llm_adapter=True)
    network, _ = start_network(chosen, "anima", model.sites, model.components, 0)
    network.attach()
    torch.manual_seed(0)
    noisy, times = torch.randn(1, 16, 8, 8), torch.tensor([0.5])

    def answer() -> Tensor:
        sizes = torch.tensor([[64, 64, 0, 0, 64, 64]])
        return model.predict(noisy, times, {**model.encode_text(["a cat"]), "sizes": sizes})

    before = answer()
    before.square().mean().backward()
    norms = [member for member in network.each() if isinstance(member, NormDelta)]
    assert sum(n.site.component == "text_conditioner" for n in norms) == 2 * 7
    assert len(norms) == 2 * 7 + 2 * 4
    with torch.no_grad():
        for norm in norms:
            assert norm.w_norm.grad is not None
            assert norm.w_norm.grad.any(), norm.site.name
            norm.w_norm.add_(0.1)
        network.eval()
        after = answer()
        assert (after - before).abs().max() > 1e-3
        save_file(network.weights(), tmp_path / "norms.safetensors")
        network.detach()
        handle = attach_file("anima", model.components, tmp_path / "norms.safetensors")
        assert handle.unused == ()
        assert torch.allclose(answer(), after, atol=1e-6)
        handle.merge()
        assert torch.allclose(answer(), after, atol=1e-5)
