"""`merge`, `extract`, `resize`, `convert`: work on finished adapter files.

Exit code: 0 done, 1 failed, 2 wrong use, 130 cancelled. Never over an existing file without
`--overwrite`. With `--json` every line of stdout is an object: copying {copied, of} in bytes,
progress {done, total} in layers, written {path, layers, notes}, kept {least, mean, ranks}, error
{message}, with {exists} where the file in the way may be written over, or {cancelled}; and a line
{"command": "cancel"} on stdin cancels.
"""

from __future__ import annotations

import _thread
import argparse
import contextlib
import json
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from engine.networks.problem import AdapterProblem
from engine.plan.header import FileProblem
from engine.schema.architectures import ARCHITECTURES
from engine.tools.convert import Written, convert
from engine.tools.extract import extract, name_of_rank, ranks_of_unit
from engine.tools.merge import Weighted, join, merge_into_base
from engine.tools.resize import Kept, resize
from engine.tools.source import (
    Source,
    TargetThere,
    ToolProblem,
    check_target,
    open_source,
)

PRECISIONS = ("bf16", "fp16", "fp32")


def main_convert(argv: Sequence[str]) -> int:
    """Run `convert`."""
    parser = _parser(
        "convert",
        "Write a LoRA file in another program's names, or in another precision.",
        "main.py convert cat.safetensors --to diffusers --out cat-diffusers.safetensors",
    )
    parser.add_argument("--to", required=True, choices=("kohya", "diffusers", "comfyui"))
    _add_out(parser, "the new file")
    parser.add_argument("--precision", choices=PRECISIONS, help="by default that of the file")
    options = parser.parse_args(argv)

    def work(voice: Voice) -> None:
        source = _open(options, options.file)
        voice.written(
            convert(source, options.out, options.to, options.precision, overwrite=options.overwrite)
        )

    return _run(work, options)


def main_resize(argv: Sequence[str]) -> int:
    """Run `resize`."""
    parser = _parser(
        "resize",
        "Keep the strongest directions of each layer of a LoRA file.",
        "main.py resize cat.safetensors --rank 8 --out cat-8.safetensors",
    )
    parser.add_argument("--rank", type=_positive, metavar="R", help="at most so many a layer")
    parser.add_argument(
        "--dynamic", type=_share, metavar="SHARE",
        help="as few as keep this share of each layer's strength (squared), such as 0.95",
    )  # fmt: skip
    _add_out(parser, "the new file")
    options = parser.parse_args(argv)
    if options.rank is None and options.dynamic is None:
        parser.error("give --rank, --dynamic, or both")

    def work(voice: Voice) -> None:
        written, kept = resize(
            _open(options, options.file, whole=False),
            options.out,
            rank=options.rank,
            energy=options.dynamic,
            overwrite=options.overwrite,
            progress=voice.progress,
        )
        voice.written(written)
        voice.kept(kept)

    return _run(work, options)


def main_extract(argv: Sequence[str]) -> int:
    """Run `extract`."""
    parser = _parser(
        "extract",
        "Take smaller ranks out of a DyLoRA file.",
        "main.py extract cat.safetensors --unit 4 --out cat.safetensors",
    )
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--rank", type=_positive, metavar="R", help="one rank")
    chosen.add_argument("--unit", type=_positive, metavar="U", help="every multiple below the rank")
    parser.add_argument(
        "--keep-strength", action="store_true", help="act as strongly as in training"
    )
    _add_out(parser, "the new file; with --unit the rank is added to its name")
    options = parser.parse_args(argv)

    def work(voice: Voice) -> None:
        source = _open(options, options.file, whole=False)
        targets = {options.rank: options.out}
        if options.unit is not None:
            ranks = ranks_of_unit(source, options.unit)
            targets = {rank: name_of_rank(options.out, rank) for rank in ranks}
        for target in targets.values():  # all of them before the first is written
            check_target(target, options.overwrite)
        for rank, target in targets.items():
            voice.written(
                extract(
                    source, target, rank,
                    keep_strength=options.keep_strength, overwrite=options.overwrite,
                )
            )  # fmt: skip

    return _run(work, options)


def main_merge(argv: Sequence[str]) -> int:
    """Run `merge`."""
    parser = argparse.ArgumentParser(
        prog="main.py merge",
        description="Work LoRA files into a copy of a base model, or without --base join several "
        "files into one.",
        epilog="Example: python main.py merge --base sdxl.safetensors --lora cat.safetensors:0.8 "
        "--out sdxl-cat.safetensors",
    )
    parser.add_argument("--base", type=Path, metavar="MODEL", help="a .safetensors file or folder")
    parser.add_argument(
        "--lora", action="append", required=True, metavar="FILE[:WEIGHT]",
        help="a LoRA file and how strongly it acts; may be given several times",
    )  # fmt: skip
    _add_model(parser)
    _add_out(parser, "the new file or folder")
    parser.add_argument("--precision", choices=PRECISIONS, help="of a joined file")
    options = parser.parse_args(argv)
    if options.base is None and len(options.lora) < 2:
        parser.error("give --base, or two or more --lora to join")

    def work(voice: Voice) -> None:
        model = options.base or options.model
        items = []
        for text in options.lora:
            path, weight = file_and_weight(text)
            items.append(Weighted(open_source(path, options.architecture, model), weight))
        if options.base is None:
            written = join(
                items, options.out, precision=options.precision, overwrite=options.overwrite
            )
        else:
            written = merge_into_base(
                options.base, items, options.out,
                overwrite=options.overwrite, progress=voice.progress, copied=voice.copied,
            )  # fmt: skip
        voice.written(written)

    return _run(work, options)


def file_and_weight(text: str) -> tuple[Path, float]:
    """Take `cat.safetensors:0.8` apart; a drive's colon is no weight.

    Raises:
        ToolProblem: the weight is not finite.
    """
    path, colon, weight = text.rpartition(":")
    try:
        strength = float(weight) if colon and path else None
    except ValueError:
        strength = None
    if strength is None:
        return Path(text), 1.0
    if not math.isfinite(strength):
        raise ToolProblem(f"--lora {text}: the weight must be a number, such as 0.8.")
    return Path(path), strength


def _parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"main.py {name}", description=description, epilog=f"Example: python {example}"
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a .safetensors LoRA file")
    _add_model(parser)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--architecture", choices=tuple(ARCHITECTURES), help="if it is not seen")
    parser.add_argument(
        "--model", type=Path, metavar="MODEL", help="the base model, if not of a published size"
    )


def _add_out(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help=words)
    parser.add_argument("--overwrite", action="store_true", help="write over a file that is there")
    parser.add_argument("--json", action="store_true", help="tell everything as JSON lines")


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1 up")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number above 0 and up to 1")
    return value


def _open(options: Any, path: Path, *, whole: bool = True) -> Source:
    return open_source(path, options.architecture, options.model, whole=whole)


class Voice:
    """Tells a person, or with `--json` a program, what a tool does."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json

    def progress(self, done: int, total: int) -> None:
        """So many layers are done."""
        if self._json:
            self._line(done=done, total=total)
        elif sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\r{done} of {total} layers", end=end, file=sys.stderr, flush=True)

    def copied(self, done: int, total: int) -> None:
        """So many bytes of the base model are copied."""
        if self._json:
            self._line(copied=done, of=total)
        elif sys.stderr.isatty():
            end = "\n" if done == total else ""
            words = f"{done / 1e9:.1f} of {total / 1e9:.1f} GB copied"
            print(f"\r{words}", end=end, file=sys.stderr, flush=True)

    def written(self, written: Written) -> None:
        """A file is there."""
        if self._json:
            self._line(path=str(written.path), layers=written.adapters, notes=list(written.notes))
            return
        print(f"{written.path}: {written.adapters} layers")
        for note in written.notes:
            print(f"Note: {note}")

    def kept(self, kept: Kept) -> None:
        """What is left after cutting ranks."""
        ranks = sorted(set(kept.ranks.values()))
        if self._json:
            self._line(least=kept.least, mean=kept.mean, ranks=ranks)
            return
        print(
            f"Ranks {ranks[0]} to {ranks[-1]}; kept {kept.mean:.1%} on average, "
            f"{kept.least:.1%} at least."
        )

    def error(self, message: str, exists: Path | None = None) -> None:
        """It did not work; `exists` is a file in the way that may be written over."""
        if self._json:
            self._line(message=message, **({"exists": str(exists)} if exists else {}))
        print(message, file=sys.stderr)

    def cancelled(self) -> None:
        """The person cancelled it."""
        if self._json:
            self._line(cancelled=True)
        print("Cancelled; nothing is left half-written.", file=sys.stderr)

    def _line(self, **values: Any) -> None:
        print(json.dumps(values, ensure_ascii=False), flush=True)


def _run(work: Callable[[Voice], None], options: Any) -> int:
    voice = Voice(options.json)
    before = signal.getsignal(signal.SIGINT)
    try:
        if options.json and sys.stdin is not None and not sys.stdin.isatty():
            # Whoever is started in the background of a shell ignores interrupts, and so would a
            # cancel be.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            threading.Thread(target=_listen, args=(sys.stdin,), daemon=True).start()
        work(voice)
    except (FileProblem, AdapterProblem, ToolProblem) as problem:
        voice.error(str(problem), problem.path if isinstance(problem, TargetThere) else None)
        return 1
    except OSError as error:
        voice.error(f"{error.filename or options.out}: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:  # what was begun has been cleared away on its way here
        voice.cancelled()
        return 130
    finally:
        signal.signal(signal.SIGINT, before)
    return 0


def _listen(lines: Iterable[str]) -> None:
    """Stop the work, as Ctrl+C does, when a line asks for it; the end of the lines does not."""
    with contextlib.suppress(OSError, ValueError):  # there is no stdin, or it was closed
        for line in lines:
            if _is_cancel(line):
                _thread.interrupt_main()
                return


def _is_cancel(line: str) -> bool:
    try:
        return json.loads(line) == {"command": "cancel"}
    except ValueError:
        return False
