"""Walks over a core with one mutation in it, imported afresh beside the real one.

`imported_afresh` does the same for whatever else drives code that has a mutation in it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Protocol

_AFRESH = ("tallystick.domain", "tests.property")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, with the text it is given."""

    def __init__(self, name: str, source: str) -> None:
        self._name = name
        self._loader = _Loader(source)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.util.spec_from_loader(name, self._loader)


class _Loader(importlib.abc.InspectLoader):
    def __init__(self, source: str) -> None:
        self._source = source

    def get_source(self, fullname: str) -> str:
        return self._source


class Walk(Protocol):
    def __call__(self, seed: int, steps: int) -> object: ...


class Mutated(Protocol):
    """A module whose text was changed."""

    @property
    def name(self) -> str: ...

    def source(self) -> str: ...


@contextmanager
def walks_with(mutation: Mutated | None, walks: str = "tests.property.walk") -> Iterator[Walk]:
    """The walks of a module, over a core that was imported afresh with the mutation in it."""
    with imported_afresh(_AFRESH, mutation):
        walk: Walk = importlib.import_module(walks).walk
        yield walk


@contextmanager
def imported_afresh(rooms: tuple[str, ...], mutation: Mutated | None) -> Iterator[None]:
    """Within, the modules of these rooms are new ones when they are imported, one of them mutated;
    after it, the old ones are back."""
    finders = [] if mutation is None else [_Finder(mutation.name, mutation.source())]
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_afresh(name, rooms)}
    sys.meta_path[:0] = finders
    try:
        yield
    finally:
        del sys.meta_path[: len(finders)]
        for name in [name for name in sys.modules if _is_afresh(name, rooms)]:
            del sys.modules[name]
        sys.modules.update(kept)
        for name, module in kept.items():
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)


def _is_afresh(name: str, rooms: tuple[str, ...]) -> bool:
    """What is imported anew: the code and what drives it, not what stands outside looking on."""
    return name.startswith(rooms) and not name.rpartition(".")[2].startswith(("test_", "mutant"))
