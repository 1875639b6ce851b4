"""The loop in this process: files, numbers, what stops it, and what it says (acceptance 12–18)."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.networks import file as adapter_file
from engine.protocol import (
    Checkpoint,
    Failure,
    Finished,
    Hello,
    Phase,
    Sample,
    Step,
    Validation,
    Warn,
)
from engine.schema.problem import JobError
from engine.training import saving
from engine.training.state import find_states, newest_state
from tests.training.conftest import Train

VALIDATION = {"dataset.validation_share": 0.4, "training.validation_timesteps": 2}
PREVIEWS = {"samples.prompts": [{"prompt": "a disc"}, {"prompt": "another", "seed": 7}]}


def final(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / "cat.safetensors")


def test_a_run_trains_to_the_end_and_leaves_its_files(
    job_data: dict[str, Any], train_here: Train
) -> None:
    done = train_here(job_data, {**VALIDATION, **PREVIEWS})
    hello = done.of(Hello)[0]
    steps = done.of(Step)
    assert [s.step for s in steps] == list(range(1, hello.total_steps + 1))
    assert steps[-1].epoch == hello.total_epochs == 3
    assert all(s.loss is not None and 0 < s.loss < 5 for s in steps)
    assert all(s.grad_norm and s.grad_norm > 0 for s in steps)
    assert steps[0].learning_rates == {"textencoder": 1e-3, "unet": 1e-3}
    finished = done.of(Finished)[0]
    assert (finished.reason, finished.path) == ("done", "checkpoints/cat.safetensors")
    names = sorted(p.name for p in done.run.checkpoints.iterdir())
    assert names == ["cat-000001.safetensors", "cat-000002.safetensors", "cat.safetensors"]
    assert find_states(done.run.states) == []  # a finished run keeps none unless asked
    tensors = final(done.run.path)
    assert any(t.abs().max() > 0 for name, t in tensors.items() if "lora_up" in name)
    assert any(name.startswith("lora_te_") for name in tensors)
    samples = done.of(Sample)
    assert len(samples) == 2 * 4  # before, and after each of three epochs
    assert samples[-1].path == f"samples/s{hello.total_steps:08d}-p01-seed7.png"
    assert all((done.run.path / s.path).is_file() for s in samples)


def test_ggpo_tells_its_norms_at_every_step(job_data: dict[str, Any], train_here: Train) -> None:
    """networks 7: three curves; the factors' own norm grows from nothing."""
    noisy = {"network.ggpo_sigma": 0.03, "network.ggpo_beta": 0.01, "training.epochs": 1}
    norms = [step.norms for step in train_here(job_data, noisy).of(Step)]
    assert all(each.keys() == norms[0].keys() for each in norms)
    assert norms[0].keys() == {"avg_key_norm", "avg_grad_norm", "avg_combined_norm"}
    assert norms[0]["avg_key_norm"] == 0 < norms[-1]["avg_key_norm"]
    assert all(each["avg_grad_norm"] > 0 for each in norms)


def test_validation_is_the_same_measure_every_time(
    job_data: dict[str, Any], train_here: Train
) -> None:
    first = train_here(job_data, VALIDATION).of(Validation)
    second = train_here(job_data, {**VALIDATION, "training.epochs": 2}).of(Validation)
    assert [v.step for v in first] == [0, 2, 4, 6]
    assert [v.loss for v in first[:3]] == [v.loss for v in second]
    assert first[0].change == 0.0
    assert first[-1].change == pytest.approx(first[-1].loss - first[0].loss, abs=1e-6)
    assert first[-1].change_error is not None
    assert first[-1].change_error > 0
    assert len(first[0].by_timestep) == 2
    assert first[0].train_loss is not None
    assert first[0].pictures >= 1


def test_the_best_checkpoint_is_the_one_measured_best(
    job_data: dict[str, Any], train_here: Train
) -> None:
    done = train_here(job_data, {**VALIDATION, "output.keep_last": 1})
    by_step = {v.step: v.loss for v in done.of(Validation)}
    files = {c.step: c.path for c in done.of(Checkpoint)}
    best = min(files, key=lambda step: by_step[step])
    assert done.of(Finished)[0].best_path == files[best]
    assert (done.run.path / files[best]).is_file()


def test_previews_and_validation_change_nothing(
    job_data: dict[str, Any], train_here: Train
) -> None:
    watched = {"dataset.validation_share": 0.4}
    plain = train_here(job_data, {**watched, "training.validate_every_epochs": None})
    busy = train_here(job_data, {**VALIDATION, **PREVIEWS, "samples.every_steps": 1})
    assert [s.loss for s in plain.of(Step)] == [s.loss for s in busy.of(Step)]
    for name, tensor in final(plain.run.path).items():
        assert torch.equal(tensor, final(busy.run.path)[name]), name


EVERYTHING = {
    "dataset.folders[0].shuffle_tags": True,
    "dataset.folders[0].caption_dropout": 0.2,
    "dataset.folders[0].flip": 0.5,
    "network.dropout": 0.2,
    "network.rank_dropout": 0.2,
    "network.module_dropout": 0.2,
    "training.ema": 0.9,
    "optimizer.schedule": "cosine",
    "optimizer.warmup": 2,
}


@pytest.mark.parametrize(
    "changes",
    [
        EVERYTHING,
        {"optimizer.name": "Prodigy", "optimizer.learning_rate": 1.0, "network.max_norm": 0.5},
        {"optimizer.name": "AdamWScheduleFree", "optimizer.warmup": 2},
        {"network.train": "denoiser", "dataset.cache_text": "memory", "dataset.text_variations": 2},
        {"training.stop_text_encoder_after": 2, "dataset.cache_latents": "off"},
    ],
    ids=["everything", "prodigy", "schedule_free", "cached_text", "text_encoder_stops"],
)
def test_stop_and_resume_give_the_run_that_never_stopped(
    job_data: dict[str, Any], train_here: Train, changes: dict[str, Any]
) -> None:
    """Acceptance 17: losses of the later steps and the final tensors are equal bit for bit."""
    whole = train_here(job_data, changes)

    def stop_at_three(event: Any, control: Any) -> None:
        if isinstance(event, Step) and event.step == 3:
            control.obey("stop")

    stopped = train_here(job_data, changes, on_event=stop_at_three)
    ending = stopped.of(Finished)[0]
    assert (ending.reason, ending.step, ending.resumable) == ("stopped", 3, True)
    assert (stopped.run.path / ending.path).is_file()
    resumed = train_here(job_data, changes, resume=stopped.run.path)
    assert resumed.of(Hello)[0].resumed_from == 3
    told = {s.step: (s.loss, s.loss_smooth, s.learning_rates) for s in whole.of(Step)}
    again = {s.step: (s.loss, s.loss_smooth, s.learning_rates) for s in resumed.of(Step)}
    assert list(again) == list(range(4, len(told) + 1))
    assert again == {step: told[step] for step in again}
    expected, found = final(whole.run.path), final(stopped.run.path)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def test_training_longer_continues_a_finished_run(
    job_data: dict[str, Any], train_here: Train
) -> None:
    short = train_here(job_data, {"output.state_at_end": True, "training.epochs": 1})
    longer = train_here(job_data, {"training.epochs": 2}, resume=short.run.path)
    assert longer.of(Hello)[0].resumed_from == short.of(Hello)[0].total_steps
    assert longer.of(Finished)[0].reason == "done"
    assert any("steps long instead of" in w.message for w in longer.of(Warn))
    whole = train_here(job_data, {"training.epochs": 2})
    for name, tensor in final(whole.run.path).items():
        assert torch.equal(tensor, final(short.run.path)[name]), name


def test_resuming_with_other_pictures_warns_and_goes_on(
    job_data: dict[str, Any], train_here: Train
) -> None:
    def stop_at_two(event: Any, control: Any) -> None:
        if isinstance(event, Step) and event.step == 2:
            control.obey("stop")

    stopped = train_here(job_data, on_event=stop_at_two)
    resumed = train_here(job_data, {"training.batch_size": 1}, resume=stopped.run.path)
    assert any("fresh order" in w.message for w in resumed.of(Warn))
    assert resumed.of(Finished)[0].reason == "done"


def test_other_optimizer_arguments_count_from_the_resume_on(
    job_data: dict[str, Any], train_here: Train
) -> None:
    """torch's own way is to go on silently with those of the state."""
    job_data["output"]["state_at_end"] = True
    first = train_here(job_data, {"training.epochs": 1})
    changes = {"training.epochs": 2, "optimizer.args.weight_decay": 0.3}
    second = train_here(job_data, changes, resume=first.run.path)
    words = [warning.message for warning in second.of(Warn) if "weight_decay" in warning.message]
    assert words == [
        "Other optimizer arguments than before (weight_decay): the new ones count from here on."
    ]
    third = train_here(job_data, changes | {"training.epochs": 3}, resume=first.run.path)
    assert not [w for w in third.of(Warn) if "arguments" in w.message]


def test_a_text_encoder_may_rest_from_the_resume_on_and_learn_again(
    job_data: dict[str, Any], train_here: Train
) -> None:
    """What goes on being trained keeps the optimizer's memory."""
    job_data["output"]["state_at_end"] = True
    job_data["network"]["train"] = "both"
    first = train_here(job_data, {"training.epochs": 1})
    resting = {"training.epochs": 2, "optimizer.text_encoder_lr": [0.0]}
    second = train_here(job_data, resting, resume=first.run.path)
    told = [w.message for w in second.of(Warn) if w.path == "network.train"]
    assert told == [
        "Other parts are trained than before (textencoder): what is new starts without memory."
    ]
    assert second.of(Finished)[0].reason == "done"
    kept = newest_state(second.run.states)
    assert kept is not None
    steps = {float(s["step"]) for s in kept.tensors["optimizer"]["state"].values()}
    assert steps == {float(second.of(Finished)[0].step)}  # from the first step on
    third = train_here(job_data, {"training.epochs": 3}, resume=first.run.path)
    assert third.of(Finished)[0].reason == "done"


def test_a_tracker_without_its_package_is_named(
    job_data: dict[str, Any], train_here: Train
) -> None:
    with pytest.raises(JobError, match="wandb needs its package: .* -m pip install wandb"):
        train_here(job_data, {"output.trackers": ["wandb"]})


def test_losses_that_are_not_finite_end_the_run_after_five(
    job_data: dict[str, Any], train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.architectures.sd.model import SdModel

    predict, calls = SdModel.predict, []

    def breaks(self: Any, *arguments: Any) -> torch.Tensor:
        calls.append(1)
        return predict(self, *arguments) * (float("nan") if len(calls) > 6 else 1.0)

    monkeypatch.setattr(SdModel, "predict", breaks)
    done = train_here(job_data, {"training.epochs": 5})
    losses = [s.loss for s in done.of(Step)]
    good = losses.index(None)
    assert losses[good:] == [None] * 5
    failure = done.of(Failure)[0]
    assert (failure.kind, failure.step) == ("nan", good + 5)
    assert failure.fix == [("optimizer.learning_rate", 5e-4)]
    assert len([w for w in done.of(Warn) if "not finite" in w.message]) == 5
    assert done.of(Finished)[0].reason == "failed"
    assert done.run.checkpoints.joinpath("cat-000001.safetensors").is_file()


def test_running_out_of_memory_names_mends_and_keeps_the_state(
    job_data: dict[str, Any], train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.architectures.sd.model import SdModel

    predict, calls = SdModel.predict, []

    def breaks(self: Any, *arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return predict(self, *arguments)

    monkeypatch.setattr(SdModel, "predict", breaks)
    done = train_here(job_data)
    failure = done.of(Failure)[0]
    assert (failure.kind, failure.resumable) == ("memory", True)
    assert failure.fix == [("training.gradient_checkpointing", True)]
    assert failure.mend.startswith("In this order: turn gradient checkpointing on; batch size 1 ")
    monkeypatch.setattr(SdModel, "predict", predict)
    resumed = train_here(job_data, {"training.gradient_checkpointing": True}, resume=done.run.path)
    assert resumed.of(Hello)[0].resumed_from == failure.step
    assert resumed.of(Finished)[0].reason == "done"


def test_a_full_disk_pauses_until_there_is_room(
    job_data: dict[str, Any], train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, tries = adapter_file.save, []

    def full_twice(path: Path, *arguments: Any) -> Any:
        tries.append(path)
        if len(tries) in (2, 3):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return save(path, *arguments)

    monkeypatch.setattr(adapter_file, "save", full_twice)
    monkeypatch.setattr(saving, "DISK_POLL_SECONDS", 0.01)

    def go_on(event: Any, control: Any) -> None:
        if isinstance(event, Phase) and event.words.startswith("Waiting for room on the disk"):
            control.obey("save")

    done = train_here(job_data, on_event=go_on)
    told = [w.message for w in done.of(Warn) if w.path == "output.directory"]
    assert len(told) == 1  # though it failed twice
    assert "MB are needed" in told[0]
    assert "Free some space" in told[0]
    assert done.of(Failure) == []  # the window would show the run as failed, and it lives
    assert done.of(Finished)[0].reason == "done"
    assert len(done.of(Checkpoint)) == 3


def test_a_full_disk_and_a_stop_leave_what_was_saved(
    job_data: dict[str, Any], train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = adapter_file.save

    def full_after_one(path: Path, *arguments: Any) -> Any:
        if path.name != "cat-000001.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return save(path, *arguments)

    monkeypatch.setattr(adapter_file, "save", full_after_one)

    def stop(event: Any, control: Any) -> None:
        if isinstance(event, Phase) and event.words.startswith("Waiting for room on the disk"):
            control.obey("stop")

    done = train_here(job_data, on_event=stop)
    assert done.of(Finished)[0].reason == "failed"
    assert [p.name for p in done.run.checkpoints.iterdir()] == ["cat-000001.safetensors"]
    assert newest_state(done.run.states) is not None


def test_pause_save_and_sample_are_obeyed_between_steps(
    job_data: dict[str, Any], train_here: Train
) -> None:
    def ask(event: Any, control: Any) -> None:
        if isinstance(event, Step) and event.step == 1:
            for word in ("pause", "save", "sample"):
                control.obey(word)
        if isinstance(event, Phase) and event.name == "paused":
            control.obey("resume")

    off = {"samples.at_start": False, "samples.at_end": False, "samples.every_epochs": None}
    done = train_here(job_data, {**PREVIEWS, **off}, on_event=ask)
    assert [s.step for s in done.of(Sample)] == [1, 1]
    assert "checkpoints/cat-step00000001.safetensors" in [c.path for c in done.of(Checkpoint)]
    assert any(p.name == "paused" for p in done.of(Phase))
    assert done.of(Finished)[0].reason == "done"


def test_abort_leaves_without_saving(job_data: dict[str, Any], train_here: Train) -> None:
    def abort(event: Any, control: Any) -> None:
        if isinstance(event, Step) and event.step == 1:
            control.obey("abort")

    done = train_here(job_data, on_event=abort)
    assert done.of(Finished)[0].reason == "aborted"
    assert list(done.run.checkpoints.iterdir()) == []


@pytest.mark.parametrize("phase", ["loading", "caching_latents", "sampling", "validating"])
def test_every_phase_obeys_stop(job_data: dict[str, Any], train_here: Train, phase: str) -> None:
    from engine.training.failures import StopRun

    def stop(event: Any, control: Any) -> None:
        if isinstance(event, Phase) and event.name == phase:
            control.obey("stop")

    changes = {**VALIDATION, **PREVIEWS}
    try:
        done = train_here(job_data, changes, on_event=stop)
    except StopRun:
        return  # stopped before there was anything to finish
    finished = done.of(Finished)[0]
    assert (finished.reason, finished.step) == ("stopped", 0)
    assert done.of(Step) == []


def test_a_finished_run_without_state_says_so(job_data: dict[str, Any], train_here: Train) -> None:
    from engine.training.failures import RunError

    done = train_here(job_data, {"training.epochs": 1})
    with pytest.raises(RunError) as caught:
        train_here(job_data, resume=done.run.path)
    assert "finished and kept no state" in caught.value.failure.message


def test_ema_files_hold_the_average_and_the_adapter_as_trained(
    job_data: dict[str, Any], train_here: Train
) -> None:
    plain = train_here(job_data)
    both = train_here(job_data, {"training.ema": 0.5, "output.ema_files": "both"})
    raw = load_file(both.run.checkpoints / "cat-raw.safetensors")
    averaged = final(both.run.path)
    for name, tensor in final(plain.run.path).items():
        assert torch.equal(raw[name], tensor), name
    assert any(not torch.equal(averaged[name], raw[name]) for name in raw)
