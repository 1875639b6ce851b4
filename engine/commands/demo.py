"""`python main.py demo --headless`: train the demo adapter here and show what it learned.

The job in resources/demo goes through the same engine as any other; what is printed afterwards is
read from the run's own events. With a display, main.py opens the window with this job instead.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.commands import train
from engine.protocol import Event, Finished, Sample, Validation, parse_event
from engine.schema.check import require
from engine.schema.job_file import apply_sets, read_toml, save_job
from engine.schema.problem import JobError
from engine.training.run import run_name, runs_directory

JOB = Path(__file__).resolve().parents[2] / "resources" / "demo" / "job.toml"
PICTURE = "base_and_adapted.png"
EXAMPLE = """examples:
  python main.py demo
  python main.py demo --headless --set training.steps=100"""


def main(argv: list[str]) -> int:
    """Run the command; returns its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        data = read_toml(JOB)
        wrong = apply_sets(data, arguments.set)
        if wrong:
            raise JobError(wrong)
        job = require(data, "the demo")
    except JobError as error:
        print(error)
        return 2
    directory = arguments.run_directory or _new_folder(runs_directory(job), run_name(job))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "job.toml"
        save_job(copy, data)
        code = train.main([str(copy), "--run-directory", str(directory)])
    events = read_events(directory / "events.jsonl")
    if code != 0 or not events:
        return code or 1
    print(report(directory, events))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python main.py demo",
        description="Train an adapter for a creature that the small demo model never saw.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--headless", action="store_true", help="train in the terminal, without the window"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="change a value of the demo's job; may be given several times",
    )
    parser.add_argument(
        "--run-directory", type=Path, metavar="DIR", help="make the run in exactly this folder"
    )
    return parser


def _new_folder(parent: Path, name: str) -> Path:
    """The first of NAME, NAME_2, NAME_3 … that is not there yet."""
    number, path = 1, parent / name
    while path.exists():
        number += 1
        path = parent / f"{name}_{number}"
    return path


def read_events(file: Path) -> list[Event]:
    """Every event of a run; none if it has not got so far."""
    if not file.is_file():
        return []
    lines = file.read_bytes().splitlines()
    return [event for line in lines if (event := parse_event(line)) is not None]


@dataclass(frozen=True, slots=True)
class Fall:
    """The loss on the held-out pictures at step 0 and at the end: same noise, same timesteps."""

    before: float
    after: float
    pictures: int

    @property
    def percent(self) -> float:
        """By how much it fell."""
        return 100 * (1 - self.after / self.before)


def held_out_fall(events: Sequence[Event]) -> Fall | None:
    """The first and the last measurement of a run; None if there are not two."""
    measured = [event for event in events if isinstance(event, Validation)]
    if len(measured) < 2 or measured[0].step != 0:
        return None
    return Fall(measured[0].loss, measured[-1].loss, measured[-1].pictures)


def compare(directory: Path, events: Sequence[Event]) -> Path | None:
    """Write the previews of step 0 above those of the last step; None if a run has not both."""
    from PIL import Image, ImageDraw

    samples = [event for event in events if isinstance(event, Sample)]
    last = max((sample.step for sample in samples), default=0)
    base = {s.prompt_index: s for s in samples if s.step == 0}
    adapted = {s.prompt_index: s for s in samples if s.step == last}
    shared = sorted(base.keys() & adapted.keys())
    if last == 0 or not shared:
        return None
    side, strip, left = 128, 30, 64
    size = (left + len(shared) * (side + 6), strip + 2 * (side + 6))
    sheet = Image.new("RGB", size, (250, 250, 250))
    pen = ImageDraw.Draw(sheet)
    for row, (word, row_samples) in enumerate((("base", base), ("adapted", adapted))):
        top = strip + row * (side + 6)
        pen.text((6, top + side // 2), word, fill=(30, 30, 30))
        for column, index in enumerate(shared):
            x = left + column * (side + 6)
            with Image.open(directory / row_samples[index].path) as picture:
                sheet.paste(picture.convert("RGB").resize((side, side)), (x, top))
            if row == 0:
                pen.multiline_text((x, 2), _wrapped(base[index].prompt), fill=(30, 30, 30))
    path = directory / PICTURE
    sheet.save(path)
    return path


def _wrapped(prompt: str) -> str:
    """The prompt in two lines short enough to stand above its picture."""
    lines = [""]
    for word in prompt.split():
        if len(lines[-1]) + len(word) > 20 and len(lines) < 2:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def report(directory: Path, events: Sequence[Event]) -> str:
    """What the run measured and where it left what, in a few lines."""
    lines = []
    fall = held_out_fall(events)
    if fall is not None:
        lines.append(
            f"Held-out loss ({fall.pictures} pictures, same noise and timesteps): "
            f"{fall.before:.4f} before, {fall.after:.4f} after, "
            f"{abs(fall.percent):.0f} % {'lower' if fall.percent >= 0 else 'higher'}"
        )
    finished = next((e for e in reversed(events) if isinstance(e, Finished)), None)
    if finished is not None:
        lines.append(f"Seconds: {finished.seconds:.0f}, steps: {finished.step}")
        if finished.path:
            lines.append(f"Adapter: {directory / finished.path}")
    picture = compare(directory, events)
    if picture is not None:
        lines.append(f"Base above, adapted below: {picture}")
    return "\n".join(lines)
