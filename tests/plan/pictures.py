"""Pictures as the plan sees them, without files."""

from __future__ import annotations

from pathlib import Path

from engine.plan.buckets import Size
from engine.plan.folders import Picture
from engine.schema.job import Job


def pictures(*sizes: Size, folder: int = 0, name: str = "a", twin: str = "") -> list[Picture]:
    """A picture of each size in a folder called `name`."""
    return [
        Picture(Path(f"/{name}/{i:03d}.png"), f"{name}/{i:03d}.png", folder, size, twin=twin)
        for i, size in enumerate(sizes)
    ]


def job(*folders: dict[str, object], **tables: dict[str, object]) -> Job:
    """A job with these folders; other tables by keyword, `dataset` merged with the folders."""
    named = [{"path": f"/folder{i}", **f} for i, f in enumerate(folders or ({},))]
    dataset = {"folders": named, **tables.pop("dataset", {})}
    return Job.model_validate({"dataset": dataset, **tables})
