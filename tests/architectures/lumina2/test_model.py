"""Lumina-Image 2: how its parts are fed, against outputs of sd-scripts' own modules."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_lumina2 import Lumina2Transformer2DModel
from diffusers.pipelines.lumina2.pipeline_lumina2 import Lumina2Pipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor, nn

from engine.architectures.architecture import PreviewRequest
from engine.architectures.lumina2.file import to_diffusers
from engine.architectures.lumina2.model import Lumina2Model, Lumina2Options
from engine.architectures.running.flow_preview import denoise
from engine.architectures.text_encoders.gemma_tokenizer import load_gemma_tokenizer
from engine.data.text_rows import together, trimmed
from engine.plan.detect import ModelFacts
from tests import golden_fill
from tests.tiny_lumina2 import TinyLumina2, sentence_piece, tiny_lumina2

CASE: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "lumina2_anima_outputs.json").read_text("utf-8")
)["lumina2"]
NOISE = torch.Generator().manual_seed(1)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("gemma")
    (folder / "tokenizer.model").write_bytes(sentence_piece())
    return load_gemma_tokenizer(str(folder), (), ())


@pytest.fixture
def tiny() -> TinyLumina2:
    return tiny_lumina2()


def model_of(tiny: TinyLumina2, tokenizer: Any, **options: Any) -> Lumina2Model:
    return Lumina2Model(
        ModelFacts(), (), tiny.denoiser, tiny.vae, tiny.text_encoder, tokenizer,
        Lumina2Options(**options),
    )  # fmt: skip


@pytest.fixture
def model(tiny: TinyLumina2, tokenizer: Any) -> Lumina2Model:
    return model_of(tiny, tokenizer)


def recorded_model() -> Lumina2Model:
    """The recorded case's denoiser, loaded from the original layout by our own rules."""
    denoiser = Lumina2Transformer2DModel(**CASE["config"])
    weights = golden_fill.weights(CASE["shapes"], CASE["std"])
    del weights["norm_final.weight"]
    keys = CASE["shapes"]["layers.0.attention.qkv.weight"][0] - CASE["config"]["hidden_size"]
    denoiser.load_state_dict(to_diffusers(weights, keys // 2), strict=True)
    rest: Any = nn.Linear(1, 1)
    return Lumina2Model(ModelFacts(), (), denoiser, Sliced(), rest, None, Lumina2Options())


class Sliced(nn.Module):
    def enable_slicing(self) -> None:
        """What the coder asks of a VAE."""


def recorded_inputs() -> tuple[Tensor, Tensor, dict[str, Tensor], Tensor]:
    """Noisy latents, the level that makes the recorded clock, text, and the recorded output."""
    inputs = CASE["inputs"]
    noisy = golden_fill.numbers(*inputs["hidden_states"])
    states = golden_fill.numbers(*inputs["encoder_hidden_states"])
    mask = torch.tensor(inputs["encoder_attention_mask"]).bool()
    times = 1 - torch.tensor(inputs["timestep"])
    output = torch.tensor(CASE["output"]).view(CASE["output_shape"])
    return noisy, times, {"states": states, "states_mask": mask}, output


@torch.no_grad()
def test_the_forward_equals_the_peers_with_its_reversed_clock_and_sign() -> None:
    """training-dit 7, check 2."""
    model = recorded_model()
    noisy, times, text, output = recorded_inputs()
    assert (model.predict(noisy, times, text) + output).abs().max() < 1e-5
    assert (model.predict(noisy, 1 - times, text) + output).abs().max() > 0.1


@torch.no_grad()
def test_padding_changes_nothing(model: Lumina2Model) -> None:
    """training-dit 7, check 3: neither its length nor what lies in it."""
    noisy, times = torch.randn(2, 16, 8, 8, generator=NOISE), torch.tensor([0.3, 0.9])
    text = model.encode_text(["a cat on a mat", "a dog"])
    answer = model.predict(noisy, times, text)
    rows = [trimmed({n: t[i] for n, t in text.items()}) for i in range(2)]
    assert len(rows[1]["states"]) < len(rows[0]["states"])
    assert (model.predict(noisy, times, together(rows)) - answer).abs().max() < 1e-5
    for i in range(2):
        alone = {name: tensor[None] for name, tensor in rows[i].items()}
        single = model.predict(noisy[i : i + 1], times[i : i + 1], alone)
        assert (single - answer[i]).abs().max() < 1e-5
    nothing = {n: torch.zeros_like(t) for n, t in text.items()}
    assert model.predict(noisy, times, nothing).isfinite().all()


@torch.no_grad()
def test_299_tokens_have_places(model: Lumina2Model) -> None:
    """training-dit 7, check 3: the job's check refuses more than 296."""
    text = {"states": torch.zeros(1, 299, 32), "states_mask": torch.ones(1, 299, dtype=torch.bool)}
    noisy = torch.randn(1, 16, 8, 8, generator=NOISE)
    assert model.predict(noisy, torch.tensor([0.5]), text).isfinite().all()


class Exact(nn.Module):
    """A denoiser that knows the picture, and answers x − n at 1 − σ; it remembers its clock."""

    dtype = torch.float32

    def __init__(self, clean: Tensor, noise: Tensor) -> None:
        super().__init__()
        self.clean, self.noise = clean, noise
        self.clocks: list[Tensor] = []

    def forward(self, *, timestep: Tensor, **rest: Any) -> tuple[Tensor]:
        self.clocks.append(timestep)
        return (self.clean - self.noise,)


@torch.no_grad()
def test_an_exact_velocity_gives_no_loss_and_the_picture_back(
    tiny: TinyLumina2, tokenizer: Any
) -> None:
    """training-dit 7, check 12."""
    clean, noise = torch.randn(2, 1, 16, 8, 8, generator=NOISE)
    exact: Any = Exact(clean, noise)
    model = model_of(tiny, tokenizer)
    model.denoiser = exact
    text = {"states": torch.zeros(1, 1, 32), "states_mask": torch.ones(1, 1, dtype=torch.bool)}
    for sigma in (0.05, 0.5, 1.0):
        noisy = (1 - sigma) * clean + sigma * noise
        answer = model.predict(noisy, torch.tensor([sigma]), text)
        assert torch.equal(answer, noise - clean)
        back = denoise(lambda x, t: model.predict(x, t, text), noisy, torch.tensor([sigma, 0.0]))
        assert (back - clean).abs().max() < 1e-6
    assert [float(c) for c in exact.clocks[::2]] == pytest.approx([0.95, 0.5, 0.0], abs=1e-7)
    assert all(clock.dtype == torch.float32 for clock in exact.clocks)


@pytest.mark.parametrize(
    ("cfg", "ratio", "renorm"), [(4.0, 1.0, True), (3.5, 0.5, False), (1.0, 1.0, True)]
)
def test_the_preview_equals_the_pipelines_latents(
    cfg: float, ratio: float, renorm: bool, model: Lumina2Model
) -> None:
    """training-dit 7, check 5: four steps, guided in all, in half, and not at all."""
    text, negative = model.encode_prompts(["a cat on a mat", "flat"])
    request = PreviewRequest(
        width=64, height=96, steps=4, cfg=cfg, seed=5, cfg_until=ratio, cfg_renorm=renorm
    )
    ours = model.draw_latents(request, text, negative)
    vae: Any = model.pictures.vae
    pipeline: Any = Lumina2Pipeline(
        transformer=model.denoiser,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
        vae=vae,
        text_encoder=None,  # pyright: ignore[reportArgumentType]
        tokenizer=None,  # pyright: ignore[reportArgumentType]
    )
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        prompt_embeds=text["states"], prompt_attention_mask=text["states_mask"].int(),
        negative_prompt_embeds=negative["states"],
        negative_prompt_attention_mask=negative["states_mask"].int(),
        width=64, height=96, num_inference_steps=4, guidance_scale=cfg, cfg_trunc_ratio=ratio,
        cfg_normalization=renorm, output_type="latent",
        latents=torch.randn(1, 16, 12, 8, generator=torch.Generator().manual_seed(5)),
    ).images  # fmt: skip
    assert ours.shape == (1, 16, 12, 8)
    assert (ours - theirs).abs().max() < 1e-5


@torch.no_grad()
def test_text_is_taken_before_the_last_layer_and_its_norm(
    tiny: TinyLumina2, model: Lumina2Model
) -> None:
    """training-dit 7, check 6: a model without them gives the same states to the bit."""
    states = model.encode_text(["a cat on a mat", "a dog"])["states"]
    short: Any = copy.deepcopy(tiny.text_encoder)
    short.layers = short.layers[:-1]
    short.norm = nn.Identity()
    batch = model.tokenizer(["a cat on a mat", "a dog"], padding="longest", return_tensors="pt")
    assert torch.equal(short(**batch).last_hidden_state, states)


def test_gemmas_last_layer_gets_no_gradient(tiny: TinyLumina2, model: Lumina2Model) -> None:
    """training-dit 7, check 6; with checkpointing the gradients are the same."""
    tiny.text_encoder.requires_grad_(True)

    def gradients() -> list[Tensor | None]:
        tiny.text_encoder.zero_grad(set_to_none=True)
        model.encode_text(["a cat on a mat"])["states"].square().sum().backward()
        layers: Any = tiny.text_encoder.layers
        return [layer.self_attn.q_proj.weight.grad for layer in layers]

    plain = gradients()
    assert [g is not None and bool(g.abs().sum() > 0) for g in plain] == [True, True, False]
    model.enable_gradient_checkpointing()
    for one, other in zip(plain[:2], gradients()[:2], strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_checkpointing_changes_no_gradient(model: Lumina2Model) -> None:
    """training-dit 7, check 10."""
    noisy = torch.randn(1, 16, 8, 8, generator=NOISE)
    states = torch.randn(1, 5, 32, generator=NOISE)

    def gradient() -> Tensor:
        given = states.clone().requires_grad_(True)
        text = {"states": given, "states_mask": torch.ones(1, 5, dtype=torch.bool)}
        model.predict(noisy, torch.tensor([0.4]), text).square().sum().backward()
        assert given.grad is not None
        return given.grad

    plain = gradient()
    assert plain.abs().sum() > 0
    model.enable_gradient_checkpointing()
    assert torch.equal(gradient(), plain)


def test_the_tokenizer_begins_with_bos_and_pads_on_the_right(tokenizer: Any) -> None:
    """training-dit 7, check 6."""
    batch = tokenizer(["a cat on a mat", "a dog", ""], padding="longest")
    assert [ids[0] for ids in batch.input_ids] == [2, 2, 2]
    assert batch.attention_mask[1][-1] == 0
    assert batch.attention_mask[2] == [1] + [0] * (len(batch.input_ids[0]) - 1)
    assert batch.input_ids[2][1:] == [0] * (len(batch.input_ids[0]) - 1)


def test_the_system_prompt_stands_before_captions_and_not_before_negatives(
    tiny: TinyLumina2, tokenizer: Any
) -> None:
    """training-dit 2.3: prompt, and nothing before an empty caption."""
    model = model_of(tiny, tokenizer, system_prompt="draw a cat", max_tokens=64)
    bare = model_of(tiny, tokenizer, max_tokens=64)
    with_system = model.encode_text(["a dog"])["states"]
    assert torch.equal(with_system, bare.encode_text(["draw a cat <Prompt Start> a dog"])["states"])
    assert torch.equal(model.encode_text([""])["states"], bare.encode_text([""])["states"])
    prompt, negative = model.encode_prompts(["a dog", "flat"])
    length = int(negative["states_mask"].sum())
    alone = bare.encode_text(["flat"])["states"]
    assert (negative["states"][:, :length] - alone).abs().max() < 1e-5
    assert prompt["states"].shape == negative["states"].shape
    assert model.text_identity() != bare.text_identity()


def test_captions_are_cut_at_the_jobs_length(tiny: TinyLumina2, tokenizer: Any) -> None:
    model = model_of(tiny, tokenizer, max_tokens=8)
    assert model.encode_text(["a cat on a mat and the dog is round"])["states"].shape == (1, 8, 32)
