"""Stands in for the tools: `fake_tools.py MODE COMMAND … --out TARGET [--overwrite] --json`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def part_of(target: Path) -> Path:
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(b"half")
    return part


def main() -> int:
    mode, arguments = sys.argv[1], sys.argv[2:]
    if arguments[0] == "inspect":
        sys.stdout.write(Path(mode).read_text(encoding="utf-8"))
        return 0
    target = Path(arguments[arguments.index("--out") + 1])
    if mode == "model":
        say(message="cat: of another size. If its model is of another size, name it with --model.")
        return 1
    if mode == "crash":
        sys.stderr.write("Traceback\nMemoryError: out of memory\n")
        return 3
    if mode == "copies":
        say(copied=3_450_000_000, of=6_900_000_000)
        sys.stdin.readline()
        say(copied=6_900_000_000, of=6_900_000_000)
        say(done=3, total=12)
        sys.stdin.readline()
        return 130
    if mode in ("slow", "stubborn"):
        part = part_of(target)
        say(done=3, total=12)
        if mode == "stubborn":
            time.sleep(60)
        if json.loads(sys.stdin.readline()) == {"command": "cancel"}:
            part.unlink()
            say(cancelled=True)
            return 130
        return 9
    if target.exists() and "--overwrite" not in arguments:
        say(message=f"{target} is there already.", exists=str(target))
        return 1
    sys.stdout.write("a library's own word\n")
    say(done=1, total=2)
    say(done=2, total=2)
    target.write_text(" ".join(arguments), encoding="utf-8")
    say(path=str(target), layers=12, notes=["One part was left out."])
    say(least=0.901, mean=0.985, ranks=[2, 4])
    return 0


sys.exit(main())
