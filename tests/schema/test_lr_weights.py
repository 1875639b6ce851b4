"""Block learning-rate weights (spec: networks 4.1, 9.9, 9.10)."""

from __future__ import annotations

import pytest

from engine.schema.architectures import ARCHITECTURES
from engine.schema.lr_weights import LrWeightError, block_lr_weights
from engine.schema.network import Network

SD1 = ARCHITECTURES["sd1"]


def weights(**network) -> list[float]:
    found = block_lr_weights(Network(**network), SD1)
    assert found is not None
    return found


def test_no_weights_is_none():
    assert block_lr_weights(Network(), SD1) is None


def test_cosine_starts_at_one_and_ends_at_zero():
    """networks 9.10"""
    down = weights(down_lr_weight="cosine")[:12]
    assert down[0] == pytest.approx(1.0)
    assert down[-1] == pytest.approx(0.0, abs=1e-12)


def test_sine_plus_a_quarter():
    down = weights(down_lr_weight="sine+.25")[:12]
    assert down[0] == pytest.approx(0.25)
    assert down[-1] == pytest.approx(1.25)


def test_zeros_and_linear_give_the_25_vector_of_check_9():
    found = weights(down_lr_weight="zeros", up_lr_weight="linear")
    assert found[:12] == [0.0] * 12
    assert found[12] == 1.0
    assert found[13] == 0.0
    assert found[24] == pytest.approx(1.0)


def test_a_short_list_is_filled_with_ones_and_an_empty_item_is_zero():
    assert weights(up_lr_weight="0.5,,2")[13:] == [0.5, 0.0, 2.0] + [1.0] * 9


def test_a_lone_number_is_meant_for_all():
    assert weights(down_lr_weight=0.5)[:12] == [0.5] * 12


def test_weights_at_or_below_the_threshold_are_zero():
    found = weights(down_lr_weight="0.1,0.2,0.3", block_lr_zero_threshold=0.2)
    assert found[:4] == [0.0, 0.0, 0.3, 1.0]


@pytest.mark.parametrize(
    ("value", "words"),
    [("sinus", "is no shape"), ("sine+x", "not a number"), ([1.0] * 13, "13 numbers"),
     ([-1.0, 1.0], "from 0 up")],
)  # fmt: skip
def test_what_cannot_be_read_names_its_field(value, words):
    with pytest.raises(LrWeightError, match=words) as caught:
        weights(up_lr_weight=value)
    assert caught.value.key == "up_lr_weight"
