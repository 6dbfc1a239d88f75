"""What budgets have spent: kept up with the ledger exactly, reserved by one bridge at a time."""

import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acp_bridge.ledger.database import LedgerError, open_for_writing
from acp_bridge.ledger.records import Released, ReservationRow, Row, SpentRow
from acp_bridge.ledger.shares import Amounts, Share
from acp_bridge.ledger.spending import Spending, Spent
from acp_bridge.ledger.storing import Store
from acp_bridge.metering.model_names import is_model
from acp_bridge.metering.usage import CostKind, Tokens
from acp_bridge.modes import BillingMode, Bucket
from tests.ledger.rows import NOON, TOKENS, spent

A, B = BillingMode.API_KEY, BillingMode.SUBSCRIPTION
BILLED, LISTED = CostKind.BILLED_ESTIMATE, CostKind.LIST_PRICE_EQUIVALENT
SECOND = timedelta(seconds=1)
EVERYTHING = Share("everything")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def spending(path: Path) -> Iterator[Spending]:
    with Spending(path) as opened:
        yield opened


def store(path: Path, rows: Iterable[Row]) -> None:
    store = Store(open_for_writing(path))
    store.write(list(rows))
    store.close()


def reservation(name: str, **changes: object) -> ReservationRow:
    row = ReservationRow(
        reservation_id=name,
        run_id="run",
        session_id="session",
        at=NOON,
        mode=B,
        bucket=Bucket.PLAN_LIMITS,
        cost_kind=LISTED,
        project="/project",
        model="opus",
        tokens=1000,
        cost_micros=5000,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def used(spending: Spending, share: Share) -> Amounts:
    return spending.spent([share])[0].used


def reserved(spending: Spending, share: Share = EVERYTHING) -> Amounts:
    return spending.spent([share])[0].reserved


def take(spending: Spending, row: ReservationRow) -> None:
    assert spending.reserve([], row, lambda _: True)


def test_an_empty_ledger_has_spent_nothing(spending: Spending) -> None:
    assert spending.spent([EVERYTHING]) == [Spent(Amounts(), Amounts())]
    assert spending.oldest(EVERYTHING) is None


def test_one_entry_is_counted_with_its_cost_tokens_and_requests(
    path: Path, spending: Spending
) -> None:
    store(path, [spent("a", cost_micros=1500, requests=1)])
    assert used(spending, EVERYTHING) == Amounts(1500, TOKENS.total, 1)


def test_what_nobody_knows_is_counted_apart(path: Path, spending: Spending) -> None:
    store(path, [spent("a", cost_micros=None, tokens=None), spent("b", cost_micros=None)])
    assert used(spending, EVERYTHING) == Amounts(0, TOKENS.total, 2, uncosted=2, untold=1)


def test_other_money_is_not_added_and_its_tokens_are(path: Path, spending: Spending) -> None:
    store(path, [spent("a"), spent("b", cost_kind=BILLED, mode=A, cost_micros=7)])
    assert used(spending, Share("x", cost_kind=BILLED)) == Amounts(7, 2 * TOKENS.total, 2)


@pytest.mark.parametrize(
    ("wanted", "model", "same"),
    [("opus", "opus-5", False), ("claude-opus*", "Claude-Opus-5-5", True), ("*", None, False)],
)
def test_a_model_is_counted_that_meets_the_pattern(
    path: Path,
    spending: Spending,
    wanted: str,
    model: str | None,
    same: bool,  # noqa: FBT001 - a table
) -> None:
    share = Share("x", model=wanted)
    store(path, [spent("a", model=model)])
    assert used(spending, share).requests == (1 if same else 0)
    store(path, [spent("b", model=model)])
    assert used(spending, share).requests == (2 if same else 0)


@pytest.mark.parametrize(
    ("project", "counted"),
    [
        ("/project", True),
        ("/project/below", True),
        ("/projects", False),
        ("/", False),
        (None, False),
    ],
)
def test_a_project_counts_what_is_below_it(
    path: Path,
    spending: Spending,
    project: str | None,
    counted: bool,  # noqa: FBT001 - a table
) -> None:
    share = Share("x", project="/project")
    late = replace(spent("late", project=project))
    store(path, [spent("a", project=project)])
    assert bool(used(spending, share).requests) is counted
    store(path, [late])
    assert used(spending, share).requests == (2 if counted else 0)


def test_the_root_directory_counts_every_project(path: Path, spending: Spending) -> None:
    store(path, [spent("a", project="/anywhere"), spent("b", project=None)])
    assert used(spending, Share("x", project="/")).requests == 1


def test_the_oldest_entry_of_a_share_is_found(path: Path, spending: Spending) -> None:
    store(
        path,
        [
            spent("a", at=NOON - 3 * SECOND, model="haiku"),
            spent("b", at=NOON - 2 * SECOND),
            spent("c", at=NOON),
        ],
    )
    assert spending.oldest(Share("x", model="opus")) == NOON - 2 * SECOND
    assert spending.oldest(Share("x", since=NOON - SECOND)) == NOON
    assert spending.oldest(Share("x", since=NOON + SECOND)) is None


def test_a_reservation_is_held_until_it_is_released(path: Path, spending: Spending) -> None:
    take(spending, reservation("one"))
    take(spending, reservation("two"))
    assert reserved(spending) == Amounts(10_000, 2000, 2)
    store(path, [Released(run_id="run", reservation_id="one")])
    assert [one.reservation_id for one in spending.reservations()] == ["two"]
    store(path, [Released(run_id="other")])
    assert reserved(spending).requests == 1
    store(path, [Released(run_id="run")])
    assert reserved(spending) == Amounts()


def test_a_reservation_comes_out_as_it_went_in(spending: Spending) -> None:
    bare = reservation("b", session_id=None, project=None, model=None, cost_micros=None)
    full = reservation("a", at=NOON - timedelta(microseconds=1))
    take(spending, bare)
    take(spending, full)
    assert spending.reservations() == [full, bare]


@pytest.mark.parametrize(
    ("share", "held"),
    [
        (Share("x", mode=B), True),
        (Share("x", mode=A), False),
        (Share("x", bucket=Bucket.EXTRA_USAGE), False),
        (Share("x", model="opus"), True),
        (Share("x", model="haiku"), False),
        (Share("x", project="/project"), True),
        (Share("x", project="/elsewhere"), False),
        (Share("x", session_ids=("session", "more")), True),
        (Share("x", session_ids=("more",)), False),
        (Share("x", since=NOON), True),
        (Share("x", since=NOON + SECOND), False),
    ],
)
def test_a_reservation_counts_where_its_entry_will(
    spending: Spending,
    share: Share,
    held: bool,  # noqa: FBT001 - a table
) -> None:
    take(spending, reservation("one"))
    assert bool(reserved(spending, share).requests) is held


def test_what_a_reservation_does_not_name_may_be_anything(spending: Spending) -> None:
    take(spending, reservation("one", session_id=None, project=None, model=None))
    named = Share("x", model="haiku", project="/elsewhere", session_ids=("more",))
    assert reserved(spending, named).requests == 1


def test_a_reservation_of_other_money_holds_tokens_alone(spending: Spending) -> None:
    take(spending, reservation("one"))
    assert reserved(spending, Share("x", cost_kind=BILLED)) == Amounts(0, 1000, 1)


def test_a_refused_reservation_is_not_kept(spending: Spending) -> None:
    seen: list[Spent] = []

    def refuse(found: list[Spent]) -> bool:
        seen.extend(found)
        return False

    assert not spending.reserve([EVERYTHING], reservation("one"), refuse)
    assert seen == [Spent(Amounts(), Amounts())]
    assert spending.reservations() == []


def test_an_error_in_the_decision_reserves_nothing(spending: Spending) -> None:
    def fail(_: list[Spent]) -> bool:
        raise RuntimeError("no decision")

    with pytest.raises(RuntimeError):
        spending.reserve([EVERYTHING], reservation("one"), fail)
    assert spending.reservations() == []


def test_two_threads_cannot_both_take_the_last_of_a_limit(path: Path) -> None:
    limit, each = 40, 12
    taken: list[str] = []

    def work(worker: int) -> None:
        with Spending(path) as spending:
            for number in range(each):
                name = f"{worker}-{number}"

                def admits(found: list[Spent]) -> bool:
                    return found[0].used.requests + found[0].reserved.requests < limit

                if spending.reserve([EVERYTHING], reservation(name), admits):
                    taken.append(name)

    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(taken) == limit


def test_a_ledger_that_was_replaced_is_read_anew(path: Path, spending: Spending) -> None:
    store(path, [spent("a"), spent("b")])
    assert used(spending, EVERYTHING).requests == 2
    for file in path.parent.iterdir():
        file.unlink()
    store(path, [spent("a")])
    assert used(spending, EVERYTHING).requests == 1


def test_entries_that_were_pruned_are_no_longer_counted(path: Path, spending: Spending) -> None:
    store(path, [spent("a"), spent("b")])
    assert used(spending, EVERYTHING).requests == 2
    connection = open_for_writing(path)
    for table in ("usage", "place_quarters", "charge_quarters"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - own names
    connection.close()
    assert used(spending, EVERYTHING).requests == 0


def test_entries_that_take_the_place_of_pruned_ones_are_counted(
    path: Path, spending: Spending
) -> None:
    store(path, [spent("a"), spent("b")])
    assert used(spending, EVERYTHING).requests == 2
    connection = open_for_writing(path)
    for table in ("usage", "place_quarters", "charge_quarters"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - own names
    connection.close()
    store(path, [spent("c"), spent("d")])
    assert used(spending, EVERYTHING).requests == 2


def test_a_damaged_ledger_is_an_error_in_words(path: Path) -> None:
    path.write_bytes(b"no database" * 100)
    with pytest.raises(LedgerError, match="is no database"):
        Spending(path)


def test_a_ledger_that_vanished_under_the_budgets_is_begun_anew(
    path: Path, spending: Spending
) -> None:
    store(path, [spent("a")])
    shutil.rmtree(path.parent)
    assert used(spending, EVERYTHING) == Amounts()


ENTRIES = st.builds(
    lambda key, seconds, model, mode, project, session, cost, requests: spent(
        str(key),
        at=NOON + timedelta(seconds=seconds),
        model=model,
        mode=mode,
        cost_kind=BILLED if mode is A else LISTED,
        project=project,
        session_id=session,
        cost_micros=cost,
        requests=requests,
        tokens=Tokens(1, 2, 3, 4, 5) if requests else None,
    ),
    st.integers(0, 10**9),
    st.integers(-4000, 4000),
    st.sampled_from(["opus", "haiku", None]),
    st.sampled_from([A, B]),
    st.sampled_from(["/p", "/p/q", "/r", None]),
    st.sampled_from(["s1", "s2", None]),
    st.one_of(st.none(), st.integers(-5, 1000)),
    st.sampled_from([None, 0, 1, 2]),
)
SHARES = st.builds(
    Share,
    st.just("x"),
    mode=st.sampled_from([None, A, B]),
    cost_kind=st.sampled_from([None, BILLED, LISTED]),
    model=st.sampled_from([None, "opus", "*u*"]),
    project=st.sampled_from([None, "/p", "/"]),
    session_ids=st.sampled_from([None, ("s1",), ("s1", "s2")]),
)


def expected(rows: Iterable[SpentRow], share: Share, since: datetime) -> Amounts:
    total = Amounts()
    for row in rows:
        entry = row.entry
        counted = (
            entry.at >= since
            and share.mode in (None, row.mode)
            and (share.model is None or is_model(share.model, entry.model or ""))
            and (share.session_ids is None or entry.session_id in share.session_ids)
            and (
                share.project is None
                or (row.project is not None and row.project.startswith(share.project))
            )
        )
        if counted:
            money = share.cost_kind in (None, row.cost_kind)
            total.add(
                Amounts(
                    (entry.cost_micros or 0) * money,
                    entry.tokens.total if entry.tokens else 0,
                    entry.requests or 0,
                    int(money and entry.cost_micros is None),
                    0 if entry.tokens else (1 if entry.requests is None else entry.requests),
                )
            )
    return total


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(ENTRIES, max_size=8), st.integers(-3000, 4000)), min_size=1, max_size=5
    ),
    SHARES,
)
def test_a_sum_that_is_kept_up_equals_one_that_is_made_anew(
    steps: list[tuple[list[SpentRow], int]], share: Share
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        rows: dict[str, SpentRow] = {}
        with Spending(path) as spending:
            for batch, seconds in steps:
                store(path, batch)
                for row in batch:
                    rows.setdefault(row.entry.key, row)
                since = NOON + timedelta(seconds=seconds)
                wanted = expected(rows.values(), share, since)
                assert used(spending, replace(share, since=since)) == wanted
