"""Where a denoiser lies: on the device, waiting for the encoders, or partly swapped."""

from __future__ import annotations

import torch
from torch import nn

from engine.architectures.architecture import Loading
from engine.architectures.running.denoiser import fetch_denoiser, place_denoiser, place_text_encoder
from engine.architectures.running.frozen import FrozenLinear
from engine.schema.model import Model

CARD = torch.device("meta")  # a device that is not the processor, on any machine


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedder = nn.Linear(2, 4)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 4)) for _ in range(4))
        self.register_buffer("table", torch.zeros(3))


def loading(**options: object) -> Loading:
    return Loading("flux", Model(), CARD, torch.float32, **options)  # pyright: ignore[reportArgumentType]


def on_card(model: nn.Module) -> list[str]:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return sorted(name for name, tensor in tensors.items() if tensor.device == CARD)


def packed(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, FrozenLinear)]


def test_all_of_it_goes_to_the_device() -> None:
    model = Denoiser()
    place_denoiser(model, loading())
    assert len(on_card(model)) == 11


def test_swapped_blocks_stay() -> None:
    model = Denoiser()
    place_denoiser(model, loading(blocks_away=2))
    assert [n for n in on_card(model) if n.startswith("blocks")] == [
        "blocks.0.0.bias", "blocks.0.0.weight", "blocks.1.0.bias", "blocks.1.0.weight",
    ]  # fmt: skip
    assert "table" in on_card(model)


def test_a_waiting_denoiser_comes_when_it_is_fetched() -> None:
    model, asked = Denoiser(), loading(denoiser_waits=True, blocks_away=1)
    place_denoiser(model, asked)
    assert on_card(model) == []
    fetch_denoiser(model, asked)
    assert len(on_card(model)) == 9
    assert not any(name.startswith("blocks.3") for name in on_card(model))


def test_eight_bits_are_packed_before_it_waits() -> None:
    model = Denoiser()
    asked = Loading(
        "flux", Model(weights="int8"), torch.device("cpu"), torch.float32, denoiser_waits=True
    )
    place_denoiser(model, asked)
    assert len(packed(model)) == 4
    assert type(model.embedder) is nn.Linear


def test_text_encoders_have_a_form_of_their_own() -> None:
    encoder = Denoiser()
    model = Model(text_encoder_weights="fp8_scaled")
    place_text_encoder(encoder, Loading("flux", model, torch.device("cpu"), torch.float32))
    assert len(packed(encoder)) == 4
