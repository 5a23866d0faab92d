"""`nn.ModuleList` that tells the type checker what it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar, cast, overload

from torch import nn

M = TypeVar("M", bound=nn.Module)


class ModulesOf(nn.Module, Generic[M]):
    """A growing list of modules of one kind, all of them in `state_dict`."""

    def __init__(self, modules: Iterable[M] = ()) -> None:
        super().__init__()
        for module in modules:
            self.append(module)

    def append(self, module: M) -> None:
        self.add_module(str(len(self)), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[M]:
        return iter(cast("list[M]", list(self._modules.values())))

    @overload
    def __getitem__(self, index: int) -> M: ...
    @overload
    def __getitem__(self, index: slice) -> list[M]: ...
    def __getitem__(self, index: int | slice) -> M | list[M]:
        return cast("list[M]", list(self._modules.values()))[index]
