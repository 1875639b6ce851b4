"""Damaged and foreign LoRA files, in every place that takes one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.commands import inspect
from engine.commands.tools import main_convert, main_extract, main_merge, main_resize
from engine.networks.attach import attach_file
from engine.networks.problem import AdapterProblem
from engine.plan.before_loading import problems_before_loading
from engine.plan.detect import look_at
from engine.plan.header import FileProblem
from engine.schema.architectures import ARCHITECTURES
from engine.training.early_checks import check_before_loading
from engine.training.failures import RunError
from tests.bad_input.conftest import Sets
from tests.tiny import tiny_modules

Tensors = dict[str, Tensor]
Damage = Callable[[Tensors, str], None]
DOWN = "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight"
UP, ALPHA = DOWN.replace("_down", "_up"), DOWN.replace("lora_down.weight", "alpha")


def no_rank(tensors: Tensors, key: str) -> None:
    tensors[key] = tensors[key][:0]
    tensors[UP] = tensors[UP][:, :0]


def without_partner(tensors: Tensors, _: str) -> None:
    del tensors[UP]


def with_value(value: float) -> Damage:
    def damage(tensors: Tensors, key: str) -> None:
        tensors[key] = torch.full_like(tensors[key], value)

    return damage


def put(key: str, tensor: Tensor) -> Damage:
    return lambda tensors, _: tensors.update({key: tensor})


DAMAGES: dict[str, tuple[Damage, str]] = {
    "NaN": (with_value(float("nan")), f"{DOWN} holds values that are not finite (NaN or infinity)"),
    "infinity": (with_value(float("inf")), "are not finite"),
    "NaN alpha": (put(ALPHA, torch.tensor(float("nan"))), f"{ALPHA} holds values that are not fin"),
    "long alpha": (put(ALPHA, torch.zeros(3)), f"{ALPHA} has 3 numbers where one is needed"),
    "empty alpha": (put(ALPHA, torch.zeros(0)), f"{ALPHA} has 0 numbers where one is needed"),
    "rank 0": (no_rank, f"{DOWN} is empty: its adapter has rank 0"),
    "half": (without_partner, f"{DOWN} has no partner: the file holds half"),
    "ranks apart": (put(UP, torch.zeros(64, 3)), "do not fit: (4, 64, 1, 1) and (64, 3)"),
    "whole numbers": (put(DOWN, torch.ones(4, 64, 1, 1, dtype=torch.int32)), "whole numbers"),
}


@pytest.fixture(scope="module")
def good(sets: Sets) -> Tensors:
    return load_file(sets.adapter("sd1"))


def tools(file: Path, base: Path, out: Path) -> dict[str, tuple[Callable[[list[str]], int], list]]:
    """Every command that takes an adapter file, with its arguments."""
    of = [str(file), "--architecture", "sd1", "--model", str(base)]
    to = ["--out", str(out / "new.safetensors")]
    return {
        "inspect": (inspect.main, [str(file)]),
        "convert": (main_convert, [*of, *to, "--to", "diffusers"]),
        "resize": (main_resize, [*of, *to, "--rank", "2"]),
        "extract": (main_extract, [*of, *to, "--rank", "2"]),
        "merge": (main_merge, ["--base", str(base), "--lora", str(file), *to]),
        "join": (main_merge, ["--lora", str(file), "--lora", str(file), *of[1:], *to]),
    }


def said_by_all(
    file: Path, base: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> dict[str, str]:
    """What each command says of the file; each fails in one line and leaves nothing behind."""
    out.mkdir()
    said = {}
    for name, (command, arguments) in tools(file, base, out).items():
        assert command(arguments) == 1, name
        (said[name],) = capsys.readouterr().err.strip().splitlines()
        assert list(out.iterdir()) == [], name
    return said


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_file_is_told_alike_wherever_it_is_used(
    sets: Sets, good: Tensors, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words = DAMAGES[damage]
    tensors = dict(good)
    spoil(tensors, DOWN)
    file = tmp_path / "bad.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, file)
    said = set(said_by_all(file, sets.base("sd1"), tmp_path / "out", capsys).values())
    assert len(said) == 1, said
    message = said.pop()
    assert message.startswith("bad.safetensors: ")
    assert words in message
    with pytest.raises(FileProblem) as caught:
        attach_file("sd1", {}, file)
    assert str(caught.value) == message
    for field, network, merge in (
        ("network.start_from", {"start_from": str(file)}, []),
        ("model.merge[0].file", {}, [{"file": str(file)}]),
    ):
        job = sets.job("sd1", network=network, model={"merge": merge})
        told = list(problems_before_loading(job, look_at(job.model.path)))
        if told:  # what a header tells
            assert [(p.path, p.message) for p in told] == [(field, message)]
            continue
        with pytest.raises(RunError) as refused:
            check_before_loading(job, "cpu")
        assert (refused.value.failure.field, refused.value.failure.message) == (field, message)


FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda whole: whole[: len(whole) // 2], "the file is cut off: it should have"),
    "header alone": (lambda whole: whole[:200], "cut off in its header (200 bytes)"),
    "empty": (lambda _: b"", "the file is empty. Download it again."),
    "web page": (lambda _: b"<!DOCTYPE html><html></html>", "a web page, not a model"),
    "text": (lambda _: b"It is no model at all.", "this is not a safetensors file."),
    "pickle": (lambda _: b"PK\x03\x04 and so on", "this is a pickle"),
}


@pytest.mark.parametrize("kind", list(FILES))
def test_a_broken_file_is_told_from_its_first_bytes(
    sets: Sets, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = FILES[kind]
    file = tmp_path / "bad.safetensors"
    file.write_bytes(make(sets.adapter("sd1").read_bytes()))
    said = set(said_by_all(file, sets.base("sd1"), tmp_path / "out", capsys).values())
    assert len(said) == 1
    message = said.pop()
    assert words in message
    job = sets.job("sd1", network={"start_from": str(file)})
    (told,) = problems_before_loading(job, look_at(job.model.path))
    assert (told.path, told.message) == ("network.start_from", message)


def test_a_file_without_adapters_is_no_lora(sets: Sets) -> None:
    job = sets.job("sd1", network={"start_from": str(sets.part("flux", "vae"))})
    (told,) = problems_before_loading(job, look_at(job.model.path))
    assert told.message == "ae.safetensors: there is no adapter in this file; it is no LoRA."


@pytest.mark.parametrize("given", ["sdxl", "flux", "sd3", "lumina2", "hunyuan_image", "anima"])
def test_an_adapter_for_another_architecture_is_refused_by_name(
    sets: Sets, given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FLUX.1's holds layers of CLIP-L too, which SD 1.x has; that is no reason to take them."""
    file = sets.adapter(given)
    job = sets.job("sd1", network={"start_from": str(file)})
    (told,) = problems_before_loading(job, look_at(job.model.path))
    label = look_at(str(sets.base(given))).architecture
    assert label == given
    assert told.path == "network.start_from"
    assert f"{file.name} is an adapter for " in told.message
    assert "this model is SD 1.x. Choose one for it." in told.message
    out = tmp_path / "out"
    out.mkdir()
    for name, (command, arguments) in tools(file, sets.base("sd1"), out).items():
        if name == "inspect":
            continue
        assert command(arguments) == 1, name
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert file.name in line
        assert list(out.iterdir()) == []


def test_put_on_a_loaded_model_it_is_refused_too(sets: Sets) -> None:
    unet: UNet2DConditionModel = tiny_modules("sd1").unet
    with pytest.raises(AdapterProblem, match="is an adapter for FLUX.1, and this model is SD 1.x"):
        attach_file("sd1", {"denoiser": unet}, sets.adapter("flux"))


def test_sizes_of_another_model_are_told_with_the_layer(sets: Sets, tmp_path: Path) -> None:
    tensors = load_file(sets.adapter("sd1"))
    tensors[DOWN] = torch.zeros(4, 48, 1, 1)
    file = tmp_path / "wide.safetensors"
    save_file(tensors, file)
    job = sets.job("sd1", network={"start_from": str(file)})
    with pytest.raises(RunError, match=r"wide\.safetensors: .*proj_in has the shapes \(4, 48, 1"):
        check_before_loading(job, "cpu")


def test_unknown_keys_are_left_out_and_told(
    sets: Sets, good: Tensors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "more.safetensors", tmp_path / "out"
    out.mkdir()
    foreign = {
        "lora_unet_nowhere.lora_down.weight": torch.ones(4, 8),
        "note.of.someone": torch.ones(2),
    }
    foreign["lora_unet_nowhere.lora_up.weight"] = torch.ones(8, 4)
    save_file(good | foreign, file)
    assert inspect.main([str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unknown_keys"] == ["note.of.someone"]
    for name, (command, arguments) in tools(file, sets.base("sd1"), out).items():
        if name == "inspect":
            continue
        assert command([*arguments, "--overwrite"]) == 0, name
        notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Note")]
        assert "more.safetensors: 2 parts of it were left out, such as " in notes[0], name


def test_fp8_factors_are_read(sets: Sets, good: Tensors, tmp_path: Path) -> None:
    file = tmp_path / "small.safetensors"
    save_file({k: t.to(torch.float8_e4m3fn) if ".lora" in k else t for k, t in good.items()}, file)
    unet = tiny_modules("sd1").unet
    handle = attach_file("sd1", {"denoiser": unet}, file)
    assert len(handle.used) == 192


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_a_models_own_adapter_passes(sets: Sets, architecture: str) -> None:
    """Text encoders in files of their own have sizes that are not known before they are read."""
    own = str(sets.adapter(architecture))
    job = sets.job(architecture, network={"start_from": own}, model={"merge": [{"file": own}]})
    check_before_loading(job, "cpu")


@pytest.mark.parametrize("given", ["sd1", "sd2"])
@pytest.mark.parametrize("wanted", ["sdxl", "flux", "sd3", "lumina2", "hunyuan_image", "anima"])
def test_adapters_that_no_name_tells_are_held_against_the_model(
    sets: Sets, wanted: str, given: str
) -> None:
    job = sets.job(wanted, network={"start_from": str(sets.adapter(given))})
    with pytest.raises(RunError) as caught:
        check_before_loading(job, "cpu")
    failure = caught.value.failure
    assert failure.field == "network.start_from"
    assert failure.message.startswith(f"{given}-adapter.safetensors: ")
    assert "another model; choose one" in failure.message or "Choose an adapter" in failure.message
