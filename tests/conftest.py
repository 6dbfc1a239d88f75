"""Fixtures and hooks of the whole suite."""

from collections import defaultdict

import pytest

from tests.matrix.extent import FULL_PROFILE
from tests.support.leak_table import note, pytest_terminal_summary

__all__ = ["note", "pytest_collection_modifyitems", "pytest_terminal_summary"]

_ALL_OF_THEM = 2
"""So many cases of a test with the real agent are tried in any run."""
_ONE_IN = 3
"""Of how many cases one is tried, where there are more."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what takes long to the full run: most cases of a test with the real agent."""
    if FULL_PROFILE:
        return
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    left = {item for item in items if item.get_closest_marker("full") is not None}
    for item in items:
        if item.get_closest_marker("agent") is not None:
            cases[item.nodeid.partition("[")[0]].append(item)
    for of in cases.values():
        if len(of) > _ALL_OF_THEM:
            left |= {item for place, item in enumerate(of) if place % _ONE_IN}
    if left:
        config.hook.pytest_deselected(items=list(left))
        items[:] = [item for item in items if item not in left]
