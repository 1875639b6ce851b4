"""The chart as a picture, a drawing or a table."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from PySide6.QtCore import QPoint, QRect, QSize
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from app.run_state import RunState
from engine.schema.whole_file import whole_file, write_whole

SUFFIXES = (".png", ".svg", ".csv")


def export(path: Path, chart: QWidget, state: RunState) -> None:
    """Write by the file's ending: the chart as PNG or SVG, its numbers as CSV.

    Raises:
        OSError: it could not be written.
        ValueError: another ending.
    """
    kind = path.suffix.lower()
    if kind == ".csv":
        write_whole(path, csv_text(state).encode())
    elif kind == ".png":
        image = chart.grab().toImage()
        with whole_file(path) as beside:
            if not image.save(str(beside), "PNG"):  # pyright: ignore[reportCallIssue, reportArgumentType]
                raise OSError(f"{path} cannot be written.")
    elif kind == ".svg":
        with whole_file(path) as beside:
            _draw_svg(beside, chart)
    else:
        raise ValueError(f"{path.name}: choose a name that ends in {', '.join(SUFFIXES)}.")


def csv_text(state: RunState) -> str:
    """One row a step, with every number its event had; a validation stands in its step's row.

    Values are written so that reading them gives the same number; what was not there is empty.
    """
    rates = list(state.learning_rates)
    columns = ("step", "epoch", "time", "loss", "loss_smooth", "grad_norm", "seconds", "memory")
    validation = {v.step: v.loss for v in state.validations}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *(f"learning_rate {name}" for name in rates), "validation"])
    whole = {"step", "epoch", "memory"}
    numbers = [_cells(state.columns[name].values.tolist(), name in whole) for name in columns] + [
        _cells(state.learning_rates[name].values.tolist(), False) for name in rates
    ]
    steps = [int(step) for step in state.columns["step"].values]
    if 0 in validation:
        writer.writerow([0, *[""] * (len(columns) + len(rates) - 1), repr(validation[0])])
    for row, step in enumerate(steps):
        cells = [column[row] if row < len(column) else "" for column in numbers]
        writer.writerow([*cells, repr(validation[step]) if step in validation else ""])
    return text.getvalue()


def _cells(values: list[float], whole: bool) -> list[str]:
    if whole:
        return [str(int(v)) for v in values]
    return ["" if math.isnan(v) else repr(v) for v in values]


def _draw_svg(path: Path, chart: QWidget) -> None:
    from PySide6.QtSvg import QSvgGenerator

    generator = QSvgGenerator()
    generator.setFileName(str(path))
    size = chart.size()
    generator.setSize(QSize(size.width(), size.height()))
    generator.setViewBox(QRect(0, 0, size.width(), size.height()))
    generator.setTitle("Graft")
    painter = QPainter()
    if not painter.begin(generator):
        raise OSError(f"{path} cannot be written.")
    chart.render(painter, QPoint())
    painter.end()
