"""`plan`: what a job will do, without loading any weights."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from engine.plan.detect import ModelFacts, look_at, mismatch
from engine.plan.folders import FolderProblem, pictures_of, problems_in
from engine.plan.summary import Plan, Share, summarize
from engine.schema.check import check
from engine.schema.job import Job
from engine.schema.job_file import apply_sets, read_toml
from engine.schema.problem import JobError, Problem

EXAMPLE = "example: python main.py plan job.toml --set network.rank=8 --json"


def main(argv: list[str]) -> int:
    """Print the plan of a job; 0 if it could run as it is, 1 if not, 2 for wrong use."""
    parser = argparse.ArgumentParser(prog="main.py plan", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("job", type=Path, metavar="JOB.toml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=v", help="change one option"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(argv)
    try:
        data = read_toml(options.job)
    except JobError as error:
        print(error, file=sys.stderr)
        return 1
    wrong = apply_sets(data, options.set)
    if wrong:
        for problem in wrong:
            print(problem.message, file=sys.stderr)
        return 2
    checked = check(data)
    problems = list(checked.problems)
    facts = look_at(checked.job.model.path) if checked.job.model.path else None
    problems += _model_problems(checked.job, facts)
    pictures = None
    try:
        pictures = pictures_of(checked.job.dataset)
    except FolderProblem as problem:
        problems.append(Problem(problem.field, str(problem)))
    plan = summarize(checked.job, facts, pictures or None)
    if plan.nothing:
        problems.append(Problem("dataset.folders", plan.nothing))
    problems += [
        Problem("dataset.folders", words, "warning") for words in problems_in(pictures or [])
    ]
    errors = [p for p in problems if p.severity == "error"]
    if options.json:
        told = [{"path": p.path, "message": p.message, "severity": p.severity} for p in problems]
        print(json.dumps({**plan.to_json(), "problems": told}, indent=2, ensure_ascii=False))
    else:
        print(table(checked.job, plan, facts))
        for problem in sorted(problems, key=lambda p: p.severity != "error"):
            print(f"{problem.severity}: {problem}")
    return 1 if errors else 0


def _model_problems(job: Job, facts: ModelFacts | None) -> list[Problem]:
    if facts is None:
        return []
    words = facts.refusal or mismatch(facts, job.model.architecture)
    return [Problem("model.path", words)] if words else []


def table(job: Job, plan: Plan, facts: ModelFacts | None) -> str:
    """The plan for a person."""
    lines = [f"Model     {job.model.path or 'not chosen'}"]
    if facts is not None and facts.reason:
        lines.append(f"          {facts.reason}")
    lines.append(
        f"Adapter   {plan.modules:,} of {plan.modules_possible:,} modules, "
        f"{plan.parameters:,} parameters, file {_size(plan.file_bytes)} {job.output.precision}"
    )
    ranks = ", ".join(f"{rank} in {count}" for rank, count in plan.ranks.items())
    lines += [f"Ranks     {ranks or 'none'}", ""]
    lines += [*_shares(plan.parts), "", *_shares(tuple(b for b in plan.blocks if b.possible))]
    if plan.pictures is not None:
        p = plan.pictures
        lines += [
            "",
            f"Pictures  {p.found} found, {p.trained} trained on, {p.held_out} held out, "
            f"{p.regularization} regularization, {p.unusable} unusable, "
            f"{p.without_caption} without caption",
        ]
    lines += [
        f"  {b.width:>5} × {b.height:<5} {b.samples:>6} samples  {b.crop_loss:>4.0%} cut off"
        for b in plan.buckets
    ]
    if plan.steps is not None:
        s = plan.steps
        lines.append(
            f"Steps     {s.samples_per_epoch} samples in {s.batches_per_epoch} batches = "
            f"{s.steps_per_epoch} steps an epoch × {s.epochs} = {s.total_steps}"
        )
    m = plan.memory
    lines += ["", f"Memory    {_size(m.low)} to {_size(m.high)} at its peak, while {m.phase}"]
    lines += [
        f"  {part.name:<28}{_size(part.low)}"
        + (f" to {_size(part.high)}" if part.high != part.low else "")
        for part in m.parts
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in plan.notes)])


def _shares(shares: tuple[Share, ...]) -> list[str]:
    return [f"  {s.name:<12}{s.modules:>5} of {s.possible:<5}{s.parameters:>14,}" for s in shares]


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
