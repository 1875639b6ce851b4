"""What adapters cost: a training step with ours and with peft's, against the frozen model.

Whole steps of two runs differ by several percent on a busy machine, which cannot tell 1.03 from
1.06. So the blocks of the U-Net are measured one by one, each in turn frozen, with our adapters and
with peft's, in the process's own CPU time, the order reversed every other round; the differences
are summed over all blocks and set against the frozen model's step (spec: adapter-performance).
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from engine.networks.network import Network
from engine.networks.shape import shape_of
from engine.plan.ranks import place
from engine.plan.sites import sites_of
from engine.schema.network import Network as NetworkOptions

RANK = 16
GOALS = {"attention": 1.035, "attention_and_conv": 1.06}


@dataclass
class Block:
    """Blocks of one size: one of them is measured and counts for all."""

    module: nn.Module
    path: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    is_attention: bool
    count: int = 1
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def extra(self, form: str, of: Callable[[list[float]], float]) -> float:
        """Seconds a form needs more than the frozen block, for all blocks of this size."""
        frozen = self.seconds["frozen"]
        pairs = [a - b for a, b in zip(self.seconds[form], frozen, strict=True)]
        if of is min:
            return self.count * (min(self.seconds[form]) - min(frozen))
        return self.count * of(pairs)


def run(quick: bool = False) -> dict[str, Any]:
    """Measure; `quick` takes a toy U-Net and few rounds, to see that it works.

    Returns:
        For attention alone (192 sites) and with convolutions (278): the step of our adapters and
        of peft's as a ratio to the frozen step, from medians of pairs and from minima.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rounds = 3 if quick else 12
    unet = _unet(quick)
    inputs = _inputs(unet, side=16 if quick else 64)
    blocks = _blocks(unet, inputs)
    network = _network(unet)
    for block in blocks:
        _measure(block, unet, network, rounds)
    figures: dict[str, Any] = {
        "frozen_step_seconds": _frozen(blocks, statistics.median),
        "frozen_step_seconds_by_minima": _frozen(blocks, min),
        "rounds": rounds,
        "sizes_of_blocks": len(blocks),
    }
    attention = [block for block in blocks if block.is_attention]
    for name, chosen in (("attention", attention), ("attention_and_conv", blocks)):
        figures[name] = {
            "ours": _ratio(chosen, "ours", statistics.median, blocks),
            "ours_by_minima": _ratio(chosen, "ours", min, blocks),
            "peft": _ratio(chosen, "peft", statistics.median, blocks),
            "peft_by_minima": _ratio(chosen, "peft", min, blocks),
            "goal": GOALS[name],
        }
    return figures


def _unet(quick: bool) -> UNet2DConditionModel:
    """Make SD 1.5's U-Net, or a toy of its structure, with random weights, float32, frozen."""
    widths = (32, 64, 64, 64) if quick else (320, 640, 1280, 1280)
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=widths,
        cross_attention_dim=32 if quick else 768,
        attention_head_dim=8,
    )
    return unet.requires_grad_(False).train()


def _inputs(unet: UNet2DConditionModel, side: int) -> tuple[Tensor, Tensor, Tensor]:
    text = torch.randn(1, 77, int(unet.config["cross_attention_dim"]))
    return torch.randn(1, 4, side, side), torch.tensor([500]), text


def _network(unet: UNet2DConditionModel) -> Network:
    options = NetworkOptions(rank=RANK, alpha=RANK / 2, conv_dim=RANK, conv_alpha=RANK / 2)
    components: dict[str, nn.Module] = {"denoiser": unet}
    sites = [
        site
        for site in sites_of("sd1", shape_of("sd1", components))
        if site.component == "denoiser"
    ]
    network = Network.create(place(options, sites, "sd1"), components, options, seed=1)
    for adapter in network.each():
        nn.init.normal_(adapter.up, std=1e-3)
    return network


def _blocks(unet: UNet2DConditionModel, inputs: tuple[Tensor, ...]) -> list[Block]:
    """Run the U-Net once and keep what each block was fed; equal blocks are joined."""
    kinds = (Transformer2DModel, ResnetBlock2D, Downsample2D, Upsample2D)
    found: dict[tuple[Any, ...], Block] = {}
    hooks = []

    def note(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            sizes = tuple(tuple(p.shape) for p in module.parameters())
            key = (type(module), sizes, tuple(arguments[0].shape))
            if key in found:
                found[key].count += 1
                return
            attention = isinstance(module, Transformer2DModel)
            found[key] = Block(module, path, arguments, keywords, attention)

        return hook

    for path, module in unet.named_modules():
        if isinstance(module, kinds):
            hooks.append(module.register_forward_pre_hook(note(path), with_kwargs=True))
    with torch.no_grad():
        unet(*inputs)
    for hook in hooks:
        hook.remove()
    return list(found.values())


def _measure(block: Block, unet: nn.Module, network: Network, rounds: int) -> None:
    """Time the block in all forms, interleaved."""
    mine = [a for a in network.each() if a.site.segments[0].module.startswith(f"{block.path}.")]
    part = Network(mine, {"denoiser": unet}, network.options)
    ours = [p for a in mine for p in a.parameters()]
    theirs = _with_peft(block, [a.site.segments[0].module for a in mine])
    peft = [p for p in theirs.parameters() if p.requires_grad]
    x, rest = block.arguments[0], block.arguments[1:]

    def with_ours() -> float:
        part.attach()
        seconds = _timed(lambda: _step(block.module, x, rest, block.keywords, ours))
        part.detach()
        return seconds

    forms: dict[str, Callable[[], float]] = {
        "frozen": lambda: _timed(lambda: _step(block.module, x, rest, block.keywords)),
        "ours": with_ours,
        "peft": lambda: _timed(lambda: _step(theirs, x, rest, block.keywords, peft)),
    }
    for form in forms.values():
        form()  # warm up
    for turn in range(rounds):
        order = list(forms) if turn % 2 == 0 else list(reversed(forms))
        for name in order:
            block.seconds.setdefault(name, []).append(forms[name]())


def _with_peft(block: Block, modules: Sequence[str]) -> nn.Module:
    """Copy the block and let peft put its own adapters on it, as `unet.add_adapter` does."""
    from peft import LoraConfig, inject_adapter_in_model

    inner = [module.removeprefix(f"{block.path}.") for module in modules]
    config = LoraConfig(r=RANK, lora_alpha=RANK // 2, target_modules=inner)
    return inject_adapter_in_model(config, copy.deepcopy(block.module))


def _step(
    module: nn.Module,
    x: Tensor,
    rest: Sequence[Any],
    keywords: dict[str, Any],
    parameters: Sequence[Tensor] = (),
) -> None:
    """Forward, and backward to the input and the adapters."""
    x = x.detach().requires_grad_(True)
    y = module(x, *rest, **keywords)
    y = y if isinstance(y, Tensor) else y[0]
    torch.autograd.grad(y, [x, *parameters], torch.ones_like(y))


def _timed(work: Callable[[], None]) -> float:
    """Return the CPU seconds of this process for one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _frozen(blocks: Sequence[Block], of: Callable[[list[float]], float]) -> float:
    """Seconds of the frozen model's step: all its blocks, in the conditions of the pairs."""
    return sum(block.count * of(block.seconds["frozen"]) for block in blocks)


def _ratio(
    chosen: Sequence[Block],
    form: str,
    of: Callable[[list[float]], float],
    blocks: Sequence[Block],
) -> float:
    return 1 + sum(block.extra(form, of) for block in chosen) / _frozen(blocks, of)


if __name__ == "__main__":
    import json
    import sys

    print(json.dumps(run("--quick" in sys.argv), indent=2))  # noqa: T201
