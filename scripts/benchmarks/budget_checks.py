"""What a check of budgets costs on a ledger: the first one in a process, and each after it."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

from year_of_usage import PAYERS, PROJECTS, START, sessions

from acp_bridge.ledger.database import open_for_writing
from acp_bridge.ledger.records import Released, ReservationRow, SpentRow
from acp_bridge.ledger.storing import Store
from acp_bridge.policy.budget_rows import read_budgets
from acp_bridge.policy.budgets import Allow, Spender
from acp_bridge.run.budget_books import BudgetBooks

CHECKS = 200
AT = START + timedelta(days=349)
"""Shortly before the last day at work of the made-up year."""
WINDOWS = ("5h", "168h", "day", "week", "month")
BUDGETS = [
    {"name": f"all-{window}", "window": window, "limit_tokens": 10**12} for window in WINDOWS
] + [
    {"name": "usd", "window": "month", "limit_usd": "999999", "money": "billed_estimate"},
    {"name": "model", "window": "month", "limit_tokens": 10**12, "scope": {"model": "*opus*"}},
    {"name": "project", "window": "month", "limit_usd": "999999", "scope": {"mode": "api-key"}},
    {"name": "below", "window": "month", "limit_tokens": 10**12, "scope": {"project": PROJECTS[0]}},
    {"name": "session", "window": "session", "limit_requests": 10**9},
]


def measure_budgets(path: Path) -> tuple[float, float, float]:
    """Milliseconds of a check of ten budgets that reserves.

    Between two checks an entry is added and the reservation before it is released, as in a run.

    Returns:
        The first check, which sums up; the median of those after it; the slowest of these.
    """
    mode, _, bucket, cost_kind = PAYERS[0]
    budgets = read_budgets(BUDGETS, origin="benchmark", default_zone="UTC")
    spender = Spender(
        mode=mode,
        bucket=bucket,
        project=PROJECTS[0],
        model="claude-opus-4-1",
        session_ids=frozenset({"s"}),
    )
    reservation = ReservationRow(
        reservation_id="",
        run_id="r",
        session_id="s",
        at=AT,
        mode=mode,
        bucket=bucket,
        cost_kind=cost_kind,
        tokens=100_000,
        cost_micros=10**6,
    )
    entries = _entries()
    store = Store(open_for_writing(path))
    books = BudgetBooks(path)
    times = []
    for number in range(CHECKS):
        row = replace(reservation, reservation_id=str(number))
        begin = time.perf_counter()
        verdict = books.admit(budgets, spender, AT + timedelta(seconds=number), reservation=row)
        times.append((time.perf_counter() - begin) * 1e3)
        assert isinstance(verdict, Allow)
        store.write([next(entries), Released(run_id="r", reservation_id=str(number))])
    books.close()
    store.close()
    first, *later = times
    return first, statistics.median(later), max(later)


def _entries() -> Iterator[SpentRow]:
    """Further entries, of now."""
    (_, _, spent) = next(sessions(1_000_000))
    for number in count():
        row = spent[number % len(spent)]
        entry = replace(row.entry, key=f"more-{number}", at=AT + timedelta(seconds=number))
        yield replace(row, entry=entry)
