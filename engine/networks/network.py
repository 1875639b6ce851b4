"""The network: all adapters of a job on one model, trained and saved as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.networks.adapter import Adapter, host_segments
from engine.networks.dropout import Dropouts
from engine.networks.factors import (
    ENDINGS,
    NORM_ENDINGS,
    load_into,
    load_norm,
    of_endings,
    tensors_of,
)
from engine.networks.groups import PLUS, GroupSpec, parameter_groups
from engine.networks.hosts import AdaptedForward, put_on
from engine.networks.max_norm import MaxNormReport, apply_max_norm
from engine.networks.problem import AdapterProblem
from engine.networks.variants.dora import dense_weight, norms
from engine.networks.variants.ggpo import mean_norms
from engine.networks.variants.kinds import kinds_of
from engine.networks.variants.norm import NormDelta, NormForward, check_norm, put_on_norm
from engine.plan.site import Placement, Site
from engine.schema.network import Network as NetworkOptions
from engine.schema.optimizer import Optimizer

Member = Adapter | NormDelta
"""What a network is made of: adapters, and the trained norms beside them."""


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
        adapters: Iterable[Member],
        components: Mapping[str, nn.Module],
        options: NetworkOptions,
    ) -> None:
        super().__init__()
        self.options = options
        self.adapters = nn.ModuleDict()
        self._hosts: dict[str, list[nn.Module]] = {}
        self._forwards: list[tuple[AdaptedForward | NormForward, Member]] = []
        for adapter in adapters:
            site = adapter.site
            self._hosts[site.name] = hosts = hosts_of(site, components)
            if isinstance(adapter, NormDelta):
                check_norm(hosts[0], adapter, site.segments[0].module)
            self.adapters[site.name] = adapter.to(_device_of(hosts[0]))
            if isinstance(adapter, Adapter):
                adapter.meet(hosts)

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
        kinds = kinds_of(options)
        members: list[Member] = []
        for placement in placements:
            if placement.site.kind == "norm":
                members.append(NormDelta(placement, options.module_dropout))
                continue
            adapter = Adapter(placement, dropouts, kinds)
            adapter.init(seed)
            members.append(adapter)
        network = cls(members, components, options)
        for adapter in network.each_adapter():
            adapter.start_magnitude()
        return network

    def each(self) -> list[Member]:
        """Return adapters and norms in the order of their sites."""
        return [m for m in self.adapters.values() if isinstance(m, (Adapter, NormDelta))]

    def each_adapter(self) -> list[Adapter]:
        """Return the adapters alone, without norms."""
        return [m for m in self.adapters.values() if isinstance(m, Adapter)]

    def attach(self) -> None:
        """Let the adapters act on their hosts; once is enough."""
        if self._forwards:
            return
        for member in self.each():
            for part, host in enumerate(self._hosts[member.site.name]):
                if isinstance(member, NormDelta):
                    self._forwards.append((put_on_norm(host, member), member))
                else:
                    self._forwards.append((put_on(host, member, part), member))

    def detach(self) -> None:
        """Take the adapters off; the model's outputs are bit for bit what they were."""
        for forward, adapter in self._forwards:
            forward.remove(adapter)
        self._forwards.clear()

    @torch.no_grad()
    def merge(self) -> None:
        """Work every adapter, at the present weight, into the hosts' own weights, and detach.

        Computed in float32 and cast back (spec: networks 1.9, 1.10).

        Raises:
            AdapterProblem: a host keeps its weight packed and cannot be written.
        """
        self.detach()
        for member in self.each():
            for part, host in enumerate(self._hosts[member.site.name]):
                if isinstance(member, NormDelta):
                    member.merge_into(host)
                else:
                    _write_weight(host, member.merged(part, read_weight(host, member.site.name)))

    @torch.no_grad()
    def keep_effect(self, adapter: Adapter) -> None:
        """Set DoRA's magnitudes so that loaded factors act as they would without DoRA.

        Raises:
            AdapterProblem: a host keeps its weight packed and cannot be measured with them.
        """
        axis = adapter.kinds.dora
        if adapter.dora_scale is None or axis is None:
            return
        delta = adapter.delta()
        whole = adapter.dora_scale.new_zeros(adapter.dora_scale.numel())
        hosts = self._hosts[adapter.site.name]
        for segments, host in zip(host_segments(adapter.site), hosts, strict=True):
            weight = read_weight(host, adapter.site.name)
            rows = torch.cat([delta[s.source[0] : s.source[1]] for s in segments])
            measured = norms(weight.float() + rows.view(weight.shape).to(weight.device), axis)
            if axis == "input":
                whole = measured
                continue
            for segment in segments:
                whole[slice(*segment.source)] = measured[slice(*segment.target)]
        adapter.dora_scale.copy_(whole.view(adapter.dora_scale.shape))

    def set_weight(self, weight: float) -> None:
        """Let all adapters act this strongly: 1 as trained, 0 not at all."""
        for adapter in self.each():
            adapter.weight = weight

    def parameter_groups(self, optimizer: Optimizer) -> list[GroupSpec]:
        """Return the optimizer's groups; what is in none of them stops asking for gradients."""
        groups = parameter_groups(self.each(), self.options, optimizer)
        trained = {group.name.removesuffix(PLUS) for group in groups}
        for member in self.each():
            member.set_trained(member.group in trained)
        return groups

    def draw(self, *of: object) -> None:
        """Choose what DyLoRA trains in the next pass, as a pure function of what it is for.

        Called with the same parts on every process: all of them train the same directions.
        """
        for adapter in self.each_adapter():
            if adapter.units is not None:
                adapter.units.draw(*of, adapter.site.name)

    def hand_over_gradients(self) -> None:
        """Give DyLoRA's drawn directions their gradients; call it after a step's last backward."""
        for adapter in self.each_adapter():
            if adapter.units is not None:
                adapter.units.hand_over(adapter.down, adapter.up)

    def measure_noise(self, gradient_scale: float = 1.0) -> None:
        """Let GGPO measure factors and gradients; call it before clipping and the update.

        Args:
            gradient_scale: what an fp16 scaler has multiplied the gradients with.
        """
        for adapter in self.each_adapter():
            adapter.measure_noise(gradient_scale)

    def noise_norms(self) -> dict[str, float]:
        """Return GGPO's mean norms as last measured, by their names in logs; empty without it."""
        return mean_norms([a.noise for a in self.each_adapter() if a.noise is not None])

    def apply_max_norm(self, limit: float) -> MaxNormReport:
        """Scale down every adapter above the limit; call it after each optimizer step."""
        return apply_max_norm(self.each_adapter(), limit)

    def weights(self) -> dict[str, Tensor]:
        """Return the file's tensors: key → float32 on the CPU, alpha included."""
        tensors: dict[str, Tensor] = {}
        for member in self.each():
            for ending, tensor in tensors_of(member).items():
                tensors[f"{member.site.name}.{ending}"] = tensor
        return tensors

    def load_weights(self, tensors: Mapping[str, Tensor]) -> LoadReport:
        """Load tensors with the file's keys; what `weights()` gave comes back bit for bit.

        A missing alpha means the rank. Another alpha or rank keeps the strength (networks Q30).

        Raises:
            AdapterProblem: if an adapter has only one of its factors, another layer's sizes, or
                variants that this network cannot take over.
        """
        found: dict[str, dict[str, Tensor]] = {}
        unexpected = []
        for key, tensor in tensors.items():
            name, _, ending = key.partition(".")
            member = self.adapters[name] if name in self.adapters else None  # noqa: SIM401
            known = NORM_ENDINGS if isinstance(member, NormDelta) else ENDINGS
            if member is not None and ending in known:
                found.setdefault(name, {})[ending] = tensor
            else:
                unexpected.append(key)
        cut, kept = [], 1.0
        for name, parts in found.items():
            member = self.adapters[name]
            if isinstance(member, NormDelta):
                load_norm(member, parts)
                continue
            assert isinstance(member, Adapter)
            factors = of_endings(name, parts)
            share = load_into(member, factors)
            if factors.magnitude is None:
                self.keep_effect(member)
            if factors.rank > member.rank * member.parts:
                cut.append(name)
                kept = min(kept, share)
        missing = tuple(name for name in self.adapters if name not in found)
        return LoadReport(tuple(found), missing, tuple(unexpected), tuple(cut), kept)


def read_weight(host: nn.Module, name: str) -> Tensor:
    """Return the weight that a host multiplies with.

    Raises:
        AdapterProblem: it keeps the weight packed.
    """
    weight = dense_weight(host)
    if weight is None:
        raise AdapterProblem(
            f"{name} cannot be merged: {type(host).__name__} keeps its weight packed. Load the "
            "model without quantization to merge."
        )
    return weight


def _write_weight(host: nn.Module, weight: Tensor) -> None:
    write = getattr(host, "set_weight", None)
    if write is not None:
        write(weight)
    else:
        own = host.get_parameter("weight")
        own.copy_(weight.to(own.device))


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
        if site.kind == "norm":
            hosts.append(host)
            continue
        # A quantized weight may be packed: then its shape says nothing.
        if isinstance(weight, Tensor) and weight.is_floating_point():
            expected = (rows, site.columns, *kernel)
            if shape != expected:
                raise AdapterProblem(
                    f"The module {module} has a weight of {shape}; {site.name} needs {expected}."
                )
        hosts.append(host)
    return hosts


def _device_of(host: nn.Module) -> torch.device:
    for tensor in (*host.parameters(), *host.buffers()):
        return tensor.device
    return torch.device("cpu")
