from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from engine.commands import demo
from engine.protocol import Checkpoint, Finished, Sample, Step, Validation


def sample(step: int, index: int, path: str) -> Sample:
    return Sample(step=step, path=path, prompt_index=index, prompt="a star", seed=1)


def test_fall_compares_the_first_and_the_last_measurement() -> None:
    events = [
        Validation(step=0, loss=0.2, pictures=6),
        Validation(step=10, loss=0.5, pictures=6),
        Step(step=20, epoch=1, loss=0.1),
        Validation(step=20, loss=0.15, pictures=6),
    ]
    fall = demo.held_out_fall(events)
    assert fall is not None
    assert (fall.before, fall.after, fall.pictures) == (0.2, 0.15, 6)
    assert fall.percent == pytest.approx(25.0)


def test_one_measurement_is_no_fall() -> None:
    assert demo.held_out_fall([Validation(step=0, loss=0.2)]) is None
    late = [Validation(step=5, loss=0.2), Validation(step=9, loss=0.1)]
    assert demo.held_out_fall(late) is None


def test_comparison_shows_base_above_and_adapted_below(tmp_path: Path) -> None:
    red, blue = (220, 30, 30), (30, 30, 220)
    Image.new("RGB", (64, 64), red).save(tmp_path / "base.png")
    Image.new("RGB", (64, 64), blue).save(tmp_path / "end.png")
    events = [sample(0, 0, "base.png"), sample(5, 1, "base.png"), sample(9, 0, "end.png")]
    path = demo.compare(tmp_path, events)
    assert path is not None
    with Image.open(path) as sheet:
        assert sheet.getpixel((100, 80)) == red
        assert sheet.getpixel((100, 220)) == blue
    assert demo.compare(tmp_path, events[:1]) is None


def test_loss_that_rises_is_said_to_rise(tmp_path: Path) -> None:
    rise = [Validation(step=0, loss=0.2), Validation(step=9, loss=0.3)]
    assert "50 % higher" in demo.report(tmp_path, rise)


def test_demo_trains_with_the_real_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    sets = ("training.steps=2", "training.batch_size=2", "training.validation_timesteps=2")
    quick = [*sets, "samples.steps=2", "optimizer.warmup=0"]
    arguments = [word for one in quick for word in ("--set", one)]
    assert demo.main(["--headless", "--run-directory", str(run), *arguments]) == 0
    printed = capsys.readouterr().out
    events = demo.read_events(run / "events.jsonl")
    fall = demo.held_out_fall(events)
    assert fall is not None
    assert f"{fall.before:.4f} before, {fall.after:.4f} after" in printed
    assert fall.before != fall.after
    assert str(run / demo.PICTURE) in printed
    assert (run / demo.PICTURE).is_file()
    assert any(isinstance(event, Checkpoint) for event in events)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.step) == ("done", 2)
    assert (run / finished.path).is_file()


def test_a_wrong_value_is_named_and_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    code = demo.main(["--headless", "--run-directory", str(run), "--set", "network.rank=0"])
    assert code == 2
    assert "network.rank" in capsys.readouterr().out
    assert not run.exists()
