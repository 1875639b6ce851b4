"""Wrong arguments of the tools: a base that is none, a strength that is no number, a bad target."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.commands.tools import main_convert, main_merge, main_resize
from tests.bad_input.conftest import Sets


def base_of(sets: Sets, kind: str, folder: Path) -> Path:
    files = {
        "adapter": sets.adapter("sd1"),
        "vae": sets.part("flux", "vae"),
        "T5": sets.part("flux", "text_encoder_2"),
        "other": sets.base("flux"),
        "nothing": folder / "nowhere.safetensors",
    }
    if kind in files:
        return files[kind]
    path = folder / "base"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("adapter", "sd1-adapter.safetensors: This is an adapter (LoRA), not a base model."),
        ("vae", "ae.safetensors: This is a VAE of FLUX or SD3."),
        ("T5", "t5xxl.safetensors: This is a T5 text encoder."),
        ("other", "sd1-adapter.safetensors is an adapter for SD 1.x, and flux1-dev.safetensors is "
         "FLUX.1. Choose files of one architecture."),
        ("nothing", "nowhere.safetensors: there is no such file."),
        ("empty folder", "base: no diffusers model is in this folder"),
    ],
)  # fmt: skip
def test_what_is_no_base_is_called_by_its_name(
    sets: Sets, tmp_path: Path, kind: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["--base", str(base_of(sets, kind, tmp_path)), "--lora", str(sets.adapter("sd1"))]
    assert main_merge([*arguments, "--out", str(out / "new.safetensors")]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("weight", ["nan", "inf"])
def test_a_strength_that_is_no_number_spoils_no_model(
    sets: Sets, tmp_path: Path, weight: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--base", str(sets.base("sd1")), "--lora", f"{sets.adapter('sd1')}:{weight}"]
    assert main_merge([*arguments, "--out", str(tmp_path / "new.safetensors")]) == 1
    assert f":{weight}: the weight must be a number, such as 0.8." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file_to_write(
    sets: Sets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(sets.adapter("sd1")), "--model", str(sets.base("sd1")), "--to", "diffusers"]
    assert main_convert([*arguments, "--out", str(tmp_path), "--overwrite"]) == 1
    assert f"{tmp_path} is a folder. Give the new file a name in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("--rank", "0", "'0' is no whole number from 1 up"),
        ("--rank", "eight", "'eight' is no whole number from 1 up"),
        ("--dynamic", "1.5", "'1.5' is no number above 0 and up to 1"),
        ("--dynamic", "most", "'most' is no number above 0 and up to 1"),
    ],
)
def test_a_wrong_number_is_wrong_use(
    sets: Sets, tmp_path: Path, argument: str, value: str, words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = str(tmp_path / "new.safetensors")
    with pytest.raises(SystemExit) as left:
        main_resize([str(sets.adapter("sd1")), argument, value, "--out", out])
    assert left.value.code == 2
    assert f"argument {argument}: {words}" in capsys.readouterr().err
