"""The sites of Lumina-Image 2 and Anima against the complete name maps, and their shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.plan.detect import look_at, refusal_of
from engine.plan.model_names import WITHOUT_ADAPTER, bare_names, verdict_of
from engine.plan.notes import notes_on
from engine.plan.site import Site
from engine.plan.sites import RULES, published_shape, sites_of
from engine.plan.sites.anima import AnimaShape, anima_shape
from engine.plan.sites.lumina2 import Lumina2Shape, lumina2_shape
from engine.schema.job import Job
from engine.schema.model import Model
from tests.plan.headers import write_header

HERE = Path(__file__).parent
PARTS = {"denoiser": "transformer", "text_conditioner": "text_conditioner"}
ORIGINAL = json.loads((HERE.parent / "architectures" / "lumina2_anima_names.json").read_text())
Names = dict[str, tuple[int, ...]]


def _as_map(site: Site) -> dict[str, object]:
    part = PARTS[site.component]
    return {
        "saved": site.name,
        "out": site.rows,
        "in": site.columns,
        "k": None,
        "default": site.default,
        "to": [[f"{part}.{s.module}", *s.target, *s.source] for s in site.segments],
    }


@pytest.mark.parametrize("architecture", ["lumina2", "anima"])
def test_sites_equal_the_name_map(architecture: str) -> None:
    """networks 9, check 26: every saved name, shape, module and row."""
    golden = json.loads((HERE / f"{architecture}.json").read_text("utf-8"))
    sites = [s for s in sites_of(architecture) if s.component != "text_encoder"]
    ours = [_as_map(s) for s in sites if s.kind == "linear"]
    assert sorted(ours, key=str) == sorted(golden, key=str)


@pytest.mark.parametrize(("architecture", "count"), [("lumina2", 182), ("anima", 196)])
def test_the_language_models_sites(architecture: str, count: int) -> None:
    """networks 3.1: seven layers in each layer, named as ComfyUI reads them."""
    text = [s for s in sites_of(architecture) if s.component == "text_encoder"]
    assert len(text) == count
    assert text[0].name == "lora_te_layers_0_self_attn_q_proj"
    assert all(s.segments[0].module == s.original for s in text)
    rows = {s.original.removeprefix("layers.0."): s.rows for s in text[:7]}
    keys = 1024
    assert rows["self_attn.k_proj"] == rows["self_attn.v_proj"] == keys
    assert rows["self_attn.q_proj"] == 2 * keys


def test_patterns_find_the_originals_dotted_paths() -> None:
    """networks 4.6: what Anima's patterns are matched against."""
    originals = {s.original for s in sites_of("anima")}
    assert {
        "blocks.27.mlp.layer2", "blocks.0.adaln_modulation_cross_attn.2", "x_embedder.proj.1",
        "llm_adapter.blocks.5.mlp.0", "final_layer.adaln_modulation.1", "layers.0.mlp.up_proj",
    } <= originals  # fmt: skip


def test_blocks_are_numbered_and_the_rest_is_not() -> None:
    blocks = {s.block for s in sites_of("lumina2") if s.original.startswith("layers.")}
    assert blocks == {None, *range(26)}  # None: Gemma's layers are called so too
    assert {s.block for s in sites_of("lumina2") if "refiner" in s.original} == {None}
    assert {s.block for s in sites_of("anima") if s.component != "denoiser"} == {None}
    assert {s.block for s in sites_of("anima")} == {None, *range(28)}


def _names(architecture: str, prefix: str = "") -> Names:
    """The published file's tensors, with a program's prefix before them."""
    return {prefix + name: tuple(shape) for name, shape in ORIGINAL[architecture].items()}


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model.", "net."])
@pytest.mark.parametrize("architecture", ["lumina2", "anima"])
def test_published_files_are_told_with_their_sizes(architecture: str, prefix: str) -> None:
    """training-dit 1.3: every key of the originals, under each program's prefix."""
    names = _names(architecture, prefix)
    verdict = verdict_of(names)
    assert (verdict.architecture, verdict.refusal) == (architecture, "")
    assert RULES[architecture].of_names(bare_names(names)) == published_shape(architecture)


def test_a_shape_lacks_nothing_that_tells_a_size() -> None:
    for architecture, name in (
        ("lumina2", "x_embedder.weight"),
        ("anima", "final_layer.linear.weight"),
    ):
        names = _names(architecture)
        del names[name]
        assert RULES[architecture].of_names(names) is None


def _changed(architecture: str, **changes: tuple[int, ...] | None) -> Names:
    names = _names(architecture)
    for name, shape in changes.items():
        if shape is None:
            names = {n: s for n, s in names.items() if not n.startswith(name)}
        else:
            names[name] = shape
    return names


CAPTION, PATCH = "cap_embedder.1.weight", "x_embedder.proj.1.weight"
REFUSED: list[tuple[Names, str]] = [
    (_changed("lumina2", **{CAPTION: (3840, 2560)}), "Z-Image"),
    (_changed("lumina2", **{CAPTION: (2304, 2560)}), "captions with Gemma 3"),
    (_changed("anima", **{"llm_adapter.": None}), "Cosmos-Predict2, which reads captions with T5"),
    (_changed("anima", **{PATCH: (2048, 72)}), "Cosmos-Predict2 for video"),
    (_changed("anima", **{"blocks.28.mlp.layer1.weight": (8192, 2048)}), "more than 28 blocks"),
    ({"model.layers.0.pre_feedforward_layernorm.weight": (2304,)}, "a Gemma text encoder"),
    ({"layers.0.self_attn.q_norm.weight": (128,)}, "a Qwen3 text encoder"),
    ({"encoder.downsamples.0.residual.0.gamma": (96, 1, 1, 1)}, "a VAE of Qwen-Image"),
]


@pytest.mark.parametrize(("names", "words"), REFUSED)
def test_their_kin_is_refused_by_name(names: Names, words: str) -> None:
    """training-dit 7, check 24."""
    verdict = verdict_of(names)
    assert words in verdict.refusal + verdict.reason
    assert verdict.refusal


def test_a_job_may_bring_the_adapter_that_a_file_lacks(tmp_path: Path) -> None:
    names = {f"net.{n}": s for n, s in _changed("anima", **{"llm_adapter.": None}).items()}
    small = {n: s for n, s in names.items() if "blocks.1" not in n and "blocks.2" not in n}
    facts = look_at(str(write_header(tmp_path / "cosmos.safetensors", small)))
    assert (facts.architecture, facts.variant) == ("anima", WITHOUT_ADAPTER)
    assert "LLM adapter" in refusal_of(facts, Model(architecture="anima"))
    assert refusal_of(facts, Model(architecture="anima", text_conditioner="a.safetensors")) == ""
    assert isinstance(facts.shape, AnimaShape)


def test_a_cosmos_folder_without_adapter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "transformer").mkdir()
    config: dict[str, Any] = {
        "_class_name": "CosmosTransformer3DModel", "num_attention_heads": 16,
        "attention_head_dim": 128, "num_layers": 28, "adaln_lora_dim": 256,
        "text_embed_dim": 1024, "in_channels": 16, "out_channels": 16,
    }  # fmt: skip
    (tmp_path / "transformer/config.json").write_text(json.dumps(config))
    assert "Cosmos-Predict2" in look_at(str(tmp_path)).refusal


def test_shapes_follow_the_configs() -> None:
    """What a role's config does not tell is as published."""
    small = lumina2_shape(
        {"denoiser": {"hidden_size": 192, "num_layers": 2, "num_attention_heads": 2,
                      "num_kv_heads": 1, "cap_feat_dim": 32}}
    )  # fmt: skip
    assert (small.mlp, small.kv_width, small.time_width, small.text_layers) == (768, 96, 192, 26)
    layers = [s for s in sites_of("lumina2", small) if s.kind == "linear"]
    assert len([s for s in layers if s.component == "denoiser"]) == 36 + 4
    with pytest.raises(ValueError, match="does not divide by 5 heads"):
        lumina2_shape({"denoiser": {"hidden_size": 192, "num_attention_heads": 5}})
    with pytest.raises(ValueError, match="no padding mask"):
        anima_shape({"denoiser": {"concat_padding_mask": False}})
    assert anima_shape({}) == AnimaShape()
    assert lumina2_shape({}) == Lumina2Shape()


@pytest.mark.parametrize(
    ("architecture", "words"),
    [("lumina2", "Gemma 2 (gemma_2_2b_fp16.safetensors), VAE (ae.safetensors)"),
     ("anima", "Qwen3 (qwen_3_06b_base.safetensors), VAE (qwen_image_vae.safetensors)")],
)  # fmt: skip
def test_the_plan_tells_what_a_picture_models_file_needs_beside_it(
    architecture: str, words: str, tmp_path: Path
) -> None:
    blocks = ("layers.", "blocks.", "llm_adapter.blocks.")
    small = {
        name: shape
        for name, shape in _names(architecture).items()
        if not name.startswith(blocks) or ".0." in name
    }
    facts = look_at(str(write_header(tmp_path / "alone.safetensors", small)))
    job = Job.model_validate({"model": {"architecture": architecture}})
    assert words in next(iter(notes_on(job, facts, None)))
    named = {"text_encoder": "a.safetensors", "vae": "b.safetensors"}
    job = Job.model_validate({"model": {"architecture": architecture, **named}})
    part = words.partition(" (")[0]
    assert not any(f"{part} (" in note for note in notes_on(job, facts, None))
