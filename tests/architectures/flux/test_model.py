"""FLUX.1 as a trainable model: how text, latents and σ reach it, previews, gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from engine.architectures import load
from engine.architectures.architecture import Loading, PreviewRequest
from engine.architectures.flux.model import FluxModel, pack, picture_positions, unpack
from engine.data.text_rows import together, trimmed
from engine.networks.network import Network
from engine.plan.ranks import place
from engine.schema.model import Model
from engine.schema.network import Network as NetworkOptions
from tests.tiny_flux import make_flux

Load = Callable[..., FluxModel]
CPU = torch.device("cpu")
CAPTIONS = ["a photo of a cat", "two dogs on the moon, drawn with chalk"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        variant: make_flux(tmp_path_factory.mktemp(variant), variant=variant)
        for variant in ("dev", "schnell")
    }


@pytest.fixture(scope="module")
def loaded(folders: dict[str, Path]) -> Load:
    """`loaded("schnell", guidance=3.5, t5_max_tokens=8)`: a tiny model; `fresh` to change it."""
    kept: dict[str, FluxModel] = {}

    def make(
        variant: str = "dev", *, guidance: float = 1.0, fresh: bool = False, **options: Any
    ) -> FluxModel:
        options = {"t5_max_tokens": 16, **options}
        name = repr((variant, guidance, sorted(options.items())))
        if fresh or name not in kept:
            job = Model(architecture="flux", path=str(folders[variant]), **options)
            model = load(Loading("flux", job, CPU, torch.float32, guidance=guidance))
            assert isinstance(model, FluxModel)
            if fresh:
                return model
            kept[name] = model
        return kept[name]

    return make


@pytest.fixture
def noisy() -> Tensor:
    return torch.randn(2, 16, 8, 12, generator=torch.Generator().manual_seed(1))


TIMES = torch.tensor([0.3, 0.9])


# Latents and positions


def test_packing_is_exact_and_in_the_models_order() -> None:
    """training-sd-flux 9, check 12."""
    latents = torch.randn(1, 16, 64, 48)
    tokens = pack(latents)
    assert tokens.shape == (1, 768, 64)
    assert torch.equal(unpack(tokens, 64, 48), latents)
    assert torch.equal(tokens[0, 0], latents[0, :, 0:2, 0:2].flatten())
    assert torch.equal(tokens, FluxPipeline._pack_latents(latents, 1, 16, 64, 48))
    positions = picture_positions(64, 48, CPU)
    assert positions[25].tolist() == [0, 1, 1]
    theirs = FluxPipeline._prepare_latent_image_ids(1, 32, 24, CPU, torch.float32)
    assert torch.equal(positions, theirs)


def test_latents_are_scaled_and_shifted(loaded: Load) -> None:
    """training-sd-flux 9, check 13."""
    model = loaded()
    latents = model.pictures.encode(torch.zeros(1, 3, 32, 48))
    assert latents.shape == (1, 16, 4, 6)
    scaled = model.pictures.scaled(latents)
    assert torch.allclose(scaled, (latents - 0.1159) * 0.3611, atol=1e-6)
    decoded = model.pictures.vae.decode(latents).sample  # pyright: ignore[reportCallIssue]
    assert torch.allclose(model.pictures.decode(scaled), decoded, atol=1e-5)


# Text


def test_text_is_what_diffusers_feeds(loaded: Load) -> None:
    """training-sd-flux 2: CLIP's pooled output, T5's last state, 512 and 256 tokens."""
    for variant, tokens in (("dev", 512), ("schnell", 256)):
        model = loaded(variant, t5_max_tokens=None)
        pipeline = pipeline_of(model)
        pipeline.tokenizer = model.encoders.clip_tokenizer.tokenizer
        pipeline.tokenizer_2 = model.encoders.t5_tokenizer
        pipeline.text_encoder, pipeline.text_encoder_2 = model.encoders.clip, model.encoders.t5
        states, pooled, _ = pipeline.encode_prompt(CAPTIONS, None, max_sequence_length=tokens)
        text = model.encode_text(CAPTIONS)
        assert text["states"].shape == (2, tokens, 32)
        assert torch.allclose(text["states"], states, atol=1e-6)
        assert torch.allclose(text["pooled"], pooled, atol=1e-6)
        assert text.keys() == {"states", "pooled"}


def test_prompts_are_encoded_without_their_weights_signs(
    loaded: Load, caplog: pytest.LogCaptureFixture
) -> None:
    model = loaded(fresh=True)
    weighted, plain = model.encode_prompts(["a (red:1.4) cat", "a red cat"])
    assert all(torch.equal(weighted[name], plain[name]) for name in plain)
    model.encode_prompts(["a (red:1.4) cat"])
    assert caplog.text.count("no weights in prompts") == 1


def test_text_is_the_same_in_train_mode(loaded: Load) -> None:
    """training-sd-flux 9, check 30: T5 has no dropout here."""
    model = loaded(fresh=True)
    before = model.encode_text(CAPTIONS)
    model.enable_gradient_checkpointing()
    assert model.encoders.t5.training
    after = model.encode_text(CAPTIONS)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_decides_the_encoding_is_in_its_identity(loaded: Load) -> None:
    base = loaded().text_identity()
    assert loaded(fresh=True).text_identity() == base
    for changed in ({"t5_max_tokens": 8}, {"t5_attention_mask": True}):
        assert loaded(**changed).text_identity() != base
    assert loaded("schnell").text_identity() != base  # other encoders


# The transformer


def test_the_model_is_told_sigma_and_guidance(loaded: Load, noisy: Tensor) -> None:
    """training-sd-flux 9, checks 23 and 24: σ itself; a number for dev, none for schnell."""
    for variant, guidance in (("dev", 2.0), ("schnell", None)):
        model = loaded(variant, guidance=2.0, fresh=True)
        seen: dict[str, Any] = {}
        model.transformer.register_forward_pre_hook(
            lambda _, args, kwargs, seen=seen: seen.update(kwargs), with_kwargs=True
        )
        prediction = model.predict(noisy, TIMES, model.encode_text(CAPTIONS))
        assert prediction.shape == noisy.shape
        assert torch.equal(seen["timestep"], TIMES)
        told = seen["guidance"]
        assert (told.tolist() if guidance else told) == ([guidance] * 2 if guidance else None)


def test_guidance_changes_dev_alone(loaded: Load, noisy: Tensor) -> None:
    """training-sd-flux 9, check 23."""
    for variant, same in (("dev", False), ("schnell", True)):
        one, more = loaded(variant), loaded(variant, guidance=3.5)
        text = one.encode_text(CAPTIONS)
        first, second = one.predict(noisy, TIMES, text), more.predict(noisy, TIMES, text)
        assert torch.equal(first, second) == same


def test_the_mask_hides_padding_and_nothing_else(loaded: Load, noisy: Tensor) -> None:
    """training-sd-flux 9, check 23: all true is as none; else it changes the output."""
    model = loaded(t5_attention_mask=True)
    text = model.encode_text(CAPTIONS)
    assert text["states_mask"].sum(dim=1).tolist() == [8, 10]
    masked = model.predict(noisy, TIMES, text)
    unmasked = model.predict(noisy, TIMES, {n: t for n, t in text.items() if "mask" not in n})
    assert float((masked - unmasked).abs().max()) > 1e-3
    full = model.predict(noisy, TIMES, text | {"states_mask": torch.ones(2, 16, dtype=torch.bool)})
    assert torch.allclose(full, unmasked, atol=1e-6)


def test_masked_captions_may_be_cut_and_padded_anew(loaded: Load, noisy: Tensor) -> None:
    """What the cache does to a caption, architecture.Text: the prediction stays."""
    model = loaded(t5_attention_mask=True)
    text = model.encode_text(CAPTIONS)
    rows = [trimmed({name: tensor[i] for name, tensor in text.items()}) for i in range(2)]
    batch = together(rows)
    assert batch["states"].shape == (2, 10, 32)
    expected, got = model.predict(noisy, TIMES, text), model.predict(noisy, TIMES, batch)
    assert torch.allclose(got, expected, atol=1e-5)


def test_attention_kernels_agree(loaded: Load, noisy: Tensor) -> None:
    outputs = []
    for kernel in ("auto", "math"):
        model = loaded(attention=kernel)
        with model.attention_context():
            outputs.append(model.predict(noisy, TIMES, model.encode_text(CAPTIONS)))
    assert torch.allclose(*outputs, atol=1e-5)


@pytest.mark.parametrize("train", ["denoiser", "both"])
def test_checkpointing_changes_no_gradient(loaded: Load, noisy: Tensor, train: str) -> None:
    """training-sd-flux 9, checks 25 and 30; with CLIP-L's adapters too."""
    gradients = []
    for checkpointing in (False, True):
        model = loaded(fresh=True)
        frozen = {n: p.clone() for n, p in model.transformer.named_parameters()}
        options = NetworkOptions(rank=2, alpha=2.0, train=train)  # pyright: ignore[reportArgumentType]
        placements = place(options, model.sites, "flux")
        network = Network.create(placements, model.components, options, seed=1)
        for adapter in network.each():
            generator = torch.Generator().manual_seed(2)
            torch.nn.init.normal_(adapter.get_parameter("up"), std=0.02, generator=generator)
        network.attach()
        network.train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        model.predict(noisy, TIMES, model.encode_text(CAPTIONS)).square().mean().backward()
        gradients.append({n: p.grad for n, p in network.named_parameters()})
        assert not any(p.grad is not None for m in model.components.values()
                       for p in m.parameters())  # fmt: skip
        assert all(torch.equal(p, frozen[n]) for n, p in model.transformer.named_parameters())
    plain, recomputed = gradients
    # CLIP's last layers behind the pooled token get no gradient only where nothing depends on it.
    assert sum(g is not None for g in plain.values()) > 0.9 * len(plain)
    for name, gradient in plain.items():
        other = recomputed[name]
        assert (gradient is None) == (other is None)
        if gradient is not None and other is not None:
            assert torch.equal(gradient, other)


# Previews


def pipeline_of(model: FluxModel) -> Any:
    dev = model.facts.variant == "dev"
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=dev)
    absent: dict[str, Any] = dict.fromkeys(
        ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    )
    parts: dict[str, Any] = {"vae": model.pictures.vae, "transformer": model.transformer}
    pipeline: Any = FluxPipeline(scheduler=scheduler, **parts, **absent)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize(
    ("variant", "steps", "cfg"), [("dev", 3, 1.0), ("dev", 2, 2.5), ("schnell", 4, 1.0)]
)
def test_previews_are_the_pipelines(loaded: Load, variant: str, steps: int, cfg: float) -> None:
    """training-sd-flux 6 and 9, check 28: the latents, to 1e-5."""
    model = loaded(variant)
    request = PreviewRequest(width=96, height=64, seed=7, steps=steps, cfg=cfg, guidance=4.0)
    text, negative = model.encode_prompts(["a cat", "blurry"])
    before = torch.get_rng_state()
    with torch.no_grad():
        ours = model.draw_latents(request, text, negative)
    assert torch.equal(torch.get_rng_state(), before)
    packed = pipeline_of(model)(
        prompt_embeds=text["states"],
        pooled_prompt_embeds=text["pooled"],
        negative_prompt_embeds=negative["states"],
        negative_pooled_prompt_embeds=negative["pooled"],
        true_cfg_scale=cfg,
        guidance_scale=4.0,
        width=96,
        height=64,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
        return_dict=False,
    )[0]
    assert torch.allclose(ours, unpack(packed, 8, 12), atol=1e-5)


def test_a_preview_is_a_picture_of_the_size_asked_for(loaded: Load) -> None:
    model = loaded()
    text, negative = model.encode_prompts(["a cat", ""])
    told: list[tuple[int, int]] = []
    request = PreviewRequest(width=100, height=64, steps=2, cfg=1.0)
    picture = model.preview(request, text, negative, lambda *step: told.append(step))
    assert picture.size == (96, 64)
    assert told == [(1, 2), (2, 2)]
    other = PreviewRequest(width=100, height=64, steps=2, cfg=1.0, shift=8.0)
    assert model.preview(other, text, negative).tobytes() != picture.tobytes()


def test_both_text_encoders_move_together(loaded: Load) -> None:
    model = loaded(fresh=True)
    model.move("text_encoder", "meta")
    assert model.encoders.clip.device.type == "meta"
    assert model.encoders.t5.device.type == "meta"
    assert model.transformer.device.type == "cpu"
