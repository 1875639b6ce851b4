"""What sd-scripts writes about flow models, by architecture (networks 2.2)."""

from __future__ import annotations

import pytest

from engine.networks.flow_metadata import flow_entries
from engine.schema.architectures import FLOW
from engine.schema.job import Job


def job_of(architecture: str, **objective: object) -> Job:
    return Job.model_validate({"model": {"architecture": architecture}, "objective": objective})


@pytest.mark.parametrize("architecture", FLOW)
def test_every_flow_model_tells_its_levels(architecture: str) -> None:
    entries = flow_entries(job_of(architecture, logit_std=0.5, flow_shift=2.0))
    assert entries["ss_logit_std"] == 0.5
    assert entries.get("ss_discrete_flow_shift", 2.0) == 2.0
    assert ("ss_guidance_scale" in entries) == (architecture == "flux")
    assert ("ss_apply_t5_attn_mask" in entries) == (architecture in ("flux", "sd3"))


def test_others_tell_nothing() -> None:
    assert flow_entries(job_of("sdxl")) == {}
