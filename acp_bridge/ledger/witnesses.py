"""What each witness told of a session, and what the ledger's own entries hold of it.

A witness's figures are those of a whole session in one run. So a period chooses sessions, by the
moment of the last figure that was told of them, and never a part of one: every session is in one
and only one of the periods that follow one another.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from acp_bridge.ledger.records import WitnessRow
from acp_bridge.ledger.schema import TOKEN_COLUMNS
from acp_bridge.ledger.storing import micros, time_of
from acp_bridge.metering.usage import Source, State, Tokens

Cell = tuple[str, str, str]
"""A run, a session and a model; the last two are empty where nobody named them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions are asked for; ``since`` is part of the period, ``until`` is not."""

    run_id: str | None = None
    session_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What was said of the sessions asked for.

    Attributes:
        witnesses: by run, within a run by when the session was last told of, then by model.
        recorded: the ledger's entries of the same sessions. What something else spent in them
            (state ``outside``) is not in it: no witness of the run can have seen it.
    """

    witnesses: list[WitnessRow]
    recorded: dict[Cell, Tokens]


def witnessed(connection: sqlite3.Connection, wanted: Wanted) -> Told:
    """Look it up.

    Raises:
        sqlite3.Error: the ledger cannot be read.
    """
    chosen, bound = _sessions(wanted)
    told = connection.execute(_TOLD.format(sessions=chosen), bound)
    rows = [_row(found) for found in told]
    recorded = connection.execute(_RECORDED.format(sessions=chosen), bound)
    return Told(rows, {(run, at, model): Tokens(*of) for run, at, model, *of in recorded})


_KINDS = ", ".join(TOKEN_COLUMNS)
_TOLD = f"""
    SELECT run_id, session_id, source, model, requests, cost_micros, at, {_KINDS}
    FROM witnesses JOIN ({{sessions}}) USING (run_id, session_id)
    ORDER BY run_id, told_at, session_id, model, source
"""  # noqa: S608 - own names
_RECORDED = f"""
    SELECT s.run_id, s.session_id, ifnull(c.model, '') AS named,
        {", ".join(f"sum(t.{column})" for column in TOKEN_COLUMNS)}
    FROM ({{sessions}}) s
    JOIN places p ON p.run_id = s.run_id AND ifnull(p.session_id, '') = s.session_id
    JOIN place_quarters t ON t.place_id = p.id
    JOIN kinds k ON k.id = t.kind_id JOIN charges c ON c.id = k.charge_id
    WHERE k.state <> '{State.OUTSIDE}' GROUP BY s.run_id, s.session_id, named
"""  # noqa: S608 - own names


def _sessions(wanted: Wanted) -> tuple[str, list[str | int]]:
    """SQL for the sessions asked for, and what is bound to its marks."""
    places = {"run_id = ?": wanted.run_id, "session_id = ?": wanted.session_id}
    period = {"told_at >= ?": micros(wanted.since), "told_at < ?": micros(wanted.until)}
    where, of_places = _conditions(places)
    having, of_period = _conditions(period)
    sql = (
        "SELECT run_id, session_id, max(at) AS told_at FROM witnesses"  # noqa: S608 - own names
        f" WHERE {where} GROUP BY run_id, session_id HAVING {having}"
    )
    return sql, [*of_places, *of_period]


def _conditions(
    asked: dict[str, str | None] | dict[str, int | None],
) -> tuple[str, list[str | int]]:
    given = {condition: value for condition, value in asked.items() if value is not None}
    return " AND ".join(given) or "1", list(given.values())


def _row(found: Sequence[Any]) -> WitnessRow:
    run_id, session_id, source, model, requests, cost_micros, at, *counts = found
    return WitnessRow(
        run_id=run_id,
        session_id=session_id,
        source=Source(source),
        model=model,
        tokens=Tokens(*counts),
        requests=requests,
        cost_micros=cost_micros,
        at=time_of(at),
    )
