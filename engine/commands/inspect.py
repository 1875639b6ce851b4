"""`inspect FILE`: what an adapter file holds, for which model, and how it was trained."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from engine.networks.inspection import Inspection, inspect_file
from engine.plan.header import FileProblem
from engine.schema.architectures import ARCHITECTURES

_SETTINGS = (
    ("ss_network_dim", "rank"),
    ("ss_network_alpha", "alpha"),
    ("ss_network_args", "further network options"),
    ("ss_learning_rate", "learning rate"),
    ("ss_unet_lr", "picture model's rate"),
    ("ss_text_encoder_lr", "text encoder's rate"),
    ("ss_optimizer", "optimizer"),
    ("ss_lr_scheduler", "schedule"),
    ("ss_steps", "steps"),
    ("ss_epoch", "epochs"),
    ("ss_num_train_images", "pictures with repeats"),
    ("ss_total_batch_size", "batch"),
    ("ss_resolution", "resolution"),
    ("ss_clip_skip", "clip skip"),
    ("ss_seed", "seed"),
    ("ss_mixed_precision", "precision"),
    ("ss_sd_model_name", "base model"),
    ("ss_training_comment", "comment"),
)


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 done, 1 the file cannot be read (wrong use leaves with 2)."""
    parser = argparse.ArgumentParser(
        prog="main.py inspect",
        description="Show what a LoRA file holds: its model, layers, ranks, metadata and hashes.",
        epilog="Example: python main.py inspect my_lora.safetensors --json",
    )
    parser.add_argument("file", help="a .safetensors file")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args(argv)
    try:
        found = inspect_file(options.file)
    except FileProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(_lines(found)))
    return 0


def _lines(found: Inspection) -> list[str]:
    guess = found.guess
    label = ARCHITECTURES[guess.architecture].label if guess.architecture in ARCHITECTURES else None
    lines = [
        f"{found.file}: {found.size_bytes / 1e6:.1f} MB, {', '.join(found.dtypes)}, "
        f"{found.layout} names",
        f"For:       {label or guess.architecture or 'unknown'} ({guess.reason})",
        f"Holds:     {found.adapters} layers, {found.parameters:,} numbers",
    ]
    if found.variants:
        lines.append(f"Kind:      {', '.join(found.variants)}")
    if found.without_alpha:
        lines.append(f"Alpha:     missing in {found.without_alpha} layers (taken as the rank)")
    if found.unknown_keys:
        lines.append(f"Unknown:   {len(found.unknown_keys)} keys, such as {found.unknown_keys[0]}")
    lines += ["", f"{'block':14} {'layers':>6} {'rank':>8} {'alpha':>8} {'‖ΔW‖':>9}"]
    for group in found.groups:
        ranks = _range([float(r) for r in group.ranks])
        lines.append(
            f"{group.name:14} {group.adapters:6} {ranks:>8} {_range(group.alphas):>8} "
            f"{group.strength:9.4f}"
        )
    settings = [
        f"{words + ':':25} {found.metadata[key]}"
        for key, words in _SETTINGS
        if found.metadata.get(key, "None") != "None"
    ]
    about = [
        f"{key.removeprefix('modelspec.') + ':':25} {value}"
        for key, value in sorted(found.metadata.items())
        if key.startswith("modelspec.") and not value.startswith("data:")
    ]
    for title, entries in (("Training", settings), ("About", about)):
        if entries:
            lines += ["", title, *entries]
    matches = {True: "as the file states", False: "NOT what the file states", None: "not stated"}
    lines += ["", f"Hash: {found.model_hash} ({matches[found.hash_matches]})"]
    return lines


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):g}", f"{max(values):g}"
    return low if low == high else f"{low}–{high}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
