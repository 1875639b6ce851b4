"""States: whole or not there, the newest readable one counts."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.training.ema import Ema
from engine.training.state import Progress, find_states, newest_state, save_state


def save(folder: Path, step: int, keep: int = 1) -> Path:
    tensors = {"network": {"a": torch.full((3,), float(step))}, "ema": None}
    progress = Progress(step=step, epoch=2, baseline={"a.png|62": 0.25})
    return save_state(
        folder, progress, tensors, fingerprint="f", total_steps=9, optimizer="adamw", keep=keep
    )


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    save(tmp_path, 7)
    state = newest_state(tmp_path)
    assert state is not None
    assert state.progress == Progress(step=7, epoch=2, baseline={"a.png|62": 0.25})
    assert torch.equal(state.tensors["network"]["a"], torch.full((3,), 7.0))
    assert (state.fingerprint, state.total_steps, state.optimizer) == ("f", 9, "adamw")
    assert "torch" in state.versions


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save(tmp_path, step, keep=2)
    assert [p.name for p in find_states(tmp_path)] == ["step-00000003", "step-00000004"]


def test_a_damaged_state_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path, 1, keep=5)
    newest = save(tmp_path, 2, keep=5)
    with (newest / "tensors.pt").open("r+b") as file:
        file.truncate(100)
    state = newest_state(tmp_path)
    assert state is not None
    assert state.progress.step == 1


def test_a_full_disk_leaves_the_former_state_and_no_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def full(obj: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]


def test_the_average_grows_slower_and_comes_back_bit_for_bit() -> None:
    parameter = torch.nn.Parameter(torch.zeros(4))
    ema = Ema([parameter], 0.99)
    for step in range(1, 101):
        parameter.data.fill_(float(step))
        ema.update()
        if step == 1:
            with ema.applied():
                assert torch.equal(parameter.data, torch.ones(4))  # decay 0 at the first update
    copy = torch.nn.Parameter(parameter.detach().clone())
    again = Ema([copy], 0.99)
    again.load_state(ema.state())
    for value in (parameter, copy):
        value.data.fill_(200.0)
    ema.update()
    again.update()
    with ema.applied(), again.applied():
        assert torch.equal(parameter.data, copy.data)
        assert 90 < parameter.data[0].item() < 110
    assert parameter.data[0].item() == 200.0
