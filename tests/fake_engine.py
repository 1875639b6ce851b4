"""An engine that only talks: speaks the protocol in ways a real one should not, to test the window.

Run as `python fake_engine.py MODE[:OPTIONS] train JOB --events …`. It makes its run folder beside
the job file, or works on in the one given by --resume.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.protocol import (
    Checkpoint,
    Failure,
    Finished,
    Hello,
    Phase,
    Sample,
    Step,
    Validation,
    encode,
    parse_command,
)

STEPS = 20


class Talk:
    """The run folder and the pipe."""

    def __init__(self, arguments: list[str]) -> None:
        self.resume = "--resume" in arguments
        if self.resume:
            self.run = Path(arguments[arguments.index("--resume") + 1])
        else:
            self.run = Path(arguments[1]).parent / f"run-{Path(arguments[1]).stem}"
        for folder in ("samples", "checkpoints", "state"):
            (self.run / folder).mkdir(parents=True, exist_ok=True)
        if not self.resume:
            (self.run / "job.toml").write_bytes(Path(arguments[1]).read_bytes())
        self.out = sys.stdout.buffer
        self.kept = (self.run / "events.jsonl").open("ab")
        self.commands: list[str] = []
        self.closed = False
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        for line in sys.stdin.buffer:
            command = parse_command(line)
            if command is not None:
                self.commands.append(command.command)
        self.closed = True

    def keep(self, line: bytes) -> None:
        self.kept.write(line)
        self.kept.flush()

    def say(self, event: object) -> None:
        line = encode(event.model_copy(update={"time": time.time()}))  # type: ignore[attr-defined]
        self.keep(line)
        self.write(line)

    def write(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the window is gone
            self.out.write(data)
            self.out.flush()

    def hello(self, steps: int = STEPS, resumed_from: int = 0) -> None:
        self.say(
            Hello(
                run_directory=str(self.run),
                name=self.run.name,
                architecture="sd1",
                device="CPU",
                pid=os.getpid(),
                total_steps=steps,
                total_epochs=2,
                steps_per_epoch=steps // 2,
                resumed_from=resumed_from,
            )
        )

    def step(self, number: int, seconds: float = 0.01, loss: float | None = None) -> None:
        self.say(
            Step(
                step=number,
                epoch=1 + number // 11,
                loss=loss or 0.5 / number,
                seconds=seconds,
                learning_rates={"unet": 1e-4},
                grad_norm=1.0,
                memory_bytes=10**9,
            )
        )

    def save(self, number: int, final: bool = False) -> str:
        path = f"checkpoints/{self.run.name}-{number:06d}.safetensors"
        (self.run / path).write_bytes(b"x" * 1000)
        self.say(Checkpoint(step=number, path=path, size_bytes=1000, final=final, state=True))
        return path

    def finish(self, reason: str, number: int, path: str = "") -> None:
        self.say(Finished.model_validate(
            {"reason": reason, "step": number, "path": path, "resumable": reason == "stopped"}
        ))  # fmt: skip


def train(talk: Talk, first: int = 1, steps: int = STEPS, pause: float = 0.0) -> int:
    """A well-behaved run that obeys its commands."""
    talk.hello(steps, first - 1)
    talk.say(Phase(name="training", words="Training"))
    number = first - 1
    while number < steps:
        if "abort" in talk.commands:
            talk.finish("aborted", number)
            return 0
        if "stop" in talk.commands or talk.closed:
            talk.finish("stopped", number, talk.save(number))
            return 0
        if "pause" in talk.commands and "resume" not in talk.commands:
            talk.say(Phase(name="paused", words="Paused"))
            while "resume" not in talk.commands and "stop" not in talk.commands:
                time.sleep(0.005)
            talk.say(Phase(name="training", words="Training"))
        number += 1
        talk.step(number)
        if "save" in talk.commands:
            talk.commands.remove("save")
            talk.save(number)
        time.sleep(pause)
    talk.say(Validation(step=number, loss=0.1))
    talk.finish("done", number, talk.save(number, final=True))
    return 0


def garbage(talk: Talk) -> int:
    """Noise between events: half lines, split letters, a 5 MB line, NULs, no last newline."""
    talk.hello()
    step = encode(Step(step=1, epoch=1, loss=0.5))
    talk.write(b'a library prints\n\x00\x00 NUL line\n\xff\xfe broken utf-8\n{"event": "ste\n')
    for at in range(0, len(step), 7):
        talk.write(step[at : at + 7])
        time.sleep(0.001)
    wide = encode(
        Sample(step=1, path="samples/1.png", prompt_index=0, prompt="größe 猫 🐈", seed=1)
    )
    for byte in wide:
        talk.write(bytes([byte]))
    talk.write(b"x" * 5_000_000 + b"\n")
    talk.write(b'{"event":"step","step":"no number","epoch":1}\n{"event":"unknown"}\n')
    sys.stderr.write("10%|#   | 1/10\r50%|##  | 5/10\r100%|####| 10/10\n")
    sys.stderr.flush()
    for number in range(2, 2002):
        talk.write(encode(Step(step=number, epoch=1, loss=1 / number)))
    talk.write(encode(Finished(reason="done", step=2001))[:-1])
    return 0


def dies(talk: Talk) -> int:
    """Killed in the middle of a line, its last words on stderr."""
    talk.hello()
    for number in range(1, 9):
        talk.step(number)
    talk.save(8)
    for number in range(9, 13):
        talk.step(number)
    sys.stderr.write("allocating 13 GB\nlast words before the end\n")
    sys.stderr.flush()
    half = encode(Step(step=13, epoch=1, loss=0.1))[:20]
    talk.keep(half)
    talk.write(half)
    os.kill(os.getpid(), signal.SIGKILL)
    return 1


def flood(talk: Talk, seconds: float, rate: int) -> int:
    """Many events a second."""
    talk.hello(int(rate * seconds))
    start, number = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < seconds:
        due = int(passed * rate)
        lines = [encode(Step(step=n, epoch=1, loss=1 / n, learning_rates={"unet": 1e-4}))
                 for n in range(number + 1, due + 1)]  # fmt: skip
        talk.write(b"".join(lines))
        number = max(number, due)
        time.sleep(0.002)
    talk.finish("done", number)
    return 0


def fails(talk: Talk) -> int:
    """Says that memory ran out, with mends."""
    talk.hello()
    for number in range(1, 6):
        talk.step(number)
    talk.save(4)
    talk.say(
        Failure(
            kind="memory",
            message="The GPU ran out of memory at step 6.",
            step=6,
            mend="Try these, in this order.",
            field="training.batch_size",
            resumable=True,
            fix=[("training.gradient_checkpointing", True), ("training.batch_size", 1)],
        )
    )
    talk.finish("failed", 5)
    return 1


def stubborn(talk: Talk) -> int:
    """Obeys nothing, and has a child of its own."""
    talk.hello()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    sys.stderr.write(f"child {child.pid}\n")
    sys.stderr.flush()
    time.sleep(60)
    return 0


def closes_stdout(talk: Talk) -> int:
    """Closes its stdout and works on in silence until told to stop."""
    talk.hello()
    talk.step(1)
    os.close(1)
    while not talk.commands and not talk.closed:
        time.sleep(0.005)
    line = encode(Finished(reason="stopped", step=1, resumable=True))
    talk.keep(line)
    os._exit(0)


def main(arguments: list[str]) -> int:
    mode, _, options = arguments[0].partition(":")
    values = json.loads(options) if options else {}
    talk = Talk(arguments[1:])
    if talk.resume and mode != "train":
        return train(talk, first=9)
    work = {
        "train": train, "garbage": garbage, "dies": dies, "flood": flood, "fails": fails,
        "stubborn": stubborn, "closes": closes_stdout,
    }[mode]  # fmt: skip
    return work(talk, **values)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
