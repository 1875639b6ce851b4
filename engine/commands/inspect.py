"""`inspect FILE`: what an adapter file holds, for which model, and how it was trained.

With `--job OUT.toml` its training settings become a job file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.networks.inspection import Inspection, inspect_file
from engine.plan.header import FileProblem
from engine.schema.architectures import ARCHITECTURES
from engine.schema.file_settings import settings_in, stated
from engine.schema.job_file import save_job


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 done, 1 the file cannot be read (wrong use leaves with 2)."""
    parser = argparse.ArgumentParser(
        prog="main.py inspect",
        description="Show what a LoRA file holds: its model, layers, ranks, metadata and hashes.",
        epilog="Example: python main.py inspect my_lora.safetensors --job like_it.toml",
    )
    parser.add_argument("file", help="a .safetensors file")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument(
        "--job", type=Path, metavar="OUT.toml", help="write its training settings as a job"
    )
    parser.add_argument("--overwrite", action="store_true", help="write over a job that is there")
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
    return _write_job(found, options.job, options.overwrite) if options.job else 0


def _write_job(found: Inspection, target: Path, overwrite: bool) -> int:
    """Write the settings as a job; what is said of them goes to stderr, as --json owns stdout."""
    settings = settings_in(found.metadata, found.guess.architecture, found.trained)
    if settings is None:
        print(f"{found.file} says nothing of its training.", file=sys.stderr)
        return 1
    if target.exists() and not overwrite:
        print(f"{target} is there already. Choose another name, or give --overwrite.",
              file=sys.stderr)  # fmt: skip
        return 1
    try:
        save_job(target, settings.data)
    except OSError as error:
        print(f"{target}: {error.strerror or error}", file=sys.stderr)
        return 1
    print("\n".join([f"Job written: {target}", *settings.notes]), file=sys.stderr)
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
    settings = [f"{words + ':':25} {value}" for words, value in stated(found.metadata)]
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
