"""`python main.py plan`: foretell what a job will do, without loading a weight.

Exit code: 0 done, 1 the job cannot run, 2 wrong use.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from engine.plan.adapter_ranks import ranks_in
from engine.plan.before_loading import problems_before_loading
from engine.plan.detect import ModelFacts, look_at, refusal_of
from engine.plan.folders import FolderProblem, Picture, pictures_of
from engine.plan.header import FileProblem, read_header
from engine.plan.ranks import FileRanks
from engine.plan.summary import Pictures, Plan, summarize
from engine.schema.architectures import ARCHITECTURES
from engine.schema.check import check
from engine.schema.job import Job
from engine.schema.job_file import apply_sets, read_job
from engine.schema.lr_weights import block_lr_weights
from engine.schema.problem import JobError, Problem

EXAMPLE = """examples:
  python main.py plan cat.toml
  python main.py plan cat.toml --set network.rank=8 --json"""

_COMPONENTS = {
    "denoiser": "picture model",
    "text_encoder": "text encoder",
    "text_conditioner": "LLM adapter",
}


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
        _tell(wrong)
        return 2
    checked = check(data)
    job, problems = checked.job, list(checked.problems)
    told = {problem.path for problem in problems}
    facts = look_at(job.model.path) if job.model.path.strip() else None
    problems += [p for p in problems_before_loading(job, facts) if p.path not in told]
    pictures, picture_problems = _look_at_pictures(job)
    problems += picture_problems
    plan = summarize(job, facts, pictures, file_ranks=_file_ranks(job))
    if plan.pictures is not None and plan.pictures.problem:
        problems.append(Problem("dataset.folders", plan.pictures.problem))
    errors = [p for p in problems if p.severity == "error"]
    if arguments.json:
        content = plan.to_json() | {"problems": [_as_json(p) for p in problems]}
        print(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        told_twice = {problem.message for problem in problems}
        print("\n".join(_lines(job, facts, plan, told_twice)))
        _tell(problems)
    return 1 if errors else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python main.py plan",
        description="Foretell what a job will do: layers, ranks, file, pictures, steps, memory.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("job", type=Path, metavar="JOB.toml", help="the job file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="change a value of the job; may be given several times",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser


def _look_at_pictures(job: Job) -> tuple[list[Picture] | None, list[Problem]]:
    if not any(f.enabled and f.path.strip() for f in job.dataset.folders):
        return None, []
    try:
        return pictures_of(job.dataset), []
    except FolderProblem as problem:
        return None, [Problem(problem.field, str(problem))]


def _file_ranks(job: Job) -> FileRanks | None:
    """Ranks of the file to start from; None if it cannot be read, which the problems tell."""
    if not job.network.start_from or not job.network.rank_from_file:
        return None
    try:
        return ranks_in(read_header(job.network.start_from))
    except FileProblem:
        return None


def _as_json(problem: Problem) -> dict[str, str]:
    return {"path": problem.path, "severity": problem.severity, "message": problem.message}


def _tell(problems: Sequence[Problem]) -> None:
    """Print problems in the window's own words, errors first."""
    for problem in sorted(problems, key=lambda p: p.severity != "error"):
        print(f"{problem.severity}: {problem}", file=sys.stderr)


def _part_names(architecture: str) -> dict[str, str]:
    """What the models are called: several text encoders by their own names."""
    encoders = ARCHITECTURES[architecture].text_encoders
    if len(encoders) == 1:
        return _COMPONENTS
    roles = ("text_encoder", "text_encoder_2", "text_encoder_3")
    return _COMPONENTS | dict(zip(roles, encoders, strict=False))


def _lines(job: Job, facts: ModelFacts | None, plan: Plan, told: Collection[str]) -> Iterator[str]:
    yield f"{job.output.name or 'job'}: an adapter for {ARCHITECTURES[plan.architecture].label}"
    if facts is not None and not refusal_of(facts, job.model):
        yield f"  model       {job.model.path} ({facts.reason})"
    yield ""
    yield (
        f"{plan.modules} of {plan.modules_of} layers trained, {plan.parameters:,} parameters, "
        f"file {_size(plan.file_bytes)}"
    )
    names = _part_names(plan.architecture)
    for part in plan.parts:
        name = f"{names[part.component]:<16}"
        yield f"  {name}{part.modules:>4} of {part.modules_of:<5}{part.parameters:>12,}"
    yield from _block_lines(job, plan)
    if plan.pictures is not None:
        yield from _picture_lines(plan.pictures)
    yield ""
    yield f"Memory, estimated: {_size(plan.memory.low)} to {_size(plan.memory.high)}"
    for part in plan.memory.parts:
        when = "" if part.phase == "always" else f"  while {part.phase}"
        between = _size(part.low) if part.low == part.high else (
            f"{_size(part.low)} to {_size(part.high)}"
        )  # fmt: skip
        yield f"  {part.name:<22}{between}{when}"
    notes = [note for note in plan.notes if note not in told]
    if notes:
        yield ""
        yield from (f"- {note}" for note in notes)


def _block_lines(job: Job, plan: Plan) -> Iterator[str]:
    """A row a block, where the blocks are not all alike."""
    weighted = block_lr_weights(job.network, ARCHITECTURES[plan.architecture]) is not None
    trained = [b for b in plan.blocks if b.modules]
    alike = len({(b.rank, b.conv_rank) for b in trained if b.rank and b.conv_rank}) <= 1
    alike = alike and len({b.rank for b in trained if b.rank}) <= 1
    if not trained or (alike and not weighted and job.network.block_dims is None):
        return
    yield ""
    yield "  block   rank  3×3  layers  parameters  rate"
    for block in plan.blocks:
        rate = f"×{block.lr_factor:g}" if block.modules else "–"
        yield (
            f"  {block.name:<8}{block.rank:>4}{block.conv_rank:>5}{block.modules:>8}"
            f"{block.parameters:>12,}  {rate}"
        )


def _picture_lines(pictures: Pictures) -> Iterator[str]:
    yield ""
    counts = [f"{pictures.trained} pictures trained on"]
    for count, words in (
        (pictures.regularization, "for regularization"),
        (pictures.held_out, "held out"),
        (pictures.unusable, "unusable"),
    ):
        if count:
            counts.append(f"{count} {words}")
    yield ", ".join(counts)
    yield (
        f"  {pictures.samples_per_epoch} samples in {pictures.batches_per_epoch} batches, "
        f"{pictures.steps_per_epoch} steps an epoch"
    )
    yield f"  {pictures.epochs} epochs, {pictures.total_steps} steps in all"
    yield ""
    yield "  bucket      pictures  samples  cropped"
    for bucket in pictures.buckets:
        size = f"{bucket.size[0]}×{bucket.size[1]}"
        yield f"  {size:<12}{bucket.pictures:>8}{bucket.samples:>9}{bucket.crop_loss:>9.1%}"


def _size(count: float) -> str:
    """Bytes in the unit people read."""
    for unit, width in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= width:
            return f"{count / width:.1f} {unit}"
    return f"{count:.0f} bytes"
