"""Options that cannot be: the same words in the window's check, from `plan` and from `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.commands import plan, train
from engine.commands.launch import problems_with_cards
from engine.schema.check import check
from engine.schema.job_file import save_job
from tests.bad_input.conftest import Sets

# architecture, tables, field, words
Row = tuple[str, dict[str, dict[str, Any]], str, str]
PRODIGY = {"name": "Prodigy", "learning_rate": 1.0}
DORA = {"dora_wd": True, "wd_on_output": False}

LISTS: list[Row] = [
    ("sd1", {"network": {"block_dims": [4, 8]}}, "network.block_dims",
     "Rank per block needs 25 numbers for SD 1.x; this list has 2."),
    ("sdxl", {"network": {"block_dims": [4] * 25}}, "network.block_dims",
     "Rank per block needs 23 numbers for SDXL; this list has 25."),
    ("sd2", {"network": {"conv_block_alphas": [1.0] * 24}}, "network.conv_block_alphas",
     "needs 25 numbers for SD 2.x; this list has 24."),
    ("sd1", {"network": {"down_lr_weight": [1.0] * 13}}, "network.down_lr_weight",
     "13 numbers, but SD 1.x has 12 blocks there."),
    ("flux", {"network": {"in_dims": [4, 4]}}, "network.in_dims",
     "Input layers needs 5 numbers for FLUX.1; this list has 2."),
    ("sd3", {"network": {"emb_dims": [4] * 5}}, "network.emb_dims",
     "Embedders needs 6 numbers for SD3; this list has 5."),
    ("lumina2", {"network": {"embedder_dims": [4]}}, "network.embedder_dims",
     "Embedders needs 3 numbers for Lumina-Image 2; this list has 1."),
    ("sd3", {"optimizer": {"text_encoder_lr": [1e-4] * 4}}, "optimizer.text_encoder_lr",
     "4 learning rates, but SD3 has 3 text encoders: CLIP-L, OpenCLIP-G, T5-XXL."),
]  # fmt: skip

DOUBLE, BLOCKS = "train_double_block_indices", "train_block_indices"
SELECTIONS: list[Row] = [
    ("flux", {"network": {DOUBLE: "3-1"}}, f"network.{DOUBLE}", "3-1 runs backwards; write 1-3."),
    ("flux", {"network": {DOUBLE: "19"}}, f"network.{DOUBLE}",
     "There is no block 19; they are numbered 0 to 18."),
    ("flux", {"network": {DOUBLE: "1,"}}, f"network.{DOUBLE}",
     "An empty place is neither a number nor a range. Write numbers from 0 to 18 with commas"),
    ("hunyuan_image", {"network": {DOUBLE: "a"}}, f"network.{DOUBLE}", "'a' is neither a number"),
    ("sd3", {"network": {BLOCKS: "0-38"}}, f"network.{BLOCKS}",
     "There is no block 38; they are numbered 0 to 37."),
]  # fmt: skip

PATTERNS: list[Row] = [
    ("sd1", {"network": {"exclude_patterns": ["("]}}, "network.exclude_patterns",
     "'(' is no regular expression: missing )"),
    ("anima", {"network": {"include_patterns": ["*x"]}}, "network.include_patterns",
     "'*x' is no regular expression: nothing to repeat"),
    ("flux", {"network": {"network_reg_dims": ["[a=4"]}}, "network.network_reg_dims",
     "'[a' is no regular expression: unterminated character set"),
    ("flux", {"network": {"network_reg_dims": ["single"]}}, "network.network_reg_dims",
     "'single' is no pair: write pattern=number"),
    ("flux", {"network": {"network_reg_lrs": ["single=fast"]}}, "network.network_reg_lrs",
     "'fast' in 'single=fast' is not a number."),
    ("flux", {"network": {"include_patterns": ["(a+)+$"]}}, "network.include_patterns",
     "could be tried in too many ways"),
]  # fmt: skip

FOREIGN: list[Row] = [
    ("sd1", {"network": {"img_attn_dim": 4}}, "network.img_attn_dim",
     "is not an option of SD 1.x: it is there for FLUX.1 and HunyuanImage-2.1 only."),
    ("flux", {"network": {"conv_dim": 4}}, "network.conv_dim",
     "is not an option of FLUX.1: it is there for SD 1.x, SD 2.x and SDXL only."),
    ("lumina2", {"model": {"clip_skip": 2}}, "model.clip_skip", "is not an option of Lumina-Image"),
    ("anima", {"objective": {"min_snr_gamma": 5.0}}, "objective.min_snr_gamma", "not an option of"),
    ("sd3", {"network": {"in_dims": [1] * 5}}, "network.in_dims", "it is there for FLUX.1 only."),
    ("hunyuan_image", {"network": {"train": "both"}}, "network.train",
     "Train: both is not there for HunyuanImage-2.1; it has picture model."),
]  # fmt: skip

TOGETHER: list[Row] = [
    ("sd1", {"network": {"loraplus_lr_ratio": 16.0}, "optimizer": PRODIGY},
     "network.loraplus_lr_ratio", "LoRA+ cannot be used with Prodigy"),
    ("sd1", {"network": {"train": "both"}, "dataset": {"cache_text": "disk"}},
     "dataset.cache_text", "Kept captions would hide the text encoder's training."),
    ("sd3", {"network": {"train": "both", "train_t5xxl": True}, "dataset": {"cache_text": "disk"}},
     "dataset.cache_text", "Kept captions would hide"),
    *((name, {"network": DORA}, "network.wd_on_output", "DoRA by input is for U-Nets:")
      for name in ("flux", "sd3", "lumina2", "hunyuan_image", "anima")),
    *(("sdxl", {"network": DORA, "model": {"weights": form}}, "network.wd_on_output",
       "DoRA by input needs the base model's weights in 16 or 32 bits")
      for form in ("int8", "fp8", "fp8_scaled", "nf4")),
    ("sdxl", {"model": {"weights": "nf4"}, "launch": {"device": "cpu"}}, "model.weights",
     "nf4 weights need an NVIDIA card, and this run is on cpu. Set Weights kept as to int8."),
    ("sd1", {"training": {"blocks_to_swap": 4}}, "training.blocks_to_swap", "not an option of"),
    ("sd1", {"model": {"merge": [{"weight": 0.5}]}}, "model.merge[0].file", "Choose the adapter"),
]  # fmt: skip

SIZES: list[Row] = [
    ("flux", {"dataset": {"bucket_step": 24}}, "dataset.bucket_step",
     "FLUX.1 sees pictures in steps of 16 pixels; 24 is no multiple of it."),
    ("sd3", {"dataset": {"buckets": False, "resolution": ["1000"]}}, "dataset.resolution",
     "a side of '1000' is no multiple of it."),
    ("hunyuan_image", {"samples": {"width": 1040}}, "samples.width",
     "HunyuanImage-2.1 draws in steps of 32 pixels; 1040 is no multiple of it."),
    ("anima", {"samples": {"prompts": [{"prompt": "a cat", "height": 520}]}},
     "samples.prompts[0].height", "Anima draws in steps of 16 pixels; 520 is no multiple of it."),
    ("sd1", {"samples": {"width": 500}}, "samples.width", "must be a multiple of 8 px; it is 500"),
]  # fmt: skip

LAUNCH: list[Row] = [
    ("sd1", {"launch": {"device": "gpu"}}, "launch.device", "'gpu' is no device: auto, cpu"),
    ("sd1", {"launch": {"processes": 2, "device": "cuda:1"}}, "launch.device",
     "2 processes need a card each, and cuda:1 is one."),
    ("sd1", {"launch": {"processes": 2, "devices": "a,b"}}, "launch.devices", "are no cards"),
    ("sd1", {"launch": {"processes": 2, "devices": "1,1"}}, "launch.devices", "names a card twice"),
    ("sd1", {"launch": {"processes": 2, "devices": "0,1,2"}}, "launch.devices",
     "3 cards are named, and there are 2 processes."),
    ("sd1", {"launch": {"machines": 2}}, "launch.main_address", "meet at machine 0"),
    ("sd1", {"launch": {"machines": 2, "machine_rank": 2, "main_address": "a"}},
     "launch.machine_rank", "2 machines have the numbers 0 to 1, not 2."),
]  # fmt: skip

ROWS = LISTS + SELECTIONS + PATTERNS + FOREIGN + TOGETHER + SIZES + LAUNCH


def job_of(architecture: str, tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "model": {"architecture": architecture, "path": "model.safetensors"},
        "dataset": {"folders": [{"path": "pictures"}]},
    }
    for name, values in tables.items():
        data[name] = data.get(name, {}) | values
    return data


@pytest.mark.parametrize(("architecture", "tables", "field", "words"), ROWS)
def test_a_mistake_is_told_at_its_field(
    architecture: str, tables: dict[str, dict[str, Any]], field: str, words: str
) -> None:
    found = {
        problem.path: problem.message for problem in check(job_of(architecture, tables)).errors
    }
    assert words in found[field]
    assert "\n" not in found[field]


@pytest.mark.parametrize(
    ("architecture", "tables", "field", "words"),
    [LISTS[0], SELECTIONS[0], PATTERNS[0], FOREIGN[0], TOGETHER[0], SIZES[2], LAUNCH[1]],
)
def test_window_plan_and_train_say_the_same(
    sets: Sets, tmp_path: Path, architecture: str, tables: dict[str, dict[str, Any]], field: str,
    words: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    data = job_of(architecture, tables)
    data["model"] |= sets.model(architecture)
    data["output"] = {"directory": str(tmp_path / "runs")}
    (problem,) = (p for p in check(data).errors if p.path == field)
    assert words in problem.message
    save_job(tmp_path / "job.toml", data)
    assert plan.main([str(tmp_path / "job.toml")]) == 1
    assert f"error: {field}: {problem.message}" in capsys.readouterr().err.splitlines()
    assert train.main([str(tmp_path / "job.toml")]) == 1
    said = capsys.readouterr()
    assert f"{field}: {problem.message}" in said.out
    assert "Traceback" not in said.out + said.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("launch", "cards", "field", "words"),
    [
        ({"processes": 2}, 0, "launch.processes",
         "2 processes need a card each, and this machine has no graphics card that can be used. "
         "Set Processes to 1."),
        ({"processes": 4, "device": "cuda"}, 2, "launch.processes",
         "4 processes need a card each, and this machine has 2 graphics cards. Set Processes to "
         "2."),
        ({"processes": 2, "devices": "0,3"}, 2, "launch.devices",
         "There is no card 3: this machine has 2 graphics cards. They are numbered from 0."),
    ],
)  # fmt: skip
def test_more_processes_than_cards_are_refused(
    sets: Sets, launch: dict[str, Any], cards: int, field: str, words: str
) -> None:
    (problem,) = problems_with_cards(sets.job("sd1", launch=launch), cards)
    assert (problem.path, problem.message) == (field, words)


def test_processes_that_have_what_they_need_are_let_be(sets: Sets) -> None:
    for launch in ({"processes": 2}, {"processes": 2, "devices": "1,2"}):
        assert list(problems_with_cards(sets.job("sd1", launch=launch), 3)) == []
    on_cpu = sets.job("sd1", launch={"processes": 2, "device": "cpu"})
    assert list(problems_with_cards(on_cpu, 0)) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[model\n", "It is not valid TOML: Expected ']'"),
        (b"\xff\xfe\x00", "It is not UTF-8 text (byte 0)."),
        (None, "There is no such file."),
    ],
)
def test_a_job_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cat.toml"
    if content is not None:
        path.write_bytes(content)
    assert train.main([str(path)]) == 1
    assert f"{path}: {words}" in capsys.readouterr().out
    assert plan.main([str(path)]) == 1
    said = capsys.readouterr().err
    assert str(path) in said
    assert words in said
