from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

from engine.architectures.architecture import ModelProblem, PreviewRequest
from engine.architectures.sd.model import SdModel
from engine.architectures.sd.preview import SAMPLERS, make_scheduler
from tests.architectures.conftest import Load

REQUEST = PreviewRequest(width=64, height=96, seed=7, steps=4, cfg=5.0)


def draw(model: SdModel, request: PreviewRequest = REQUEST, prompt: str = "cat") -> np.ndarray:
    text, negative = model.encode_prompts([prompt, "bad"])
    return np.asarray(model.preview(request, text, negative))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("cfg", [1.0, 5.0])
def test_a_preview_is_the_librarys_own_picture(loaded: Load, sampler: str, cfg: float) -> None:
    """training-sd-flux 9, check 28."""
    model = loaded()
    request = PreviewRequest(64, 96, seed=7, steps=4, cfg=cfg, sampler=sampler)
    absent: dict[str, Any] = dict.fromkeys(
        ("text_encoder", "tokenizer", "safety_checker", "feature_extractor")
    )
    pipeline: Any = StableDiffusionPipeline(
        vae=model.pictures.vae,
        unet=model.unet,
        scheduler=make_scheduler(sampler, "epsilon", False),
        requires_safety_checker=False,
        **absent,
    )
    pipeline.set_progress_bar_config(disable=True)
    text, negative = model.encode_prompts(["cat", "bad"])
    theirs = pipeline(
        prompt_embeds=text["states"],
        negative_prompt_embeds=negative["states"],
        width=64,
        height=96,
        num_inference_steps=4,
        guidance_scale=cfg,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    ours = model.preview(request, text, negative)
    assert ours.size == (64, 96)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_prompt_seed_and_negative_matter_and_the_rest_repeats(loaded: Load) -> None:
    model = loaded()
    first = draw(model)
    assert np.array_equal(first, draw(model))
    assert not np.array_equal(first, draw(model, prompt="a dog"))
    assert not np.array_equal(first, draw(model, PreviewRequest(64, 96, 8, 4, 5.0)))
    assert not np.array_equal(first, draw(model, PreviewRequest(64, 96, 7, 4, 2.0)))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_global_random_state_is_left_alone(loaded: Load, sampler: str) -> None:
    """training-sd-flux 9, check 28."""
    model = loaded()
    torch.manual_seed(123)
    before = torch.get_rng_state()
    draw(model, PreviewRequest(64, 64, 1, 2, 5.0, sampler))
    assert torch.equal(torch.get_rng_state(), before)


def test_steps_are_told_and_a_preview_can_be_stopped(loaded: Load) -> None:
    model = loaded()
    text, negative = model.encode_prompts(["cat", ""])
    seen: list[tuple[int, int]] = []
    model.preview(REQUEST, text, negative, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.preview(REQUEST, text, negative, stop)
    model.preview(REQUEST, text, negative)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_zero_snr_previews_begin_in_pure_noise(loaded: Load, sampler: str) -> None:
    """training-sd-flux 9, check 29."""
    scheduler = make_scheduler(sampler, "v", True)
    scheduler.set_timesteps(20)
    assert scheduler.timesteps[0] == 999
    made = {"prediction": "v", "zero_terminal_snr": True}
    model = loaded(architecture="sd2", made=made)
    request = PreviewRequest(64, 64, 1, 3, 5.0, sampler)
    text, negative = model.encode_prompts(["cat", "bad"])
    assert np.asarray(model.preview(request, text, negative)).std() > 0


def test_zero_snr_previews_rescale_their_guidance(
    loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    original = StableDiffusionPipeline.__call__

    def spy(self: Any, *arguments: Any, **named: Any) -> Any:
        seen.append(named["guidance_rescale"])
        return original(self, *arguments, **named)

    monkeypatch.setattr(StableDiffusionPipeline, "__call__", spy)
    made = {"prediction": "v", "zero_terminal_snr": True}
    draw(loaded(architecture="sd2", made=made))
    draw(loaded())
    assert seen == [0.7, 0.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_draw_nearly_the_same_noise(
    loaded: Load, dtype: torch.dtype
) -> None:
    request = PreviewRequest(64, 64, seed=7, steps=2, cfg=1.0)  # fp16 is slow on processors
    exact, half = (draw(loaded(dtype=d), request).astype(float) for d in (torch.float32, dtype))
    assert np.abs(exact - half).mean() < 8


def test_states_of_unequal_length_are_refused(loaded: Load) -> None:
    model = loaded()
    (long,), (short,) = model.encode_prompts(["cat " * 40]), model.encode_prompts(["bad"])
    with pytest.raises(ValueError, match="one call of encode_prompts"):
        model.preview(REQUEST, long, short)


def test_an_unknown_sampler_is_named() -> None:
    with pytest.raises(ModelProblem, match="'heun'") as caught:
        make_scheduler("heun", "epsilon", False)
    assert caught.value.field == "samples.sampler"
