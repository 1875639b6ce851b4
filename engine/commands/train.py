"""`python main.py train`: train an adapter from a job file, here or for the window.

Exit code: 0 done or stopped, 1 failed, 2 wrong use.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

from engine.commands.launch import cards_here, join, launch, must_launch, problems_with_cards
from engine.plan.before_loading import problems_before_loading
from engine.plan.detect import look_at
from engine.protocol import Failure, Finished
from engine.schema.check import check
from engine.schema.job import Job
from engine.schema.job_file import apply_sets, job_data, read_job, save_job
from engine.schema.problem import JobError, Problem
from engine.training.control import Control
from engine.training.events import Events, FileSink, ListSink, PipeSink, Sink, take_stdout
from engine.training.failures import RunError, StopRun, failure_of
from engine.training.read_ahead import read_ahead
from engine.training.run import Run, create_run, open_run, run_name
from engine.training.together import Together, rank_here

log = logging.getLogger(__name__)
COLLECT_AFTER = 50_000  # new objects between two garbage collections; Python's own is 700
EXAMPLE = """examples:
  python main.py train cat.toml
  python main.py train cat.toml --set network.rank=8 --set training.epochs=20
  python main.py train --resume ~/Documents/Graft/cat
  python main.py train cat.toml --resume ~/Documents/Graft/cat --set training.epochs=40"""


def main(argv: list[str]) -> int:
    """Run the command; returns its exit code."""
    started = time.time()
    arguments = _parser().parse_args(argv)
    if arguments.job is None and arguments.resume is None:
        _parser().error("give a job file, or --resume with a run folder")
    if arguments.resume is not None and arguments.run_directory is not None:
        _parser().error("--resume already names the run folder; leave --run-directory out")
    # Until the run's log is open events alone tell; without a handler warnings would be told twice.
    logging.getLogger("engine").addHandler(logging.NullHandler())
    early = ListSink()  # what is told before there is a folder to keep it in
    leads = rank_here() == 0
    voice = _voice(arguments.events) if leads else None
    events = Events(voice, early) if voice is not None else Events()
    control = Control()
    try:
        job, wrong_use = _read_job(arguments, events)
    except JobError as error:
        return _refuse(error, events, 1)
    if job is None:
        return _refuse(JobError(wrong_use), events, 2)
    if must_launch(job):
        if problems := list(problems_with_cards(job, cards_here())):
            return _refuse(JobError(problems), events, 1)
        if isinstance(voice, PipeSink):
            voice.give_back()
        return launch(job, argv)
    events.phase("starting", "Starting")
    together = join(job)
    try:
        run = _open_together(arguments, job, together)
    except RunError as error:
        events.emit(error.failure)
        events.close()
        return 1
    undo = control.catch_signals()
    if arguments.events and leads:
        try:
            # Unbuffered: a thread that waits inside a buffer keeps Python from ending.
            control.read_commands(open(0, "rb", buffering=0, closefd=False))  # noqa: SIM115
        except OSError:  # no stdin at all: there is no window to work for
            control.obey("stop")
    try:
        if leads:
            file = FileSink(run.events)
            for event in early.events:
                file.write(event)
            events.sinks[events.sinks.index(early)] = file
        quiet = not arguments.events
        return _train(job, run, events, control, together, started, quiet=quiet)
    finally:
        undo()
        run.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python main.py train",
        description="Train an adapter from a job file.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("job", type=Path, nargs="?", metavar="JOB.toml", help="the job file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="change a value of the job; may be given several times",
    )
    parser.add_argument(
        "--events",
        action="store_true",
        help="write events as JSON lines to stdout and take commands from stdin",
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="continue a run from its folder; without JOB.toml, with the job kept there",
    )
    parser.add_argument(
        "--run-directory", type=Path, metavar="DIR", help="make the run in exactly this folder"
    )
    return parser


def _voice(for_window: bool) -> Sink:
    if for_window:
        return PipeSink(take_stdout())
    from engine.training.terminal import TerminalSink

    return TerminalSink()


def _read_job(arguments: Any, events: Events) -> tuple[Job | None, list[Problem]]:
    """Read and validate the job; None with problems if the command line itself is wrong.

    Raises:
        JobError: with every problem of the job.
    """
    path = arguments.job if arguments.job is not None else arguments.resume / "job.toml"
    data = read_job(path)
    wrong = apply_sets(data, arguments.set)
    if wrong:
        return None, wrong
    checked = check(data)
    if checked.errors:
        raise JobError(checked.problems, str(path))
    found = problems_before_loading(checked.job, look_at(checked.job.model.path))
    if problems := list(found):
        raise JobError(problems, str(path))
    for problem in checked.problems:
        events.warn(problem.message, problem.path)
    return checked.job, []


def _refuse(error: JobError, events: Events, code: int) -> int:
    """Tell every problem of a job at once, in the window's own words."""
    errors = [p for p in error.problems if p.severity == "error"]
    first = errors[0]
    events.emit(
        Failure(
            kind="job",
            message="\n".join(_words_of(p, error.source, len(errors)) for p in errors),
            field=first.path if len(errors) == 1 else "",
            fix=list(first.fix) if len(errors) == 1 else [],
        )
    )
    events.close()
    return code


def _words_of(problem: Problem, source: str, count: int) -> str:
    """A problem with what it is about: its field, if that is not told apart, or else the file."""
    if problem.path:
        return problem.message if count == 1 else str(problem)
    return f"{source}: {problem.message}" if source else problem.message


def _open(arguments: Any, job: Job) -> Run:
    if arguments.resume is None:
        return create_run(job, arguments.run_directory)
    run = open_run(arguments.resume, run_name(job))
    save_job(run.job_file, job_data(job))
    return run


def _open_together(arguments: Any, job: Job, together: Together) -> Run:
    """Rank 0 makes or locks the run's folder; the others are told where it is.

    Raises:
        RunError: it cannot be used.
    """
    if together.leads:
        try:
            run = _open(arguments, job)
        except RunError:
            together.of_leader(None)
            raise
        together.of_leader((run.path, run.name))
        return run
    place: tuple[Path, str] | None = together.of_leader(None)
    if place is None:
        words = "The first process of this run could not make or open its folder."
        raise RunError(Failure(kind="file", message=words))
    path, name = place
    return Run(path, name, None, resumed=arguments.resume is not None)


def _train(
    job: Job,
    run: Run,
    events: Events,
    control: Control,
    together: Together,
    started: float,
    *,
    quiet: bool,
) -> int:
    _start_log(job, run, quiet, together)
    _set_environment(job)
    read_ahead(job.model)
    # Imports make objects by the hundred thousand, and all of them stay: looking through them time
    # and again for some to throw away takes a sixth of the start.
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    try:
        # torch and the libraries load here, once the first events are out.
        from engine.training.loop import train

        finished = train(job, run, events, control, together)
    except StopRun:
        finished = _ended_early(run, "aborted" if control.abort else "stopped")
    except Exception as error:  # the person gets words, the log the traceback
        log.exception("the run failed")
        finished = _ended_early(run, "failed")
        failure = failure_of(error, job, finished.step)
        events.emit(failure.model_copy(update={"resumable": finished.resumable}))
    seconds = time.time() - started
    events.emit(finished.model_copy(update={"seconds": seconds}))
    events.close()
    logging.shutdown()
    return 0 if finished.reason != "failed" else 1


def _ended_early(run: Run, reason: Literal["stopped", "aborted", "failed"]) -> Finished:
    """How a run stands that ended before its steps: an older state of it can still be resumed."""
    from engine.training.state import find_states

    states = find_states(run.states)
    step = int(states[-1].name.removeprefix("step-")) if states else 0
    return Finished(reason=reason, step=step, resumable=bool(states))


def _start_log(job: Job, run: Run, quiet: bool, together: Together) -> None:
    """Log into the run's folder, and to stderr when that is the window's log pane.

    Other ranks than 0 have stderr alone, and little to say.
    """
    level = job.launch.log_level.upper()
    if not together.leads:
        form = f"rank {together.rank} %(levelname)s %(name)s: %(message)s"
        logging.basicConfig(level="WARNING", format=form, stream=sys.stderr, force=True)
        return
    file = run.log.open("a", encoding="utf-8", buffering=1)
    handlers: list[logging.Handler] = [logging.StreamHandler(file)]
    if not quiet:
        handlers.append(logging.StreamHandler(sys.stderr))
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=level, format=form, handlers=handlers, force=True)
    logging.captureWarnings(True)
    faulthandler.enable(file)


def _set_environment(job: Job) -> None:
    """Settings that libraries read as they are imported."""
    if job.launch.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TRANSFORMERS_OFFLINE"] = "1"
    if job.training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if job.launch.cpu_threads:
        os.environ["OMP_NUM_THREADS"] = str(job.launch.cpu_threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
