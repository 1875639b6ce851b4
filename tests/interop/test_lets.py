"""Files of LoRA_Easy_Training_Scripts."""

from __future__ import annotations

from engine.interop.importing import import_text
from engine.schema.check import check

FILE = """
[[subsets]]
name = "cats"
image_dir = "/cats"
num_repeats = 4
shuffle_caption = true
caption_extension = ".txt"

[train_mode]
train_mode = "lora"

[general_args.args]
pretrained_model_name_or_path = "/models/base.safetensors"
mixed_precision = "bf16"
sdxl = true
max_train_epochs = 6
xformers = true

[general_args.dataset_args]
resolution = 1024
batch_size = 3

[network_args.args]
network_dim = 16
network_alpha = 8.0
network_train_unet_only = true

[network_args.args.network_args]
conv_dim = 8
conv_alpha = 4.0
algo = "locon"

[optimizer_args.args]
optimizer_type = "Came"
learning_rate = 0.0002
lr_scheduler_type = "LoraEasyCustomOptimizer.CustomOptimizers.Rex"
warmup_ratio = 0.1
min_snr_gamma = 8

[optimizer_args.args.optimizer_args]
weight_decay = "0.05"

[optimizer_args.args.lr_scheduler_args]
d = 0.9
min_lr = 1e-6

[saving_args.args]
easy_name = "kitty"
output_name = "${replace}-v1"
output_dir = "/out"
save_every_n_epochs = 2
tag_occurrence = true

[bucket_args.dataset_args]
enable_bucket = true
min_bucket_reso = 512

[extra_args.args]
ip_noise_gamma = 0.1
"""


def test_a_file_becomes_a_job() -> None:
    imported = import_text(FILE, "my.toml")
    assert imported.peer == "LoRA_Easy_Training_Scripts"
    job = check(imported.data).job
    assert (job.model.architecture, job.training.epochs) == ("sdxl", 6)
    assert (job.network.rank, job.network.conv_dim, job.network.train) == (16, 8, "denoiser")
    assert (job.optimizer.name, job.optimizer.args.weight_decay) == ("CAME", 0.05)
    assert (job.optimizer.schedule, job.optimizer.rex_d) == ("rex", 0.9)
    assert job.optimizer.warmup == "10%"
    assert (job.dataset.resolution, job.training.batch_size) == (["1024"], 3)
    assert (job.dataset.buckets, job.dataset.bucket_min) == (True, 512)
    folder = job.dataset.folders[0]
    assert (folder.path, folder.repeats, folder.shuffle_tags) == ("/cats", 4.0, True)
    assert (job.output.name, job.objective.input_perturbation) == ("kitty-v1", 0.1)


def test_lines_name_the_place_in_the_file() -> None:
    told = {line.key: line for line in import_text(FILE, "my.toml").lines}
    assert told["network_args.args.network_dim"].new == 16
    assert told["subsets[0].num_repeats"].new == 4.0
    assert told["bucket_args.dataset_args.min_bucket_reso"].new == 512
    assert told["saving_args.args.tag_occurrence"].outcome == "no counterpart"
