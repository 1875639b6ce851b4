"""Tiny models on disk, one for all tests of this folder, and a network that is not there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from engine.architectures import load
from engine.architectures.architecture import Loading
from engine.architectures.sd.model import SdModel
from engine.schema.model import Model
from tests.tiny import Layout, make_sd1

Make = Callable[..., Path]
Load = Callable[..., SdModel]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> NoReturn:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`tiny("diffusers", architecture="sd2")` → its path; made once for each set of arguments."""
    made: dict[str, Path] = {}

    def make(layout: Layout = "diffusers", **options: Any) -> Path:
        name = repr((layout, sorted(options.items())))
        if name not in made:
            made[name] = make_sd1(tmp_path_factory.mktemp("tiny"), layout, **options)
        return made[name]

    return make


@pytest.fixture
def loaded(tiny: Make) -> Load:
    """`loaded(architecture="sd2", clip_skip=2)`: a fresh tiny model, options of `[model]`."""

    def make(
        layout: Layout = "diffusers",
        *,
        architecture: str = "sd1",
        dtype: torch.dtype = torch.float32,
        made: dict[str, Any] | None = None,
        how: dict[str, Any] | None = None,
        **options: Any,
    ) -> SdModel:
        path = tiny(layout, architecture=architecture, **(made or {}))
        job = Model(architecture=architecture, path=str(path), **options)  # pyright: ignore[reportArgumentType]
        model = load(Loading(architecture, job, torch.device("cpu"), dtype, **(how or {})))
        assert isinstance(model, SdModel)
        return model

    return make
