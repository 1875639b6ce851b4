"""The network: all adapters of a job on one model, trained and saved as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.networks.adapter import Adapter, Dropouts, host_segments
from engine.networks.factors import Factors, load_into
from engine.networks.groups import GroupSpec, parameter_groups
from engine.networks.hosts import AdaptedForward, put_on
from engine.networks.max_norm import MaxNormReport, apply_max_norm
from engine.networks.problem import AdapterProblem
from engine.plan.site import Placement, Site
from engine.schema.network import Network as NetworkOptions
from engine.schema.optimizer import Optimizer

DOWN, UP, ALPHA = "lora_down.weight", "lora_up.weight", "alpha"
"""What follows an adapter's name in a file (spec: networks 1.2)."""


@dataclass(frozen=True)
class LoadReport:
    """What came of loading: names, and the worst loss where a rank was cut."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]  # adapters here that the file lacks: they keep their values
    unexpected: tuple[str, ...]  # keys that belong to no adapter here
    cut: tuple[str, ...]  # adapters whose rank had to be cut
    kept: float  # smallest share of the squared norm kept by a cut; 1 without one


class Network(nn.Module):
    """Adapters by their names in the file. Attached, they act; detached, the model is as before."""

    def __init__(
        self,
        adapters: Iterable[Adapter],
        components: Mapping[str, nn.Module],
        options: NetworkOptions,
    ) -> None:
        super().__init__()
        self.options = options
        self.adapters = nn.ModuleDict()
        self._hosts: dict[str, list[nn.Module]] = {}
        self._forwards: list[tuple[AdaptedForward, Adapter]] = []
        for adapter in adapters:
            site = adapter.site
            self._hosts[site.name] = hosts = hosts_of(site, components)
            self.adapters[site.name] = adapter.to(_device_of(hosts[0]))

    @classmethod
    def create(
        cls,
        placements: Sequence[Placement],
        components: Mapping[str, nn.Module],
        options: NetworkOptions,
        seed: int,
    ) -> Network:
        """Make new adapters, which at first add nothing.

        Args:
            placements: where, and how large.
            components: role → the libraries' model; must have every role of the placements.
            options: the job's `[network]`.
            seed: with an adapter's name it decides its first values, whatever the order.

        Raises:
            AdapterProblem: if there is nothing to train, or a module is not as its site says.
        """
        if not placements:
            raise AdapterProblem(
                "These options train no layer at all: give some block a rank above 0."
            )
        dropouts = Dropouts(options.dropout, options.rank_dropout, options.module_dropout)
        adapters = []
        for placement in placements:
            adapter = Adapter(placement, dropouts)
            adapter.init(seed)
            adapters.append(adapter)
        return cls(adapters, components, options)

    def each(self) -> list[Adapter]:
        """Return the adapters in the order of their sites."""
        return [a for a in self.adapters.values() if isinstance(a, Adapter)]

    def attach(self) -> None:
        """Let the adapters act on their hosts; once is enough."""
        if self._forwards:
            return
        for adapter in self.each():
            for part, host in enumerate(self._hosts[adapter.site.name]):
                self._forwards.append((put_on(host, adapter, part), adapter))

    def detach(self) -> None:
        """Take the adapters off; the model's outputs are bit for bit what they were."""
        for forward, adapter in self._forwards:
            forward.remove(adapter)
        self._forwards.clear()

    @torch.no_grad()
    def merge(self) -> None:
        """Add every ΔW, at the present weight, to the hosts' own weights, and detach.

        Computed in float32 and cast back (spec: networks 1.9, 1.10).
        """
        self.detach()
        for adapter in self.each():
            delta = adapter.delta().mul_(adapter.weight)
            parts = zip(host_segments(adapter.site), self._hosts[adapter.site.name], strict=True)
            for segments, host in parts:
                rows = torch.cat([delta[s.source[0] : s.source[1]] for s in segments])
                weight = host.get_parameter("weight")
                weight.copy_(weight.float() + rows.view(weight.shape).to(weight.device))

    def set_weight(self, weight: float) -> None:
        """Let all adapters act this strongly: 1 as trained, 0 not at all."""
        for adapter in self.each():
            adapter.weight = weight

    def parameter_groups(self, optimizer: Optimizer) -> list[GroupSpec]:
        """Return the optimizer's groups; what is in none of them stops asking for gradients."""
        groups = parameter_groups(self.each(), self.options, optimizer)
        trained = {id(p) for group in groups for p in group.params}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        return groups

    def apply_max_norm(self, limit: float) -> MaxNormReport:
        """Scale down every adapter above the limit; call it after each optimizer step."""
        return apply_max_norm(self.each(), limit)

    def weights(self) -> dict[str, Tensor]:
        """Return the file's tensors: key → float32 on the CPU, alpha included."""
        tensors: dict[str, Tensor] = {}
        for adapter in self.each():
            name = adapter.site.name
            tensors[f"{name}.{ALPHA}"] = torch.tensor(float(adapter.alpha))
            tensors[f"{name}.{DOWN}"] = _copied(adapter.down)
            tensors[f"{name}.{UP}"] = _copied(adapter.up)
        return tensors

    def load_weights(self, tensors: Mapping[str, Tensor]) -> LoadReport:
        """Load tensors with the file's keys; what `weights()` gave comes back bit for bit.

        A missing alpha means the rank. Another alpha or rank keeps the strength (networks Q30).

        Raises:
            AdapterProblem: if an adapter has only one of its factors, or another layer's sizes.
        """
        found: dict[str, dict[str, Tensor]] = {}
        unexpected = []
        for key, tensor in tensors.items():
            name, _, kind = key.partition(".")
            if name in self.adapters and kind in (DOWN, UP, ALPHA):
                found.setdefault(name, {})[kind] = tensor
            else:
                unexpected.append(key)
        cut, kept = [], 1.0
        for name, parts in found.items():
            if DOWN not in parts or UP not in parts:
                raise AdapterProblem(f"{name} has only one of its two matrices.")
            down, alpha = parts[DOWN], parts.get(ALPHA)
            rank = down.shape[0]
            value = float(alpha.item()) if alpha is not None else 0.0
            adapter = self.adapters[name]
            assert isinstance(adapter, Adapter)
            share = load_into(adapter, Factors(down, parts[UP], value or float(rank)))
            if rank > adapter.rank:
                cut.append(name)
                kept = min(kept, share)
        missing = tuple(name for name in self.adapters if name not in found)
        return LoadReport(tuple(found), missing, tuple(unexpected), tuple(cut), kept)


def hosts_of(site: Site, components: Mapping[str, nn.Module]) -> list[nn.Module]:
    """Find the modules a site's parts act on, in the order of `host_segments`.

    Raises:
        AdapterProblem: if the component or a module is missing, or a size differs.
    """
    model = components.get(site.component)
    if model is None:
        raise AdapterProblem(f"{site.name} needs the {site.component.replace('_', ' ')}.")
    hosts = []
    for segments in host_segments(site):
        module = segments[0].module
        try:
            host = model.get_submodule(module)
        except AttributeError:
            raise AdapterProblem(f"This model has no module {module} for {site.name}.") from None
        rows = sum(s.target[1] - s.target[0] for s in segments)
        weight = getattr(host, "weight", None)
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
        kernel = site.kernel if site.kind == "conv" else ()
        # A quantized weight may be packed: then its shape says nothing.
        if isinstance(weight, Tensor) and weight.is_floating_point():
            expected = (rows, site.columns, *kernel)
            if shape != expected:
                raise AdapterProblem(
                    f"The module {module} has a weight of {shape}; {site.name} needs {expected}."
                )
        hosts.append(host)
    return hosts


def _copied(parameter: Tensor) -> Tensor:
    return parameter.detach().to("cpu", torch.float32, copy=True).contiguous()


def _device_of(host: nn.Module) -> torch.device:
    for tensor in (*host.parameters(), *host.buffers()):
        return tensor.device
    return torch.device("cpu")
