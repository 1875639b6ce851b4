"""SD3 with both CLIPs alone: it trains, and says what of the job has nothing to act on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.protocol import Finished, Warn
from tests.tiny_sd3 import make_sd3
from tests.training.conftest import Train


def test_a_model_without_t5_trains_and_tells_that_there_is_none(
    job_data: dict[str, Any], train_here: Train, tmp_path: Path
) -> None:
    path = make_sd3(tmp_path / "model", t5=False)
    changes = {
        "model.architecture": "sd3",
        "model.path": str(path),
        "dataset.cache_text": "off",
        "network.train": "both",
        "network.train_t5xxl": True,
        "objective.text_encoder_dropout": [0.0, 0.0, 1.0],
        "training.epochs": 1,
    }
    trained = train_here(job_data, changes)
    assert trained.of(Finished)[-1].reason == "done"
    told = [warning.message for warning in trained.of(Warn)]
    assert "This model has no T5-XXL, so there is nothing to train in it." in told
