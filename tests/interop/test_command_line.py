"""Commands taken apart: quotes and continuations of bash, cmd and PowerShell."""

from __future__ import annotations

import pytest

from engine.interop.command_line import split_command
from engine.interop.reading import ImportProblem

BASH = r"""
# my cat
accelerate launch --num_cpu_threads_per_process=1 ./sdxl_train_network.py \
  --pretrained_model_name_or_path="/models/my xl.safetensors" \
  --network_args "conv_dim=8" 'conv_alpha=4' --cache_latents
"""
CMD = (
    'accelerate launch --num_cpu_threads_per_process 1 "C:\\sd\\sdxl_train_network.py" ^\r\n'
    '  --pretrained_model_name_or_path "C:\\models\\my xl.safetensors" ^\r\n'
    '  --network_args "conv_dim=8" "conv_alpha=4" --cache_latents\r\n'
)
POWERSHELL = CMD.replace("^", "`")


@pytest.mark.parametrize("text", [BASH, CMD, POWERSHELL], ids=["bash", "cmd", "powershell"])
def test_a_command_is_taken_apart_in_every_shell(text: str) -> None:
    command = split_command(text)
    assert command.script == "sdxl_train_network"
    assert command.launcher == [("num_cpu_threads_per_process", ["1"])]
    options = dict(command.options)
    assert options["network_args"] == ["conv_dim=8", "conv_alpha=4"]
    assert options["cache_latents"] == []
    assert options["pretrained_model_name_or_path"][0].endswith("my xl.safetensors")


def test_a_windows_path_keeps_its_backslashes() -> None:
    options = dict(split_command(CMD).options)
    assert options["pretrained_model_name_or_path"] == ["C:\\models\\my xl.safetensors"]


def test_a_name_may_have_hyphens_and_an_empty_value() -> None:
    assert split_command("--save-every-n-epochs=2 --log_prefix=").options == [
        ("save_every_n_epochs", ["2"]), ("log_prefix", [""]),
    ]  # fmt: skip


def test_a_missing_quotation_mark_is_told() -> None:
    with pytest.raises(ImportProblem, match="quotation mark"):
        split_command('train_network.py --output_name "cat')
