"""Fixtures of the tests of a run."""

from collections.abc import Iterator

import pytest

from tests.run.budget_desk import Desk


@pytest.fixture(autouse=True)
def _closed_desks() -> Iterator[None]:
    yield
    Desk.close_all()
