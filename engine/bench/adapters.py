"""What adapters cost: a training step with ours and with peft's, against the frozen model.

Whole steps of two runs differ by several percent on a busy machine, which cannot tell 1.03 from
1.06. So the blocks of a denoiser are measured one by one, each in turn frozen, with our adapters
and their variants and with peft's, in the process's own CPU time, the order reversed every other
round; the differences are summed over all blocks and set against the frozen model's step (spec:
adapter-performance).
"""

from __future__ import annotations

import copy
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from engine.bench.bases import FULL, NARROW, TOY, Base, sd1
from engine.bench.products import bare_products, rows_of
from engine.networks.network import Network
from engine.networks.shape import shape_of
from engine.plan.ranks import place
from engine.plan.sites import sites_of
from engine.schema.architectures import UNET
from engine.schema.network import Network as NetworkOptions

RANK = 16
PLAIN = "ours"
VARIANTS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "dora": {"dora_wd": True},
    "dylora": {"kind": "dylora", "unit": 4},
}
GOALS = {
    "attention": {"ours": 1.035, "dora": 1.10},
    "attention_and_conv": {"ours": 1.06, "dora": 1.18},
}
GOAL_TO_PEFT = 0.5  # of peft's overhead, for the narrow models
GOALS_TO_PLAIN = {"dylora_to_plain": 1.01, "max_norm_to_plain": 1.005}

_UNET_BLOCKS = (Transformer2DModel, ResnetBlock2D, Downsample2D, Upsample2D)
_BLOCK_LISTS = re.compile(
    r"(transformer_blocks|single_transformer_blocks|layers|noise_refiner|context_refiner)\.\d+"
)


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
        For SD 1.5's attention alone (192 sites) and with convolutions (278), and for the narrow
        models of the other architectures: the step of our adapters, of DoRA and of peft's adapters
        as ratios to the frozen step, from medians of pairs and from minima; our overhead, and that
        of the bare matrix products, as parts of peft's; DyLoRA's step and the max-norm rule as
        ratios to the step of plain adapters.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rounds, narrow_rounds = (3, 2) if quick else (12, 6)
    figures = measured("sd1", sd1(quick), rounds)
    figures["narrow"] = {
        architecture: measured(architecture, make(TOY if quick else FULL), narrow_rounds)
        for architecture, make in NARROW.items()
    }
    return figures


def measured(architecture: str, base: Base, rounds: int) -> dict[str, Any]:
    """Measure the blocks of one denoiser."""
    blocks = _blocks(base)
    networks = {name: _network(architecture, base, more) for name, more in VARIANTS.items()}
    for block in blocks:
        _measure(block, base, networks, rounds)
    figures: dict[str, Any] = {
        "frozen_step_seconds": _frozen(blocks, statistics.median),
        "frozen_step_seconds_by_minima": _frozen(blocks, min),
        "rounds": rounds,
        "sizes_of_blocks": len(blocks),
    }
    attention = [block for block in blocks if block.is_attention]
    groups = {"attention": attention}
    if len(attention) < len(blocks):
        groups["attention_and_conv"] = blocks
    for name, chosen in groups.items():
        figures[name] = {}
        for form in ("ours", "dora", "peft"):
            figures[name][form] = _ratio(chosen, form, statistics.median, blocks)
            figures[name][f"{form}_by_minima"] = _ratio(chosen, form, min, blocks)
        peft, plain = (_ratio(chosen, form, min, blocks) - 1 for form in ("peft", PLAIN))
        figures[name]["overhead_to_peft"] = plain / peft
        if all("products" in block.seconds for block in chosen):
            products = sum(block.count * min(block.seconds["products"]) for block in chosen)
            figures[name]["products_to_peft"] = products / (peft * _frozen(blocks, min))
        figures[name]["goal"] = GOALS[name] if architecture == "sd1" else GOAL_TO_PEFT
    plain = _ratio(blocks, PLAIN, min, blocks)
    step = plain * figures["frozen_step_seconds_by_minima"]
    norm = min(_timed(lambda: networks[PLAIN].apply_max_norm(1.0)) for _ in range(rounds))
    figures["dylora_to_plain"] = _ratio(blocks, "dylora", min, blocks) / plain
    figures["max_norm_to_plain"] = 1 + norm / step
    return figures | ({"goal": GOALS_TO_PLAIN} if architecture == "sd1" else {})


def _network(architecture: str, base: Base, more: dict[str, Any]) -> Network:
    given = {"rank": RANK, "alpha": RANK / 2, "train": "denoiser", **more}
    if architecture in UNET:
        given |= {"conv_dim": RANK, "conv_alpha": RANK / 2}
    options = NetworkOptions.model_validate(given)
    components: dict[str, nn.Module] = {"denoiser": base.denoiser}
    sites = [
        site
        for site in sites_of(architecture, shape_of(architecture, components))
        if site.component == "denoiser"
    ]
    network = Network.create(place(options, sites, architecture), components, options, seed=1)
    for adapter in network.each_adapter():
        nn.init.normal_(adapter.up, std=1e-3)
    return network


def _blocks(base: Base) -> list[Block]:
    """Run the denoiser once and keep what each block was fed; equal blocks are joined."""
    found: dict[tuple[Any, ...], Block] = {}
    hooks = []

    def note(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            sizes = tuple(tuple(p.shape) for p in module.parameters())
            x = arguments[0] if arguments else keywords["hidden_states"]
            key = (type(module), sizes, tuple(x.shape))
            if key in found:
                found[key].count += 1
                return
            conv = isinstance(module, (ResnetBlock2D, Downsample2D, Upsample2D))
            found[key] = Block(module, path, arguments, keywords, not conv)

        return hook

    for path, module in base.denoiser.named_modules():
        if isinstance(module, _UNET_BLOCKS) or _BLOCK_LISTS.fullmatch(path):
            hooks.append(module.register_forward_pre_hook(note(path), with_kwargs=True))
    with torch.no_grad():
        base.denoiser(**base.inputs)
    for hook in hooks:
        hook.remove()
    return list(found.values())


def _measure(block: Block, base: Base, networks: dict[str, Network], rounds: int) -> None:
    """Time the block in all forms, interleaved."""
    forms: dict[str, Callable[[], float]] = {"frozen": lambda: _timed(lambda: _step(block))}
    for name, network in networks.items():
        forms[name] = _with_ours(block, base, network)
    modules = [
        segment.module
        for adapter in networks[PLAIN].each_adapter()
        for segment in adapter.site.segments
        if segment.module.startswith(f"{block.path}.")
    ]
    linears = [m for m in map(base.denoiser.get_submodule, modules) if isinstance(m, nn.Linear)]
    if len(linears) == len(modules):
        bare = bare_products(rows_of(lambda: _forward(block, block.module), linears), RANK)
        forms["products"] = lambda: _timed(bare)
    theirs = _with_peft(block, modules)
    peft = [p for p in theirs.parameters() if p.requires_grad]
    forms["peft"] = lambda: _timed(lambda: _step(block, peft, theirs))
    for form in forms.values():
        form()  # warm up
    for turn in range(rounds):
        order = list(forms) if turn % 2 == 0 else list(reversed(forms))
        for name in order:
            block.seconds.setdefault(name, []).append(forms[name]())


def _with_ours(block: Block, base: Base, network: Network) -> Callable[[], float]:
    """A timed step of the block with those of the network's adapters that are in it."""
    mine = [
        adapter
        for adapter in network.each_adapter()
        if adapter.site.segments[0].module.startswith(f"{block.path}.")
    ]
    part = Network(mine, {"denoiser": base.denoiser}, network.options).train()
    parameters = [p for p in part.parameters() if p.requires_grad]

    def timed() -> float:
        part.attach()
        part.draw(1, len(block.seconds))
        seconds = _timed(lambda: _step(block, parameters))
        part.detach()
        return seconds

    return timed


def _with_peft(block: Block, modules: Sequence[str]) -> nn.Module:
    """Copy the block and let peft put its own adapters on it, as `unet.add_adapter` does."""
    from peft import LoraConfig, inject_adapter_in_model

    inner = [module.removeprefix(f"{block.path}.") for module in modules]
    config = LoraConfig(r=RANK, lora_alpha=RANK // 2, target_modules=inner)
    return inject_adapter_in_model(config, copy.deepcopy(block.module))


def _step(block: Block, parameters: Sequence[Tensor] = (), module: nn.Module | None = None) -> None:
    """Forward, and backward to the input and the adapters."""
    x, outputs = _forward(block, module or block.module)
    torch.autograd.grad(
        outputs, [x, *parameters], [torch.ones_like(t) for t in outputs], allow_unused=True
    )


def _forward(block: Block, module: nn.Module) -> tuple[Tensor, list[Tensor]]:
    """Return the input and the outputs that have a gradient."""
    arguments, keywords = block.arguments, dict(block.keywords)
    x = arguments[0] if arguments else keywords["hidden_states"]
    x = x.detach().requires_grad_(True)
    if arguments:
        arguments = (x, *arguments[1:])
    else:
        keywords["hidden_states"] = x
    y = module(*arguments, **keywords)
    outputs = [y] if isinstance(y, Tensor) else [t for t in y if isinstance(t, Tensor)]
    return x, [t for t in outputs if t.requires_grad]


def _timed(work: Callable[[], object]) -> float:
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
