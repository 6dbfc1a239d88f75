"""Fixtures and hooks of the whole suite."""

from collections import defaultdict

import pytest

from tests.matrix.extent import FULL_PROFILE
from tests.support.leak_table import note, pytest_terminal_summary

__all__ = ["note", "pytest_collection_modifyitems", "pytest_terminal_summary"]

_ALL_OF_THEM = 2
"""So many cases of a test with the real agent are tried in any run."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave every other case of a test with the real agent, which takes long, to the full run."""
    if FULL_PROFILE:
        return
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("agent") is not None:
            cases[item.nodeid.partition("[")[0]].append(item)
    left = {item for of in cases.values() if len(of) > _ALL_OF_THEM for item in of[1::2]}
    if left:
        config.hook.pytest_deselected(items=list(left))
        items[:] = [item for item in items if item not in left]
