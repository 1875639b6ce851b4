from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from engine.architectures.fingerprint import fingerprint
from engine.networks import Network
from engine.plan.ranks import place
from engine.schema.network import Network as NetworkOptions
from engine.schema.objective import Objective as Options
from engine.training.noise import draw_noise
from engine.training.objective import Objective
from tests.architectures.conftest import Load
from tests.tiny import named_tensors


def pixels(b: int = 2, height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.rand(b, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


# Pictures


def test_latents_are_the_posteriors_mean_unscaled(loaded: Load) -> None:
    model = loaded()
    latents = model.pictures.encode(pixels())
    assert latents.shape == (2, 4, 8, 12)
    assert latents.dtype == torch.float32
    assert not latents.requires_grad
    with torch.no_grad():
        encoded: Any = model.pictures.vae.encode(pixels()[:1])
    assert torch.allclose(latents[:1], encoded.latent_dist.mean, atol=1e-6)
    assert torch.equal(model.pictures.scaled(latents), latents * 0.18215)


def test_scaling_round_trips_through_the_decoder(loaded: Load) -> None:
    """training-sd-flux 9, check 13, for SD's factor."""
    model = loaded()
    latents = model.pictures.encode(pixels(1))
    with torch.no_grad():
        vae: Any = model.pictures.vae
        decoded = vae.decode(latents)
    assert torch.allclose(
        model.pictures.decode(model.pictures.scaled(latents)), decoded.sample, atol=1e-5
    )


def test_latents_that_are_not_finite_are_an_error(loaded: Load) -> None:
    """training-sd-flux 9, check 13."""
    model = loaded()
    with torch.no_grad():
        model.pictures.vae.get_parameter("quant_conv.bias")[0] = float("nan")
    with pytest.raises(ValueError, match="VAE precision"):
        model.pictures.encode(pixels(1))


def test_large_pictures_go_through_in_tiles(loaded: Load) -> None:
    model = loaded()
    model.pictures._set_tiling(1537)
    assert model.pictures.vae.use_tiling
    model.pictures.encode(pixels(1))
    assert not model.pictures.vae.use_tiling


def test_autocast_does_not_touch_the_vae(loaded: Load) -> None:
    model = loaded()
    plain = model.pictures.encode(pixels(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.pictures.encode(pixels(1)), plain)


# Text


def test_captions_have_the_length_of_the_job(loaded: Load) -> None:
    for tokens, length in ((75, 77), (150, 152), (225, 227)):
        states = loaded(max_tokens=tokens).encode_text(["cat", "a dog"])["states"]
        assert states.shape == (2, length, 32)


def test_two_encodings_are_equal(loaded: Load) -> None:
    """training-sd-flux 9, check 30."""
    model = loaded()
    assert torch.equal(model.encode_text(["cat"])["states"], model.encode_text(["cat"])["states"])


def test_the_empty_caption_is_encoded_and_not_zero(loaded: Load) -> None:
    """training-sd-flux 2, dropped captions; 9, check 31."""
    states = loaded().encode_text([""])["states"]
    assert states.abs().sum(dim=-1).min() > 0


def test_weights_in_captions_are_read_only_if_asked_for(loaded: Load) -> None:
    plain, weighted = loaded(), loaded(how={"weighted_captions": True})
    text = ["(cat:1.5)"]
    assert torch.equal(
        plain.encode_text(["cat"])["states"], weighted.encode_text(["cat"])["states"]
    )
    assert not torch.equal(plain.encode_text(text)["states"], weighted.encode_text(text)["states"])


def test_prompts_of_a_preview_are_padded_to_one_length(loaded: Load) -> None:
    """training-sd-flux 9, check 28."""
    model = loaded()
    long, short = model.encode_prompts(["cat " * 40, "bad"])
    assert long["states"].shape == short["states"].shape == (1, 152, 32)
    alone = model.encode_prompts(["bad"])[0]["states"]
    assert torch.allclose(short["states"][:, :76], alone[:, :76], atol=1e-6)


def test_gradients_reach_the_text_encoder_only_in_grad_mode(loaded: Load) -> None:
    model = loaded()
    encoder: Any = model.components["text_encoder"]
    encoder.final_layer_norm.requires_grad_(True)
    assert model.encode_text(["cat"])["states"].requires_grad
    with torch.no_grad():
        assert not model.encode_text(["cat"])["states"].requires_grad
    assert not model.encode_prompts(["cat"])[0]["states"].requires_grad


# Identity


def test_identities_follow_weights_and_options(loaded: Load) -> None:
    first, same = loaded(), loaded()
    assert first.pictures.identity() == same.pictures.identity()
    assert first.text_identity() == same.text_identity()
    other = loaded(made={"seed": 3}, clip_skip=2)
    assert first.pictures.identity()["vae"] != other.pictures.identity()["vae"]
    assert first.text_identity()["text_encoder"] != other.text_identity()["text_encoder"]
    assert other.text_identity()["clip_skip"] == 2
    assert loaded(vae_precision="bf16").pictures.identity() != first.pictures.identity()


def test_one_changed_number_changes_the_fingerprint() -> None:
    module = nn.Linear(64, 64)
    before = fingerprint(module)
    with torch.no_grad():
        module.weight[33, 17] += 1e-6
    assert fingerprint(module) != before
    assert fingerprint(nn.Linear(64, 64).bfloat16()) != before


# The denoiser


@pytest.fixture
def with_adapter(loaded: Load) -> Iterator[tuple[Any, Network]]:
    model = loaded()
    options = NetworkOptions(rank=2, alpha=2)
    placements = place(options, model.sites, "sd1")
    network = Network.create(placements, model.components, options, 0)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(2)
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    network.attach()
    yield model, network
    network.detach()


def one_loss(model: Any, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    objective = Objective(Options(), model.prediction)
    latents = model.pictures.scaled(model.pictures.encode(pixels()))
    noise = draw_noise(latents, [1, 2], Options())
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
        text = model.encode_text(["cat", "dog"])
        return objective.loss_each(model, latents, text, noise).mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_the_adapter_learns(with_adapter: tuple[Any, Network], dtype: torch.dtype) -> None:
    """training-sd-flux 9, check 30."""
    model, network = with_adapter
    bases = [named_tensors(m) for m in (*model.components.values(), model.pictures.vae)]
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    before = [p.detach().clone() for p in network.parameters()]
    loss = one_loss(model, dtype)
    assert loss.isfinite()
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    for module, base in zip((*model.components.values(), model.pictures.vae), bases, strict=True):
        for name, parameter in module.named_parameters():
            assert parameter.grad is None
            assert torch.equal(parameter, base[name])


def gradients(model: Any, network: Network) -> list[torch.Tensor]:
    network.zero_grad()
    one_loss(model).backward()
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def test_checkpointing_changes_no_gradient(with_adapter: tuple[Any, Network]) -> None:
    """training-sd-flux 9, check 25."""
    model, network = with_adapter
    plain = gradients(model, network)
    model.enable_gradient_checkpointing()
    assert model.unet.is_gradient_checkpointing
    assert model.components["text_encoder"].training
    again = gradients(model, network)
    assert len(plain) == len(again) > 100
    for a, b in zip(plain, again, strict=True):
        assert torch.equal(a, b)


def test_checkpointing_recomputes_the_text_encoder(loaded: Load) -> None:
    model = loaded()
    calls: list[int] = []
    encoder: Any = model.components["text_encoder"]
    layer: Any = encoder.encoder.layers[0].mlp
    layer.register_forward_pre_hook(lambda *_: calls.append(1))
    encoder.final_layer_norm.requires_grad_(True)
    layer.fc1.requires_grad_(True)
    model.enable_gradient_checkpointing()
    model.encode_text(["cat"])["states"].square().sum().backward()
    assert len(calls) == 2


def test_attention_is_chosen_by_context(loaded: Load) -> None:
    """training-sd-flux 9, check 26."""
    from torch.backends.cuda import flash_sdp_enabled, math_sdp_enabled

    with loaded(attention="math").attention_context():
        assert math_sdp_enabled()
        assert not flash_sdp_enabled()
    with loaded().attention_context():
        assert flash_sdp_enabled()


def test_inputs_are_cast_to_the_weights(loaded: Load) -> None:
    model = loaded(dtype=torch.bfloat16)
    text = {"states": torch.zeros(1, 77, 32)}
    predicted = model.predict(torch.zeros(1, 4, 8, 8), torch.tensor([5]), text)
    assert predicted.dtype == torch.bfloat16
    assert predicted.shape == (1, 4, 8, 8)
