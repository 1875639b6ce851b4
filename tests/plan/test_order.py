"""Order, steps and draws: pure, fair and complete (data-loop 2.3, 2.4, 4.3)."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan.held_out import split_pictures
from engine.plan.keys import draws, key
from engine.plan.order import EpochPlan, Order, caption_generator
from engine.plan.steps import NothingToTrain, run_length
from tests.plan.pictures import job, pictures

SQUARE, WIDE, TALL = (512, 512), (768, 384), (384, 768)


def _uses(plan: EpochPlan) -> Counter[int]:
    return Counter(s.picture_index for batch in plan.batches for s in batch.samples)


def test_keys() -> None:
    """Acceptance 5."""
    assert key(42, "order", 0) == 6627180856724262551
    assert key(42, "noise", 3, "a/b.png", 0) == 6382955135490866645
    numbers = list(range(8))
    draws(42, "order", 0).shuffle(numbers)
    assert numbers == [0, 3, 2, 5, 4, 1, 7, 6]


@given(
    counts=st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9)),
    repeats=st.integers(1, 4),
    batch=st.integers(1, 4),
    accumulation=st.integers(1, 3),
    world=st.integers(1, 3),
    epoch=st.integers(1, 5),
    resolutions=st.sampled_from([["512"], ["512", "768"]]),
)
def test_every_sample_is_used_exactly_repeats_times(
    counts: tuple[int, int, int],
    repeats: int,
    batch: int,
    accumulation: int,
    world: int,
    epoch: int,
    resolutions: list[str],
) -> None:
    """Acceptance 6, for any batch, accumulation and number of GPUs."""
    sizes = [SQUARE] * counts[0] + [WIDE] * counts[1] + [TALL] * counts[2]
    spec = job(
        {"repeats": repeats},
        dataset={"resolution": resolutions},
        training={"batch_size": batch, "gradient_accumulation": accumulation},
    )
    order = Order(spec, pictures(*sizes), world)
    plan = order.epoch(epoch)
    each = repeats * len(resolutions)
    assert _uses(plan) == Counter(dict.fromkeys(range(len(sizes)), each))
    identities = [s.identity for b in plan.batches for s in b.samples]
    assert len(set(identities)) == len(identities)
    assert len({(s.relative_path, s.repeat) for b in plan.batches for s in b.samples}) == len(
        identities
    )
    assert all(len({s.bucket for s in b.samples}) == 1 for b in plan.batches)
    assert all(1 <= len(b.samples) <= batch for b in plan.batches)
    assert len(plan.steps) == order.steps_in(epoch)
    assert len(plan.batches) == order.batches_in(epoch)
    assert all(len(r) <= accumulation for step in plan.steps for r in step.ranks)
    assert all(len(step.ranks) == world for step in plan.steps)


def test_an_epoch_is_a_function_of_its_number() -> None:
    spec, found = job(), pictures(*[SQUARE] * 9, *[WIDE] * 5)
    first, second = Order(spec, found), Order(spec, found)
    second.epoch(7)
    assert first.epoch(3) == second.epoch(3)
    assert first.epoch(3).batches != first.epoch(4).batches
    assert first.fingerprint() == second.fingerprint()
    assert first.fingerprint() != Order(spec, found[:-1]).fingerprint()


def test_two_ranks_share_the_steps_of_one_with_twice_the_batch() -> None:
    """The same samples in each step, and both ranks at work on one bucket at a time."""
    found = pictures(*[SQUARE] * 11, *[WIDE] * 6)
    two = Order(job(training={"batch_size": 2}), found, world=2).epoch(1)
    one = Order(job(training={"batch_size": 4}), found).epoch(1)
    assert len(two.steps) == len(one.steps) == 5
    for shared, alone in zip(two.steps, one.steps, strict=True):
        batches = [batch for rank in shared.ranks for batch in rank]
        assert [s for b in batches for s in b.samples] == list(alone.ranks[0][0].samples)
        assert len({batch.bucket for batch in batches}) == 1


@pytest.mark.parametrize(
    ("sizes", "batch", "accumulation", "world", "batches", "steps"),
    [
        ([200], 4, 1, 1, 50, 50),
        ([150, 47, 3], 4, 1, 1, 51, 51),
        ([150, 47, 3], 4, 1, 2, 51, 26),
        ([200], 4, 4, 1, 50, 13),
        ([200], 3, 4, 1, 67, 17),
        ([10], 1, 4, 1, 10, 3),
    ],
)
def test_steps_table(
    sizes: list[int], batch: int, accumulation: int, world: int, batches: int, steps: int
) -> None:
    """Acceptance 12: the table of data-loop 4.3."""
    found = [size for n, size in zip(sizes, (SQUARE, WIDE, TALL), strict=False) for _ in range(n)]
    training: dict[str, object] = {
        "batch_size": batch,
        "gradient_accumulation": accumulation,
        "epochs": 10,
    }
    spec = job(training=training)
    order = Order(spec, pictures(*found), world)
    assert (order.batches_in(1), order.steps_in(1)) == (batches, steps)
    assert run_length(spec.training, order).total_steps == 10 * steps


def test_run_length_by_steps_and_by_default() -> None:
    """1600 steps of 51 are 32 epochs, the last one cut short; neither given is 10 epochs."""
    found = pictures(*[SQUARE] * 150, *[WIDE] * 47, *[TALL] * 3)
    spec = job(training={"batch_size": 4, "steps": 1600})
    length = run_length(spec.training, Order(spec, found))
    assert (length.total_steps, length.total_epochs, length.steps_per_epoch) == (1600, 32, 51)
    assert length.position(0) == (1, 0)
    assert length.position(50) == (1, 50)
    assert length.position(51) == (2, 0)
    assert length.position(1599) == (32, 18)
    assert length.position(1600) == (32, 19)
    assert length.is_epoch_end(51)
    assert not length.is_epoch_end(52)
    both = job(training={"batch_size": 4, "steps": 7, "epochs": 2})
    assert run_length(both.training, Order(both, found)).total_steps == 102
    none = job(training={"batch_size": 4})
    assert run_length(none.training, Order(none, found)).total_epochs == 10


def test_half_a_repeat_takes_the_other_half_next_time() -> None:
    order = Order(job({"repeats": 2.5}), pictures(*[SQUARE] * 8))
    first, second = _uses(order.epoch(1)), _uses(order.epoch(2))
    assert sorted(first.values()) == [2, 2, 2, 2, 3, 3, 3, 3]
    assert first + second == Counter(dict.fromkeys(range(8), 5))
    assert not order.is_constant


def test_pictures_per_epoch() -> None:
    order = Order(job({"samples_per_epoch": 3}), pictures(*[SQUARE] * 6))
    assert sum(_uses(order.epoch(1)).values()) == 3
    assert len(_uses(order.epoch(1)) + _uses(order.epoch(2))) == 6


def test_regularization_follows_the_training_pictures() -> None:
    """Acceptance 11: as many as training samples; too many take turns, too few repeat."""
    few = Order(
        job({}, {"role": "regularization"}),
        [*pictures(*[SQUARE] * 10), *pictures(*[SQUARE] * 4, folder=1, name="reg")],
    )
    uses = _uses(few.epoch(1))
    assert sorted(uses[i] for i in range(10, 14)) == [2, 2, 3, 3]
    many = Order(
        job({}, {"role": "regularization"}),
        [*pictures(*[SQUARE] * 10), *pictures(*[SQUARE] * 20, folder=1, name="reg")],
    )
    used: Counter[int] = Counter()
    for epoch in range(1, 11):
        uses = _uses(many.epoch(epoch))
        assert sum(uses[i] for i in range(10, 30)) == 10
        used += uses
    assert all(used[i] for i in range(10, 30))


def test_varying_epochs_are_counted_one_by_one() -> None:
    """Where epochs differ in their buckets, the steps of all of them are added up."""
    found = pictures(*[SQUARE] * 5, *[WIDE] * 5)
    spec = job({"samples_per_epoch": 4}, training={"batch_size": 2, "epochs": 8})
    order = Order(spec, found)
    counts = [len(order.epoch(e).steps) for e in range(1, 9)]
    assert len(set(counts)) > 1
    length = run_length(spec.training, order)
    assert length.total_steps == sum(counts)
    assert length.position(counts[0]) == (2, 0)


def test_folders_that_do_not_mix_and_short_batches_that_go() -> None:
    found = [*pictures(*[SQUARE] * 3), *pictures(*[SQUARE] * 3, folder=1, name="b")]
    apart = Order(job({}, {}, dataset={"mix_folders": False}, training={"batch_size": 2}), found)
    for batch in apart.epoch(1).batches:
        assert len({s.folder_index for s in batch.samples}) == 1
    assert apart.batches_in(1) == 4
    dropped = Order(
        job({}, {}, dataset={"short_batches": "drop"}, training={"batch_size": 4}), found
    )
    assert [len(b.samples) for b in dropped.epoch(1).batches] == [4]
    assert dropped.samples_in(1) == 4
    spec = job({}, {}, dataset={"short_batches": "drop"}, training={"batch_size": 8})
    with pytest.raises(NothingToTrain, match="short batch"):
        run_length(spec.training, Order(spec, found))


def test_augmentation_draws_are_independent() -> None:
    """Acceptance 7: 1,000 flips in a row agree with their neighbor half of the time."""
    order = Order(job({"flip": 0.5, "random_crop": True}), pictures(*[(560, 512)] * 1000))
    samples = [s for b in order.epoch(1).batches for s in b.samples]
    flips = [s.flip for s in samples]
    agreement = sum(a == b for a, b in itertools.pairwise(flips)) / 999
    assert agreement == pytest.approx(0.5, abs=0.05)
    assert abs(sum(flips) - 500) < 60
    lefts = {s.crop[0] for s in samples}
    assert lefts == set(range(560 - 512 + 1))
    other = [s.flip for b in order.epoch(2).batches for s in b.samples]
    assert other != flips


def test_caption_draws_do_not_depend_on_the_picture_options() -> None:
    """Turning mirroring on changes no caption."""
    assert (
        caption_generator(1, 2, "a.png", 0).random() == caption_generator(1, 2, "a.png", 0).random()
    )
    generator = random.Random(key(1, "data", 2, "a.png", 0))
    for _ in range(5):
        generator.random()
    assert caption_generator(1, 2, "a.png", 0).random() == generator.random()


def test_held_out_pictures() -> None:
    """Acceptance 23: disjoint, near the share, and unmoved by pictures that are added."""
    spec = job(dataset={"validation_share": 0.2}).dataset
    hundred = pictures(*[SQUARE] * 100)
    before = split_pictures(spec, hundred, 42)
    assert set(before.training) | set(before.validation) == set(range(100))
    assert not set(before.training) & set(before.validation)
    assert 12 <= len(before.validation) <= 28
    more = split_pictures(spec, [*hundred, *pictures(*[SQUARE] * 10, name="b")], 42)
    assert tuple(i for i in more.validation if i < 100) == before.validation
    order = Order(job(dataset={"validation_share": 0.2}), hundred)
    assert {s.picture_index for s in order.validation} == set(before.validation)
    assert not {e.picture_index for e in order.entries} & set(before.validation)


def test_twins_stay_on_one_side() -> None:
    """Acceptance 23: also with duplicate files."""
    spec = job(dataset={"validation_share": 0.5}).dataset
    found = [p for n in range(20) for p in pictures(SQUARE, SQUARE, name=f"f{n}", twin=f"t{n}")]
    split = split_pictures(spec, found, 1)
    sides = [{i // 2 for i in side} for side in (split.training, split.validation)]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]
    given = job({}, {"role": "validation"}).dataset
    both = [*pictures(SQUARE, twin="t"), *pictures(SQUARE, folder=1, name="v", twin="t")]
    split = split_pictures(given, both, 1)
    assert (split.training, split.validation) == ((), (1,))


def test_at_least_one_is_held_out_and_one_is_left() -> None:
    for share in (0.01, 0.99):
        split = split_pictures(
            job(dataset={"validation_share": share}).dataset, pictures(*[SQUARE] * 5), 42
        )
        assert split.training
        assert split.validation
    with pytest.raises(NothingToTrain, match="held out or unusable"):
        run_length(job().training, Order(job(), []))
