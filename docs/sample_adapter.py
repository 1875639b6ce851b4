"""A LoRA file of SD 1.x's real size with random numbers, for the pictures of the tools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

RANKS = [0, 8, 8, 0, 16, 16, 0, 16, 24, 0, 0, 0, 32,
         0, 0, 0, 24, 16, 16, 16, 16, 12, 8, 8, 4]  # fmt: skip
CONV_RANK = 4
METADATA = {
    "ss_base_model_version": "sd_v1",
    "ss_sd_model_name": "v1-5-pruned-emaonly.safetensors",
    "ss_network_module": "networks.lora",
    "ss_network_dim": "16",
    "ss_network_alpha": "8.0",
    "ss_network_args": json.dumps({"conv_dim": str(CONV_RANK), "conv_alpha": "1",
                                   "block_dims": ",".join(map(str, RANKS))}),
    "ss_learning_rate": "0.0001",
    "ss_unet_lr": "0.0001",
    "ss_text_encoder_lr": "5e-05",
    "ss_optimizer": "torch.optim.adamw.AdamW(weight_decay=0.01,betas=(0.9, 0.99))",
    "ss_lr_scheduler": "cosine",
    "ss_lr_warmup_steps": "100",
    "ss_max_train_steps": "1800",
    "ss_steps": "1800",
    "ss_batch_size_per_device": "2",
    "ss_resolution": "(512, 512)",
    "ss_mixed_precision": "bf16",
    "ss_seed": "4242",
    "ss_clip_skip": "2",
    "ss_min_snr_gamma": "5.0",
    "ss_dataset_dirs": json.dumps({"10_clay cat": {"n_repeats": 10, "img_count": 24}}),
    "ss_training_comment": "clay figures, morning light",
    "modelspec.title": "Clay cat",
    "modelspec.architecture": "stable-diffusion-v1/lora",
    "modelspec.date": "2026-11-20T18:30:00",
}  # fmt: skip


def write_sample(path: Path) -> Path:
    """Write the file; some tens of megabytes."""
    from engine.plan.sites import sites_of

    random = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {}
    for site in sites_of("sd1"):
        is_conv = site.kernel != (1, 1)
        if not site.ranked or (not site.default and not is_conv):
            continue
        rank = 16 if site.block is None else RANKS[site.block]
        if is_conv:
            rank = min(CONV_RANK, rank)
        if not rank:
            continue
        flat = not is_conv and not site.conv1x1
        down = (rank, site.columns) if flat else (rank, site.columns, *site.kernel)
        up = (site.rows, rank) if flat else (site.rows, rank, 1, 1)
        falling = np.exp(-np.arange(rank) / (rank / 3))  # the first directions weigh most
        tensors[f"{site.name}.lora_down.weight"] = random.normal(0, 0.02, down).astype("f2")
        shape = (1, rank) if flat else (1, rank, 1, 1)
        wide = random.normal(0, 0.02, up) * falling.reshape(shape)
        tensors[f"{site.name}.lora_up.weight"] = wide.astype("f2")
        tensors[f"{site.name}.alpha"] = np.array(1.0 if is_conv else 8.0, "f4")
    save_file(tensors, path, METADATA)
    return path
