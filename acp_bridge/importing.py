"""What makes the imports before the agent's start cheaper: everything there delays the agent."""

import gc
import os
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


@contextmanager
def without_collections() -> Iterator[None]:
    """Within the block, no garbage is looked for; what lives at its end is never looked at again.

    Importing makes tens of thousands of objects that stay; looking through them again and again is
    a tenth of the time that importing pydantic takes.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


@contextmanager
def without_plugins() -> Iterator[None]:
    """Within the block, pydantic does not look through every installed package for plugins.

    Besides the time, a plugin is code of a third party that would see credentials.
    """
    former = os.environ.get(_PLUGINS)
    os.environ[_PLUGINS] = "__all__"
    try:
        yield
    finally:
        if former is None:
            del os.environ[_PLUGINS]
        else:
            os.environ[_PLUGINS] = former
