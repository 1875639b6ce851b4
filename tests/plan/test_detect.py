"""Models told apart from names and shapes (spec: training-sd-flux 1.3, acceptance 1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
import torch

from engine.plan.detect import hub_folder, look_at, mismatch
from engine.plan.model_names import PREFIX, verdict_of
from engine.plan.sites import sites_of
from engine.plan.sites.sd import SdShape
from tests.plan.headers import write_header
from tests.tiny import make_sd1, make_sd2

TO_K = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
SD_IN = {"input_blocks.0.0.weight": (320, 4, 3, 3)}
SDXL = {**SD_IN, "label_emb.0.0.weight": (1280, 2816)}
SD3 = {"joint_blocks.0.context_block.adaLN_modulation.1.bias": (1,)}
FLUX = {
    "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
    "img_in.weight": (3072, 64),
}

ROWS = [
    ({**SD_IN, TO_K: (320, 768)}, "sd1", ""),
    ({**SD_IN, TO_K: (320, 1024)}, "sd2", ""),
    ({**SDXL, "input_blocks.7.1.transformer_blocks.9.x": (1,)}, "sdxl", ""),
    ({**FLUX, "guidance_in.in_layer.bias": (1,)}, "flux", "dev"),
    (FLUX, "flux", "schnell"),
    (SD3, "sd3", "medium"),
    ({**SD3, "joint_blocks.0.context_block.attn.ln_k.weight": (1,)}, "sd3", "3.5-large"),
    ({**SD3, "joint_blocks.0.x_block.attn2.qkv.weight": (1, 1)}, "sd3", "3.5-medium"),
    ({"transformer_blocks.0.attn.add_k_proj.weight": (1, 1)}, "flux", "schnell"),
    (
        {"transformer_blocks.0.attn.add_k_proj.weight": (1, 1), "pos_embed.proj.weight": (1, 1)},
        "sd3",
        "",
    ),
    (
        {
            "conv_in.weight": (320, 4, 3, 3),
            "down_blocks.0.resnets.0.conv1.weight": (320, 320, 3, 3),
            "add_embedding.linear_1.weight": (1280, 2816),
        },
        "sdxl",
        "",
    ),
    (
        {
            "conv_in.weight": (320, 4, 3, 3),
            "down_blocks.0.resnets.0.conv1.weight": (320, 320, 3, 3),
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
        },
        "sd2",
        "",
    ),
]  # fmt: skip

REFUSED = [
    ({"single_stream_modulation.lin.weight": (1, 1)}, "FLUX.2"),
    ({"distilled_guidance_layer.in_proj.bias": (1,)}, "Chroma"),
    ({**FLUX, "img_in.weight": (3072, 384)}, "FLUX Fill"),
    ({**FLUX, "img_in.weight": (3072, 128)}, "FLUX Depth or Canny"),
    ({"input_blocks.0.0.weight": (320, 9, 3, 3), TO_K: (320, 768)}, "inpainting"),
    ({"input_blocks.0.0.weight": (320, 8, 3, 3), TO_K: (320, 768)}, "pix2pix"),
    ({"input_blocks.0.0.weight": (320, 7, 3, 3), TO_K: (320, 1024)}, "upscaler"),
    ({**SD_IN, "label_emb.0.0.weight": (1280, 2560)}, "refiner"),
    ({**SD_IN, "label_emb.0.0.weight": (1280, 1024)}, "unCLIP"),
    ({**SDXL, "input_blocks.7.1.transformer_blocks.3.x": (1,)}, "SSD-1B"),
    ({**SDXL, "input_blocks.7.1.transformer_blocks.1.x": (1,)}, "Vega"),
    ({"decoder.conv_in.weight": (512, 4, 3, 3)}, "VAE of SD or SDXL"),
    ({"first_stage_model.decoder.conv_in.weight": (512, 16, 3, 3)}, "VAE of FLUX or SD3"),
    ({"text_model.encoder.layers.0.mlp.fc1.weight": (3072, 768)}, "CLIP-L"),
    ({"encoder.block.23.layer.0.SelfAttention.q.weight": (1, 1)}, "T5-XXL"),
    ({"lora_unet_x.lora_down.weight": (4, 320)}, "adapter"),
    ({**SD_IN, TO_K: (320, 768), "x.absmax": (1,)}, "quantized"),
    ({"foo": (1,)}, "no model that Graft knows"),
]  # fmt: skip


@pytest.mark.parametrize("prefix", ["", PREFIX])
@pytest.mark.parametrize(("names", "architecture", "variant"), ROWS)
def test_known_models(
    names: dict[str, tuple[int, ...]], architecture: str, variant: str, prefix: str
) -> None:
    """Acceptance 1: every row, with and without the prefix."""
    verdict = verdict_of({prefix + name: shape for name, shape in names.items()})
    assert (verdict.architecture, verdict.variant, verdict.refusal) == (architecture, variant, "")


@pytest.mark.parametrize(("names", "words"), REFUSED)
def test_refused_models_are_named(names: dict[str, tuple[int, ...]], words: str) -> None:
    verdict = verdict_of(names)
    assert verdict.architecture is None
    assert words in verdict.refusal


@pytest.mark.parametrize("layout", ["diffusers", "single_file", "ckpt"])
@pytest.mark.parametrize("architecture", ["sd1", "sd2"])
def test_tiny_models_in_every_layout(
    tmp_path: Path, layout: Literal["diffusers", "single_file", "ckpt"], architecture: str
) -> None:
    path = make_sd1(tmp_path / "m", layout, architecture=architecture)
    facts = look_at(str(path))
    assert (facts.architecture, facts.refusal) == (architecture, "")
    # SD 2 reads the layer before the last; the libraries' model has been built without the last
    assert facts.shape == SdShape(
        block_out_channels=(32, 64, 64, 64), cross_attention_dim=32,
        linear_projection=architecture == "sd2", text_width=32, text_mlp=64, text_layers=2,
        latent_side=64 if architecture == "sd1" else 96,
    )  # fmt: skip
    assert len([s for s in sites_of(architecture, facts.shape) if s.default]) == 192 + 12
    if (layout, architecture) != ("ckpt", "sd2"):
        assert facts.prediction == "epsilon"
    else:
        assert facts.prediction is None


@pytest.mark.parametrize("layout", ["diffusers", "single_file"])
def test_v_prediction_is_read(tmp_path: Path, layout: Literal["diffusers", "single_file"]) -> None:
    facts = look_at(str(make_sd2(tmp_path / "m", layout, prediction="v", zero_terminal_snr=True)))
    assert facts.prediction == "v"
    assert facts.zero_terminal_snr == (layout == "diffusers")


def test_a_yaml_beside_the_checkpoint_tells_v(tmp_path: Path) -> None:
    path = make_sd1(tmp_path, "ckpt", architecture="sd2")
    path.with_suffix(".yaml").write_text('model:\n  params:\n    parameterization: "v"\n')
    assert look_at(str(path)).prediction == "v"


def test_a_pickle_with_foreign_classes_is_refused_and_not_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"open({str(tmp_path / 'harm')!r}, 'w')",)

    path = tmp_path / "bad.ckpt"
    torch.save({"state_dict": {"x": torch.zeros(2)}, "harm": Harm()}, path)
    facts = look_at(str(path))
    assert "builtins.eval" in facts.refusal
    assert "Convert it to .safetensors" in facts.refusal
    assert not (tmp_path / "harm").exists()


def test_a_pickle_in_the_old_container_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.ckpt"
    names = {**SD_IN, TO_K: (320, 768)}
    tensors = {PREFIX + n: torch.zeros(1).expand(shape) for n, shape in names.items()}
    torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=False)
    assert look_at(str(path)).architecture == "sd1"


def test_a_model_of_another_architecture_is_named(tmp_path: Path) -> None:
    facts = look_at(str(write_header(tmp_path / "xl.safetensors", SDXL)))
    assert facts.architecture == "sdxl"
    assert "only the U-Net" in facts.refusal
    assert mismatch(facts, "sd1").startswith("This model is SDXL")
    second = look_at(str(make_sd2(tmp_path / "m")))
    assert "Choose SD 2.x as architecture" in mismatch(second, "sd1")
    assert mismatch(second, "sd2") == ""


def test_a_unet_alone_is_refused(tmp_path: Path) -> None:
    path = write_header(tmp_path / "unet.safetensors", {**SD_IN, TO_K: (320, 768)})
    assert "only the U-Net" in look_at(str(path)).refusal


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "Choose a base model"),
        ("someone/something", "not in the hub's cache"),
        ("/absent/model.safetensors", "no such file"),
    ],
)
def test_paths_that_lead_nowhere(path: str, words: str) -> None:
    assert words in look_at(path).refusal


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert "Did you mean the file model.safetensors" in look_at(str(tmp_path)).refusal
    whole = make_sd1(tmp_path / "whole")
    assert "only a UNet2DConditionModel" in look_at(str(whole / "unet")).refusal
    (whole / "scheduler" / "scheduler_config.json").unlink()
    (whole / "scheduler").rmdir()
    assert "lacks scheduler" in look_at(str(whole)).refusal


def test_hub_ids_are_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--tiny"
    made = make_sd1(repository / "snapshots" / "abc")
    assert hub_folder("someone/tiny") == made
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert look_at("someone/tiny").architecture == "sd1"
    assert json.loads((made / "model_index.json").read_text())
