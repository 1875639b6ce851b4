from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from resources.demo.make.base import Plan, choose, timestep_weights, train_base
from resources.demo.make.draw import BROAD, NARROW
from resources.demo.make.latents import encode_set
from resources.demo.make.parts import Parts, new_parts, new_scheduler
from resources.demo.make.tokenizer import caption_words, new_tokenizer
from resources.demo.make.vae import (
    decode,
    encode,
    fold_statistics,
    new_vae,
    start_nearly_linear,
    train_vae,
)

TOY = Plan(
    warmup_steps=2,
    warmup_batch=4,
    narrow_steps=2,
    steps=4,
    batch=2,
    check_every=2,
    check_prompts=1,
    cooldown=0.5,
)


def test_each_caption_word_is_one_token(tmp_path: Path) -> None:
    tokenizer = new_tokenizer(tmp_path)
    for word in caption_words():
        assert len(tokenizer(word).input_ids) == 3, word


def test_tokenizer_round_trips(tmp_path: Path) -> None:
    tokenizer = new_tokenizer(tmp_path)
    for text in ("a red circle on the left on a blue background", "a zibble on a kevuro star"):
        ids = tokenizer(text).input_ids
        assert str(tokenizer.decode(ids, skip_special_tokens=True)).strip() == text
    padded = tokenizer("a star", padding="max_length").input_ids
    assert len(padded) == 77
    assert padded[3:] == [tokenizer.eos_token_id] * 74


def test_nearly_linear_start_keeps_a_flat_pictures_brightness() -> None:
    torch.manual_seed(0)
    vae = new_vae()
    start_nearly_linear(vae)
    flat = torch.linspace(-1, 1, 5).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    with torch.no_grad():
        latents = encode(vae, flat).mode()[:, :, 1:3, 1:3].mean(dim=(2, 3))
    spread = latents.std(dim=0)
    steps = latents.diff(dim=0).abs()
    assert spread.max() > 0.1
    channel = int(spread.argmax())
    assert steps[:, channel].min() > 0.3 * steps[:, channel].mean()


def test_folded_statistics_change_latents_not_pictures() -> None:
    torch.manual_seed(0)
    vae = new_vae()
    start_nearly_linear(vae)
    pictures = torch.rand(4, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before = encode(vae, pictures).mode()
        copy = decode(vae, before)
        fold_statistics(vae, before)
        after = encode(vae, pictures).mode() * 0.18215
        folded = decode(vae, after / 0.18215)
    assert torch.allclose(after.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(after.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-4)
    assert (folded - copy).abs().max() < 1e-4


def test_weights_follow_min_snr_and_lift_the_noisy_steps() -> None:
    alphas = new_scheduler().alphas_cumprod
    weights, snr = timestep_weights(alphas), alphas / (1 - alphas)
    assert weights[0] == pytest.approx(5 / snr[0].item(), rel=1e-4)
    middle = int((snr - 2).abs().argmin())
    assert weights[middle] == pytest.approx(1.0)
    assert weights[-1] == pytest.approx(4.0)


def test_an_epoch_takes_each_sample_once() -> None:
    plan = Plan(batch=3)
    taken = torch.cat([choose(step, 12, plan) for step in range(4)])
    assert sorted(taken.tolist()) == list(range(12))
    crossing = torch.cat([choose(step, 10, plan) for step in range(10)])
    assert torch.bincount(crossing).tolist() == [3] * 10


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a VAE of two steps and the tokenizer."""
    folder = tmp_path_factory.mktemp("work")
    train_vae(folder, steps=2)
    new_tokenizer(folder / "tokenizer")
    return folder


def train(work: Path, folder: Path, until: int | None) -> dict[str, Tensor]:
    """Both stages at toy settings in `folder`; the averaged weights."""
    folder.mkdir(exist_ok=True)
    vae = new_vae()
    latents = work / "latents"
    narrow = encode_set(vae, latents, "narrow", seed=2, kinds=NARROW, count=6)
    broad = encode_set(vae, latents, "broad", seed=3, kinds=BROAD, count=6)
    parts: Parts = new_parts(new_tokenizer(work / "tokenizer"), TOY.seed)
    trained = train_base(parts, vae, narrow, broad, folder, TOY, until)
    return trained.modules().state_dict()


def test_two_steps_of_each_stage_run_and_resume_exactly(work: Path, tmp_path: Path) -> None:
    assert (work / "vae" / "config.json").is_file()
    straight = train(work, tmp_path / "straight", None)
    train(work, tmp_path / "resumed", 2)
    resumed = train(work, tmp_path / "resumed", None)
    assert (tmp_path / "straight" / "grid-00004.png").is_file()
    fresh = new_parts(new_tokenizer(work / "tokenizer"), TOY.seed).modules().state_dict()
    moved = [name for name in fresh if not torch.equal(fresh[name], straight[name])]
    assert len(moved) > 0.9 * len(fresh)
    for name, tensor in straight.items():
        assert torch.equal(tensor, resumed[name]), name
