"""Which adapter files are written and which are kept (acceptance 18)."""

from __future__ import annotations

import os
from pathlib import Path

from engine.schema.output import Output
from engine.training.checkpoints import KEEP_MARK, due_after, plain_name, remove_old


def write(folder: Path, name: str, order: int) -> None:
    (folder / name).write_bytes(b"x")
    os.utime(folder / name, ns=(order, order))


def test_the_last_step_writes_the_final_file_alone() -> None:
    output = Output(every_steps=10, every_epochs=1)
    names = [due_after(output, "cat", s, 60, (s - 1) // 20 + 1, s % 20 == 0).file
             for s in range(1, 61)]  # fmt: skip
    assert [name for name in names if name] == [
        "cat-step00000010.safetensors",
        "cat-000001.safetensors",
        "cat-step00000030.safetensors",
        "cat-000002.safetensors",
        "cat-step00000050.safetensors",
        "cat.safetensors",
    ]


def test_nothing_is_due_when_nothing_is_asked_for_but_the_end() -> None:
    output = Output(every_epochs=None)
    assert not any(due_after(output, "cat", s, 60, 1, True) for s in range(1, 60))
    assert due_after(output, "cat", 60, 60, 1, True).final


def test_keep_last_two_of_every_ten_in_sixty_steps(tmp_path: Path) -> None:
    output = Output(every_steps=10, every_epochs=None, keep_last=2)
    for step in range(1, 61):
        due = due_after(output, "cat", step, 60, 1, False)
        if due:
            write(tmp_path, due.file, step)
            remove_old(tmp_path, "cat", output.keep_last, {due.file})
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "cat-step00000040.safetensors",
        "cat-step00000050.safetensors",
        "cat.safetensors",
    ]


def test_starred_best_and_foreign_files_survive(tmp_path: Path) -> None:
    names = [f"cat-step{n:08d}.safetensors" for n in (10, 20, 30, 40)]
    for order, name in enumerate(names):
        write(tmp_path, name, order)
    write(tmp_path, "cat-two-step00000001.safetensors", 0)
    write(tmp_path, plain_name(names[1]), 1)
    (tmp_path / (names[0] + KEEP_MARK)).touch()
    removed = remove_old(tmp_path, "cat", 1, {names[2]})
    assert [p.name for p in removed] == [names[1], plain_name(names[1])]
    assert (tmp_path / "cat-two-step00000001.safetensors").exists()
    assert {n for n in names if (tmp_path / n).exists()} == {names[0], names[2], names[3]}
