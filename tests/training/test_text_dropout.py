"""Text encoders that fall silent: drawn from the sample alone, the same with kept captions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.architectures.architecture import Text
from engine.training.text_dropout import drawn_silence, silenced

SAMPLES = [(f"picture{i}.png", 0) for i in range(2000)]


class Encoders:
    """Says of every sample what it was asked to drop."""

    def without_encoders(self, text: Text, dropped: Tensor) -> dict[str, Tensor]:
        return {name: tensor * ~dropped[:, :1] for name, tensor in text.items()}


def test_each_encoder_has_its_own_chance_and_its_own_draw() -> None:
    drawn = drawn_silence((0.2, 0.5, 0.0), 1, 1, SAMPLES).float()
    assert drawn.shape == (2000, 3)
    assert torch.allclose(drawn.mean(0), torch.tensor([0.2, 0.5, 0.0]), atol=0.04)
    both = (drawn[:, 0] * drawn[:, 1]).mean()
    assert abs(both.item() - 0.1) < 0.03


def test_a_sample_draws_the_same_in_any_batch_and_other_epochs_draw_anew() -> None:
    rates = (0.5, 0.5, 0.5)
    whole = drawn_silence(rates, 7, 2, SAMPLES[:8])
    assert torch.equal(whole[5:6], drawn_silence(rates, 7, 2, SAMPLES[5:6]))
    assert not torch.equal(whole, drawn_silence(rates, 7, 3, SAMPLES[:8]))
    assert not torch.equal(whole, drawn_silence(rates, 8, 2, SAMPLES[:8]))


def test_rates_of_0_and_1_are_never_and_always() -> None:
    drawn = drawn_silence((0.0, 1.0), 1, 1, SAMPLES[:50])
    assert not drawn[:, 0].any()
    assert drawn[:, 1].all()


def test_only_the_drawn_samples_change() -> None:
    text = {"states": torch.ones(2, 3)}
    found = silenced(Encoders(), text, torch.tensor([[True], [False]]))
    assert found["states"].sum(1).tolist() == [0, 3]
    assert silenced(Encoders(), text, torch.zeros(2, 1, dtype=torch.bool)) is text
    assert silenced(object(), text, None) is text


def test_a_model_whose_encoders_are_one_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot silence"):
        silenced(object(), {}, torch.ones(1, 1, dtype=torch.bool))
