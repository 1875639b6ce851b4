"""Buckets against the table of data-loop 2.1, and what must hold for any picture."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan.buckets import BucketRules, Size, fit, parse_resolution, rules_of, table
from engine.schema.dataset import Dataset


def _rules(resolution: str, low: int = 256, high: int = 1024, **options: object) -> BucketRules:
    return BucketRules(parse_resolution(resolution), minimum=low, maximum=high, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("rules", "count"),
    [
        (_rules("512"), 17),
        (_rules("512x768"), 19),
        (_rules("768", 256, 1536), 29),
        (_rules("1024", 256, 2048), 41),
        (_rules("1024", 512, 2048), 33),
        (_rules("1024", 256, 1024), 25),
        (_rules("1024", 256, 2048, step=32), 81),
        (_rules("2048", 512, 4096), 81),
    ],
)
def test_counts(rules: BucketRules, count: int) -> None:
    """Acceptance 1."""
    assert len(table(rules)) == count


def test_the_list_at_512() -> None:
    """Acceptance 1, the list itself."""
    upright = [(256, 832), (256, 896), (256, 960), (256, 1024), (320, 704), (320, 768)]
    upright += [(384, 640), (448, 576)]
    turned = [(h, w) for w, h in upright]
    assert table(_rules("512")) == tuple(sorted([*upright, (512, 512), *turned]))


AT_512, AT_1024 = _rules("512", rule="ratio"), _rules("1024", 256, 2048, rule="ratio")
SHRINK_512 = _rules("512", rule="ratio", upscale=False)
SHRINK_1024 = _rules("1024", 256, 2048, rule="ratio", upscale=False)


@pytest.mark.parametrize(
    ("rules", "picture", "bucket", "resized", "crop"),
    [
        (AT_512, (1920, 1080), (640, 384), (683, 384), (21, 0)),
        (AT_512, (3000, 2000), (640, 384), (640, 427), (0, 21)),
        (AT_512, (832, 1216), (384, 640), (438, 640), (27, 0)),
        (AT_512, (6000, 500), (1024, 256), (3072, 256), (1024, 0)),
        (AT_1024, (1920, 1080), (1344, 768), (1365, 768), (10, 0)),
        (AT_1024, (3000, 2000), (1216, 832), (1248, 832), (16, 0)),
        (AT_1024, (4032, 3024), (1152, 896), (1195, 896), (21, 0)),
        (AT_1024, (1000, 1001), (1024, 1024), (1024, 1025), (0, 0)),
        (AT_1024, (50, 400), (256, 2048), (256, 2048), (0, 0)),
        (SHRINK_1024, (4032, 3024), (1088, 832), (1109, 832), (10, 0)),
        (SHRINK_1024, (640, 480), (640, 448), (640, 480), (0, 16)),
        (SHRINK_1024, (300, 200), (256, 192), (300, 200), (22, 4)),
        (SHRINK_1024, (1000, 1001), (960, 960), (1000, 1001), (20, 20)),
        (SHRINK_512, (600, 400), (576, 384), (600, 400), (12, 8)),
        (SHRINK_512, (700, 500), (512, 384), (538, 384), (13, 0)),
        (_rules("1024", 256, 1024, rule="ratio"), (1920, 1080), (1024, 576), (1024, 576), (0, 0)),
        (_rules("512"), (832, 1216), (448, 576), (448, 655), (0, 39)),
        (_rules("1024", 256, 2048), (448, 896), (704, 1408), (704, 1408), (0, 0)),
        (_rules("1024", 256, 2048), (1400, 1000), (1216, 832), (1216, 869), (0, 18)),
    ],
)  # fmt: skip
def test_pictures_of_the_table(
    rules: BucketRules, picture: Size, bucket: Size, resized: Size, crop: Size
) -> None:
    """Acceptance 2."""
    found = fit(picture, rules)
    assert (found.bucket, found.resized, found.crop) == (bucket, resized, crop)


def test_a_turned_picture_gets_the_turned_bucket() -> None:
    """Acceptance 3: for 20,000 sizes."""
    rng = random.Random(3)
    rules = _rules("512")
    for _ in range(20_000):
        width, height = rng.randint(16, 4096), rng.randint(16, 4096)
        upright, turned = fit((width, height), rules), fit((height, width), rules)
        assert upright.bucket == turned.bucket[::-1], (width, height)


@pytest.mark.parametrize("rule", ["balanced", "ratio"])
def test_a_narrow_picture_keeps_its_pixels(rule: str) -> None:
    """Acceptance 4: without enlarging, no side becomes 0."""
    found = fit((50, 400), _rules("1024", 256, 2048, rule=rule, upscale=False))
    assert found.bucket == (64, 384)
    assert found.resized == (64, 512)


def test_cut_of_a_long_picture() -> None:
    """The worst row of the table: two thirds are lost."""
    assert fit((6000, 500), AT_512).loss == pytest.approx(2 / 3)


@given(
    picture=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    resolution=st.sampled_from(["128", "512", "512x768", "1024"]),
    rule=st.sampled_from(["balanced", "ratio"]),
    upscale=st.booleans(),
    enabled=st.booleans(),
    step=st.sampled_from([8, 16, 32, 64]),
)
def test_every_picture_covers_its_bucket(
    picture: Size, resolution: str, rule: str, upscale: bool, enabled: bool, step: int
) -> None:
    dataset = Dataset.model_validate(
        {
            "resolution": [resolution],
            "buckets": enabled,
            "bucket_rule": rule,
            "upscale": upscale,
            "bucket_step": step,
        }
    )
    (rules,) = rules_of(dataset)
    found = fit(picture, rules)
    for i in (0, 1):
        assert 0 < found.bucket[i] <= found.resized[i]
        assert 0 <= found.crop[i] <= found.resized[i] - found.bucket[i]
        assert not enabled or found.bucket[i] % step == 0
    if enabled and upscale:
        assert found.bucket in table(rules)
    if enabled and not upscale and min(picture) >= step:
        assert found.scale(picture) <= 1.02  # rounding to whole pixels


@pytest.mark.parametrize("text", ["", "axb", "512x", "12.5"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="512x768"):
        parse_resolution(text)
