"""What budgets have spent, and reservations for what is under way: exact for all bridges of a user.

Each budget's sum is read once, then kept up with what was added since; so a check costs little,
however large the ledger is. A check that reserves is one transaction that locks the ledger for
writing: no two bridges can both see, and both take, the same rest of a budget.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from acp_bridge.ledger.database import explained, open_for_writing
from acp_bridge.ledger.records import ReservationRow
from acp_bridge.ledger.reservations import read_reservations, store_reservation
from acp_bridge.ledger.schema import QUARTER, TOKEN_COLUMNS
from acp_bridge.ledger.shares import (
    Amounts,
    Charge,
    Place,
    Share,
    amounts_of,
    is_at,
    is_charged,
    money_of,
    places,
    reserves,
)
from acp_bridge.ledger.storing import micros, time_of

_KEPT_SUMS = 256
_TOKENS = " + ".join(f"ifnull({column}, 0)" for column in TOKEN_COLUMNS)
_UNTOLD = "CASE WHEN input_tokens IS NULL THEN ifnull(requests, 1) ELSE 0 END"
_TOKENS_OF_QUARTER = " + ".join(TOKEN_COLUMNS)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a budget has spent, and what is reserved for what is under way."""

    used: Amounts
    reserved: Amounts


@dataclass(slots=True)
class _Kept:
    """A sum up to and with an entry, of entries from a moment (microseconds) on."""

    since: int
    used: Amounts = field(default_factory=Amounts)


class Spending:
    """Asks the ledger what budgets have spent. Use it in one thread at a time.

    Args:
        path: the ledger's file; it is made if need be.

    Raises:
        LedgerError: the ledger cannot be read or written; any method may raise it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_for_writing(path)
        self._inode = _inode(path)
        self._last_id = 0
        self._oldest: tuple[int, str] | None = None
        self._kept: OrderedDict[Share, _Kept] = OrderedDict()
        self.holders: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be repeated."""
        self._connection.close()

    def spent(self, shares: Sequence[Share]) -> list[Spent]:
        """What each share has spent."""
        with self._transaction("BEGIN"):
            return self._spent(shares)

    def reserve(
        self,
        shares: Sequence[Share],
        reservation: ReservationRow,
        admits: Callable[[list[Spent]], bool],
    ) -> bool:
        """Reserve, if what the shares have spent admits it: nobody reserves or records meanwhile.

        Args:
            shares: what to look at.
            reservation: what to store then.
            admits: given what each share has spent, before the reservation.
        """
        with self._transaction("BEGIN IMMEDIATE"):
            admitted = admits(self._spent(shares))
            if admitted:
                store_reservation(self._connection, reservation)
        return admitted

    def oldest(self, share: Share) -> datetime | None:
        """When the oldest entry was made that a share counts; None if there is none."""
        with self._transaction("BEGIN"):
            where, bound = places(share)
            charges = [
                charge_id
                for charge_id, charge in _charges(self._connection)
                if is_charged(share, charge)
            ]
            among = ", ".join(map(str, charges))
            sql = (
                "SELECT at FROM usage t JOIN kinds k ON k.id = t.kind_id"  # noqa: S608 - own numbers
                f" WHERE at >= ? AND k.charge_id IN ({among}){where} ORDER BY at LIMIT 1"
            )
            since = max(0, micros(share.since) or 0)
            found = self._connection.execute(sql, (since, *bound)).fetchone()
        return time_of(found[0]) if found else None

    def reservations(self) -> list[ReservationRow]:
        """All that is reserved, oldest first."""
        with self._transaction("BEGIN"):
            return list(read_reservations(self._connection))

    def _spent(self, shares: Sequence[Share]) -> list[Spent]:
        self._keep_up()
        reserved = list(read_reservations(self._connection))
        self.holders = frozenset(one.run_id for one in reserved)
        return [self._of(share, reserved) for share in shares]

    def _of(self, share: Share, reserved: Sequence[ReservationRow]) -> Spent:
        since = max(0, micros(share.since) or 0)
        key = replace(share, since=None)
        kept = self._kept.get(key)
        if kept is None or since < kept.since:
            kept = _Kept(since, self._sum(share, since, None))
        elif since > kept.since:
            kept.used.add(self._sum(share, kept.since, since), -1)
            kept.since = since
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT_SUMS:
            self._kept.popitem(last=False)
        held = Amounts()
        for one in reserved:
            if reserves(share, one, since):
                held.add(amounts_of(share, one))
        used = Amounts()
        used.add(kept.used)
        return Spent(used, held)

    def _keep_up(self) -> None:
        """Add what was recorded since the last look to every sum that is kept."""
        (newest,) = self._connection.execute("SELECT ifnull(max(id), 0) FROM usage").fetchone()
        oldest = self._connection.execute(_OLDEST).fetchone()
        if newest < self._last_id or oldest != self._oldest:  # entries were pruned
            self._kept.clear()
        elif newest > self._last_id and self._kept:
            for charge, place, at, amounts in _added(self._connection, self._last_id):
                for share, kept in self._kept.items():
                    if at >= kept.since and is_at(share, place) and is_charged(share, charge):
                        kept.used.add(money_of(share, charge, amounts))
        self._last_id, self._oldest = newest, oldest

    def _sum(self, share: Share, since: int, until: int | None) -> Amounts:
        """The sum of entries from a moment on, before another one."""
        total = Amounts()
        charges = dict(_charges(self._connection))
        for charge_id, amounts in self._found(share, since, until):
            charge = charges[charge_id]
            if is_charged(share, charge):
                total.add(money_of(share, charge, amounts))
        return total

    def _found(self, share: Share, since: int, until: int | None) -> Iterator[tuple[int, Amounts]]:
        """Sums by charge: whole quarters of an hour from theirs, what is left from the entries."""
        first = -(-since // QUARTER)
        last = None if until is None else until // QUARTER
        if last is not None and last <= first:
            yield from self._entries(share, since, until)
            return
        yield from self._entries(share, since, first * QUARTER)
        yield from self._quarters(share, first, last)
        if last is not None:
            yield from self._entries(share, last * QUARTER, until)

    def _entries(
        self, share: Share, since: int, until: int | None
    ) -> Iterator[tuple[int, Amounts]]:
        if since == until:
            return
        where, bound = places(share)
        sql = (
            "SELECT k.charge_id, sum(cost_micros), sum(requests), sum(cost_micros IS NULL),"  # noqa: S608 - own names
            f" sum({_UNTOLD}), sum({_TOKENS})"
            " FROM usage t JOIN kinds k ON k.id = t.kind_id"
            f" WHERE at >= ? AND at < ?{where} GROUP BY 1"
        )
        end = _FOREVER if until is None else until
        yield from _summed(self._connection.execute(sql, (since, end, *bound)))

    def _quarters(
        self, share: Share, first: int, last: int | None
    ) -> Iterator[tuple[int, Amounts]]:
        where, bound = places(share)
        of_place = bool(where)
        table, charge = (
            ("place_quarters t JOIN kinds k ON k.id = t.kind_id", "k.charge_id")
            if of_place
            else ("charge_quarters t", "t.charge_id")
        )
        sql = (
            f"SELECT {charge}, sum(cost_micros), sum(requests), sum(uncosted),"  # noqa: S608 - own names
            f" sum(unknown_requests), sum({_TOKENS_OF_QUARTER}) FROM {table}"
            f" WHERE quarter >= ? AND quarter < ?{where} GROUP BY 1"
        )
        end = _FOREVER if last is None else last
        yield from _summed(self._connection.execute(sql, (first, end, *bound)))

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        try:
            self._reopen_if_replaced()
            self._connection.execute(begin)
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._forget()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as exc:
            raise explained(exc, self._path) from exc

    def _reopen_if_replaced(self) -> None:
        if _inode(self._path) != self._inode:
            self._connection.close()
            self._connection = open_for_writing(self._path)
            self._inode = _inode(self._path)
            self._forget()

    def _forget(self) -> None:
        self._kept.clear()
        self._last_id = 0
        self._oldest = None


_FOREVER = 1 << 62
_OLDEST = "SELECT id, key FROM usage ORDER BY id LIMIT 1"

_ADDED = f"""
SELECT c.mode, c.bucket, c.cost_kind, c.model, p.session_id, p.project, t.at, t.requests,
    t.cost_micros, {_UNTOLD}, {_TOKENS}
FROM usage t JOIN kinds k ON k.id = t.kind_id JOIN charges c ON c.id = k.charge_id
    JOIN places p ON p.id = t.place_id
WHERE t.id > ?
"""  # noqa: S608 - own names


def _charges(connection: sqlite3.Connection) -> Iterator[tuple[int, Charge]]:
    for found in connection.execute("SELECT id, mode, bucket, cost_kind, model FROM charges"):
        yield found[0], found[1:]


def _added(
    connection: sqlite3.Connection, last_id: int
) -> Iterator[tuple[Charge, Place, int, Amounts]]:
    for row in connection.execute(_ADDED, (last_id,)):
        (*charge, session_id, project, at, requests, cost, untold, tokens) = row
        mode, bucket, kind, model = charge
        amounts = Amounts(cost or 0, tokens, requests or 0, int(cost is None), untold)
        yield (mode, bucket, kind, model), (session_id, project), at, amounts


def _summed(rows: Iterator[Sequence[Any]]) -> Iterator[tuple[int, Amounts]]:
    for charge_id, cost, requests, uncosted, untold, tokens in rows:
        yield charge_id, Amounts(cost or 0, tokens or 0, requests or 0, uncosted or 0, untold or 0)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
