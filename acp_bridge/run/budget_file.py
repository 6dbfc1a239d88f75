"""The budgets that a user set, and those that a plan brings along."""

import os
import time
from collections.abc import Callable, Mapping
from datetime import date, tzinfo
from pathlib import Path
from typing import Any

from acp_bridge.errors import ConfigurationError
from acp_bridge.policy.billing import BillingPolicy
from acp_bridge.policy.budget_rows import pool_budget, read_budgets
from acp_bridge.policy.budgets import Budget
from acp_bridge.run.local_time import LocalZone
from acp_bridge.settings import Settings, read_tables


def users_budgets(settings: Settings, *, zone: tzinfo | None = None) -> tuple[Budget, ...]:
    """The budgets in the user's file.

    Args:
        settings: with the file's tables.
        zone: of budgets that name none; None for the machine's own.

    Raises:
        ConfigurationError: one is wrong; the message names it and the key.
    """
    return _read(settings.tables, settings.config_file, zone)


_Stamp = tuple[int, int, int]
"""Which file it is, its size, and when it was changed last (nanoseconds)."""
_EMPTY_FOR_NS = 2_000_000_000


class BudgetFile:
    """The budgets in the user's file, read anew when it has changed: who raises one, waits no more.

    Args:
        settings: name the file.
        budgets: what was read from it last.
        failed: told once that the file cannot be read any more; what was read last holds then.
    """

    def __init__(
        self,
        settings: Settings,
        budgets: tuple[Budget, ...],
        failed: Callable[[ConfigurationError], None] = lambda _: None,
    ) -> None:
        self._path = settings.config_file
        self._budgets = budgets
        self._failed = failed
        self._stamp = _stamp(self._path)

    def current(self) -> tuple[Budget, ...]:
        """The budgets as of now. Blocks."""
        stamp = _stamp(self._path)
        if stamp is not None and stamp != self._stamp and not _is_being_written(stamp):
            try:
                self._budgets = _read(read_tables(self._path), self._path, None)
            except ConfigurationError as error:
                self._failed(error)
            self._stamp = stamp
        return self._budgets


def plan_pools(
    settings: Settings, policy: BillingPolicy, on: date, *, zone: tzinfo | None = None
) -> tuple[Budget, ...]:
    """The pool that the user's plan gives on a day, as a budget; empty where it gives none.

    Args:
        settings: with the plan.
        policy: tells what a plan gives, and since when.
        on: the day.
        zone: whose midnight begins the month; None for the machine's own.
    """
    pool = None if settings.plan is None else policy.pool(settings.plan, on)
    if pool is None:
        return ()
    budget = pool_budget(
        f"plan:{settings.plan}",
        pool.bucket,
        pool.usd,
        in_force=pool.in_force,
        zone=zone or LocalZone(),
    )
    return () if budget is None else (budget,)


def _read(tables: Mapping[str, Any], path: Path, zone: tzinfo | None) -> tuple[Budget, ...]:
    written = tables.get("budget", [])
    if isinstance(written, list):
        written = [_expanded(table) for table in written]
    return read_budgets(written, origin=str(path), default_zone=zone or LocalZone())


def _is_being_written(stamp: _Stamp) -> bool:
    """Whether it is empty and was changed just now: an editor may write it in two steps."""
    _, size, changed_ns = stamp
    return size == 0 and time.time_ns() - changed_ns < _EMPTY_FOR_NS


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _expanded(table: object) -> object:
    """The table, its project's ``~`` expanded."""
    if not isinstance(table, Mapping) or not isinstance(table.get("scope"), Mapping):
        return table
    scope = dict(table["scope"])
    if isinstance(scope.get("project"), str):
        scope["project"] = os.path.expanduser(scope["project"])  # noqa: PTH111 - kept as written
    return {**table, "scope": scope}
