"""Batches and caches: the same numbers however they are made (data-loop 2.4, 3)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.data.cache import CacheProblem, DiskStore, open_store
from engine.data.loader import DataProblem, Loader
from engine.plan.folders import pictures_of
from engine.plan.order import Order
from engine.plan.steps import run_length
from engine.schema.job import Job
from tests.data.encoder import SmallEncoder
from tests.tiny import make_pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_pictures(tmp_path / "a", 5, ((96, 96), (128, 64)))
    return tmp_path / "a"


def _loader(
    folder: Path, encoder: SmallEncoder, dataset: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None, **options: Any,
) -> Loader:  # fmt: skip
    job = Job.model_validate(
        {
            "dataset": {
                "folders": [{"path": str(folder), **options}],
                "resolution": ["64"],
                "bucket_step": 16,
                "cache_precision": "fp32",
                "cache_directory": str(folder.parent / "cache"),
                **(dataset or {}),
            },
            "network": {"train": "denoiser"},
            "training": {"epochs": 3, "batch_size": 2, "workers": 0, **(training or {})},
        }
    )
    order = Order(job, pictures_of(job.dataset))
    return Loader(job, order, run_length(job.training, order), encoder, folder.parent)


def _quiet(*_: object) -> None:
    return None


def _fill(loader: Loader, encoder: SmallEncoder) -> int:
    """Fill the caches; returns how many pictures were encoded for it."""
    before = encoder.pictures.encoded
    assert loader.fill_caches(_quiet) == {}
    return encoder.pictures.encoded - before


def test_kept_latents_equal_fresh_ones(folder: Path) -> None:
    """Acceptance 20, with mirroring; from memory, from disk, and not kept at all."""
    encoder = SmallEncoder()
    runs = []
    for kind in ("off", "memory", "disk"):
        loader = _loader(folder, encoder, {"cache_latents": kind}, flip=0.5)
        loader.fill_caches(_quiet)
        runs.append(list(loader.steps()))
    assert any(s.flip for step in runs[0] for b in step.micros for s in b.samples)
    for fresh, *kept in zip(*runs, strict=True):
        for batch, *others in zip(fresh.micros, *(k.micros for k in kept), strict=True):
            assert batch.pixels is not None
            wanted = encoder.pictures.encode(batch.pixels)
            for other in others:
                assert other.pixels is None
                assert other.latents is not None
                assert torch.allclose(other.latents, wanted, atol=1e-6)
                assert other.captions == batch.captions
                assert other.noise_keys == batch.noise_keys


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(folder: Path, workers: int) -> None:
    """Acceptance 6: the batches are equal for all worker counts."""
    off = {"cache_latents": "off"}
    options: dict[str, Any] = {"flip": 0.5, "shuffle_tags": True, "random_crop": True}
    alone = _loader(folder, SmallEncoder(), off, **options)
    many = _loader(folder, SmallEncoder(), off, {"workers": workers}, **options)
    for one, other in zip(alone.steps(), many.steps(), strict=True):
        assert (one.step, one.epoch, one.samples) == (other.step, other.epoch, other.samples)
        for a, b in zip(one.micros, other.micros, strict=True):
            assert a.samples == b.samples
            assert a.captions == b.captions
            assert a.pixels is not None
            assert b.pixels is not None
            assert torch.equal(a.pixels, b.pixels)


def test_a_run_can_begin_anywhere(folder: Path) -> None:
    loader = _loader(folder, SmallEncoder(), shuffle_tags=True)
    loader.fill_caches(_quiet)
    whole = list(loader.steps())
    assert [s.step for s in whole] == list(range(loader.length.total_steps))
    for start in (1, loader.length.steps_per_epoch, loader.length.total_steps - 1):
        rest = list(loader.steps(start))
        assert [s.step for s in rest] == list(range(start, loader.length.total_steps))
        assert [b.captions for s in rest for b in s.micros] == [
            b.captions for s in whole[start:] for b in s.micros
        ]


def test_changes_encode_exactly_what_they_touch(folder: Path) -> None:
    """Acceptance 19, for pictures."""
    encoder = SmallEncoder()
    disk = {"cache_latents": "disk"}
    assert _fill(_loader(folder, encoder, disk), encoder) == 5
    assert _fill(_loader(folder, encoder, disk), encoder) == 0
    first = folder / "picture00.png"
    os.utime(first, ns=(1, 1))  # touched, not changed: hashed again, not encoded again
    assert _fill(_loader(folder, encoder, disk), encoder) == 0
    Image.new("RGB", (96, 96), "red").save(first)
    assert _fill(_loader(folder, encoder, disk), encoder) == 1
    assert _fill(_loader(folder, encoder, disk, flip=0.5), encoder) == 5  # the mirrored ones
    assert _fill(_loader(folder, encoder, {**disk, "resize_filter": "box"}), encoder) == 5
    assert _fill(_loader(folder, encoder, {**disk, "resolution": ["96"]}), encoder) == 5
    assert _fill(_loader(folder, encoder, {**disk, "cache_precision": "bf16"}), encoder) == 5
    other = SmallEncoder(vae="two")
    assert _fill(_loader(folder, other, disk), other) == 5
    same_stem = folder / "picture00.jpg"
    Image.new("RGB", (96, 96), "blue").save(same_stem)  # the same stem
    assert _fill(_loader(folder, encoder, disk), encoder) == 1


def test_a_damaged_entry_is_made_anew(folder: Path) -> None:
    """Acceptance 19 and a crash half-way: no leftovers stay, nothing broken is used."""
    encoder = SmallEncoder()
    disk = {"cache_latents": "disk"}
    loader = _loader(folder, encoder, disk)
    _fill(loader, encoder)
    wanted = [b.latents for s in loader.steps() for b in s.micros]
    entries = sorted((folder.parent / "cache").glob("*/*.safetensors"))
    entries[0].write_bytes(entries[0].read_bytes()[:-10])
    leftover = entries[1].with_name("x.tmp-1")
    leftover.write_bytes(b"half")
    again = _loader(folder, encoder, disk)
    assert not leftover.exists()
    found = [b.latents for s in again.steps() for b in s.micros]
    assert all(
        torch.equal(a, b)
        for a, b in zip(wanted, found, strict=True)
        if a is not None and b is not None
    )


def test_captions_are_kept_and_still_drawn(folder: Path) -> None:
    """Acceptance 19 and 20: prefixes and dropout act, equal captions share an entry."""
    encoder = SmallEncoder()
    kept = {"cache_text": "disk", "text_variations": 2}
    options: dict[str, Any] = {
        "caption_prefix": "pre,",
        "keep_tags": 1,
        "caption_dropout": 0.4,
        "shuffle_tags": True,
    }
    loader = _loader(folder, encoder, kept, {"epochs": 6}, **options)
    loader.fill_caches(_quiet)
    made = len(encoder.captions)
    captions = []
    for step in loader.steps():
        for batch in step.micros:
            captions += batch.captions
            assert batch.text is not None
            assert torch.equal(
                batch.text["states"], SmallEncoder().encode_text(batch.captions)["states"]
            )
    assert len(encoder.captions) == made  # nothing was missing
    assert captions.count("") > 3
    full = {c for c in captions if c}
    assert all(c.startswith("pre, ") for c in full)
    assert 5 < len(full) <= 10  # two orders for each picture
    (folder / "picture00.txt").write_text("changed")
    again = SmallEncoder()
    _loader(folder, again, kept, **options).fill_caches(_quiet)
    assert set(again.captions) == {"pre, changed"}
    third = SmallEncoder(text="two")
    _loader(folder, third, kept, **options).fill_caches(_quiet)
    assert len(third.captions) > 5


def test_masks_are_kept_and_follow(folder: Path) -> None:
    """Acceptance 21: the mask in a batch is the same kept and fresh, mirrored with the picture."""
    for path in folder.glob("*.png"):
        mask = Image.new("L", Image.open(path).size, 0)
        mask.paste(255, (0, 0, mask.width // 2, mask.height))
        mask.save(path.with_name(f"{path.stem}-masklabel.png"))
    (folder / "picture04-masklabel.png").unlink()
    masks = []
    for kind in ("off", "disk", "disk"):
        encoder = SmallEncoder()
        loader = _loader(folder, encoder, {"cache_latents": kind}, mask="file", flip=0.5)
        loader.fill_caches(_quiet)
        masks.append([(b.mask, b.samples) for s in loader.steps() for b in s.micros])
    for fresh, *kept in zip(*masks, strict=True):
        for other in kept:
            assert fresh[0] is not None or other[0] is None
            assert fresh[0] is None or torch.equal(fresh[0], other[0])
    for mask, samples in masks[0]:
        for row, sample in zip(mask if mask is not None else [], samples, strict=False):
            left, right = row[0, 5, 1].item(), row[0, 5, -2].item()
            bare = sample.relative_path.endswith("04.png")
            assert (left, right) == ((1, 1) if bare else (0, 1) if sample.flip else (1, 0))


def test_a_picture_that_cannot_be_decoded(folder: Path) -> None:
    """Its header is fine, its pixels are not: told by name, kept out of the caches."""
    path = folder / "picture02.png"
    raw = bytearray(path.read_bytes())
    middle = raw.index(b"IDAT") + 12
    raw[middle : middle + 20] = bytes(20)
    path.write_bytes(raw)
    loader = _loader(folder, SmallEncoder(), {"cache_batch_size": 4})
    broken = loader.fill_caches(_quiet)
    assert list(broken) == [2]
    assert "cannot be decoded" in broken[2]
    fresh = _loader(folder, SmallEncoder(), {"cache_latents": "off"}, {"workers": 1})
    with pytest.raises(DataProblem, match=r"picture02\.png: it cannot be decoded.*take it out"):
        list(fresh.steps())


def test_batches_for_measuring_are_fixed(folder: Path) -> None:
    options: dict[str, Any] = {"flip": 1.0, "shuffle_tags": True, "caption_dropout": 1.0}
    loader = _loader(folder, SmallEncoder(), {"validation_share": 0.4}, **options)
    loader.fill_caches(_quiet)
    held, probe = loader.held_out(), loader.probe()
    paths = [s.relative_path for b in held for s in b.samples]
    assert len(paths) == len(loader.order.validation)
    assert not {s.relative_path for b in probe for s in b.samples} & set(paths)
    for batch in [*held, *probe]:
        assert not any(s.flip for s in batch.samples)
        assert all(c.startswith("disc ") for c in batch.captions)
        assert batch.latents is not None


def test_weights_and_prior(folder: Path) -> None:
    loader = _loader(folder, SmallEncoder(), loss_weight=0.5, preserve_prior=True)
    batch = next(loader.steps()).micros[0]
    assert batch.weights.tolist() == [0.5] * len(batch)
    assert batch.preserve_prior.tolist() == [True] * len(batch)
    assert batch.original_sizes[0] in ((96, 96), (128, 64))


def test_a_cache_folder_that_cannot_be_made(folder: Path) -> None:
    (folder.parent / "cache").write_text("a file")
    with pytest.raises(CacheProblem, match="cache folder cannot be made"):
        _loader(folder, SmallEncoder(), {"cache_latents": "disk"})


def test_the_cache_lies_beside_the_runs(tmp_path: Path) -> None:
    store = open_store("disk", Job().dataset, tmp_path)
    assert isinstance(store, DiskStore)
    assert store.folder == tmp_path / ".graft-cache"
    assert open_store("off", Job().dataset, tmp_path) is None
