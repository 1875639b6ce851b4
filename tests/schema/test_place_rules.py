"""Rules about where adapters sit and at which rates: each speaks at its field."""

from __future__ import annotations

from typing import Any

import pytest

from engine.schema.check import check
from engine.schema.optimizer import Optimizer, text_encoder_rate


def errors(architecture: str, **tables: dict[str, Any]) -> dict[str, str]:
    data: dict[str, Any] = {
        "model": {"architecture": architecture, "path": "m"},
        "dataset": {"folders": [{"path": "p"}], "cache_text": "off"},
        **tables,
    }
    return {p.path: p.message for p in check(data).errors}


@pytest.mark.parametrize(
    ("architecture", "options", "path", "words"),
    [
        ("flux", {"in_dims": [4, 4]}, "in_dims", "needs 5 numbers for FLUX.1; this list has 2"),
        ("sd3", {"emb_dims": [4] * 5}, "emb_dims", "needs 6 numbers"),
        ("lumina2", {"embedder_dims": [4] * 4}, "embedder_dims", "needs 3 numbers"),
        ("flux", {"in_dims": [4, 4, 4, 4, -1]}, "in_dims", "below 0"),
        ("flux", {"in_dims": [4, 4, 4, 4, 1025]}, "in_dims", "above 1024"),
        ("flux", {"img_attn_dim": -1}, "img_attn_dim", "at least 0"),
        ("sdxl", {"block_dims": [4, 4]}, "block_dims", "needs 23 numbers for SDXL"),
        ("sd1", {"block_dims": [4, 4]}, "block_dims", "needs 25 numbers"),
        ("flux", {"train_blocks": "refiners"}, "train_blocks", "FLUX.1"),
        ("flux", {"train_blocks": "some"}, "train_blocks", "is one of all, double, single"),
        ("lumina2", {"train_blocks": "double"}, "train_blocks", "Lumina-Image 2"),
        ("hunyuan_image", {"train": "text_encoder"}, "train", "HunyuanImage"),
        ("flux", {"network_reg_dims": "a(=3"}, "network_reg_dims", "'a(' is no regular"),
        ("flux", {"network_reg_lrs": "a"}, "network_reg_lrs", "'a' is no pair"),
        ("anima", {"exclude_patterns": ["(a+)+"]}, "exclude_patterns", "(a+)+"),
        ("sd3", {"train_block_indices": "40"}, "train_block_indices", "numbered 0 to 37"),
        ("sd1", {"img_attn_dim": 4}, "img_attn_dim", "there for FLUX.1 and HunyuanImage-2.1 only"),
        ("flux", {"conv_dim": 4}, "conv_dim", "not an option of FLUX.1"),
        ("sd3", {"train_llm_adapter": True}, "train_llm_adapter", "there for Anima only"),
    ],
)
def test_mistakes(architecture: str, options: dict[str, Any], path: str, words: str) -> None:
    """Networks 9, checks 6, 13, 14 and 16 among them."""
    found = errors(architecture, network=options)
    assert list(found) == [f"network.{path}"]
    assert words in found[f"network.{path}"]


def test_kept_captions_go_with_the_llm_adapters_training_but_not_with_qwens() -> None:
    """What is kept is what the LLM adapter reads, and what Qwen3 says."""
    kept = {"folders": [{"path": "p"}], "cache_text": "disk"}
    network = {"train_llm_adapter": True, "train": "denoiser"}
    assert errors("anima", network=network, dataset=kept) == {}
    found = errors("anima", network=network | {"train": "both"}, dataset=kept)
    assert "text encoder" in found["dataset.cache_text"]


@pytest.mark.parametrize("rates", [[1e-5], [1e-5, 2e-5], [0.0, 2e-5, 0.0]])
def test_rates_of_text_encoders(rates: list[float]) -> None:
    """Networks 9, check 32: one is for all, two are for the first and the rest."""
    optimizer = Optimizer(text_encoder_lr=rates)
    expected = [*rates, *[rates[-1]] * 2][:3]
    assert [text_encoder_rate(optimizer, i) for i in range(3)] == expected
    assert text_encoder_rate(Optimizer(), 0) is None


@pytest.mark.parametrize(
    ("written", "rates"), [(5e-5, [5e-5]), ("1e-5, 0", [1e-5, 0]), (0, [0]), ("5e-5", [5e-5])]
)
def test_one_rate_needs_no_list(written: object, rates: list[float]) -> None:
    assert Optimizer.model_validate({"text_encoder_lr": written}).text_encoder_lr == rates


def test_more_rates_than_text_encoders() -> None:
    found = errors("flux", optimizer={"text_encoder_lr": [1e-5] * 3}, network={"train": "both"})
    assert "FLUX.1 has 2 text encoders: CLIP-L, T5-XXL" in found["optimizer.text_encoder_lr"]
    found = errors("sd1", optimizer={"text_encoder_lr": [1e-5, 11]})
    assert "from 0 to 10" in found["optimizer.text_encoder_lr"]


def test_an_optimizer_with_one_rate_takes_no_other() -> None:
    """Networks 1.7: neither rates by pattern nor differing ones go with Prodigy."""
    prodigy = {"name": "Prodigy", "learning_rate": 1.0}
    found = errors("flux", optimizer=prodigy, network={"network_reg_lrs": "img=1e-4"})
    assert "Rate by pattern cannot be used with Prodigy" in found["network.network_reg_lrs"]
    rates = {**prodigy, "text_encoder_lr": [1.0, 0.5]}
    assert "optimizer.text_encoder_lr" in errors("sdxl", optimizer=rates, network={"train": "both"})
    # T5 is not trained, and so its rate does not matter.
    assert errors("flux", optimizer=rates, network={"train": "both"}) == {}
    untrained = {**prodigy, "text_encoder_lr": [0.0]}
    assert errors("sdxl", optimizer=untrained, network={"train": "both"}) == {}


def test_with_every_rate_at_nothing_nothing_is_learned() -> None:
    zero = {"learning_rate": 1e-4, "text_encoder_lr": [0, 0], "denoiser_lr": 0}
    found = errors("sdxl", optimizer=zero, network={"train": "both"})
    assert "nothing is learned" in found["optimizer.learning_rate"]
    assert errors("sdxl", optimizer={**zero, "text_encoder_lr": [0, 1e-5]},
                  network={"train": "both"}) == {}  # fmt: skip
