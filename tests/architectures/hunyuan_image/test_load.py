"""HunyuanImage-2.1 out of the files people have, and the words for files that are wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import T5Config, T5EncoderModel

from engine.architectures import load
from engine.architectures.architecture import Loading, ModelProblem, PreviewRequest
from engine.architectures.hunyuan_image.model import HunyuanImageModel
from engine.networks.network import Network
from engine.plan.detect import look_at
from engine.plan.ranks import place
from engine.schema.model import Model
from engine.schema.network import Network as NetworkOptions
from tests.plan.headers import write_header
from tests.tiny_hunyuan_image import component_files, make_hunyuan_image

FILES = ("single_file", "split", "comfyui")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same tiny model in every layout."""
    folder = tmp_path_factory.mktemp("hunyuan_image")
    layouts: Any = ("diffusers", *FILES)
    return {layout: make_hunyuan_image(folder / layout, layout) for layout in layouts}


def load_path(
    path: Path,
    *,
    dtype: torch.dtype = torch.float32,
    beside: bool = False,
    fields: dict[str, Any] | None = None,
) -> HunyuanImageModel:
    """Load it with these fields of `[model]`; `beside` takes the files that lie there."""
    fields = (component_files(path) if beside else {}) | (fields or {})
    job = Model(architecture="hunyuan_image", path=str(path), **fields)
    model = load(Loading("hunyuan_image", job, torch.device("cpu"), dtype))
    assert isinstance(model, HunyuanImageModel)
    return model


def parts_of(model: HunyuanImageModel) -> tuple[nn.Module, ...]:
    return model.denoiser, model.pictures.vae, model.text.encoder, model.text.glyph_encoder


def test_every_layout_gives_the_same_frozen_model(made: dict[str, Path]) -> None:
    """training-dit 7, check 7: every spelling gives equal tensors."""
    folder = load_path(made["diffusers"])
    for layout in FILES:
        model = load_path(made[layout], beside=True)
        for part, wanted in zip(parts_of(model), parts_of(folder), strict=True):
            assert not part.training
            assert not any(p.requires_grad or p.is_meta for p in part.parameters())
            found, expected = part.state_dict(), wanted.state_dict()
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[name], expected[name]) for name in expected), layout
        assert model.prediction == "flow"
        assert set(model.components) == {"denoiser"}
        assert model.facts.shape == folder.facts.shape


def test_sites_are_the_models_own(made: dict[str, Path]) -> None:
    model = load_path(made["diffusers"])
    assert len(model.sites) == 2 * (10 + 4) + 2 * (3 + 2) + 2  # layers, then norms; the last layer
    for site in model.sites:
        rows = 0
        for segment in sorted(site.segments, key=lambda s: s.source):
            weight = model.denoiser.get_parameter(f"{segment.module}.weight")
            columns = () if site.kind == "norm" else (site.columns,)
            last = max(s.target[1] for s in site.segments if s.module == segment.module)
            assert weight.shape == (last, *columns)
            assert segment.source[0] == rows
            rows = segment.source[1]
        assert rows == site.rows


@pytest.mark.parametrize("layout", ["diffusers", "single_file"])
def test_one_step_trains_without_network(made: dict[str, Path], layout: str) -> None:
    """training-dit 7, check 25: sockets are blocked in this folder's tests."""
    model = load_path(made[layout], beside=layout != "diffusers")
    options = NetworkOptions(rank=2, alpha=2)
    network = Network.create(
        place(options, model.sites, "hunyuan_image"), model.components, options, 1
    )
    network.attach()
    model.enable_gradient_checkpointing()
    latents = model.pictures.scaled(model.pictures.encode(torch.rand(2, 3, 64, 64) * 2 - 1))
    assert latents.shape == (2, 4, 2, 2)
    noise = torch.randn_like(latents)
    text = model.encode_text(["a cat", 'a sign "Open"'])
    found = model.predict((latents + noise) / 2, torch.tensor([0.5, 0.5]), text)
    (found - (noise - latents)).square().mean().backward()
    trained = [adapter.up.grad for adapter in network.each_adapter()]
    assert len(trained) == 26
    assert all(grad is not None and bool(grad.any()) for grad in trained)


def test_a_preview_depends_on_its_seed_alone(made: dict[str, Path]) -> None:
    model = load_path(made["diffusers"], dtype=torch.bfloat16)
    text, negative = model.encode_prompts(['a sign "Hi"', ""])
    request = PreviewRequest(width=70, height=100, seed=3, steps=2, cfg=3.5)
    first = model.preview(request, text, negative)
    torch.manual_seed(9)
    assert first.size == (64, 96)
    assert model.preview(request, text, negative).tobytes() == first.tobytes()
    other = PreviewRequest(width=70, height=100, seed=4, steps=2, cfg=3.5)
    assert model.preview(other, text, negative).tobytes() != first.tobytes()


def test_both_text_encoders_move_together(made: dict[str, Path]) -> None:
    model = load_path(made["diffusers"])
    model.move("text_encoder", "meta")
    assert all(p.is_meta for part in parts_of(model)[2:] for p in part.parameters())
    assert not any(p.is_meta for part in parts_of(model)[:2] for p in part.parameters())


def test_the_jobs_own_picture_model_and_encoders_go_before_the_folders(
    made: dict[str, Path], tmp_path: Path
) -> None:
    other = make_hunyuan_image(tmp_path / "other", "comfyui", seed=1)
    expected = load_path(other, beside=True)
    folder, beside = made["diffusers"], component_files(other)
    model = load_path(folder, fields={"denoiser": str(other), **beside})
    for part, wanted in zip(parts_of(model), parts_of(expected), strict=True):
        name, tensor = next(iter(wanted.state_dict().items()))
        assert torch.equal(part.state_dict()[name], tensor)
    own = load_path(folder, fields={"denoiser": str(folder / "transformer")})
    assert own.facts.shape == model.facts.shape


def test_the_authors_files_of_the_vae_and_the_prefixed_denoiser(
    made: dict[str, Path], tmp_path: Path
) -> None:
    """A pickle of a video VAE's layout, and names with a program's prefix."""
    beside = component_files(made["single_file"])
    tensors = {
        f"vae.{name}": t[:, :, None] if t.dim() == 4 and ".conv" in name else t
        for name, t in load_file(beside["vae"]).items()
    }
    torch.save({"state_dict": tensors}, tmp_path / "vae.ckpt")
    prefixed = {f"model.diffusion_model.{n}": t for n, t in load_file(made["comfyui"]).items()}
    path = tmp_path / "dit.safetensors"
    save_file(prefixed, path)
    model = load_path(path, fields=beside | {"vae": str(tmp_path / "vae.ckpt")})
    expected = load_path(made["diffusers"])
    for part, wanted in zip(parts_of(model)[:2], parts_of(expected)[:2], strict=True):
        found = part.state_dict()
        assert all(torch.equal(found[name], t) for name, t in wanted.state_dict().items())


# What is wrong, in words


def test_files_that_are_missing_are_named_with_where_they_come_from(made: dict[str, Path]) -> None:
    with pytest.raises(ModelProblem) as caught:
        load_path(made["single_file"])
    for name in ("qwen_2.5_vl_7b", "byt5_small_glyphxl", "hunyuan_image_2.1_vae"):
        assert name in caught.value.message
    assert caught.value.field == "model.text_encoder"
    assert "Comfy-Org" in caught.value.mend
    beside = component_files(made["single_file"])
    with pytest.raises(ModelProblem) as caught:
        load_path(made["single_file"], fields={**beside, "vae": None})
    assert caught.value.field == "model.vae"


@pytest.mark.parametrize(
    ("field", "given", "words"),
    [
        ("vae", "qwen.safetensors", "and VAE is wanted"),
        ("text_encoder", "byt5.safetensors", "and Qwen2.5-VL is wanted"),
        ("text_encoder", "vae.safetensors", "and Qwen2.5-VL is wanted"),
        ("text_encoder_2", "qwen.safetensors", "and ByT5 is wanted"),
        ("tokenizer", "empty", "no tokenizer"),
    ],
)
def test_files_that_were_exchanged_are_told_at_their_fields(
    made: dict[str, Path], field: str, given: str, words: str
) -> None:
    path = made["single_file"]
    (path.parent / "empty").mkdir(exist_ok=True)
    with pytest.raises(ModelProblem, match=words) as caught:
        load_path(path, beside=True, fields={field: str(path.parent / given)})
    assert caught.value.field == f"model.{field}"
    assert given in caught.value.message


def t5_file(path: Path, vocabulary: int, width: int = 24) -> str:
    config = T5Config(
        vocab_size=vocabulary, d_model=width, d_kv=8, num_heads=2, d_ff=32, num_layers=1,
        feed_forward_proj="gated-gelu", is_encoder_decoder=False,
    )  # fmt: skip
    state = T5EncoderModel(config).state_dict()
    state.pop("encoder.embed_tokens.weight", None)
    save_file(state, path)
    return str(path)


def test_encoders_that_only_look_right_are_refused(made: dict[str, Path], tmp_path: Path) -> None:
    path = made["single_file"]
    beside = component_files(path)
    cases = {
        "plain ByT5": t5_file(tmp_path / "plain.safetensors", 384),
        "is a T5 text encoder": t5_file(tmp_path / "words.safetensors", 32128),
        "states of width 16": t5_file(tmp_path / "narrow.safetensors", 1510, 16),
    }
    for words, file in cases.items():
        with pytest.raises(ModelProblem, match=words) as caught:
            load_path(path, fields=beside | {"text_encoder_2": file})
        assert caught.value.field == "model.text_encoder_2"
    refiner = tmp_path / "refiner.safetensors"
    save_file({"decoder.conv_in.conv.weight": torch.zeros(4, 4, 1, 1, 1)}, refiner)
    with pytest.raises(ModelProblem, match="refiner") as caught:
        load_path(path, fields=beside | {"vae": str(refiner)})
    assert caught.value.field == "model.vae"


def test_a_model_that_is_not_whole_or_has_more_is_refused(
    made: dict[str, Path], tmp_path: Path
) -> None:
    tensors = load_file(made["single_file"])
    beside = component_files(made["single_file"])
    lacking = {n: t for n, t in tensors.items() if n != "single_blocks.1.linear2.bias"}
    for name, content, words in (
        ("lacking", lacking, "single_transformer_blocks.1.proj_out.bias"),
        ("more", tensors | {"double_blocks.0.new.weight": torch.ones(2)}, "double_blocks.0.new"),
    ):
        path = tmp_path / f"{name}.safetensors"
        save_file(content, path)
        with pytest.raises(ModelProblem, match=words):
            load_path(path, fields=beside)


def test_fp16_is_refused_before_anything_is_read(made: dict[str, Path]) -> None:
    """training-dit 1.4."""
    with pytest.raises(ModelProblem, match="fp16") as caught:
        load_path(made["diffusers"], dtype=torch.float16)
    assert caught.value.field == "training.precision"
    with pytest.raises(ModelProblem) as caught:
        load_path(made["diffusers"], dtype=torch.float16, fields={"weights": "fp16"})
    assert caught.value.field == "model.weights"


BASE: dict[str, tuple[int, ...]] = {
    "img_in.proj.weight": (3584, 64, 1, 1),
    "txt_in.individual_token_refiner.blocks.0.norm1.weight": (3584,),
    "txt_in.input_embedder.weight": (3584, 3584),
    "byt5_in.fc1.weight": (2048, 1472),
    "double_blocks.0.img_mod.linear.weight": (21504, 3584),
    "double_blocks.0.img_mlp.fc1.weight": (14336, 3584),
    "single_blocks.39.linear2.weight": (3584, 17920),
}
COMFY = {n: s for n, s in BASE.items() if "mlp.fc1" not in n and "img_mod" not in n} | {
    "double_blocks.19.img_attn.norm.key_norm.scale": (128,),
    "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
    "double_blocks.0.img_mlp.0.weight": (14336, 3584),
}
VIDEO = {n: s for n, s in BASE.items() if "byt5" not in n}


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (BASE | {"time_r_in.mlp.0.weight": (3584, 256)}, "distilled"),
        (BASE | {"guidance_in.mlp.0.weight": (3584, 256)}, "distilled"),
        (COMFY | {"guidance_in.in_layer.weight": (3584, 256)}, "distilled"),
        (VIDEO | {"img_in.proj.weight": (3584, 128, 1, 1, 1)}, "refiner"),
        (VIDEO | {"img_in.proj.weight": (3072, 16, 1, 2, 2)}, "HunyuanVideo"),
        (VIDEO | {"vector_in.in_layer.weight": (3072, 768)}, "HunyuanVideo"),
    ],
)
def test_kin_of_the_model_are_called_by_their_names(
    shapes: dict[str, tuple[int, ...]], words: str, tmp_path: Path
) -> None:
    """training-dit 7, check 24."""
    facts = look_at(str(write_header(tmp_path / "dit.safetensors", shapes)))
    assert facts.architecture is None
    assert words in facts.refusal
    assert "hunyuanimage2.1" in facts.refusal


def test_the_published_file_is_known_by_its_header(tmp_path: Path) -> None:
    for shapes, double in ((BASE, 1), (COMFY, 20)):
        facts = look_at(str(write_header(tmp_path / "dit.safetensors", shapes)))
        assert (facts.architecture, facts.refusal) == ("hunyuan_image", "")
        found: Any = facts.shape
        assert (found.width, found.mlp, found.double, found.single) == (3584, 14336, double, 40)


def test_a_distilled_folder_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "distilled"
    shutil.copytree(made["diffusers"], folder)
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_meanflow": True}))
    with pytest.raises(ModelProblem, match="distilled"):
        load_path(folder)


def in_eight_bits(path: Path, scaled: Path) -> str:
    """Write the file's blocks in fp8 with a scale beside each weight, as ComfyUI's copies have."""
    file = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    for name, tensor in load_file(path).items():
        file[name] = tensor
        if tensor.dim() == 2 and ("layers." in name or "blocks." in name):
            scale = tensor.abs().max() / 448
            file[name] = (tensor / scale).to(torch.float8_e4m3fn)
            file[f"{name.removesuffix('weight')}scale_weight"] = scale.reshape(1)
    save_file(file, scaled)
    return str(scaled)


def test_eight_bit_files_with_scales_are_read_as_what_they_mean(
    made: dict[str, Path], tmp_path: Path
) -> None:
    """training-dit 1.3: within half a step of fp8, which is 1/32 of a number."""
    path, beside = made["comfyui"], component_files(made["comfyui"])
    small = beside | {
        "text_encoder": in_eight_bits(Path(beside["text_encoder"]), tmp_path / "qwen.safetensors")
    }
    dit = Path(in_eight_bits(path, tmp_path / "dit.safetensors"))
    model, exact = load_path(dit, fields=small), load_path(path, beside=True)
    for part, wanted in (
        (model.denoiser, exact.denoiser),
        (model.text.encoder, exact.text.encoder),
    ):
        found = part.state_dict()
        for name, tensor in wanted.state_dict().items():
            limit = tensor.abs() / 16 + tensor.abs().max() / 448
            assert bool(((found[name] - tensor).abs() <= limit).all()), name
    assert not torch.equal(
        model.denoiser.transformer_blocks[0].ff.net[2].weight,
        exact.denoiser.transformer_blocks[0].ff.net[2].weight,
    )
