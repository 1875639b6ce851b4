"""Anima: how its parts are fed, against outputs of sd-scripts' own modules."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.condition_embedders.condition_embedder_anima import AnimaTextConditioner
from diffusers.models.transformers import transformer_cosmos
from diffusers.models.transformers.transformer_cosmos import CosmosTransformer3DModel
from diffusers.modular_pipelines.anima.modular_blocks_anima import AnimaAutoBlocks
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor, nn

from engine.architectures.anima.file import RENAMES
from engine.architectures.anima.load import provide_resize
from engine.architectures.anima.model import AnimaEncoders, AnimaModel, AnimaOptions
from engine.architectures.architecture import PreviewRequest
from engine.architectures.loading.denoiser_names import renamed
from engine.architectures.running.flow_preview import denoise
from engine.architectures.text_encoders.qwen_tokenizer import load_qwen_tokenizer
from engine.architectures.text_encoders.t5 import load_t5_tokenizer
from engine.architectures.vae.qwen_picture_coder import QwenPictureCoder
from engine.data.text_rows import together, trimmed
from engine.plan.detect import ModelFacts
from tests import golden_fill
from tests.tiny_anima import TinyAnima, tiny_anima, tiny_qwen_vae
from tests.tiny_hunyuan_image import write_byte_tokenizer
from tests.tiny_sd3 import write_small_t5_tokenizer

CASE: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "lumina2_anima_outputs.json").read_text("utf-8")
)["anima"]
NOISE = torch.Generator().manual_seed(1)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Qwen's and T5's, of single letters."""
    folder = tmp_path_factory.mktemp("tokenizers")
    write_byte_tokenizer(folder / "tokenizer")
    write_small_t5_tokenizer(folder / "t5_tokenizer")
    return load_qwen_tokenizer(folder / "tokenizer"), load_t5_tokenizer(
        None, folder, "t5_tokenizer"
    )


@pytest.fixture
def tiny() -> TinyAnima:
    provide_resize()
    return tiny_anima()


def model_of(tiny: TinyAnima, tokenizers: tuple[Any, Any], **options: Any) -> AnimaModel:
    encoders = AnimaEncoders(tiny.text_encoder, *tokenizers)
    return AnimaModel(
        ModelFacts(), (), tiny.denoiser, tiny.conditioner, tiny.vae, encoders,
        AnimaOptions(**options),
    )  # fmt: skip


@pytest.fixture
def model(tiny: TinyAnima, tokenizers: tuple[Any, Any]) -> AnimaModel:
    return model_of(tiny, tokenizers)


def recorded_model(tiny: TinyAnima) -> AnimaModel:
    """The recorded case's parts, loaded from the original layout by our own rules."""
    denoiser = CosmosTransformer3DModel(**CASE["transformer_config"])
    conditioner = AnimaTextConditioner(**CASE["text_conditioner_config"])
    weights = golden_fill.weights(CASE["shapes"], CASE["std"])
    inner = {n.removeprefix("llm_adapter."): t for n, t in weights.items() if "llm_adapter" in n}
    outer = {renamed(n, RENAMES): t for n, t in weights.items() if "llm_adapter" not in n}
    denoiser.load_state_dict(outer, strict=True)
    conditioner.load_state_dict(inner, strict=True)
    encoders = AnimaEncoders(tiny.text_encoder, None, None)
    return AnimaModel(
        ModelFacts(), (), denoiser.eval(), conditioner.eval(), tiny.vae, encoders, AnimaOptions()
    )


def recorded_text() -> dict[str, Tensor]:
    inputs = CASE["inputs"]
    mask = torch.tensor(inputs["source_attention_mask"]).bool()
    return {
        "source": golden_fill.numbers(*inputs["source_hidden_states"]) * mask[..., None],
        "source_mask": mask,
        "ids": torch.tensor(inputs["target_input_ids"]),
        "ids_mask": torch.tensor(inputs["target_attention_mask"]).bool(),
    }


@torch.no_grad()
def test_adapter_and_forward_equal_the_peers(tiny: TinyAnima) -> None:
    """training-dit 7, check 18, at a picture that is not square."""
    model, inputs = recorded_model(tiny), CASE["inputs"]
    context = torch.tensor(CASE["context"]).view(CASE["context_shape"])
    assert (model.context(recorded_text()) - context).abs().max() < 1e-5
    noisy = golden_fill.numbers(*inputs["hidden_states"])[:, :, 0]
    times = torch.tensor(inputs["timestep"])
    output = torch.tensor(CASE["output"]).view(CASE["output_shape"])[:, :, 0]
    assert (model.predict(noisy, times, recorded_text()) - output).abs().max() < 5e-5
    assert (model.predict(noisy, 1000 * times, recorded_text()) - output).abs().max() > 0.1


@torch.no_grad()
def test_an_empty_caption_is_one_masked_place_and_the_end(model: AnimaModel) -> None:
    """training-dit 7, check 19: alone, and what is kept of it beside another caption."""
    alone = model.encode_text([""])
    assert alone["source"].shape[:2] == (1, 1)
    assert not alone["source_mask"].any()
    assert alone["source"].abs().max() == 0
    assert alone["ids"].tolist() == [[1]]
    beside = model.encode_text(["a disc", ""])
    dropped = {name: tensor[1:] for name, tensor in beside.items()}
    assert (model.context(alone) - model.context(dropped)).abs().max() < 1e-6
    assert model.context(alone).isfinite().all()


def test_an_empty_caption_gives_finite_gradients(tiny: TinyAnima, model: AnimaModel) -> None:
    """training-dit 7, check 19."""
    tiny.conditioner.requires_grad_(True)
    noisy = torch.randn(1, 16, 8, 8, generator=NOISE)
    answer = model.predict(noisy, torch.tensor([0.5]), model.encode_text([""]))
    answer.square().sum().backward()
    gradients = [p.grad for p in tiny.conditioner.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)


@torch.no_grad()
def test_what_is_kept_gives_what_is_encoded(model: AnimaModel) -> None:
    """training-dit 7, checks 19 and 20: cut to the text, padded with zeros to another length."""
    noisy, times = torch.randn(2, 16, 8, 8, generator=NOISE), torch.tensor([0.3, 0.9])
    captions = ["a disc, plain and round", "flat"]
    text = model.encode_text(captions)
    rows = [trimmed({n: t[i] for n, t in text.items()}) for i in range(2)]
    assert len(rows[1]["source"]) < len(rows[0]["source"])
    assert len(rows[1]["ids"]) < len(rows[0]["ids"])
    again = together(rows)
    assert (model.context(again) - model.context(text)).abs().max() < 1e-5
    right = model.predict(noisy, times, text)
    assert (model.predict(noisy, times, again) - right).abs().max() < 1e-4
    long = {name: nn.functional.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, 600))
            for name, tensor in text.items()}  # fmt: skip
    context = model.context(long)
    assert context.shape[1] > 512
    assert (context[:, :512] - model.context(text)).abs().max() < 1e-5


def test_text_without_its_zeros_is_refused(model: AnimaModel) -> None:
    """training-dit 7, check 20."""
    context = torch.zeros(1, 511, 16)
    with pytest.raises(ValueError, match="511 places; with its zeros it has 512"):
        model.predict_in(torch.zeros(1, 16, 8, 8), torch.tensor([0.5]), context)


@pytest.mark.parametrize("torchvision", [False, True])
@torch.no_grad()
def test_two_pictures_with_and_without_torchvision(
    torchvision: bool, model: AnimaModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """training-dit 7, check 21; networks 9, check 42."""
    seen: list[tuple[int, ...]] = []
    if torchvision:

        class Transforms:
            class InterpolationMode:
                NEAREST = "nearest"

            class functional:
                @staticmethod
                def resize(mask: Tensor, size: list[int], interpolation: str) -> Tensor:
                    seen.append(tuple(mask.shape))
                    return mask

        monkeypatch.setattr(transformer_cosmos, "transforms", Transforms)
    else:
        monkeypatch.delattr(transformer_cosmos, "transforms")
    provide_resize()
    noisy = torch.randn(2, 16, 8, 6, generator=NOISE)
    text = model.encode_text(["a disc", "flat"])
    answer = model.predict(noisy, torch.tensor([0.3, 0.9]), text)
    assert answer.shape == noisy.shape
    assert answer.isfinite().all()
    assert seen == ([(1, 1, 8, 6)] if torchvision else [])


@torch.no_grad()
def test_sides_of_2064_pixels_have_places(model: AnimaModel) -> None:
    """training-dit 7, check 21: the published positions end at 2048."""
    noisy = torch.randn(1, 16, 2064 // 8, 2, generator=NOISE)
    answer = model.predict(noisy, torch.tensor([0.5]), model.encode_text(["a disc"]))
    assert answer.isfinite().all()


class Exact(nn.Module):
    """A denoiser that knows the picture, and answers n − x at σ; it remembers its clock."""

    dtype = torch.float32

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer
        self.clocks: list[Tensor] = []

    def forward(self, *, timestep: Tensor, **rest: Any) -> tuple[Tensor]:
        self.clocks.append(timestep)
        return (self.answer[:, :, None],)


@torch.no_grad()
def test_an_exact_velocity_gives_no_loss_and_the_picture_back(model: AnimaModel) -> None:
    """training-dit 7, check 12."""
    clean, noise = torch.randn(2, 1, 16, 8, 8, generator=NOISE)
    exact: Any = Exact(noise - clean)
    model.denoiser = exact
    text = model.encode_text(["a disc"])
    for sigma in (0.05, 0.5, 1.0):
        noisy = (1 - sigma) * clean + sigma * noise
        assert torch.equal(model.predict(noisy, torch.tensor([sigma]), text), noise - clean)
        back = denoise(lambda x, t: model.predict(x, t, text), noisy, torch.tensor([sigma, 0.0]))
        assert (back - clean).abs().max() < 1e-6
    assert [float(c) for c in exact.clocks[::2]] == pytest.approx([0.05, 0.5, 1.0], abs=1e-7)
    assert all(clock.dtype == torch.float32 for clock in exact.clocks)


def test_checkpointing_changes_no_gradient(tiny: TinyAnima, model: AnimaModel) -> None:
    """training-dit 7, check 10: of denoiser, LLM adapter and text encoder."""
    noisy = torch.randn(1, 16, 8, 8, generator=NOISE)
    tiny.text_encoder.requires_grad_(True)

    def gradient() -> list[Tensor]:
        tiny.text_encoder.zero_grad()
        text = model.encode_text(["a disc"])
        model.predict(noisy, torch.tensor([0.4]), text).square().sum().backward()
        return [p.grad for p in tiny.text_encoder.parameters() if p.grad is not None]

    plain = gradient()
    assert sum(float(g.abs().sum()) for g in plain) > 0
    model.enable_gradient_checkpointing()
    assert all(torch.equal(a, b) for a, b in zip(plain, gradient(), strict=True))


def test_the_preview_is_the_librarys_picture(tiny: TinyAnima, model: AnimaModel) -> None:
    """training-dit 7, check 22: the same pixels."""
    request = PreviewRequest(width=64, height=96, steps=4, cfg=4.0, seed=5)
    (text,), (negative,) = model.encode_prompts(["a disc"]), model.encode_prompts(["flat"])
    ours = np.asarray(model.preview(request, text, negative))
    blocks = AnimaAutoBlocks()
    pipeline: Any = blocks.init_pipeline()
    tokenizer, t5_tokenizer = model.encoders.tokenizer, model.encoders.t5_tokenizer
    pipeline.update_components(
        text_encoder=tiny.text_encoder, tokenizer=tokenizer, t5_tokenizer=t5_tokenizer,
        text_conditioner=tiny.conditioner, transformer=tiny.denoiser, vae=tiny.vae,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip
    noise = torch.randn(1, 16, 12, 8, generator=torch.Generator().manual_seed(5))
    theirs = pipeline(
        prompt="a disc", negative_prompt="flat", width=64, height=96, num_inference_steps=4,
        latents=noise[:, :, None], output="images",
    )  # fmt: skip
    # Its clock goes through σ·1000 and back: a value may be rounded the other way.
    difference = np.abs(ours.astype(int) - np.asarray(theirs[0]).astype(int))
    assert difference.max() <= 1
    assert (difference > 0).sum() <= 5


@torch.no_grad()
def test_the_vae_works_on_one_frame_as_on_video() -> None:
    """training-dit 7, check 23: its two-dimensional way, and its statistics there and back."""
    vae = tiny_qwen_vae()
    whole, coder = copy.deepcopy(vae), QwenPictureCoder(vae)
    pixels = torch.rand(2, 3, 64, 48, generator=NOISE) * 2 - 1
    latents = coder.encode(pixels)
    expected: Any = whole.encode(pixels[:, :, None])
    assert latents.shape == (2, 16, 8, 6)
    assert (latents - expected.latent_dist.mode()[:, :, 0]).abs().max() < 1e-5
    scaled = coder.scaled(latents)
    assert (scaled[:, 0] - (latents[:, 0] + 0.7571) / 2.8184).abs().max() < 1e-6
    decoded: Any = whole.decode(latents[:, :, None])
    assert (coder.decode(scaled) - decoded.sample[:, :, 0]).abs().max() < 1e-4
    mean, spread = coder._statistics(latents)
    assert (scaled * spread + mean - latents).abs().max() < 1e-6


@torch.no_grad()
def test_large_pictures_go_through_the_vae_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.architectures.vae.picture_coder.TILED_ABOVE", 32)
    coder = QwenPictureCoder(tiny_qwen_vae())
    assert coder.encode(torch.zeros(1, 3, 272, 64)).shape == (1, 16, 34, 8)
    assert coder.vae.use_tiling
    assert coder.decode(torch.zeros(1, 16, 34, 8)).shape == (1, 3, 272, 64)


def test_a_film_is_refused() -> None:
    coder = QwenPictureCoder(tiny_qwen_vae())
    with pytest.raises(ValueError, match="single pictures, not 4 frames"):
        coder.vae.encode(torch.zeros(1, 3, 5, 32, 32))


def test_a_long_caption_is_cut_and_told(
    tiny: TinyAnima, tokenizers: tuple[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """training-dit 4.3: never in silence, and T5's end stays."""
    model = model_of(tiny, tokenizers, max_tokens=8, t5_max_tokens=6)
    with caplog.at_level(logging.WARNING):
        text = model.encode_text(["a disc, plain and round"])
        model.encode_text(["a disc, plain and round"])
    assert (text["source"].shape[1], text["ids"].shape[1]) == (8, 6)
    assert text["ids"][0, -1] == 1
    assert len(caplog.records) == 1
    assert "is cut to" in caplog.text
    assert model.text_identity() != model_of(tiny, tokenizers).text_identity()


def test_the_shipped_tokenizers_give_the_known_numbers() -> None:
    """training-dit 4.3."""
    tokenizer, t5_tokenizer = load_qwen_tokenizer(), load_t5_tokenizer(None, Path("none"), "none")
    assert tokenizer("1girl, solo").input_ids == [16, 28552, 11, 13529]
    assert t5_tokenizer("1girl, solo").input_ids == [209, 18722, 6, 6729, 1]
    assert (tokenizer("").input_ids, t5_tokenizer("").input_ids) == ([], [1])
    assert (tokenizer.pad_token_id, t5_tokenizer.pad_token_id) == (151643, 0)
