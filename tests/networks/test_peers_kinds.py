"""Every kind of adapter that other programs write, held against its own definition.

One layer at a time: its output with the file on it against the weight that the definition gives, at
two strengths, merged, and off again. Widths are equal on purpose: nothing is told by sizes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.networks import AdapterProblem, attach_file
from engine.networks.file import read
from engine.plan.header import FileProblem
from tests.networks.parts import error
from tests.tiny import tiny_modules

LINEAR = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
CONV = "down_blocks.0.resnets.0.conv1"
NORM = "down_blocks.0.resnets.0.norm1"
WIDTH, RANK, ALPHA = 32, 3, 1.5

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Kind:
    """The tensors of one layer, by the endings of their keys, and what they make of its weight."""

    tensors: Tensors
    delta: Tensor  # what is added before DoRA, (O, I, …)
    magnitude: Tensor | None = None  # shaped to be multiplied with the weight
    bias: Tensor = field(default_factory=lambda: torch.zeros(WIDTH))

    def weight(self, own: Tensor, strength: float) -> Tensor:
        """The layer's weight; with DoRA as LyCORIS has it (spec: networks 5.4), but 0 is off."""
        if self.magnitude is None or strength == 0:
            return own + strength * self.delta
        whole = own + self.delta
        axes = [i for i in range(own.dim()) if self.magnitude.shape[i] == 1]
        norm = whole.square().sum(axes, keepdim=True).sqrt()
        return whole * (1 + strength * (self.magnitude / norm - 1))


def some(*shape: int) -> Tensor:
    return 0.2 * torch.randn(*shape)


def pair(kernel: tuple[int, ...]) -> Tensors:
    ones = (1,) * len(kernel)
    return {
        "lora_down.weight": some(RANK, WIDTH, *kernel),
        "lora_up.weight": some(WIDTH, RANK, *ones),
        "alpha": torch.tensor(ALPHA),
    }


def product(tensors: Tensors, kernel: tuple[int, ...], scale: float = ALPHA / RANK) -> Tensor:
    whole = tensors["lora_up.weight"].flatten(1) @ tensors["lora_down.weight"].flatten(1)
    return scale * whole.view(WIDTH, WIDTH, *kernel)


def plain(kernel: tuple[int, ...]) -> Kind:
    tensors = pair(kernel)
    return Kind(tensors, product(tensors, kernel))


def no_alpha(kernel: tuple[int, ...]) -> Kind:
    tensors = pair(kernel)
    del tensors["alpha"]
    return Kind(tensors, product(tensors, kernel, 1.0))


def odd_alpha(kernel: tuple[int, ...]) -> Kind:
    tensors = pair(kernel) | {"alpha": torch.tensor([2])}
    return Kind(tensors, product(tensors, kernel, 2 / RANK))


def halves(dtype: torch.dtype) -> Callable[[tuple[int, ...]], Kind]:
    def make(kernel: tuple[int, ...]) -> Kind:
        tensors = {key: tensor.to(dtype) for key, tensor in pair(kernel).items()}
        return Kind(tensors, product({k: t.float() for k, t in tensors.items()}, kernel))

    return make


def flat(kernel: tuple[int, ...]) -> Kind:
    """A convolution's factors as matrices, a matrix's as a 1×1 convolution's."""
    kind = plain(kernel)
    if kernel:
        return Kind({k: t.flatten(1) if t.dim() > 1 else t for k, t in kind.tensors.items()},
                    kind.delta)  # fmt: skip
    return Kind({k: t[..., None, None] if t.dim() > 1 else t for k, t in kind.tensors.items()},
                kind.delta)  # fmt: skip


def scalar(kernel: tuple[int, ...]) -> Kind:
    tensors = pair(kernel)
    return Kind(tensors | {"scalar": torch.tensor(0.5)}, 0.5 * product(tensors, kernel))


def tucker(kernel: tuple[int, ...]) -> Kind:
    if not kernel:
        return plain(kernel)
    tensors = {
        "lora_down.weight": some(RANK, WIDTH, 1, 1), "lora_up.weight": some(WIDTH, RANK, 1, 1),
        "lora_mid.weight": some(RANK, RANK, *kernel), "alpha": torch.tensor(ALPHA),
    }  # fmt: skip
    whole = torch.einsum(
        "ijyx,oi,jc->ocyx", tensors["lora_mid.weight"], tensors["lora_up.weight"].flatten(1),
        tensors["lora_down.weight"].flatten(1),
    )  # fmt: skip
    return Kind(tensors, ALPHA / RANK * whole)


def loha(kernel: tuple[int, ...]) -> Kind:
    tensors: Tensors = {"alpha": torch.tensor(ALPHA)}
    inputs = WIDTH * (9 if kernel else 1)
    for side in "12":
        tensors[f"hada_w{side}_a"], tensors[f"hada_w{side}_b"] = some(WIDTH, 2), some(2, inputs)
    one, other = (tensors[f"hada_w{s}_a"] @ tensors[f"hada_w{s}_b"] for s in "12")
    return Kind(tensors, ALPHA / 2 * (one * other).view(WIDTH, WIDTH, *kernel))


def loha_core(kernel: tuple[int, ...]) -> Kind:
    if not kernel:
        return loha(kernel)
    tensors: Tensors = {"alpha": torch.tensor(ALPHA)}
    wholes = []
    for side in "12":
        core, up, down = some(2, 2, *kernel), some(2, WIDTH), some(2, WIDTH)
        tensors |= {f"hada_t{side}": core, f"hada_w{side}_a": up, f"hada_w{side}_b": down}
        wholes.append(torch.einsum("ijyx,jr,ip->pryx", core, down, up))
    return Kind(tensors, ALPHA / 2 * wholes[0] * wholes[1])


def lokr(kernel: tuple[int, ...]) -> Kind:
    tensors = {"lokr_w1": some(4, 8), "lokr_w2_a": some(8, 2), "alpha": torch.tensor(ALPHA),
               "lokr_w2_b": some(2, 4 * (9 if kernel else 1))}  # fmt: skip
    second = (tensors["lokr_w2_a"] @ tensors["lokr_w2_b"]).view(8, 4, *kernel)
    first = tensors["lokr_w1"][(...,) + (None,) * len(kernel)]
    return Kind(tensors, ALPHA / 2 * torch.kron(first, second.contiguous()))


def lokr_core(kernel: tuple[int, ...]) -> Kind:
    if not kernel:
        return lokr(kernel)
    tensors = {
        "lokr_w1_a": some(4, 2), "lokr_w1_b": some(2, 8), "lokr_w2_a": some(2, 8),
        "lokr_w2_b": some(2, 4), "lokr_t2": some(2, 2, *kernel), "alpha": torch.tensor(ALPHA),
    }  # fmt: skip
    second = torch.einsum(
        "ijyx,jr,ip->pryx", tensors["lokr_t2"], tensors["lokr_w2_b"], tensors["lokr_w2_a"]
    )
    first = (tensors["lokr_w1_a"] @ tensors["lokr_w1_b"])[..., None, None]
    return Kind(tensors, ALPHA / 2 * torch.kron(first, second.contiguous()))


def lokr_whole(kernel: tuple[int, ...]) -> Kind:
    tensors = {"lokr_w1": some(4, 8), "lokr_w2": some(8, 4, *kernel), "alpha": torch.tensor(7.0)}
    first = tensors["lokr_w1"][(...,) + (None,) * len(kernel)]
    return Kind(tensors, torch.kron(first, tensors["lokr_w2"]))  # LyCORIS: alpha says nothing here


def full(kernel: tuple[int, ...]) -> Kind:
    diff, bias = some(WIDTH, WIDTH, *kernel), some(WIDTH)
    return Kind({"diff": diff, "diff_b": bias}, diff, bias=bias)


def bias_alone(kernel: tuple[int, ...]) -> Kind:
    bias = some(WIDTH)
    return Kind({"diff_b": bias}, torch.zeros(WIDTH, WIDTH, *kernel), bias=bias)


def peft_bias(kernel: tuple[int, ...]) -> Kind:
    tensors, bias = pair(kernel), some(WIDTH)
    return Kind(tensors | {"lora_B.bias": bias}, product(tensors, kernel), bias=ALPHA / RANK * bias)


def dora(
    of: Callable[[tuple[int, ...]], Kind], axis: str, ending: str = "dora_scale"
) -> Callable[[tuple[int, ...]], Kind]:
    def make(kernel: tuple[int, ...]) -> Kind:
        kind, ones = of(kernel), (1,) * len(kernel)
        shape = (WIDTH, 1, *ones) if axis == "output" else (1, WIDTH, *ones)
        magnitude = 1 + torch.rand(shape)
        written = magnitude
        if ending != "dora_scale":
            written = magnitude.view(1, WIDTH, 1, 1) if kernel else magnitude.flatten()
        return Kind(kind.tensors | {ending: written}, kind.delta, magnitude)

    return make


KINDS = {
    "plain": plain, "no alpha": no_alpha, "whole alpha of one element": odd_alpha,
    "bf16": halves(torch.bfloat16), "fp16": halves(torch.float16), "another rank of shape": flat,
    "scalar": scalar, "tucker": tucker, "loha": loha, "loha with a core": loha_core, "lokr": lokr,
    "lokr with a core": lokr_core, "lokr of whole matrices": lokr_whole, "full": full,
    "bias alone": bias_alone, "peft's bias": peft_bias,
    "dora by output": dora(plain, "output"), "dora by input": dora(plain, "input"),
    "dora, tucker": dora(tucker, "output"), "dora by input, tucker": dora(tucker, "input"),
    "dora, scalar": dora(scalar, "output"), "dora, loha": dora(loha, "output"),
    "dora by input, loha": dora(loha_core, "input"), "dora, lokr": dora(lokr, "output"),
    "dora by input, lokr": dora(lokr_core, "input"),
    "peft's dora": dora(plain, "output", "lora_magnitude_vector"),
    "peft's dora, another ending": dora(plain, "output", "lora_magnitude_vector.default.weight"),
}  # fmt: skip


def output(host: nn.Module, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    if isinstance(host, nn.Conv2d):
        return nn.functional.conv2d(x, weight, bias, padding=1)
    return nn.functional.linear(x, weight, bias)


@pytest.mark.parametrize("module", [LINEAR, CONV])
@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_a_kind_acts_as_it_is_defined(name: str, module: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    unet = tiny_modules().unet
    conv = module == CONV
    kind = KINDS[name]((3, 3) if conv else ())
    path = tmp_path / "a.safetensors"
    spelled = f"lora_unet_{module.replace('.', '_')}"
    save_file({f"{spelled}.{e}": t.contiguous() for e, t in kind.tensors.items()}, path)
    host = unet.get_submodule(module)
    own, own_bias = (host.get_parameter(n).clone() for n in ("weight", "bias"))
    x = torch.randn(2, WIDTH, 6, 6) if conv else torch.randn(2, 5, WIDTH)
    base = host(x)
    merging = copy.deepcopy(unet)
    handle = attach_file("sd1", {"denoiser": unet}, path)
    assert handle.unused == ()
    assert handle.used == (spelled,)
    for strength in (1.0, 0.5, 0.0):
        handle.set_weight(strength)
        wanted = output(host, kind.weight(own, strength), own_bias + strength * kind.bias, x)
        assert error([host(x)], [wanted]) < 2e-5, strength
    handle.detach()
    assert torch.equal(host(x), base)
    assert "forward" not in host.__dict__
    attach_file("sd1", {"denoiser": merging}, path, 0.5).merge()
    merged = merging.get_submodule(module)
    assert error([merged.get_parameter("weight")], [kind.weight(own, 0.5)]) < 1e-5
    assert error([merged.get_parameter("bias")], [own_bias + 0.5 * kind.bias]) < 1e-5


@torch.no_grad()
def test_a_norms_differences_may_be_full_ones(tmp_path: Path) -> None:
    """As ComfyUI writes them when it takes the difference of two models."""
    torch.manual_seed(5)
    unet, path = tiny_modules().unet, tmp_path / "a.safetensors"
    diff, bias = some(WIDTH), some(WIDTH)
    spelled = "diffusion_model.input_blocks.1.0.in_layers.0"
    save_file({f"{spelled}.diff": diff, f"{spelled}.diff_b": bias}, path)
    host, x = unet.get_submodule(NORM), torch.randn(2, WIDTH, 6, 6)
    base = host(x)
    handle = attach_file("sd1", {"denoiser": unet}, path, 0.5)
    weight, own_bias = (host.get_parameter(n) for n in ("weight", "bias"))
    wanted = nn.functional.group_norm(x, 32, weight + 0.5 * diff, own_bias + 0.5 * bias, 1e-5)
    assert error([host(x)], [wanted]) < 1e-5
    handle.detach()
    assert torch.equal(host(x), base)


@torch.no_grad()
def test_a_layer_without_bias_gets_one(tmp_path: Path) -> None:
    torch.manual_seed(5)
    unet, path = tiny_modules().unet, tmp_path / "a.safetensors"
    module = LINEAR.replace("to_out.0", "to_q")
    bias = some(WIDTH)
    save_file({f"lora_unet_{module.replace('.', '_')}.diff_b": bias}, path)
    host, x = unet.get_submodule(module), torch.randn(2, 5, WIDTH)
    base = host(x)
    handle = attach_file("sd1", {"denoiser": unet}, path, 0.5)
    assert error([host(x)], [base + 0.5 * bias]) < 1e-6
    handle.merge()
    assert error([host(x)], [base + 0.5 * bias]) < 1e-6


UNREAD = {
    "glora": ({f"{n}.weight": torch.ones(4, 4) for n in ("a1", "a2", "b1", "b2")}, "GLoRA"),
    "diag-oft": ({"oft_blocks": torch.ones(4, 8, 8), "alpha": torch.tensor(0.0)}, "OFT"),
    "boft": ({"oft_blocks": torch.ones(2, 4, 8, 8), "rescale": torch.ones(32, 1)}, "OFT"),
    "ia3": ({"weight": torch.ones(32), "on_input": torch.tensor(0)}, "IA³"),
    "onetrainer's oft": ({"oft_R.weight": torch.ones(4, 28)}, "OFT"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_cannot_be_read_is_named_with_a_key(name: str, tmp_path: Path) -> None:
    """Beside a plain LoRA, which is then not put on alone."""
    tensors, word = UNREAD[name]
    unet, path = tiny_modules().unet, tmp_path / "a.safetensors"
    spelled, conv = (f"lora_unet_{m.replace('.', '_')}" for m in (LINEAR, CONV))
    beside = {f"{conv}.{ending}": t for ending, t in pair((3, 3)).items()}
    save_file(beside | {f"{spelled}.{ending}": t for ending, t in tensors.items()}, path)
    assert word in read(path).variants
    with pytest.raises(AdapterProblem, match=rf"a.safetensors uses {word} in 1 .*\({spelled}\."):
        attach_file("sd1", {"denoiser": unet}, path)
    assert not any("forward" in module.__dict__ for module in unet.modules())


def test_broken_tensors_are_told_by_their_keys(tmp_path: Path) -> None:
    path, name = tmp_path / "a.safetensors", "lora_unet_x"
    cases = [
        ({"lora_down.weight": torch.ones(2, 4, 3), "lora_up.weight": torch.ones(4, 2, 1)},
         "lora_down.weight has the shape"),
        ({"lora_down.weight": torch.ones(2, 4), "lora_up.weight": torch.ones(4, 2),
          "diff": torch.ones(4, 4)}, "two kinds of adapter"),
        ({"lora_down.weight": torch.ones(2, 4), "lora_up.weight": torch.ones(4, 2),
          "lora_B.bias": torch.ones(3)}, "lora_B.bias has 3 numbers"),
        ({"lora_down.weight": torch.ones(2, 4), "lora_up.weight": torch.ones(4, 2),
          "alpha": torch.ones(2)}, "alpha has 2 numbers"),
        ({"hada_w1_a": torch.ones(4), "hada_w1_b": torch.ones(2, 4),
          "hada_w2_a": torch.ones(4, 2), "hada_w2_b": torch.ones(2, 4)}, "do not go together"),
    ]  # fmt: skip
    for tensors, words in cases:
        save_file({f"{name}.{ending}": t for ending, t in tensors.items()}, path)
        with pytest.raises(FileProblem, match=words):
            read(path)


def test_a_magnitude_without_factors_is_reported(tmp_path: Path) -> None:
    unet, path = tiny_modules().unet, tmp_path / "a.safetensors"
    spelled, conv = (f"lora_unet_{m.replace('.', '_')}" for m in (LINEAR, CONV))
    beside = {f"{conv}.{ending}": t for ending, t in pair((3, 3)).items()}
    save_file(beside | {f"{spelled}.dora_scale": torch.ones(WIDTH, 1)}, path)
    handle = attach_file("sd1", {"denoiser": unet}, path)
    assert [unused.name for unused in handle.unused] == [f"{spelled}.dora_scale"]
