"""`python main.py export`: write a job for another trainer.

Exit code: 0 done, 1 the job cannot be read or the files not written, 2 wrong use.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.interop.sd_scripts_export import export_job
from engine.schema.job_file import apply_sets, read_job
from engine.schema.problem import JobError
from engine.schema.whole_file import write_whole

EXAMPLE = """examples:
  python main.py export job.toml --to sd-scripts --out for_sd_scripts
  python main.py export job.toml --to sd-scripts            print it"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        data = read_job(arguments.job)
    except JobError as error:
        print(error, file=sys.stderr)
        return 1
    wrong = apply_sets(data, arguments.set)
    if wrong:
        print("\n".join(str(problem) for problem in wrong), file=sys.stderr)
        return 2
    exported = export_job(data)
    if arguments.json:
        content = {"files": dict(exported.files), "lacks": dict(exported.lacks)}
        print(json.dumps(content, indent=2, ensure_ascii=False))
    elif arguments.out is None:
        for name, text in exported.files.items():
            if name != "train.bat":
                print(f"# {name}\n{text}")
        print(exported.text(), file=sys.stderr)
    if arguments.out is None:
        return 0
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
        for name, text in exported.files.items():
            write_whole(arguments.out / name, text.encode())
    except OSError as error:
        words = error.strerror or error
        print(f"{arguments.out} could not be written: {words}.", file=sys.stderr)
        return 1
    if not arguments.json:
        print(exported.text())
        print(f"\nWritten to {arguments.out}: {', '.join(sorted(exported.files))}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python main.py export",
        description="Write a job as a command line and a dataset config, and tell what is lacking.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("job", type=Path, metavar="JOB.toml", help="the job file")
    parser.add_argument("--to", required=True, choices=["sd-scripts"], help="the other trainer")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder to write to")
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="change a value first"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser
