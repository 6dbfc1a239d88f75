"""Reservations: what requests that are under way may cost at most."""

import sqlite3
from collections.abc import Iterator

from acp_bridge.ledger.records import ReservationRow
from acp_bridge.ledger.storing import micros, time_of
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import BillingMode, Bucket

_COLUMNS = (
    "id, run_id, session_id, at, mode, bucket, cost_kind, project, model, requests, tokens,"
    " cost_micros"
)


def read_reservations(connection: sqlite3.Connection) -> Iterator[ReservationRow]:
    """All reservations, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM reservations ORDER BY at, id"  # noqa: S608 - own names
    for row in connection.execute(sql):
        yield ReservationRow(
            reservation_id=row[0],
            run_id=row[1],
            session_id=row[2],
            at=time_of(row[3]),
            mode=BillingMode(row[4]),
            bucket=Bucket(row[5]),
            cost_kind=CostKind(row[6]),
            project=row[7],
            model=row[8],
            requests=row[9],
            tokens=row[10],
            cost_micros=row[11],
        )


def store_reservation(connection: sqlite3.Connection, row: ReservationRow) -> None:
    """Store a reservation.

    Raises:
        sqlite3.IntegrityError: there is one with its id.
    """
    marks = ", ".join("?" * len(_COLUMNS.split(",")))
    connection.execute(
        f"INSERT INTO reservations ({_COLUMNS}) VALUES ({marks})",  # noqa: S608 - own names
        (
            *(row.reservation_id, row.run_id, row.session_id, micros(row.at)),
            *(row.mode, row.bucket, row.cost_kind, row.project, row.model),
            *(row.requests, row.tokens, row.cost_micros),
        ),
    )
