"""`python main.py import`: make a job file from another trainer's settings.

Exit code: 0 done, 1 the settings cannot be read or the file not written, 2 wrong use. A job that
still lacks something is written all the same, with a list of what to fill in.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.interop.draft import written
from engine.interop.importing import import_settings, import_text
from engine.interop.reading import ImportProblem
from engine.schema.whole_file import write_whole

EXAMPLE = """examples:
  python main.py import my_preset.json --out job.toml
  python main.py import "accelerate launch sdxl_train_network.py --network_dim=16 …" --out job.toml
  python main.py import - --out job.toml < command.sh"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.out is not None and arguments.out.exists() and not arguments.force:
        print(f"{arguments.out} is there already; --force replaces it.", file=sys.stderr)
        return 2
    try:
        if arguments.settings == "-":
            imported = import_text(sys.stdin.read())
        else:
            imported = import_settings(arguments.settings)
    except ImportProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    job = written(imported)
    if arguments.out is not None:
        try:
            write_whole(arguments.out, job.encode())
        except OSError as error:
            words = error.strerror or error
            print(f"{arguments.out} could not be written: {words}.", file=sys.stderr)
            return 1
    if arguments.json:
        print(json.dumps(imported.to_json() | {"job": job}, indent=2, ensure_ascii=False))
        return 0
    if arguments.out is None:
        print(job)
        print(imported.text(), file=sys.stderr)
        return 0
    print(imported.text())
    print(f"\nWritten: {arguments.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python main.py import",
        description="Make a job from settings of sd-scripts, kohya_ss, OneTrainer, "
        "LoRA_Easy_Training_Scripts or ai-toolkit, and tell what became of each of them.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "settings", metavar="SETTINGS", help="a file, a command line in quotes, or - for stdin"
    )
    parser.add_argument("--out", type=Path, metavar="JOB.toml", help="the job file to write")
    parser.add_argument("--force", action="store_true", help="replace the job file if it is there")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser
