"""The Plan tab shows what `plan --json` prints."""

from __future__ import annotations

import pytest
from PIL import Image

from app import theme
from app.document import Document
from app.plan_model import PlanModel
from app.plan_page import PlanPage
from app.widgets.memory_bar import MemoryBar
from engine.plan.summary import summarize


@pytest.fixture
def page(qtbot, tmp_path):
    for i in range(4):
        Image.new("RGB", (512, 512), (i, 0, 0)).save(tmp_path / f"{i}.png")
    document = Document()
    plans = PlanModel(document)
    made = PlanPage(document, plans)
    qtbot.addWidget(made)
    plans.compute()
    return made


def test_figures_are_those_of_the_plan(page):
    plan = summarize(page._document.job)
    assert page._parameters._figure.text() == f"{plan.parameters / 1e6:.1f} M"
    rows = {row.name: row.value for row in page._shares._rows}
    assert sum(rows.values()) == plan.parameters
    assert list(rows) == ["IN", "MID", "OUT", "CLIP-L"]
    assert "picture model" in page._memory_bar.accessibleName()


def test_a_change_shows_within_one_turn_of_the_loop(page, qtbot):
    with qtbot.waitSignal(page._plans.changed, timeout=1000):
        page._document.set("network.rank", 32)
    assert page._parameters._figure.text() == "18.9 M"


def test_the_steps_are_told_as_arithmetic(page, qtbot, tmp_path):
    assert "Choose a folder" in page._sum.text()
    page._document.insert_item("dataset.folders", 0, {"path": str(tmp_path), "repeats": 5.0})
    page._document.set("training.batch_size", 2)
    page._document.set("training.epochs", 3)
    page._plans.look()
    qtbot.waitUntil(lambda: "steps an epoch" in page._sum.text(), timeout=5000)
    assert page._sum.text() == (
        "4 pictures make 20 samples in 10 batches of 2 = 10 steps an epoch × 3 epochs = 30 steps."
    )
    assert page._steps._figure.text() == "30 steps"


def test_the_map_counts_what_lies_outside_of_its_blocks(page):
    page._document.set_architecture("lumina2")
    page._plans.compute()
    plan = summarize(page._document.job)
    denoiser = next(part for part in plan.parts if part.component == "denoiser")
    assert (denoiser.modules, denoiser.modules_of) == (180, 184)
    words = "180 of 184 modules of the picture model, 24 of them before or behind these blocks"
    assert page.map._count.text() == words
    page._document.set_architecture("flux")
    page._plans.compute()
    assert page.map._count.text() == "304 of 312 modules of the picture model"


def test_narrow_pages_stack_the_cards(page, qtbot):
    page.resize(560, 900)
    page.show()
    qtbot.waitUntil(lambda: page._memory.y() > page._parameters.y())
    page.resize(900, 900)
    qtbot.waitUntil(lambda: page._memory.y() == page._parameters.y())


def test_ranks_of_a_file_are_planned(page, qtbot, tmp_path):
    import json
    import struct

    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    shapes = {f"{name}.lora_down.weight": [3, 320], f"{name}.lora_up.weight": [320, 3]}
    header, at = {}, 0
    for key, shape in shapes.items():
        size = 4 * shape[0] * shape[1]
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header).encode()
    file = tmp_path / "a.safetensors"
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(at))
    values = [("network.start_from", str(file)), ("network.rank_from_file", True)]
    page._document.set_many(values, "test")
    qtbot.waitUntil(lambda: page._plans.plan.modules == 1, timeout=5000)
    assert page._plans.plan.parameters == 3 * 640


def test_pictures_of_former_folders_do_not_enter_the_plan(page, qtbot, tmp_path):
    document, plans = page._document, page._plans
    two = [{"path": str(tmp_path / "none")}, {"path": str(tmp_path)}]
    document.set("dataset.folders", two)
    plans.look()
    document.set("dataset.folders", two[1:])  # while the two are being read
    qtbot.waitSignal(plans.pictures_changed, timeout=5000).wait()
    assert plans.plan is not None
    assert plans.plan.pictures is None
    qtbot.waitUntil(lambda: plans.plan is not None and plans.plan.pictures is not None)
    assert plans.plan.to_json()["pictures"]["found"] == 4


def test_a_wrong_part_is_told_at_its_field_as_it_is_chosen(qtbot, tmp_path):
    from tests.tiny_flux import make_flux

    path = make_flux(tmp_path / "flux", "components")
    parts = path.parent
    document = Document()
    document.set_architecture("flux")
    plans = PlanModel(document)
    plans.start()
    values = [
        ("model.path", str(path)),
        ("model.vae", str(parts / "ae.safetensors")),
        ("model.text_encoder", str(parts / "t5xxl.safetensors")),
        ("model.text_encoder_2", str(parts / "t5xxl.safetensors")),
    ]
    document.set_many(values, "test")

    def told():
        return {p.path: p.message for p in document.problems if p.path.startswith("model.")}

    qtbot.waitUntil(lambda: "model.text_encoder" in told(), timeout=10000)
    assert "T5" in told()["model.text_encoder"]
    document.set("model.text_encoder", str(parts / "clip_l.safetensors"))
    qtbot.waitUntil(lambda: "model.text_encoder" not in told(), timeout=10000)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"network.rank": 0}, "counted with rank 16"),
        ({"network.rank": 0, "network.alpha": -1.0}, "counted with defaults for 2 wrong fields"),
        ({"network.block_dims": [-1] * 25}, ""),  # its row says that the list counts for nothing
        ({"network.block_dims": "many"}, "counted without rank per block"),
    ],
)
def test_card_and_plan_count_the_same_of_a_wrong_job_and_say_with_what(page, wrong, words):
    document, plans = page._document, page._plans
    document.set_many(list(wrong.items()), "wrong")
    plans.compute()
    denoiser = next(part for part in plans.plan.parts if part.component == "denoiser")
    told = f"{denoiser.modules} of 278 modules of the U-Net"
    assert page.blocks._count.text() == (f"{told}, {words}" if words else told)
    assert denoiser.modules == 192
    assert set(page.blocks.editor.values("linear")) == {16.0}
    document.undo_stack.undo()
    assert page.blocks._count.text() == told


def test_the_map_says_with_what_it_counts(page):
    page._document.set_architecture("flux")
    page._document.set("network.rank", 0)
    page._plans.compute()
    assert page.map._count.text().endswith("modules of the picture model, counted with rank 16")


@pytest.mark.parametrize("architecture", ["sdxl", "sd3"])
def test_every_part_of_the_memory_is_drawn_in_a_color_of_its_own(page, qtbot, architecture):
    document, plans, bar = page._document, page._plans, MemoryBar()
    qtbot.addWidget(bar)
    document.set_architecture(architecture)
    document.set("dataset.cache_latents", "off")
    document.set("training.ema", 0.99)
    document.set("training.blocks_to_swap", 4)
    document.set("network.train", "all")
    plans.compute()
    bar.show_parts(page._memory_bar._parts)
    names = [part.name for part in bar._parts]
    assert len(names) >= 9, names
    colors = [ink.name() for ink in bar._colors()]
    assert len(set(colors)) == len(names), list(zip(names, colors, strict=True))
    assert theme.tokens().text2.lower() not in colors  # which is for what is not known
    bar.resize(1200, 400)
    image = bar.grab().toImage()
    whole = 1.05 * sum(part.high for part in bar._parts)
    x = 0.0
    for part, ink in zip(bar._parts, bar._colors(), strict=True):
        width = bar.width() * part.low / whole
        if width > 3:
            assert image.pixelColor(int(x + width / 2), 8).name() == ink.name(), part.name
        x += width
