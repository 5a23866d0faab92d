"""The bank of rank-one units that tasks have learned, and how a method composes them into updates.

A task's adapter at a site is `rank` units: `down` (rank, in) and `up` (out, rank). `up` starts at exactly zero, so a
new adapter changes nothing. Units are numbered over tasks in the order in which they were added; a method says with
which coefficients each unit takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from core.adapters.module_list import ModulesOf
from core.adapters.sites import Site
from core.adapters.updates import LowRank, Updates


class Adapter(nn.Module):
    """One task's units at every site and, for methods that reuse units, its coefficients of earlier tasks' units."""

    def __init__(
        self, shapes: Mapping[Site, tuple[int, int]], rank: int, earlier_units: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.rank = rank
        self.down, self.up, self.reuse = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
        for site, (out_features, in_features) in shapes.items():
            # Kaiming-uniform with a = √5, LoRA's own choice, is uniform in ±1/√in.
            bound = in_features**-0.5
            draw = torch.rand(rank, in_features, generator=generator) * 2 * bound - bound
            self.down[site.name] = nn.Parameter(draw)
            self.up[site.name] = nn.Parameter(torch.zeros(out_features, rank))
            if earlier_units:
                self.reuse[site.name] = nn.Parameter(torch.zeros(earlier_units))

    def parameters_at(self, site: Site) -> list[nn.Parameter]:
        """The parameters that are trained at a site."""
        return [group[site.name] for group in (self.down, self.up, self.reuse) if site.name in group]

    @torch.no_grad()
    def take(self, units: Mapping[Site, tuple[Tensor, Tensor]]) -> None:
        """Become `units`, down (units, in) and up (out, units) of some sites, zero at all others, and stay so."""
        for site_name in self.down:
            self.down[site_name].zero_()
            self.up[site_name].zero_()
        for site, (down, up) in units.items():
            self.down[site.name][: len(down)] = down
            self.up[site.name][:, : len(down)] = up
        for group in (self.down, self.up):
            group.requires_grad_(False)

    def state_at(self, sites: Iterable[Site]) -> dict[str, Tensor]:
        """`state_dict` without the sites that are not among `sites`, on the CPU."""
        kept = {site.name for site in sites}
        state = self.state_dict()
        return {key: state[key].detach().cpu().clone() for key in state if key.partition(".")[2] in kept}


class AdapterBank(nn.Module):
    """All tasks' adapters at the same sites."""

    def __init__(self, shapes: Mapping[Site, tuple[int, int]], device: torch.device) -> None:
        super().__init__()
        self.shapes, self.device = dict(shapes), device
        self.adapters: ModulesOf[Adapter] = ModulesOf()

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(self.shapes)

    def __len__(self) -> int:
        return len(self.adapters)

    def effects(self, site: Site, tasks: int) -> Tensor:
        """(units,) ‖b_u‖ ‖a_u‖ of the first `tasks` adapters at a site: the size of what each whole unit adds."""
        down, up = self.stacked(site, tasks)
        return (up.norm(dim=0) * down.norm(dim=1)).detach()

    def units(self, tasks: int | None = None) -> int:
        """Units at each site of the first `tasks` adapters (None: of all)."""
        return sum(adapter.rank for adapter in self.adapters[:tasks])

    def add(self, rank: int, generator: torch.Generator, *, reuse: bool = False) -> Adapter:
        """A new adapter that changes nothing yet, coefficients at zero; those before it are frozen from here on."""
        for adapter in self.adapters:
            adapter.requires_grad_(False)
        adapter = Adapter(self.shapes, rank, self.units() if reuse else 0, generator)
        self.adapters.append(adapter.to(self.device))
        return adapter

    def stacked(self, site: Site, tasks: int) -> tuple[Tensor, Tensor]:
        """`down` (units, in) and `up` (out, units) of the first `tasks` adapters at a site."""
        adapters = self.adapters[:tasks]
        down = torch.cat([adapter.down[site.name] for adapter in adapters])
        return down, torch.cat([adapter.up[site.name] for adapter in adapters], dim=1)

    def compose(
        self, tasks: int, coefficients: Callable[[Site], Tensor], sites: Iterable[Site] | None = None
    ) -> Updates:
        """Updates over the units of the first `tasks` adapters, at `sites` (None: at all).

        `coefficients(site)` is (units,).
        """
        updates: dict[int, dict[str, LowRank]] = {}
        for site in self.sites if sites is None else sites:
            down, up = self.stacked(site, tasks)
            updates.setdefault(site.block, {})[site.projection] = LowRank(down, up, coefficients(site))
        return updates

    def overlap(self, task: int) -> Tensor:
        """‖A_old A_newᵀ‖²_F + ‖B_oldᵀ B_new‖²_F summed over sites: 0 when the new units are orthogonal to the old.

        Source: Proteus asks for orthogonality; the form of the penalty is our decision. A scalar with gradient.
        """
        new = self.adapters[task]
        total = torch.zeros((), device=self.device)
        for site in self.sites if task else ():
            down, up = self.stacked(site, task)
            total = total + (down.detach() @ new.down[site.name].T).square().sum()
            total = total + (up.detach().T @ new.up[site.name]).square().sum()
        return total

    @torch.no_grad()
    def cosine_overlap(self, task: int, other: int) -> float:
        """Mean of ‖A_i A_jᵀ‖_F / (‖A_i‖ ‖A_j‖), in 0 to 1, over the sites where both tasks have units: how far they
        read the same directions; 0 where there is no such site."""
        values = []
        for site in self.sites:
            a, b = self.adapters[task].down[site.name], self.adapters[other].down[site.name]
            if a.any() and b.any():
                values.append(float((a @ b.T).norm() / (a.norm() * b.norm())))
        return sum(values) / max(1, len(values))

    def load_adapter(self, tensors: Mapping[str, Tensor], absent: Iterable[Site] = ()) -> Adapter:
        """Add the adapter that `Adapter.state_at` described; at the sites `absent` from it everything is zero."""
        rank = next(value.shape[0] for key, value in tensors.items() if key.startswith("down."))
        reuse = any(key.startswith("reuse.") for key in tensors)
        adapter = self.add(rank, torch.Generator().manual_seed(0), reuse=reuse)
        for site in absent:
            for parameter in adapter.parameters_at(site):
                parameter.data.zero_()
        adapter.load_state_dict({**adapter.state_at(absent), **tensors})
        return adapter


def site_shapes(sites: Iterable[Site], shape: Callable[[str], tuple[int, int]]) -> dict[Site, tuple[int, int]]:
    """(out, in) of every site, from a backbone's `site_shape`."""
    return {site: shape(site.projection) for site in sites}
