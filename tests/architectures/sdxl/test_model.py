"""How SDXL is fed: captions through both encoders, sizes, previews (training-sd-flux 2, 3, 6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
    StableDiffusionXLPipeline,
)
from torch import Tensor, nn

from engine.architectures import load
from engine.architectures.architecture import Loading, PreviewRequest
from engine.architectures.sd.model import SdModel
from engine.architectures.sd.preview import make_scheduler
from engine.architectures.text_encoders.clip_windows import windows_of
from engine.data.batch import Batch
from engine.plan.buckets import fit, rules_of
from engine.plan.order import Sample
from engine.schema.dataset import Dataset
from engine.schema.model import Model
from tests.tiny_sdxl import make_sdxl


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sdxl(tmp_path_factory.mktemp("sdxl"))


def loaded(path: Path, *, weighted_captions: bool = False, **options: Any) -> SdModel:
    job = Model(architecture="sdxl", path=str(path), **options)
    cpu = torch.device("cpu")
    model = load(Loading("sdxl", job, cpu, torch.float32, weighted_captions=weighted_captions))
    assert isinstance(model, SdModel)
    return model


@pytest.fixture(scope="module")
def model(path: Path) -> SdModel:
    """A model that no test changes."""
    return loaded(path)


# Text


@torch.no_grad()
def hidden(encoder: nn.Module, ids: Tensor, layer: int) -> Tensor:
    return encoder(ids, output_hidden_states=True).hidden_states[layer]


def test_states_are_both_encoders_next_to_last_and_the_pooled_is_of_the_second(
    model: SdModel,
) -> None:
    """training-sd-flux 9, checks 8 and 10."""
    text = model.encode_text(["a cat", "dog!"])
    assert text["states"].shape == (2, 77, 32 + 64)
    assert text["pooled"].shape == (2, 1280)
    texts: Any = model.texts
    ids = [
        windows_of(tokenizer, ["a cat", "dog!"], 1, weighted=False).ids[:, 0]
        for tokenizer in (texts.tokenizer_l, texts.tokenizer_g)
    ]
    first, second = hidden(texts.clip_l, ids[0], 2), hidden(texts.clip_g, ids[1], 2)
    assert torch.allclose(text["states"], torch.cat([first, second], dim=-1), atol=1e-6)
    with torch.no_grad():
        pooled = texts.clip_g(ids[1]).text_embeds
    assert torch.allclose(text["pooled"], pooled, atol=1e-6)
    pads = [row[0, -1].item() for row in ids]
    assert pads == [texts.tokenizer_l.end, 0]


def test_clip_skip_counts_hidden_states_from_the_end(path: Path, model: SdModel) -> None:
    """training-sd-flux 2: two is what SDXL was trained with."""
    plain = model.encode_text(["a cat"])["states"]
    assert torch.equal(loaded(path, clip_skip=2).encode_text(["a cat"])["states"], plain)
    last = loaded(path, clip_skip=1).encode_text(["a cat"])
    texts: Any = model.texts
    ids = windows_of(texts.tokenizer_g, ["a cat"], 1, weighted=False).ids[:, 0]
    assert torch.allclose(last["states"][..., 32:], hidden(texts.clip_g, ids, -1), atol=1e-6)
    assert torch.equal(last["pooled"], model.encode_text(["a cat"])["pooled"])


@pytest.mark.parametrize(("tokens", "length"), [(150, 152), (225, 227)])
def test_long_captions_go_through_in_windows_and_pool_the_first(
    path: Path, model: SdModel, tokens: int, length: int
) -> None:
    """training-sd-flux 9, check 9."""
    text = loaded(path, max_tokens=tokens).encode_text(["cat " * 60])
    assert text["states"].shape == (1, length, 96)
    cut = model.encode_text(["cat " * 60])
    assert torch.allclose(text["pooled"], cut["pooled"], atol=1e-6)
    assert torch.allclose(text["states"][:, :76], cut["states"][:, :76], atol=1e-6)


def test_weights_scale_states_and_leave_the_pooled_vector(path: Path, model: SdModel) -> None:
    plain = model.encode_text(["(cat:1.5)"]), model.encode_text(["cat"])
    assert not torch.equal(plain[0]["states"], plain[1]["states"])  # brackets are text
    weighted = loaded(path, weighted_captions=True).encode_text(["(cat:1.5)"])
    assert torch.allclose(weighted["states"][:, 1:4], 1.5 * plain[1]["states"][:, 1:4], atol=1e-5)
    assert torch.equal(weighted["states"][:, 4:], plain[1]["states"][:, 4:])
    assert torch.equal(weighted["pooled"], plain[1]["pooled"])
    (prompt,) = model.encode_prompts(["(cat:1.5)"])
    for part in (slice(None, 32), slice(32, None)):  # each encoder keeps its own mean
        means = prompt["states"][..., part].mean(), plain[1]["states"][..., part].mean()
        assert means[0].item() == pytest.approx(means[1].item(), abs=1e-6)


def test_gradients_reach_both_encoders(path: Path) -> None:
    model = loaded(path)
    texts: Any = model.texts
    weights = [
        texts.clip_l.encoder.layers[0].mlp.fc1.weight,
        texts.clip_g.text_model.encoder.layers[2].mlp.fc1.weight,  # the pooled vector's alone
    ]
    for weight in weights:
        weight.requires_grad_(True)
    model.enable_gradient_checkpointing()
    text = model.encode_text(["cat"])
    (text["states"].square().mean() + text["pooled"].square().mean()).backward()
    assert all(w.grad is not None and bool(w.grad.abs().sum() > 0) for w in weights)
    assert not model.encode_prompts(["cat"])[0]["states"].requires_grad


def test_identity_tells_both_encoders_and_both_pads(path: Path, model: SdModel) -> None:
    identity = model.text_identity()
    assert identity["text_encoder"] != identity["text_encoder_2"]
    assert identity["pads"] == [513, 0]
    assert loaded(path, clip_skip=1).text_identity() != identity


# Sizes


def sample(size: tuple[int, int], bucket: tuple[int, int], *, flip: bool) -> Sample:
    dataset = Dataset(buckets=False, resolution=[f"{bucket[0]}x{bucket[1]}"])
    fitted = fit(size, rules_of(dataset)[0])
    assert fitted.bucket == bucket
    return Sample(0, 0, "a.png", 1, 0, bucket, fitted.resized, fitted.crop, flip)


def batch(samples: list[Sample], sizes: list[tuple[int, int]]) -> Batch:
    nothing = torch.zeros(len(samples))
    return Batch(None, None, [""], None, None, nothing, nothing.bool(), tuple(samples), 1, sizes)


def test_sizes_tell_the_real_crop(model: SdModel) -> None:
    """training-sd-flux 9, check 10: 1000×2000 in a bucket of 768×1280."""
    one = sample((1000, 2000), (768, 1280), flip=False)
    sizes = batch([one], [(1000, 2000)]).sizes
    assert sizes.tolist() == [[2000, 1000, 128, 0, 1280, 768]]


def test_a_mirrored_picture_tells_where_its_crop_begins_then() -> None:
    """training-sd-flux 2: what was cut off on the right lies on the left."""
    plain = sample((2000, 1000), (768, 1280), flip=False)
    off_center = Sample(0, 0, "a.png", 1, 0, plain.bucket, plain.resized, (100, 0), True)
    assert plain.resized == (2560, 1280)
    (row,) = batch([off_center], [(2000, 1000)]).sizes.tolist()
    assert row == [1000, 2000, 0, 2560 - 100 - 768, 1280, 768]


def test_sizes_and_pooled_vector_change_the_prediction(model: SdModel) -> None:
    text: dict[str, Tensor] = {**model.encode_text(["cat"])}
    noisy, times = torch.ones(1, 4, 8, 8), torch.tensor([500])
    square = {"sizes": torch.tensor([[64.0, 64, 0, 0, 64, 64]])}
    cropped = {"sizes": torch.tensor([[128.0, 64, 32, 0, 64, 64]])}
    with torch.no_grad():
        first = model.predict(noisy, times, text | square)
        other = model.predict(noisy, times, text | cropped)
        empty = model.predict(noisy, times, text | square | {"pooled": text["pooled"] * 0})
        theirs = model.unet(
            noisy,
            times,
            text["states"],
            added_cond_kwargs={"text_embeds": text["pooled"], "time_ids": square["sizes"]},
        ).sample
    assert torch.equal(first, theirs)
    assert not torch.equal(first, other)
    assert not torch.equal(first, empty)


# Previews


@pytest.mark.parametrize(("cfg", "zero_snr"), [(5.0, True), (1.0, False)])
def test_a_preview_is_the_librarys_own_picture(model: SdModel, cfg: float, zero_snr: bool) -> None:
    """training-sd-flux 9, check 28; time ids are the picture's size, uncropped."""
    absent: dict[str, Any] = dict.fromkeys(
        ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    )
    pipeline: Any = StableDiffusionXLPipeline(
        vae=model.pictures.vae,  # pyright: ignore[reportArgumentType]
        unet=model.unet,
        scheduler=make_scheduler("euler", "v" if zero_snr else "epsilon", zero_snr),
        add_watermarker=False,
        **absent,
    )
    pipeline.set_progress_bar_config(disable=True)
    text, negative = model.encode_prompts(["cat", "bad"])
    theirs = pipeline(
        prompt_embeds=text["states"],
        pooled_prompt_embeds=text["pooled"],
        negative_prompt_embeds=negative["states"],
        negative_pooled_prompt_embeds=negative["pooled"],
        original_size=(96, 64),
        target_size=(96, 64),
        width=64,
        height=96,
        num_inference_steps=2,
        guidance_scale=cfg,
        guidance_rescale=0.7 if zero_snr else 0.0,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    request = PreviewRequest(64, 96, seed=7, steps=2, cfg=cfg)
    drawn = SdModel.preview
    if zero_snr:
        model = _with_zero_snr(model)
    ours = drawn(model, request, text, negative)
    assert ours.size == (64, 96)
    difference = np.asarray(ours).astype(int) - np.asarray(theirs).astype(int)
    assert np.abs(difference).max() <= 1


def _with_zero_snr(model: SdModel) -> SdModel:
    import copy

    other = copy.copy(model)
    other.prediction, other.zero_terminal_snr = "v", True
    return other
