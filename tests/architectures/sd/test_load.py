from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.errors
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.architectures import load
from engine.architectures.architecture import Loading, ModelProblem
from engine.schema.model import Merge, Model
from tests.architectures.conftest import Load, Make
from tests.tiny import named_tensors, tiny_modules


def load_path(path: Path | str, architecture: str = "sd1", **options: Any) -> Any:
    job = Model(architecture=architecture, path=str(path), **options)  # pyright: ignore[reportArgumentType]
    return load(Loading(architecture, job, torch.device("cpu"), torch.float32))


def test_every_layout_gives_a_frozen_model_in_eval_mode(loaded: Load) -> None:
    for layout in ("diffusers", "single_file", "ckpt"):
        model = loaded(layout)
        for module in (*model.components.values(), model.pictures.vae):
            assert not module.training
            assert not any(p.requires_grad or p.is_meta for p in module.parameters())
        assert model.prediction == "epsilon"
        assert set(model.components) == {"denoiser", "text_encoder"}


def test_sites_are_the_models_own(loaded: Load) -> None:
    model = loaded()
    for site in model.sites:
        component = model.components[site.component]
        for segment in site.segments:
            weight = component.get_parameter(f"{segment.module}.weight")
            expected = (site.rows,) if site.kind == "norm" else (site.rows, site.columns)
            assert weight.shape[:2] == expected
    default = [site.component for site in model.sites if site.default]
    assert default.count("denoiser") == 192
    assert default.count("text_encoder") == 6 * 2  # of its 2 layers


def test_only_the_half_precision_variant_is_there(tmp_path: Path, tiny: Make) -> None:
    folder = tiny("diffusers", variant="fp16", dtype=torch.float16)
    model = load_path(folder)
    expected = tiny_modules().unet.conv_in.weight.half().float()
    assert torch.equal(model.unet.conv_in.weight, expected)
    assert model.unet.dtype == model.pictures.vae.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["diffusers", "single_file"])
def test_weights_come_in_the_precision_asked_for(
    loaded: Load, layout: Any, dtype: torch.dtype
) -> None:
    model = loaded(layout, dtype=dtype, vae_precision="bf16")
    assert {p.dtype for p in model.unet.parameters()} == {dtype}
    assert {p.dtype for p in model.components["text_encoder"].parameters()} == {dtype}
    assert {p.dtype for p in model.pictures.vae.parameters()} == {torch.bfloat16}


def test_parts_are_reported_and_loading_can_be_stopped(tiny: Make) -> None:
    seen: list[tuple[str, int, int]] = []

    def stop_at_vae(words: str, done: int, total: int) -> None:
        seen.append((words, done, total))
        if "VAE" in words:
            raise KeyboardInterrupt

    job = Model(path=str(tiny()))
    with pytest.raises(KeyboardInterrupt):
        load(Loading("sd1", job, torch.device("cpu"), torch.float32, report=stop_at_vae))
    assert [done for _, done, _ in seen] == [0, 1, 2]


# Prediction


def test_prediction_comes_from_the_file_and_the_job_overrules_it(loaded: Load) -> None:
    made = {"prediction": "v", "zero_terminal_snr": True}
    model = loaded(architecture="sd2", made=made)
    assert (model.prediction, model.zero_terminal_snr) == ("v", True)
    assert loaded(architecture="sd2", made=made, prediction="epsilon").prediction == "epsilon"
    assert loaded("single_file", architecture="sd2", made={"prediction": "v"}).prediction == "v"


def test_an_unknown_prediction_is_asked_for(tiny: Make) -> None:
    path = tiny("ckpt", architecture="sd2")
    with pytest.raises(ModelProblem, match="noise or velocity") as caught:
        load_path(path, "sd2")
    assert caught.value.field == "model.prediction"
    assert load_path(path, "sd2", prediction="v").prediction == "v"


def test_a_wide_spread_of_the_last_norm_means_v(tiny: Make, tmp_path: Path) -> None:
    """training-sd-flux 1.3, SD2."""
    path = tiny("ckpt", architecture="sd2")
    content = torch.load(path, weights_only=True)
    name = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    content["state_dict"][name] = torch.linspace(-1, 1, 32)
    torch.save(content, tmp_path / "v.ckpt")
    assert load_path(tmp_path / "v.ckpt", "sd2").prediction == "v"


# Wrong files, told before anything is loaded


def test_another_architecture_is_named(tiny: Make) -> None:
    with pytest.raises(ModelProblem, match=r"SD 2\.x.*job is for SD 1\.x"):
        load_path(tiny("single_file", architecture="sd2"))


def lora(path: Path) -> Path:
    save_file({"lora_unet_x.lora_down.weight": torch.ones(4, 8)}, path)
    return path


def inpainting(path: Path, tiny: Make) -> Path:
    tensors = load_file(tiny("single_file"))
    name = "model.diffusion_model.input_blocks.0.0.weight"
    tensors[name] = torch.zeros(32, 9, 3, 3)
    save_file(tensors, path)
    return path


def test_wrong_files_are_called_by_their_names(tiny: Make, tmp_path: Path) -> None:
    vae = tiny() / "vae" / "diffusion_pytorch_model.safetensors"
    cases = {
        "LoRA": lora(tmp_path / "lora.safetensors"),
        "inpainting": inpainting(tmp_path / "inpainting.safetensors", tiny),
        "VAE of SD": vae,
    }
    for words, path in cases.items():
        with pytest.raises(ModelProblem, match=words) as caught:
            load_path(path)
        assert path.name in caught.value.message
        assert caught.value.field == "model.path"


def test_nothing_there_and_nothing_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelProblem, match="no file or folder"):
        load_path(tmp_path / "gone.safetensors")
    with pytest.raises(ModelProblem, match="hub's cache") as caught:
        load_path("someone/some-model")
    assert "Stay offline" in caught.value.mend


def test_a_hub_id_in_the_cache_loads_without_network(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--tiny"
    shutil.copytree(tiny(), repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert load_path("someone/tiny").prediction == "epsilon"


def test_a_hub_id_is_downloaded_only_if_allowed(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, list[str]]] = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        if name == "someone/gone":
            raise huggingface_hub.errors.LocalEntryNotFoundError("no such repository")
        return str(tiny())

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    job = Model(path="someone/tiny")
    with pytest.raises(ModelProblem, match="hub's cache"):
        load(Loading("sd1", job, torch.device("cpu"), torch.float32))
    assert asked == []
    load(Loading("sd1", job, torch.device("cpu"), torch.float32, offline=False))
    assert asked[0][0] == "someone/tiny"
    assert "unet/*.safetensors" in asked[0][1]
    gone = Model(path="someone/gone")
    with pytest.raises(ModelProblem, match="could not be downloaded: no such repository"):
        load(Loading("sd1", gone, torch.device("cpu"), torch.float32, offline=False))


def test_an_old_unzipped_checkpoint_loads(tiny: Make, tmp_path: Path) -> None:
    content = torch.load(tiny("ckpt"), weights_only=True)
    path = tmp_path / "legacy.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    model = load_path(path)
    expected = tiny_modules(vocabulary=49408).unet.conv_in.weight
    assert torch.equal(model.unet.conv_in.weight, expected)


def test_another_noise_schedule_is_refused(tiny: Make, tmp_path: Path) -> None:
    folder = tmp_path / "linear"
    shutil.copytree(tiny(), folder)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"beta_schedule": "linear"}))
    with pytest.raises(ModelProblem, match="beta_schedule linear"):
        load_path(folder)


def test_a_folder_with_a_broken_part_names_it(tiny: Make, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny(), folder)
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    del tensors["conv_in.weight"]
    save_file(tensors, weights)
    with pytest.raises(ModelProblem, match=r"unet.*conv_in\.weight"):
        load_path(folder)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelProblem, match="unet"):
        load_path(folder)


# The other fields of [model]


def test_another_vae_is_taken_from_a_file_or_a_folder(tiny: Make, loaded: Load) -> None:
    other = tiny("diffusers", seed=9)
    expected = tiny_modules(seed=9).vae.state_dict()
    for path in (
        other,
        other / "vae",
        other / "vae" / "diffusion_pytorch_model.safetensors",
        tiny("single_file", seed=9),
    ):
        vae = loaded(vae=str(path)).pictures.vae
        same = torch.equal(vae.state_dict()["quant_conv.weight"], expected["quant_conv.weight"])
        assert same, path


def test_a_wrong_vae_names_its_field(tiny: Make, tmp_path: Path) -> None:
    wide = load_file(tiny() / "vae" / "diffusion_pytorch_model.safetensors")
    wide["decoder.conv_in.weight"] = torch.zeros(32, 16, 3, 3)
    save_file(wide, tmp_path / "wide.safetensors")
    for path, words in (
        (tmp_path / "wide.safetensors", "wide.safetensors is a VAE of FLUX"),
        (lora(tmp_path / "lora.safetensors"), "is an adapter"),
        (tmp_path / "gone.safetensors", "no file or folder"),
    ):
        with pytest.raises(ModelProblem, match=words) as caught:
            load_path(tiny(), vae=str(path))
        assert caught.value.field == "model.vae"


def test_clip_skip_beyond_the_layers_is_refused(tiny: Make) -> None:
    with pytest.raises(ModelProblem, match="only 2 layers") as caught:
        load_path(tiny(), clip_skip=3)
    assert caught.value.field == "model.clip_skip"


def test_a_kernel_the_device_has_not_is_refused(tiny: Make) -> None:
    with pytest.raises(ModelProblem, match="NVIDIA") as caught:
        load_path(tiny(), attention="cudnn")
    assert caught.value.field == "model.attention"


def test_adapters_are_merged_with_their_weight(tiny: Make, tmp_path: Path) -> None:
    before = load_path(tiny())
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    stem = f"lora_unet_{name.replace('.', '_')}"
    down, up = torch.randn(2, 32), torch.randn(32, 2)
    path = tmp_path / "style.safetensors"
    save_file(
        {
            f"{stem}.lora_down.weight": down,
            f"{stem}.lora_up.weight": up,
            f"{stem}.alpha": torch.tensor(1.0),
        },
        path,
    )
    merged = load_path(tiny(), merge=[Merge(file=str(path), weight=0.5)])
    old, new = named_tensors(before.unet), named_tensors(merged.unet)
    changed = [n for n in old if not torch.equal(old[n], new[n])]
    assert changed == [f"{name}.weight"]
    delta = new[changed[0]] - old[changed[0]]
    assert torch.allclose(delta, 0.5 * 0.5 * up @ down, atol=1e-5)


def test_a_broken_merge_names_its_place_in_the_list(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(ModelProblem) as caught:
        load_path(tiny(), merge=[Merge(file=str(tmp_path / "gone.safetensors"))])
    assert caught.value.field == "model.merge[0].file"
