"""Starting a run's processes through `accelerate launch`, and finding oneself among them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from engine.schema.job import Job
from engine.schema.problem import Problem
from engine.training.together import Together, rank_here, world_here

MAIN = Path(__file__).resolve().parents[2] / "main.py"


def must_launch(job: Job) -> bool:
    """The job wants several processes, and this is not yet one of them."""
    return job.launch.processes * job.launch.machines > 1 and "RANK" not in os.environ


def problems_with_cards(job: Job, cards: int) -> Iterator[Problem]:
    """Yield why the job's processes cannot each have one of this machine's `cards`."""
    launch = job.launch
    if launch.device == "cpu":
        return
    there = {0: "no graphics card that can be used", 1: "1 graphics card"}
    words = f"this machine has {there.get(cards, f'{cards} graphics cards')}."
    if launch.processes > cards:
        most = max(cards, 1)
        yield Problem(
            "launch.processes",
            f"{launch.processes} processes need a card each, and {words} Set Processes to {most}.",
            fix=(("launch.processes", most),),
            fix_label=f"Set {most}",
        )
        return
    absent = [each for each in (launch.devices or "").split(",") if each and int(each) >= cards]
    if absent:
        yield Problem(
            "launch.devices",
            f"There is no card {absent[0].strip()}: {words} They are numbered from 0.",
        )


def cards_here() -> int:
    """How many cards torch can use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def launch_command(job: Job, arguments: Sequence[str]) -> list[str]:
    """The command line that starts `main.py train` with `arguments` in every process."""
    launch = job.launch
    port = launch.port or (_free_port() if launch.machines == 1 else 29500)
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu",
        "--num_processes", str(launch.processes * launch.machines),
        "--num_machines", str(launch.machines),
        "--machine_rank", str(launch.machine_rank),
        "--main_process_port", str(port),
        "--mixed_precision", "no", "--dynamo_backend", "no",
    ]  # fmt: skip
    if launch.main_address:
        command += ["--main_process_ip", launch.main_address]
    if launch.devices:
        command += ["--gpu_ids", launch.devices]
    return [*command, str(MAIN), "train", *arguments]


def launch(job: Job, arguments: Sequence[str]) -> int:
    """Start the processes and wait; on POSIX this process becomes their parent itself."""
    command = launch_command(job, arguments)
    os.environ.setdefault("OMP_NUM_THREADS", str(job.launch.cpu_threads or 1))
    if os.name == "posix":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(command[0], command)
    return subprocess.call(command)


def join(job: Job) -> Together:
    """Meet the run's other processes; call it once, before anything is shared."""
    together = Together(world_here(), rank_here())
    if together.world > 1:
        from accelerate.state import PartialState

        timeout = timedelta(minutes=job.launch.timeout_minutes)
        PartialState(cpu=job.launch.device == "cpu", timeout=timeout)
    return together


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
