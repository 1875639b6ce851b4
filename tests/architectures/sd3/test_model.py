"""How SD3 is fed, in training and in previews, against the library's own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import (
    StableDiffusion3Pipeline,
)
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from engine.architectures import load
from engine.architectures.architecture import Loading, ModelProblem, PreviewRequest
from engine.architectures.running.flow_preview import start_noise
from engine.architectures.sd3.model import Sd3Model
from engine.schema.model import Model
from tests.tiny import named_tensors
from tests.tiny_sd3 import CLIP_G_WIDTH, CLIP_L_WIDTH, CONTEXT_WIDTH, make_sd3

CLIPS = CLIP_L_WIDTH + CLIP_G_WIDTH
PROMPTS = ["a cat (on a mat)", "blurry"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sd3(tmp_path_factory.mktemp("sd3"), variant="3.5-medium")


def loaded(folder: Path, **fields: Any) -> Sd3Model:
    job = Model(architecture="sd3", path=str(folder), **fields)
    model = load(Loading("sd3", job, torch.device("cpu"), torch.float32))
    assert isinstance(model, Sd3Model)
    return model


@pytest.fixture(scope="module")
def model(folder: Path) -> Sd3Model:
    return loaded(folder)


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    pipeline = StableDiffusion3Pipeline.from_pretrained(str(folder), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def encoded(model: Sd3Model, captions: list[str]) -> dict[str, Tensor]:
    with torch.no_grad():
        return model.encode_text(captions)


def test_captions_are_encoded_as_the_pipeline_does(model: Sd3Model, pipeline: Any) -> None:
    """training-sd-flux 2: both CLIPs beside each other, padded with zeros, T5 behind them."""
    with torch.no_grad():
        wanted, _, pooled, _ = pipeline.encode_prompt(PROMPTS, None, None)
        context, ours = model.context(model.encode_text(PROMPTS))
    assert context.shape == (2, 77 + 256, CONTEXT_WIDTH)
    assert torch.allclose(context, wanted, atol=1e-6)
    assert torch.allclose(ours, pooled, atol=1e-6)
    assert bool((context[:, :77, CLIPS:] == 0).all())


def test_one_encoder_can_be_silenced_alone(model: Sd3Model) -> None:
    """training-sd-flux 9, check 11: its channels and its part of the pooled vector, no more."""
    text = encoded(model, ["a cat", "a dog"])
    before, pooled_before = model.context(text)
    dropped = torch.tensor([[False, False, False], [True, False, False]])
    after, pooled = model.context(model.without_encoders(text, dropped))
    assert torch.equal(after[0], before[0])
    assert bool((after[1, :77, :CLIP_L_WIDTH] == 0).all())
    assert bool((pooled[1, :CLIP_L_WIDTH] == 0).all())
    assert torch.equal(after[1, :, CLIP_L_WIDTH:], before[1, :, CLIP_L_WIDTH:])
    assert torch.equal(pooled[1, CLIP_L_WIDTH:], pooled_before[1, CLIP_L_WIDTH:])
    assert torch.equal(after[1, 77:], before[1, 77:])


def test_all_encoders_silenced_leave_zeros(model: Sd3Model) -> None:
    """training-sd-flux 9, check 31."""
    text = encoded(model, ["a cat"])
    context, pooled = model.context(
        model.without_encoders(text, torch.ones(1, 3, dtype=torch.bool))
    )
    assert not bool(context.any())
    assert not bool(pooled.any())


def test_t5_has_no_dropout_even_in_train_mode(folder: Path) -> None:
    """training-sd-flux 9, check 30."""
    model = loaded(folder)
    model.enable_gradient_checkpointing()
    assert model.encoders.t5 is not None
    assert model.encoders.t5.training
    assert torch.equal(encoded(model, ["a cat"])["t5"], encoded(model, ["a cat"])["t5"])


@pytest.mark.parametrize(
    ("option", "changed"),
    [("clip_attention_mask", "clip_l"), ("t5_attention_mask", "t5")],
)
def test_masks_hide_the_padding_and_are_part_of_the_key(
    folder: Path, model: Sd3Model, option: str, changed: str
) -> None:
    masked = loaded(folder, **{option: True})
    before, after = encoded(model, ["a cat"]), encoded(masked, ["a cat"])
    assert {n for n in before if not torch.equal(before[n], after[n])} >= {changed}
    other = "t5" if changed == "clip_l" else "clip_l"
    assert torch.equal(before[other], after[other])
    assert masked.text_identity() != model.text_identity()
    if changed == "clip_l":
        # CLIP looks back only: what stands before the padding is as it was.
        assert torch.allclose(before["clip_l"][:, :3], after["clip_l"][:, :3], atol=1e-6)
        assert torch.equal(before["pooled_l"], after["pooled_l"]) or torch.allclose(
            before["pooled_l"], after["pooled_l"], atol=1e-6
        )


def test_the_caption_length_of_t5_is_the_jobs(folder: Path, model: Sd3Model) -> None:
    short = loaded(folder, t5_max_tokens=32)
    assert encoded(short, ["a cat"])["t5"].shape == (1, 32, CONTEXT_WIDTH)
    assert short.text_identity() != model.text_identity()


def test_the_denoiser_is_told_a_thousand_sigma(
    model: Sd3Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """training-sd-flux 9, check 24: above 1 at σ = 0.9."""
    told: list[Tensor] = []
    forward = model.transformer.forward

    def spy(**arguments: Any) -> Any:
        told.append(arguments["timestep"])
        return forward(**arguments)

    monkeypatch.setattr(model.transformer, "forward", spy)
    noisy = torch.randn(2, 16, 8, 12)
    with torch.no_grad():
        answer = model.predict(noisy, torch.tensor([0.9, 0.25]), encoded(model, ["a", "b"]))
    assert answer.shape == noisy.shape
    assert torch.allclose(told[0], torch.tensor([900.0, 250.0]))


@pytest.mark.parametrize(
    ("size", "cfg", "shift"),
    [((64, 96), 4.0, None), ((96, 64), 1.0, None), ((128, 192), 3.0, 1.5)],
)
def test_previews_are_the_pipelines_latents(
    model: Sd3Model, pipeline: Any, size: tuple[int, int], cfg: float, shift: float | None
) -> None:
    """Same noise, same steps: the latents differ by less than 1e-5, at several sizes."""
    height, width = size
    request = PreviewRequest(width=width, height=height, seed=7, steps=4, cfg=cfg, shift=shift)
    text, negative = model.encode_prompts(PROMPTS)
    ours = model.draw_latents(request, text, negative)
    context, pooled = model.context(text)
    unwanted, pooled_unwanted = model.context(negative)
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=shift or 3.0)
    wanted = pipeline(
        prompt_embeds=context,
        pooled_prompt_embeds=pooled,
        negative_prompt_embeds=unwanted,
        negative_pooled_prompt_embeds=pooled_unwanted,
        latents=start_noise(request, 16),
        height=height,
        width=width,
        num_inference_steps=4,
        guidance_scale=cfg,
        output_type="latent",
    ).images
    assert ours.shape == (1, 16, height // 8, width // 8)
    assert (ours - wanted).abs().max() <= 1e-5


def test_a_preview_is_a_picture_and_leaves_random_numbers_alone(model: Sd3Model) -> None:
    """training-sd-flux 9, check 28."""
    text, negative = model.encode_prompts(["a cat", ""])
    state = torch.get_rng_state()
    steps: list[tuple[int, int]] = []
    request = PreviewRequest(width=64, height=80, steps=2, cfg=3.0)
    picture = model.preview(request, text, negative, lambda *step: steps.append(step))
    assert picture.size == (64, 80)
    assert steps == [(1, 2), (2, 2)]
    assert torch.equal(torch.get_rng_state(), state)


def test_a_preview_larger_than_the_table_of_positions_is_refused(model: Sd3Model) -> None:
    text, negative = model.encode_prompts(["a cat", ""])
    request = PreviewRequest(width=208, height=64, steps=1)
    with pytest.raises(ModelProblem, match="at most 192 pixels a side") as caught:
        model.preview(request, text, negative)
    assert caught.value.field == "samples.width"


def test_weights_in_prompts_are_read_past(
    model: Sd3Model, caplog: pytest.LogCaptureFixture
) -> None:
    model._told_of_weights = False
    weighted, plain = model.encode_prompts(["a (cat:1.3)", "a cat"])
    assert torch.equal(weighted["clip_l"], plain["clip_l"])
    assert "no weights in prompts" in caplog.text


def test_latents_are_scaled_and_shifted_as_published(model: Sd3Model) -> None:
    """training-sd-flux 9, check 13: (z − 0.0609)·1.5305 and back, within 1e-5."""
    latents = torch.randn(1, 16, 4, 4)
    scaled = model.pictures.scaled(latents)
    assert torch.allclose(scaled, (latents - 0.0609) * 1.5305, atol=1e-5)
    assert torch.allclose(scaled / 1.5305 + 0.0609, latents, atol=1e-5)


def test_checkpointing_changes_no_gradient_and_the_base_has_none(folder: Path) -> None:
    """training-sd-flux 5.2; 9, check 30: frozen, and equal with blocks recomputed."""

    def gradient(*, checkpointed: bool) -> Tensor:
        model = loaded(folder)
        if checkpointed:
            model.enable_gradient_checkpointing()
        before = named_tensors(model.transformer)
        noisy = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
        noisy.requires_grad_(True)
        answer = model.predict(noisy, torch.tensor([0.5]), encoded(model, ["a cat"]))
        answer.square().sum().backward()
        assert all(parameter.grad is None for parameter in model.transformer.parameters())
        after = named_tensors(model.transformer)
        assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
        assert noisy.grad is not None
        return noisy.grad

    assert torch.equal(gradient(checkpointed=False), gradient(checkpointed=True))
