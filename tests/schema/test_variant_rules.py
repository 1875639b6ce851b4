"""What does not go together among the kinds of adapters is told at its field, with a mend."""

from __future__ import annotations

from typing import Any

import pytest

from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import check
from engine.schema.job import Job
from engine.schema.variant_rules import broken_variants


def problems(architecture: str = "sd1", **network: Any) -> dict[str, str]:
    """Path → message."""
    tables = {key: network.pop(key) for key in ("training", "model") if key in network}
    model = {"architecture": architecture, **tables.pop("model", {})}
    job = Job.model_validate({"model": model, "network": network, **tables})
    found = broken_variants(job, ARCHITECTURES[architecture])
    return {problem.path: problem.message for problem in found}


def test_a_plain_job_and_each_kind_alone_break_nothing() -> None:
    assert problems() == {}
    assert problems(kind="lora_fa", dora_wd=True) == {}
    assert problems(kind="dylora", rank=16, unit=4, conv_dim=16, max_norm=1.0) == {}
    assert problems("flux", split_qkv=True, dora_wd=True, use_scalar=True) == {}
    assert problems("flux", ggpo_sigma=0.03, ggpo_beta=0.01) == {}


@pytest.mark.parametrize(
    ("network", "path", "words"),
    [
        ({"kind": "dylora", "rank": 6, "unit": 4}, "unit", "Rank 6 is not a multiple of 4"),
        ({"kind": "dylora", "conv_dim": 8}, "conv_dim", "one rank everywhere"),
        ({"kind": "dylora", "block_dims": [16] * 24 + [6]}, "block_dims", "6 is not a multiple"),
        ({"kind": "dylora", "dropout": 0.1}, "dropout", "does not go with DyLoRA"),
        ({"kind": "dylora", "rank_dropout": 0.1}, "rank_dropout", "does not go with DyLoRA"),
        ({"kind": "dylora", "module_dropout": 0.1}, "module_dropout", "does not go with DyLoRA"),
        ({"kind": "lora_fa", "loraplus_lr_ratio": 16}, "loraplus_lr_ratio", "LoRA-FA trains one"),
        ({"use_tucker": True}, "use_tucker", "give a 3×3 conv rank"),
        ({"train_norm": True, "train": "text_encoder"}, "train_norm", "text encoder alone"),
        ({"ggpo_sigma": 0.03}, "ggpo_beta", "GGPO needs sigma and beta"),
        ({"ggpo_sigma": 0.1, "ggpo_beta": 0.1, "use_scalar": True}, "use_scalar", "does not go"),
        ({"kind": "dylora", "ggpo_sigma": 0.1, "ggpo_beta": 0.1}, "ggpo_sigma", "DyLoRA"),
    ],
)
def test_each_rule_names_its_field(network: dict[str, Any], path: str, words: str) -> None:
    """Check 34's errors, and those of networks 4.8, 5 and 7."""
    assert words in problems(**network)[f"network.{path}"]


def test_dora_by_input_needs_a_unet_with_readable_weights() -> None:
    """Check 40: an error on fused layers, and over packed weights."""
    by_input = {"dora_wd": True, "wd_on_output": False}
    assert problems("sdxl", **by_input) == {}
    assert "keeps q, k and v as one layer" in problems("flux", **by_input)["network.wd_on_output"]
    packed = problems("sdxl", **by_input, model={"weights": "int8"})
    assert "by output it works over packed" in packed["network.wd_on_output"]
    assert problems("sdxl", dora_wd=True, model={"weights": "int8"}) == {}


def test_the_check_of_a_job_tells_them_too() -> None:
    data = {"model": {"architecture": "sd1"}, "network": {"kind": "dylora", "rank": 6}}
    found = {problem.path for problem in check(data).problems}
    assert "network.unit" in found
    found = {
        problem.path
        for problem in check(
            {"model": {"architecture": "sd1"}, "network": {"split_qkv": True}}
        ).problems
    }
    assert "network.split_qkv" in found
