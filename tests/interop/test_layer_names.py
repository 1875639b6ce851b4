"""Layer filters in diffusers' names find the layers of the original model."""

from __future__ import annotations

import re

import pytest

from engine.interop.layer_names import pattern_of
from engine.plan.sites.flux import FluxShape, flux_sites

SITES = [site for site in flux_sites(FluxShape()) if site.default]


def found(word: str) -> list[str]:
    """The layers that a word finds, as the ranks look for patterns."""
    pattern = re.compile(pattern_of(word, "flux"))
    return [s.original for s in SITES if pattern.search(s.original) or pattern.search(s.name)]


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("transformer.single_transformer_blocks.7.proj_out", 1),
        ("single_transformer_blocks", 38 * 3),
        ("transformer.transformer_blocks.0.attn.to_q", 1),
        ("transformer_blocks.3.ff_context.net", 2),
        ("ff.net", 19 * 4),
        ("single_transformer_blocks.20.norm.linear", 1),
    ],
)
def test_a_word_finds_the_layers_it_means(word: str, count: int) -> None:
    assert len(found(word)) == count


def test_other_models_names_stay_as_they_are() -> None:
    assert pattern_of("attn2.to_k", "sd1") == r"attn2\.to_k"
