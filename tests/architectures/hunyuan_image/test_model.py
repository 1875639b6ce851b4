"""HunyuanImage-2.1: how denoiser and VAE are fed, against outputs of sd-scripts' own modules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.guiders.adaptive_projected_guidance_mix import AdaptiveProjectedMixGuidance
from diffusers.pipelines.hunyuan_image.pipeline_hunyuanimage import HunyuanImagePipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.architectures.architecture import Loading, Pictures, PreviewRequest
from engine.architectures.hunyuan_image.files import load_denoiser, load_vae
from engine.architectures.hunyuan_image.model import HunyuanImageModel
from engine.architectures.hunyuan_image.text import HunyuanText
from engine.architectures.running.denoiser import place_denoiser
from engine.architectures.vae import picture_coder
from engine.plan.detect import ModelFacts
from engine.schema.model import Model
from tests import golden_fill

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "outputs.json").read_text("utf-8"))
DIT, VAE = RECORDED["hunyuan"], RECORDED["hunyuan_vae"]


def model_of(denoiser: Any, vae: nn.Module | None = None) -> HunyuanImageModel:
    """A model around a denoiser, for tests that encode no text."""
    rest = nn.Linear(1, 1)
    text = HunyuanText(rest, None, rest, None)
    return HunyuanImageModel(ModelFacts(), (), denoiser, vae or Untiled(), text)


class Untiled(nn.Module):
    def enable_slicing(self) -> None:
        """What the coder asks of a VAE."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded models' weights, in the original layout."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, case in (("dit", DIT), ("vae", VAE)):
        weights = golden_fill.weights(case["shapes"], case["std"])
        save_file(weights, folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def model(files: Path) -> HunyuanImageModel:
    return model_of(load_denoiser(files / "dit.safetensors", torch.float32, "model.path"))


@pytest.fixture(scope="module")
def inputs() -> dict[str, Tensor]:
    given = DIT["inputs"]
    return {
        "noisy": golden_fill.numbers(*given["hidden_states"]),
        "times": torch.tensor(given["timestep"]) / 1000,
        "states": golden_fill.numbers(*given["encoder_hidden_states"]),
        "states_mask": torch.tensor(given["encoder_attention_mask"]).bool(),
        "glyphs": golden_fill.numbers(*given["encoder_hidden_states_2"]),
        "glyphs_mask": torch.tensor(given["encoder_attention_mask_2"]).bool(),
    }


def predict(model: HunyuanImageModel, inputs: dict[str, Tensor]) -> Tensor:
    return model.predict(inputs["noisy"], inputs["times"], inputs)


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.float() - wanted.float()).abs().max())


def test_predictions_equal_the_recorded_ones(
    model: HunyuanImageModel, inputs: dict[str, Tensor]
) -> None:
    """training-dit 7, check 8."""
    recorded = torch.tensor(DIT["output"]).reshape(DIT["output_shape"])
    with torch.no_grad():
        assert error(predict(model, inputs), recorded) < 1e-5
        swapped = model.denoiser.norm_out.linear.weight.data.roll(64, 0)
        model.denoiser.norm_out.linear.weight.data = swapped
        assert error(predict(model, inputs), recorded) > 0.05


@torch.no_grad()
def test_each_caption_alone_gives_what_the_batch_gives(
    model: HunyuanImageModel, inputs: dict[str, Tensor]
) -> None:
    """training-dit 7, check 8: padding does not matter, nor glyphs that are all padding."""
    together = predict(model, inputs)
    for i in range(2):
        alone = {name: tensor[i : i + 1] for name, tensor in inputs.items()}
        for name in ("states", "glyphs"):
            length = max(1, int(alone[f"{name}_mask"].sum()))
            alone[name] = alone[name][:, :length]
            alone[f"{name}_mask"] = alone[f"{name}_mask"][:, :length]
        assert error(predict(model, alone), together[i : i + 1]) < 1e-5


@torch.no_grad()
def test_a_batch_without_quotes_gets_no_glyphs(
    model: HunyuanImageModel, inputs: dict[str, Tensor]
) -> None:
    """training-dit 7, check 8: None equals zeros that are masked."""
    seen: list[Any] = []
    model.denoiser.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["encoder_hidden_states_2"]),
        with_kwargs=True,
    )
    masked = inputs | {"glyphs_mask": torch.zeros(2, 12, dtype=torch.bool)}
    without = predict(model, masked)
    assert seen == [None]
    full = model.denoiser(
        inputs["noisy"], inputs["times"] * 1000, inputs["states"], inputs["states_mask"],
        encoder_hidden_states_2=torch.zeros(2, 12, 24),
        encoder_attention_mask_2=masked["glyphs_mask"], return_dict=False,
    )[0]  # fmt: skip
    assert error(without, full) < 1e-5


class Knows(nn.Module):
    """A denoiser that knows the way from picture to noise, and keeps what it was told."""

    dtype = torch.float32

    def __init__(self, velocity: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.velocity, self.clock = velocity, torch.zeros(0)

    def forward(self, noisy: Tensor, clock: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor]:
        self.clock = clock
        return (self.velocity,)


def test_the_clock_is_a_thousand_sigma_in_float32_and_the_sign_is_noise_less_picture(
    inputs: dict[str, Tensor],
) -> None:
    """training-dit 7, checks 9 and 12."""
    picture, noise = torch.randn(2, 8, 4, 6), torch.randn(2, 8, 4, 6)
    knows = Knows(noise - picture)
    model = model_of(knows)
    sigma = torch.tensor([0.4373, 0.9])
    for dtype in (torch.float32, torch.bfloat16):
        knows.dtype = dtype
        level = sigma[:, None, None, None]
        noisy = (1 - level) * picture + level * noise
        velocity = model.predict(noisy, sigma, inputs)
        assert knows.clock.dtype == torch.float32
        assert torch.equal(knows.clock, sigma * 1000)
        assert error(noisy - level * velocity, picture) < 1e-6


@torch.no_grad()
def test_half_precision_keeps_the_clock_exact(
    files: Path, model: HunyuanImageModel, inputs: dict[str, Tensor]
) -> None:
    """training-dit 7, check 9: a fifth of the error at most; autocast is opened where none is."""
    levels = inputs | {"times": torch.tensor([0.4374, 0.9977])}
    exact = predict(model, levels)
    half = model_of(load_denoiser(files / "dit.safetensors", torch.bfloat16, "model.path"))
    ours = error(predict(half, levels), exact)
    with torch.autocast("cpu", torch.bfloat16):
        assert error(predict(half, levels), exact) == ours
    low = {name: t.bfloat16() if t.is_floating_point() else t for name, t in levels.items()}
    with torch.autocast("cpu", torch.bfloat16):
        rounded = half.denoiser(
            low["noisy"], (levels["times"] * 1000).bfloat16(), low["states"], low["states_mask"],
            encoder_hidden_states_2=low["glyphs"], encoder_attention_mask_2=low["glyphs_mask"],
            return_dict=False,
        )[0]  # fmt: skip
    assert ours < error(rounded, exact) / 5


def test_recomputing_blocks_gives_the_same_gradients(
    model: HunyuanImageModel, inputs: dict[str, Tensor]
) -> None:
    """training-dit 7, check 10; the library's own function fails here (training-dit 0.2)."""
    gradients = []
    for recompute in (False, True):
        if recompute:
            model.enable_gradient_checkpointing()
        noisy = inputs["noisy"].clone().requires_grad_()
        predict(model, inputs | {"noisy": noisy}).square().mean().backward()
        assert noisy.grad is not None
        gradients.append(noisy.grad)
    assert torch.equal(*gradients)
    model.denoiser.enable_gradient_checkpointing()
    noisy = inputs["noisy"].clone().requires_grad_()
    with pytest.raises(TypeError):
        predict(model, inputs | {"noisy": noisy})


@pytest.mark.parametrize("kept", ["int8", "fp8_scaled", "fp8"])
def test_eight_bits_stay_near(
    kept: Any, model: HunyuanImageModel, inputs: dict[str, Tensor]
) -> None:
    """training-dit 7, check 26: within a tenth, and gradients are finite."""
    with torch.no_grad():
        exact = predict(model, inputs)
    job = Model(architecture="hunyuan_image", path="-", weights=kept)
    place_denoiser(
        model.denoiser, Loading("hunyuan_image", job, torch.device("cpu"), torch.float32)
    )
    noisy = inputs["noisy"].clone().requires_grad_()
    found = predict(model, inputs | {"noisy": noisy})
    relative = float((found.detach() - exact).norm() / exact.norm())
    assert 1e-4 < relative < 0.1
    found.square().mean().backward()
    assert noisy.grad is not None
    assert bool(noisy.grad.isfinite().all())


# The VAE


@pytest.fixture
def coder(files: Path) -> Pictures:
    return model_of(
        Knows(torch.zeros(1)),
        load_vae(files / "vae.safetensors", torch.float32, "model.vae"),
    ).pictures


def test_the_vae_equals_the_recorded_one(coder: Pictures) -> None:
    """training-dit 7, check 11."""
    (shape, j, _), latent = VAE["inputs"]["image"], VAE["inputs"]["latent"]
    picture = golden_fill.numbers(shape, j, std=0.5)
    mean = torch.tensor(VAE["mean"]).reshape(VAE["mean_shape"])
    assert error(coder.encode(picture), mean) < 5e-5
    assert error(coder.scaled(mean), mean * 0.75289) < 1e-6
    decoded = torch.tensor(VAE["decoded"]).reshape(VAE["decoded_shape"])
    given = golden_fill.numbers(*latent)
    assert error(coder.decode(coder.scaled(given)), decoded) < 5e-5


def test_pictures_are_never_encoded_in_tiles(
    coder: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """training-dit 7, check 11: the library's tiled encoding fails; its decoding works."""
    picture = golden_fill.numbers((1, 3, 128, 128), 7, std=0.5)
    whole = coder.encode(picture)
    monkeypatch.setattr(picture_coder, "TILED_ABOVE", 64)
    coder.vae.enable_tiling(tile_sample_min_size=64)
    with pytest.raises(ValueError, match="not enough values to unpack"):
        coder.vae.encode(picture)
    assert torch.equal(coder.encode(picture), whole)
    tiled = coder.decode(whole)
    monkeypatch.undo()
    assert tiled.shape == (1, 3, 128, 128)
    assert not torch.equal(tiled, coder.decode(whole))


# Previews


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("cfg", [1.0, 3.5])
def test_previews_follow_the_librarys_pipeline(
    quoted: bool, cfg: float, model: HunyuanImageModel, inputs: dict[str, Tensor]
) -> None:
    """training-dit 3.6: levels, plain guidance at first, then projected; quotes keep the plain."""
    steps = 9
    one = {name: tensor[:1] for name, tensor in inputs.items()}
    if not quoted:
        one |= {"glyphs": torch.zeros(1, 1, 24), "glyphs_mask": torch.zeros(1, 1).bool()}
    other = one | {"states": one["states"].flip(1)}
    request = PreviewRequest(width=128, height=96, seed=7, steps=steps, cfg=cfg)
    told: list[int] = []
    with torch.no_grad():
        ours = model.draw_latents(request, one, other, lambda done, total: told.append(done))
    assert told == list(range(1, steps + 1))
    guiders = [
        AdaptiveProjectedMixGuidance(
            guidance_scale=cfg, enabled=cfg > 1, adaptive_projected_guidance_start_step=start
        )
        for start in (5, 38)
    ]
    absent: Any = dict.fromkeys(
        ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    )
    pipeline: Any = HunyuanImagePipeline(
        transformer=model.denoiser, scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
        guider=guiders[0], ocr_guider=guiders[1], **absent,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 8, 3, 4, generator=torch.Generator().manual_seed(7))
    names = ("states", "glyphs")
    embeds = {f"prompt_embeds{end}": one[n] for n, end in zip(names, ("", "_2"), strict=True)}
    embeds |= {
        f"prompt_embeds_mask{end}": one[f"{n}_mask"]
        for n, end in zip(names, ("", "_2"), strict=True)
    }
    negative = {f"negative_{name}": tensor for name, tensor in embeds.items()}
    negative["negative_prompt_embeds"] = other["states"]
    theirs = pipeline(
        **embeds, **negative, latents=noise, height=96, width=128,
        num_inference_steps=steps, output_type="latent",
    ).images  # fmt: skip
    assert error(ours, theirs) < 1e-4
    assert float(theirs.abs().max()) > 1
