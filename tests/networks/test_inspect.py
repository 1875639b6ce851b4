from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.commands.inspect import main
from engine.networks.file import read
from engine.networks.inspection import guess_architecture, inspect_file
from engine.schema.job_file import read_toml
from tests.networks.conftest import golden_file
from tests.networks.test_file import pair

FAMILIES = Path(__file__).parents[3] / "shared" / "golden"
ARCHITECTURES = {
    "anima": "anima", "flux": "flux", "hunyuan": "hunyuan_image", "lumina": "lumina2",
    "sd15": "sd1", "sd3": "sd3", "sdxl": "sdxl",
}  # fmt: skip


def test_a_file_is_told_by_blocks_ranks_and_hash() -> None:
    found = inspect_file(golden_file("lora_block25.safetensors"))
    assert found.guess.architecture == "sd1"
    assert found.adapters == 180
    assert found.layout == "kohya"
    assert found.hash_matches is True
    assert sum(group.adapters for group in found.groups) == 180
    names = [group.name for group in found.groups]
    assert names[0] == "text encoder"
    assert names[1:] == sorted(names[1:], key=lambda n: (("IN", "MI", "OU").index(n[:2]), n))
    assert all(group.strength > 0 for group in found.groups)


def test_the_table_shows_ranks_settings_and_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(golden_file("lora_r4a2.safetensors"))]) == 0
    shown = capsys.readouterr().out
    assert "For:       SD 1.x" in shown
    assert "204 layers" in shown
    assert "OUT11" in shown
    assert "as the file states" in shown
    assert "rank:                     4" in shown


def test_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(golden_file("lora_r4a2.safetensors"))
    assert main([path, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["metadata"]["ss_network_dim"] == "4"
    assert data["groups"][0]["ranks"] == [4]
    assert data["groups"][0]["alphas"] == [2.0]
    assert data["hash_matches"] is True
    assert data["dtypes"] == ["F32"]


def test_a_changed_file_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.safetensors"
    save_file(pair(), path, metadata={"sshs_model_hash": "0" * 64})
    assert main([str(path)]) == 0
    assert "NOT what the file states" in capsys.readouterr().out


def test_a_bad_file_ends_with_1_and_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.safetensors"
    path.write_bytes(b"<html>")
    assert main([str(path)]) == 1
    assert "page.safetensors" in capsys.readouterr().err
    with pytest.raises(SystemExit) as leaving:
        main([])
    assert leaving.value.code == 2


def test_published_sizes_tell_sd1_from_sd2(tmp_path: Path) -> None:
    import torch

    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    for width, architecture in ((768, "sd1"), (1024, "sd2")):
        path = tmp_path / f"{width}.safetensors"
        down, up = torch.ones(2, width), torch.ones(1280, 2)
        save_file({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, path)
        guess = guess_architecture(read(path))
        assert guess.architecture == architecture
        assert "1 of 1 layers" in guess.reason


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(FAMILIES.glob("*/*.safetensors")) if ".io." not in p.name]
    or [golden_file("lora_r4a2.safetensors")],
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)
def test_every_familys_files_are_recognized(path: Path) -> None:
    assert guess_architecture(read(path)).architecture == ARCHITECTURES[path.parent.name]


def test_other_layouts_are_shown_by_blocks_too(tmp_path: Path) -> None:
    tensors = load_file(golden_file("lora_r4a2.safetensors"))
    name = "lora_unet_mid_block_attentions_0_proj_in"
    other = "diffusion_model.middle_block.1.proj_in"
    renamed = {k.replace(name, other): t for k, t in tensors.items() if k.startswith(name)}
    assert len(renamed) == 3
    save_file(renamed, tmp_path / "a.safetensors")
    found = inspect_file(tmp_path / "a.safetensors")
    assert (found.layout, found.hash_matches) == ("comfyui", None)
    assert found.guess.architecture == "sd1"
    assert [group.name for group in found.groups] == ["MID"]


def test_hunyuan_image_in_comfyuis_names_is_told_from_flux_by_its_sizes(tmp_path: Path) -> None:
    """Their layers are named alike there; FLUX is 3,072 wide and HunyuanImage 3,584."""
    name = "lora_unet_double_blocks_0_img_mlp_0"
    for width, architecture in ((3584, "hunyuan_image"), (3072, "flux")):
        path = tmp_path / f"{architecture}.safetensors"
        tensors = {"down": torch.ones(1, width), "up": torch.ones(4 * width, 1)}
        save_file({f"{name}.lora_{kind}.weight": t for kind, t in tensors.items()}, path)
        assert guess_architecture(read(path)).architecture == architecture


def test_each_layer_is_told_by_its_sites_name_with_rank_and_alpha() -> None:
    found = inspect_file(golden_file("lora_block25.safetensors"))
    ranks = {layer.name: (layer.rank, layer.alpha) for layer in found.layers}
    assert len(ranks) == found.adapters
    assert ranks["lora_unet_mid_block_attentions_0_proj_in"] == (8, 4.0)
    assert found.trained == "both"


def test_the_settings_become_a_job_that_is_never_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "like.toml"
    arguments = [str(golden_file("lora_block25.safetensors")), "--job", str(job)]
    assert main(arguments) == 0
    data = read_toml(job)
    assert data["network"]["rank"] == 4
    assert data["network"]["block_dims"][12] == 8
    assert "Job written" in capsys.readouterr().err
    job.write_text("mine")
    assert main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert job.read_text() == "mine"
    assert main([*arguments, "--overwrite"]) == 0
    assert read_toml(job) == data
    silent = tmp_path / "a.safetensors"
    save_file(pair(), silent)
    assert main([str(silent), "--job", str(tmp_path / "none.toml")]) == 1
    assert "nothing of its training" in capsys.readouterr().err
    assert not (tmp_path / "none.toml").exists()


def test_blocks_without_names_of_their_own_are_called_as_in_the_original(tmp_path: Path) -> None:
    path = tmp_path / "flux.safetensors"
    names = ("lora_unet_double_blocks_1_img_attn_proj", "lora_unet_single_blocks_0_linear2")
    tensors: dict[str, torch.Tensor] = {}
    for name in names:
        tensors |= {f"{name}.lora_down.weight": torch.ones(2, 8),
                    f"{name}.lora_up.weight": torch.ones(8, 2)}  # fmt: skip
    save_file(tensors, path)
    found = inspect_file(path)
    assert [group.name for group in found.groups] == ["double block 1", "single block 0"]
    assert {layer.name for layer in found.layers} == set(names)
    assert found.trained == "denoiser"
