from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.protocol import Sample
from resources.demo.make.check import PROMPTS, Subject, judge, subjects
from resources.demo.make.concept import BACKGROUNDS, HELD_OUT, TRAINING, TRIGGER, draw_concept
from resources.demo.make.draw import BROAD, COLORS, SHAPES, SIZE, draw, draw_clutter, near
from resources.demo.make.draw import shape_mask as mask_of
from resources.demo.make.showcase import write_showcase


def drawn(subject: Subject, number: int) -> Image.Image:
    """The subject as draw.py draws it, at a size and place of its own."""
    rng = random.Random(number)
    sheet = Image.new("RGB", (256, 256), near(subject.back, rng))
    radius, x = rng.uniform(0.2, 0.36) * 256, 128 + rng.uniform(-8, 8)
    sheet.paste(near(subject.front, rng), mask=mask_of(subject.shape, x, 128, radius))
    return sheet.reduce(2)


def test_subjects_cover_every_shape_and_color() -> None:
    wanted = subjects()
    assert len(wanted) == PROMPTS == 32
    assert len(set(wanted)) == 32
    assert {subject.shape for subject in wanted} == set(SHAPES)
    assert {subject.front for subject in wanted} == set(COLORS)
    assert {subject.back for subject in wanted} == set(COLORS)
    assert all(subject.front != subject.back for subject in wanted)


def test_real_drawings_score_32_of_32() -> None:
    verdicts = [judge(drawn(subject, n), subject) for n, subject in enumerate(subjects())]
    assert sum(verdict.right for verdict in verdicts) == 32


def test_check_says_which_part_is_wrong() -> None:
    picture = drawn(Subject("star", "red", "blue"), 1)
    square = judge(picture, Subject("square", "red", "blue"))
    assert (square.shape, square.front, square.back) == (False, True, True)
    green = judge(picture, Subject("star", "green", "blue"))
    assert (green.shape, green.front, green.back) == (True, False, True)
    black = judge(picture, Subject("star", "red", "black"))
    assert (black.shape, black.front, black.back) == (True, True, False)
    assert not square.right


def test_empty_picture_has_no_shape() -> None:
    verdict = judge(Image.new("RGB", (SIZE, SIZE), COLORS["blue"]), Subject("star", "red", "blue"))
    assert (verdict.shape, verdict.front, verdict.back) == (False, False, True)


def test_same_seed_and_index_draw_the_same_picture() -> None:
    for index in range(20):
        one, again = draw(5, index, BROAD), draw(5, index, BROAD)
        assert one.caption == again.caption
        assert np.array_equal(np.asarray(one.picture), np.asarray(again.picture))
        assert one.picture.size == (SIZE, SIZE)
    assert draw(6, 0, BROAD).caption != draw(5, 0, BROAD).caption
    assert draw_clutter(1, 0).size == (SIZE, SIZE)


def test_every_kind_is_drawn_and_an_unknown_one_is_named() -> None:
    for kind in BROAD:
        assert draw(1, 0, {kind: 1.0}).caption
    with pytest.raises(ValueError, match="'cloud'"):
        draw(1, 0, {"cloud": 1.0})


def test_plain_pictures_show_what_their_captions_say() -> None:
    checked = 0
    for index in range(60):
        picture, caption = (one := draw(11, index, {"plain": 1.0})).picture, one.caption
        words = caption.replace(",", "").split()
        shape = next((word for word in words if word in SHAPES), None)
        colors = [word for word in words if word in COLORS]
        if shape is None or len(colors) < 2:
            continue  # a made-up word took the place of the shape
        assert judge(picture, Subject(shape, colors[0], colors[1])).right, caption
        checked += 1
    assert checked > 50


def test_concept_pictures_name_the_trigger_and_keep_views_apart() -> None:
    captions = [draw_concept(number).caption for number in range(TRAINING + HELD_OUT)]
    assert all(f" {TRIGGER} " in caption for caption in captions)
    assert len(set(captions)) == TRAINING + HELD_OUT
    assert {caption.split()[-2] for caption in captions[TRAINING:]} == set(BACKGROUNDS)


def test_showcase_orders_one_prompts_previews_by_step(tmp_path: Path) -> None:
    lines = []
    for step, index in ((50, 0), (0, 0), (0, 1)):
        path = f"{step}-{index}.png"
        Image.new("RGB", (8, 8), (step, index, 0)).save(tmp_path / path)
        event = Sample(step=step, path=path, prompt_index=index, prompt="a star", seed=1)
        lines.append(event.model_dump_json())
    (tmp_path / "events.jsonl").write_text("\n".join([*lines, "not an event"]))
    written = write_showcase(tmp_path, tmp_path / "showcase")
    assert [path.name for path in written] == ["1-base_model.png", "2-step_50.png"]
    with Image.open(written[1]) as picture:
        assert picture.getpixel((0, 0)) == (50, 0, 0)
    with pytest.raises(ValueError, match="prompt 7"):
        write_showcase(tmp_path, tmp_path / "showcase", prompt_index=7)
