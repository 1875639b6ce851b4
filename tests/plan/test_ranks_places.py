"""Ranks by family, block, embedder and pattern: which decides over which (networks 4.2–4.6)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.plan.matching import Patterns
from engine.plan.place_notes import place_notes
from engine.plan.ranks import place
from engine.plan.site import Placement
from engine.plan.sites import ModelShape, sites_of
from engine.plan.sites.flux import FluxShape
from engine.plan.summary import summarize
from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import check
from engine.schema.network import Network
from engine.schema.network_places import NetworkPlaces
from engine.schema.options import option_at
from engine.schema.problem import OptionError

SMALL = FluxShape(width=64, double=3, single=2)


def by_name(
    architecture: str = "flux", shape: ModelShape | None = None, **options: Any
) -> dict[str, Placement]:
    network = Network.model_validate({"rank": 4, "alpha": 2.0, "train": "denoiser", **options})
    placements = place(network, sites_of(architecture, shape), architecture)
    return {p.site.name.removeprefix("lora_unet_"): p for p in placements}


def ranks(architecture: str = "flux", **options: Any) -> dict[str, int]:
    return {name: p.rank for name, p in by_name(architecture, **options).items()}


def test_a_family_has_its_own_rank_and_keeps_the_alpha() -> None:
    placements = by_name(img_attn_dim=32)
    assert placements["double_blocks_0_img_attn_qkv"].rank == 32
    assert placements["double_blocks_0_img_attn_qkv"].alpha == 2.0
    assert placements["double_blocks_0_txt_attn_qkv"].rank == 4


def test_single_blocks_two_families() -> None:
    found = ranks(single_dim=8, single_mod_dim=2)
    assert found["single_blocks_37_linear1"] == found["single_blocks_37_linear2"] == 8
    assert found["single_blocks_37_modulation_lin"] == 2


def test_a_pattern_decides_over_families_and_blocks() -> None:
    """Networks 4.2: a matched adapter ignores the block numbers; a family at 0 stays off."""
    found = ranks(
        train_double_block_indices="none", train_single_block_indices="none",
        img_attn_dim=0, network_reg_dims="double_blocks_3_img_mlp=16,single_blocks_0_=6",
    )  # fmt: skip
    assert {n for n, rank in found.items() if rank == 16} == {
        "double_blocks_3_img_mlp_0", "double_blocks_3_img_mlp_2",
    }  # fmt: skip
    assert {n for n, rank in found.items() if rank == 6} == {
        f"single_blocks_0_{part}" for part in ("linear1", "linear2", "modulation_lin")
    }
    assert len(found) == 5


def test_the_first_pattern_that_is_found_decides() -> None:
    found = ranks(network_reg_dims=["double_blocks_1_=2", "double_blocks_1.*attn=8", "attn=6"])
    assert found["double_blocks_1_img_attn_qkv"] == 2
    assert found["double_blocks_10_img_attn_qkv"] == 8
    assert found["double_blocks_2_img_attn_qkv"] == 6
    assert found["double_blocks_2_img_mlp_0"] == 4


@pytest.mark.parametrize(
    "pattern",
    [r"^lora_unet_double_blocks_2_img_attn_qkv$", r"^double_blocks\.2\.img_attn\.qkv$",
     "blocks.2.img_attn.qkv"],
)  # fmt: skip
def test_a_pattern_is_looked_for_in_both_spellings_of_a_name(pattern: str) -> None:
    """One rule for all architectures in place of two (networks 8, Q22)."""
    found = ranks(network_reg_dims=[f"{pattern}=9"])
    assert [name for name, rank in found.items() if rank == 9] == ["double_blocks_2_img_attn_qkv"]


def test_patterns_leave_out_and_take_in() -> None:
    """Leaving out everything and taking in a part trains that part alone."""
    found = ranks(exclude_patterns=".*", include_patterns="single_blocks_(7|20)_linear2")
    assert set(found) == {"single_blocks_7_linear2", "single_blocks_20_linear2"}
    assert set(ranks(exclude_patterns="blocks", include_patterns="^img_in$")) == {"img_in"}
    assert ranks(exclude_patterns="blocks") == {}


def test_patterns_do_not_turn_on_what_has_a_switch() -> None:
    """Networks 9, check 24: taking in everything leaves the LLM adapter and T5 off."""
    assert not any(n.startswith("llm_") for n in ranks("anima", include_patterns=".*"))
    names = ranks("flux", train="text_encoder", include_patterns=".*")
    assert not any(name.startswith("lora_te3") for name in names)


def test_convolutions_can_be_taken_in() -> None:
    found = ranks("sd1", include_patterns="mid_block.*conv1$", conv_dim=None)
    assert found["mid_block_resnets_0_conv1"] == 4
    assert len(found) == 192 + 2


def test_embedders_take_their_own_numbers() -> None:
    found = ranks(in_dims=[1, 2, 3, 5, 6])
    assert (found["img_in"], found["txt_in"]) == (1, 6)
    assert found["time_in_in_layer"] == found["time_in_out_layer"] == 2
    assert (found["vector_in_in_layer"], found["guidance_in_out_layer"]) == (3, 5)
    sd3 = ranks("sd3", emb_dims=[1, 2, 3, 5, 6, 7])
    assert (sd3["context_embedder"], sd3["t_embedder_mlp_2"], sd3["x_embedder_proj"]) == (1, 2, 3)
    assert sd3["y_embedder_mlp_0"] == 5
    assert (sd3["final_layer_adaLN_modulation_1"], sd3["final_layer_linear"]) == (6, 7)
    lumina = ranks("lumina2", embedder_dims=[1, 2, 3])
    assert (lumina["x_embedder"], lumina["t_embedder_mlp_0"], lumina["cap_embedder_1"]) == (1, 2, 3)


def test_kinds_and_numbers_of_blocks_leave_embedders_alone() -> None:
    found = ranks(in_dims=[4, 0, 0, 0, 0], train_blocks="single", train_single_block_indices="0")
    assert set(found) == {
        "img_in", "single_blocks_0_linear1", "single_blocks_0_linear2",
        "single_blocks_0_modulation_lin",
    }  # fmt: skip


def test_a_pattern_gives_a_rate_and_a_group_of_its_own() -> None:
    placements = by_name(network_reg_lrs=["img_attn=5e-5", "single_blocks_0_=0", "qkv=1e-3"])
    image, text = (placements[f"double_blocks_0_{part}_attn_qkv"] for part in ("img", "txt"))
    assert (image.rate, image.group) == (5e-5, "unet_reg_lr_0")
    assert (text.rate, text.group) == (1e-3, "unet_reg_lr_2")
    assert "single_blocks_0_linear1" not in placements
    plain = placements["double_blocks_0_img_mlp_0"]
    assert (plain.rate, plain.group) == (None, "unet")


def test_a_rate_by_pattern_is_multiplied_by_the_blocks_weight() -> None:
    placements = by_name("sd1", network_reg_lrs="proj_in=1e-3", mid_lr_weight=0.5)
    middle = placements["mid_block_attentions_0_proj_in"]
    assert (middle.rate, middle.lr_factor) == (1e-3, 0.5)
    assert middle.group == "unet_block12_reg_lr_0"


def test_groups_of_text_encoders_have_clean_unique_names() -> None:
    """Networks 1.7 and 8, Q12: a number each where there are several."""

    def groups(architecture: str, **options: Any) -> list[str]:
        found = by_name(architecture, train="text_encoder", **options).values()
        return list(dict.fromkeys(p.group for p in found))

    assert groups("sd1") == ["textencoder"]
    assert groups("sdxl") == ["textencoder1", "textencoder2"]
    assert groups("flux", train_t5xxl=True) == ["textencoder1", "textencoder2"]
    assert groups("sd3", train_t5xxl=True) == ["textencoder1", "textencoder2", "textencoder3"]
    named = groups("sd3", network_reg_lrs="_mlp_=1e-6")
    assert named == ["textencoder1", "textencoder1_reg_lr_0",
                     "textencoder2", "textencoder2_reg_lr_0"]  # fmt: skip


def test_the_llm_adapter_belongs_to_the_picture_model() -> None:
    """Networks 3.8: it stands in the picture model's file and goes at its rate."""
    groups = {p.group for p in by_name("anima", train_llm_adapter=True).values()}
    assert groups == {"unet"}
    assert "llm_adapter_blocks_0_mlp_0" not in by_name(
        "anima", train="text_encoder", train_llm_adapter=True
    )


def test_blocks_are_counted_in_the_model_at_hand() -> None:
    found = by_name(shape=SMALL, train_double_block_indices="0,2", train_single_block_indices="1")
    assert {name.rpartition("_")[0][:15] for name in found} == {
        "double_blocks_0", "double_blocks_2", "single_blocks_1",
    }  # fmt: skip
    with pytest.raises(OptionError, match=r"Single blocks: there is no block 2; .* 0 to 1"):
        by_name(shape=SMALL, train_single_block_indices="2")


def test_every_option_with_a_number_for_each_block_has_as_many_blocks() -> None:
    for architecture in ("flux", "hunyuan_image", "lumina2", "anima"):
        for option, count in ARCHITECTURES[architecture].block_counts.items():
            whole: dict[str, Any] = {option: f"0-{count - 1}"}
            beyond: dict[str, Any] = {option: str(count)}
            assert by_name(architecture, **whole)
            with pytest.raises(OptionError, match=f"there is no block {count}"):
                by_name(architecture, **beyond)


def test_a_plan_is_shown_although_an_option_cannot_be_used() -> None:
    """The field tells its mistake; the rest of the plan goes on without it."""
    data = {
        "model": {"architecture": "flux", "path": "m"},
        "dataset": {"folders": [{"path": "p"}]},
        "network": {"network_reg_dims": ["(=3"], "train_single_block_indices": "5-1"},
    }
    checked = check(data)
    assert {p.path for p in checked.errors} == {
        "network.network_reg_dims", "network.train_single_block_indices",
    }  # fmt: skip
    assert summarize(checked.job).modules == 304


def test_patterns_that_cost_too_much_stop() -> None:
    """Each is harmless by itself; together they use up the patience, not an afternoon."""
    slow = [".*a.*b.*" + letter + "Q" for letter in "abcdefgh"] * 40
    with pytest.raises(OptionError, match="take too long") as caught:
        patterns = Patterns("exclude_patterns", slow)
        for _ in range(10_000):
            for site in sites_of("flux"):
                patterns.first(site)
    assert caught.value.key == "exclude_patterns"


def test_a_plan_tells_what_the_model_at_hand_does_not_have() -> None:
    """A pattern with a mistake in it does nothing, and would be noticed too late."""
    network = Network(
        network_reg_dims=["single_blocks=0", "double_block_0=8"], exclude_patterns=["mlp", "mpl"],
        train_double_block_indices="3",
    )  # fmt: skip
    notes = list(place_notes(network, sites_of("flux", SMALL), "flux"))
    assert len(notes) == 3
    assert notes[0].startswith("Double blocks: there is no block 3; they are numbered 0 to 2.")
    assert notes[1:] == [
        "Leave out layers: 'mpl' is in no layer's name.",
        "Rank by pattern: 'double_block_0' is in no layer's name.",
    ]
    assert list(place_notes(Network(), sites_of("flux"), "flux")) == []


SOMETHING: dict[str, Any] = {
    "in_dims": [3] * 5, "emb_dims": [3] * 6, "embedder_dims": [3] * 3,
    "train_t5xxl": True, "train_llm_adapter": True,
    "exclude_patterns": "mlp|proj", "include_patterns": "embed|_in|modulation|resnets|te3",
    "network_reg_dims": "0=3", "network_reg_lrs": "0=3",
    "train_block_indices": "0", "train_double_block_indices": "0",
    "train_single_block_indices": "0",
}  # fmt: skip
"""A value that is not the default; every other option of places is a rank or an alpha."""

ELSEWHERE = ("kind", "train")
"""Tested elsewhere: the kind is no place."""

PLACES = [
    (architecture.id, name)
    for architecture in ARCHITECTURES.values()
    for name in NetworkPlaces.model_fields
    if name not in ELSEWHERE and option_at(f"network.{name}").applies(architecture.id)
]


@pytest.mark.parametrize(("architecture", "name"), PLACES)
def test_every_option_of_an_architecture_does_something(architecture: str, name: str) -> None:
    option = option_at(f"network.{name}")
    values: list[Any] = [SOMETHING.get(name, 3)]
    if option.hints.blocks:
        values = [[3] * len(ARCHITECTURES[architecture].blocks)]
    elif option.kind == "choice":
        values = [choice for choice in option.choices_of(architecture) if choice != option.default]
    whole: dict[str, Any] = {"train": "both"} | (
        {"conv_dim": 5} if "alpha" in name and "conv" in name else {}
    )
    before = by_name(architecture, **whole)
    for value in values:
        nothing = architecture == "hunyuan_image" and name == "include_patterns"  # all are in
        assert (by_name(architecture, **{**whole, name: value}) == before) == nothing, value
