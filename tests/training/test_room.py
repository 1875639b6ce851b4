"""Which text encoders leave the device when, for a job that trains one of two."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import nn

from engine.architectures.architecture import Loading, TrainableModel
from engine.training.events import Events, ListSink
from engine.training.room import bring_denoiser, send_to_rest
from tests.training.conftest import job_of


class Model:
    """Two encoders beside a denoiser; `moved` tells what went where."""

    def __init__(self) -> None:
        self.moved: list[tuple[str, str]] = []
        self.components = {
            role: Told(role, self.moved) for role in ("denoiser", "text_encoder", "text_encoder_2")
        }

    def move(self, part: str, device: str) -> None:
        self.moved.append((part, device))


class Told(nn.Module):
    """Tells when it is moved as a whole."""

    def __init__(self, role: str, moved: list[tuple[str, str]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.role, self.moved = role, moved

    def _apply(self, fn: Any, recurse: bool = True) -> Told:
        if recurse:
            self.moved.append((self.role, str(fn(self.weight).device)))
        return super()._apply(fn, recurse)


@pytest.fixture
def job(job_data: dict[str, Any]) -> dict[str, Any]:
    job_data["model"] |= {"architecture": "sdxl"}
    job_data["dataset"] |= {"cache_text": "memory"}
    job_data["optimizer"]["text_encoder_lr"] = [1e-4, 0]
    return job_data


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({}, ["vae"]),
        ({"network.train": "denoiser"}, ["vae", "text_encoder"]),
        ({"dataset.cache_latents": "off", "dataset.cache_text": "off"}, []),
    ],
)
def test_encoders_with_adapters_stay_until_these_are_made(
    job: dict[str, Any], changes: dict[str, Any], moved: list[str]
) -> None:
    """An adapter is made where its host lies; one at rate 0 has to be on the device too."""
    model = Model()
    job = {**job, "network": {**job["network"], "train": "both"}}
    loading = Loading(
        "sdxl", job_of(job).model, torch.device("cpu"), torch.float32, denoiser_waits=True
    )
    bring_denoiser(job_of(job, changes), cast(TrainableModel, model), loading, Events(ListSink()))
    assert model.moved == [(part, "cpu") for part in moved]


def test_the_one_at_rate_0_rests_and_comes_for_previews(job: dict[str, Any]) -> None:
    model = Model()
    resting = send_to_rest(job_of(job), cast(TrainableModel, model), {"text_encoder"})
    assert not resting.prompts
    assert model.moved == [("vae", "cpu"), ("text_encoder_2", "cpu")]
    model.moved.clear()
    resting.move(cast(TrainableModel, model), "meta")
    assert model.moved == [("vae", "meta"), ("text_encoder_2", "meta")]
