"""Leaves out, for now, a module that a library imports and does not use until much later."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextmanager
def imported_late(name: str) -> Iterator[None]:
    """Within the block, importing the module costs nothing; using it imports it.

    Args:
        name: a top-level module. If it is there already, nothing is done.
    """
    if name in sys.modules:
        yield
        return
    later = _Later(name)
    sys.modules[name] = later
    try:
        yield
    finally:
        if sys.modules.get(name) is later:
            del sys.modules[name]
