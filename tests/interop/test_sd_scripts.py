"""sd-scripts' command lines and config files into jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.interop.draft import written
from engine.interop.importing import import_file, import_text
from engine.interop.report import Imported, Line
from engine.interop.sd_scripts_model import SCRIPTS
from engine.schema.check import check
from engine.schema.job import Job
from tests.tiny_pictures import write_picture

FLUX = """accelerate launch --num_processes 2 flux_train_network.py
 --pretrained_model_name_or_path flux1-dev.safetensors --clip_l clip_l.safetensors
 --t5xxl t5xxl.safetensors --ae ae.safetensors --network_module networks.lora_flux
 --network_dim 8 --network_alpha 4 --network_args "train_blocks=single" "img_attn_dim=0"
 --network_train_unet_only --cache_latents_to_disk --cache_text_encoder_outputs
 --optimizer_type adamw8bit --optimizer_args weight_decay=0.1 "betas=(0.9, 0.99)" amsgrad=True
 --learning_rate 1e-4 --lr_scheduler constant_with_warmup --lr_warmup_steps 0.1
 --max_train_epochs 4 --mixed_precision bf16 --fp8_base --seed 7
 --timestep_sampling sigma --weighting_scheme logit_normal --logit_mean 0.5
 --model_prediction_type sigma_scaled --sdpa --wandb_api_key abc123"""


def job_of(imported: Imported) -> Job:
    return check(imported.data).job


def line(imported: Imported, key: str) -> Line:
    return next(each for each in imported.lines if each.key == key)


def test_a_flux_command_becomes_a_job() -> None:
    imported = import_text(FLUX)
    job = job_of(imported)
    model = job.model
    assert model.architecture == "flux"
    assert (model.vae, model.text_encoder) == ("ae.safetensors", "clip_l.safetensors")
    assert (model.text_encoder_2, model.weights) == ("t5xxl.safetensors", "fp8")
    network = job.network
    assert (network.rank, network.alpha, network.train) == (8, 4.0, "denoiser")
    assert (network.train_blocks, network.img_attn_dim) == ("single", 0)
    optimizer = job.optimizer
    assert (optimizer.name, optimizer.learning_rate) == ("AdamW8bit", 1e-4)
    assert (optimizer.schedule, optimizer.warmup) == ("constant", 0.1)
    assert (optimizer.args.weight_decay, optimizer.args.betas) == (0.1, [0.9, 0.99])
    assert optimizer.extra_args == {"amsgrad": True}
    assert (job.dataset.cache_latents, job.dataset.cache_text) == ("disk", "memory")
    assert (job.training.epochs, job.training.steps) == (4, None)
    assert job.launch.processes == 2


def test_the_mean_of_flux_levels_is_mirrored_and_that_of_sd3_is_not() -> None:
    flux = import_text(FLUX)
    assert job_of(flux).objective.logit_mean == -0.5
    assert line(flux, "logit_mean").outcome == "changed"
    sd3 = import_text("sd3_train_network.py --weighting_scheme=logit_normal --logit_mean=0.5")
    assert job_of(sd3).objective.logit_mean == 0.5
    assert job_of(sd3).objective.prediction_scaling == "x0"


def test_sd3_with_sigma_sqrt_is_the_plain_flow_loss() -> None:
    objective = job_of(import_text("sd3_train_network.py --weighting_scheme=sigma_sqrt")).objective
    assert (objective.prediction_scaling, objective.weighting) == ("raw", "none")


def test_a_wrong_objective_of_flux_is_taken_as_the_flow_with_a_reason() -> None:
    imported = import_text(FLUX)
    assert job_of(imported).objective.prediction_scaling == "raw"
    assert "unlike things" in line(imported, "model_prediction_type").why


def test_no_secret_is_repeated() -> None:
    imported = import_text(FLUX)
    assert line(imported, "wandb_api_key").outcome == "refused"
    assert "abc123" not in imported.text()


@pytest.mark.parametrize(("script", "architecture"), SCRIPTS.items())
def test_the_script_says_what_it_is_for(script: str, architecture: str) -> None:
    imported = import_text(f"python {script}.py --network_dim=4")
    assert job_of(imported).model.architecture == architecture
    assert not [p for p in imported.errors if "Choose a" not in p.message]


def test_defaults_of_theirs_that_differ_are_written_out() -> None:
    imported = import_text("train_network.py --enable_bucket --train_data_dir=/nowhere")
    job = job_of(imported)
    assert (job.optimizer.learning_rate, job.training.steps) == (2e-6, 1600)
    assert (job.network.rank, job.network.alpha) == (4, 1.0)
    assert (job.dataset.bucket_max, job.dataset.cache_latents) == (1024, "off")
    assert job.dataset.folders[0].caption_extension == ".caption"
    assert (job.output.every_epochs, job.output.save_state) == (None, False)
    written = {each.path for each in imported.of("default")}
    assert {"optimizer.learning_rate", "training.steps", "network.alpha"} <= written


def test_nothing_is_dropped_in_silence() -> None:
    text = FLUX + " --made_up=1 --highvram --deepspeed --resume state --learning_rat=3"
    words = [w[2:].partition("=")[0] for w in text.split() if w.startswith("--")]
    told = {each.key.removeprefix("accelerate ") for each in import_text(text).lines}
    assert set(words) - told == {"learning_rat", "network_args", "optimizer_args"}
    assert {"learning_rate", "network_args.train_blocks", "optimizer_args.betas"} <= told


def test_an_unknown_option_is_told_with_the_likely_one() -> None:
    imported = import_text("train_network.py --netwrok_dim=4")
    assert [each.key for each in imported.unknown] == ["netwrok_dim"]
    assert "network_dim" in imported.unknown[0].why


def test_a_value_that_does_not_fit_is_refused_and_the_rest_is_taken() -> None:
    imported = import_text("train_network.py --network_dim=huge --network_alpha=2")
    assert line(imported, "network_dim").outcome == "refused"
    assert job_of(imported).network.alpha == 2.0


def test_folders_named_by_their_repeats(tmp_path: Path) -> None:
    for name in ("10_my cat", "3_dog", "log"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
    for name in ("10_my cat", "3_dog"):
        write_picture(tmp_path / "pictures" / name / "a.png", (64, 64))
    command = f'train_network.py --train_data_dir="{tmp_path / "pictures"}" --flip_aug'
    folders = job_of(import_text(command)).dataset.folders
    assert [(Path(f.path).name, f.repeats, f.fallback_caption) for f in folders] == [
        ("10_my cat", 10.0, "my cat"), ("3_dog", 3.0, "dog"),
    ]  # fmt: skip
    assert [f.flip for f in folders] == [0.5, 0.5]


def test_anima_patterns_meet_the_whole_name() -> None:
    command = """anima_train_network.py --network_args "exclude_patterns=['.*mlp.*']"
      "network_reg_dims=.*self_attn.*=8" """
    network = job_of(import_text(command.replace("\n", " "))).network
    assert network.exclude_patterns == ["^(?:.*mlp.*)$"]
    assert network.network_reg_dims == ["^(?:.*self_attn.*)$=8"]


def test_adapters_merged_before_training_have_weight_1_unless_told() -> None:
    imported = import_text("train_network.py --base_weights a.safetensors b.safetensors "
                           "--base_weights_multiplier 0.5")  # fmt: skip
    merged = [(m.file, m.weight) for m in job_of(imported).model.merge]
    assert merged == [("a.safetensors", 0.5), ("b.safetensors", 1.0)]
    assert "[[model.merge]]" in written(imported)


def test_lycoris_adapts_convolutions_unless_told_otherwise() -> None:
    full = job_of(import_text("train_network.py --network_module=lycoris.kohya --network_dim=8 "
                              "--network_args algo=locon dora_wd=True")).network  # fmt: skip
    assert (full.kind, full.conv_dim, full.dora_wd) == ("lora", 8, True)
    imported = import_text("train_network.py --network_module=lycoris.kohya "
                           "--network_args algo=loha preset=attn-mlp")  # fmt: skip
    assert "LoRA" in line(imported, "network_args.algo").why
    assert job_of(imported).network.conv_dim is None


def test_a_config_file_with_sections_and_a_dataset_config_beside_it(tmp_path: Path) -> None:
    (tmp_path / "data.toml").write_text(
        '[general]\nshuffle_caption = true\n[[datasets]]\nresolution = 768\nbatch_size = 2\n'
        '[[datasets.subsets]]\nimage_dir = "cats"\nnum_repeats = 5\n'
    )  # fmt: skip
    (tmp_path / "cats").mkdir()
    (tmp_path / "prompts.txt").write_text("a cat --w 768 --d 1\n# none\na dog --n blurry\n")
    (tmp_path / "config.toml").write_text(
        '[model_arguments]\nv2 = false\npretrained_model_name_or_path = "base_xl.safetensors"\n'
        '[training_arguments]\ndataset_config = "data.toml"\nlearning_rate = "5e-5"\n'
        'sample_prompts = "prompts.txt"\nsave_last_n_steps = 1000\nsave_every_n_steps = 250\n'
        'text_encoder_lr = [1e-5, 2e-5]\nnetwork_args = ["conv_dim=4"]\n'
    )  # fmt: skip
    imported = import_file(tmp_path / "config.toml")
    job = job_of(imported)
    assert job.model.architecture == "sdxl"
    assert "XL" in imported.notes[0]
    assert (job.training.batch_size, job.dataset.resolution) == (2, ["768"])
    folder = job.dataset.folders[0]
    assert (folder.path, folder.repeats) == (str((tmp_path / "cats").resolve()), 5.0)
    assert folder.shuffle_tags
    assert [p.prompt for p in job.samples.prompts] == ["a cat", "a dog"]
    assert (job.samples.prompts[0].width, job.samples.prompts[1].negative) == (768, "blurry")
    assert job.output.keep_last == 5
    assert job.optimizer.text_encoder_lr == [1e-5, 2e-5]
    assert job.network.conv_dim == 4


def test_a_piece_of_a_command_writes_no_defaults() -> None:
    imported = import_text("--network_dim=8 --flip_aug", architecture="sdxl")
    assert imported.data == {
        "model": {"architecture": "sdxl"},
        "network": {"rank": 8},
        "dataset": {"folders": [{"path": "", "flip": 0.5}]},
    }
    assert not imported.of("default")
