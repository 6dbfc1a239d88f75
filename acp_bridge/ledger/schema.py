"""The ledger's tables, as an ordered list of migrations counted by ``PRAGMA user_version``.

Times are integer microseconds since the epoch (UTC), money is integer micro-dollars, what is
unknown is NULL. Nothing updates a row of ``usage``, and nothing but
`acp_bridge.ledger.pruning` deletes one.

``charges``, ``kinds`` and ``places`` hold the words that many entries share, so that ``usage`` and
the sums over it store and compare small integers; the view ``entries`` shows each entry with all
its words, for people with a SQLite shell.

``place_quarters`` and ``charge_quarters`` are sums of ``usage`` by quarter of an hour, the first
with everything that one can group by, the second smaller for what is asked most. They are written
in the transaction that adds the entries. Every time zone in use is a multiple of a quarter of an
hour away from UTC, so that hours, days, weeks and months of any zone are sums of whole quarters.

``place_sums`` are the same sums by session and subagent, over all time: reports by session, project
or subagent would have to add up nearly as many quarters as there are entries.

``witnesses`` holds what each witness said in all, for comparison; nothing is summed from it, and a
row is replaced when its witness says more.

``reservations`` holds what requests that are under way may cost at most, so that several bridges
cannot spend the same rest of a budget. A row goes when its request's entry has come.

The tables are not STRICT: SQLite knows that from 3.37 on, and an older one (3.26 and 3.34 are
still shipped with Python 3.11) cannot even read a file that has such a table. The oldest SQLite
that works is 3.24, which brought the upsert.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from acp_bridge.metering.usage import AskedBy, Source, State

if TYPE_CHECKING:
    import sqlite3

QUARTER = 15 * 60 * 1_000_000
"""Microseconds of a quarter of an hour."""

TOKEN_COLUMNS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)
_FIRST_CHARGE_COLUMNS = ("mode", "credential_class", "bucket", "surface", "cost_kind", "model")
CHARGE_COLUMNS = (*_FIRST_CHARGE_COLUMNS, "policy_version")
KIND_COLUMNS = ("asked_by", "source", "state")
PLACE_COLUMNS = ("run_id", "session_id", "project")
SUM_COLUMNS = (
    "entries",  # how many
    "uncounted",  # those whose number of requests is unknown
    "requests",  # of the others
    "unknown_requests",  # requests whose tokens are unknown
    *TOKEN_COLUMNS,
    "cost_micros",
    "uncosted",  # entries whose cost is unknown
)

BREAKDOWN_COLUMNS = (
    *(f"from_{source}" for source in Source),
    *(f"in_{state}" for state in State),
    *(f"tokens_{state}" for state in State),
    *(f"unasked_{column}" for column in SUM_COLUMNS),
)
"""Requests by source and by state, all tokens by state, and the part that nobody typed."""

_UNASKED = ", ".join(f"'{asked}'" for asked in AskedBy if asked.unasked)

ENTRY_SUMS = (
    "1",
    "t.requests IS NULL",
    "ifnull(t.requests, 0)",
    "CASE WHEN t.input_tokens IS NULL THEN ifnull(t.requests, 1) ELSE 0 END",
    *(f"ifnull(t.{column}, 0)" for column in (*TOKEN_COLUMNS, "cost_micros")),
    "t.cost_micros IS NULL",
)
"""What a row ``t`` of ``usage`` adds to `SUM_COLUMNS`, in their order, in SQL."""

QUARTER_SUMS = tuple(f"t.{column}" for column in SUM_COLUMNS)
"""The same of a row of ``place_quarters``."""


def with_breakdown(sums: Sequence[str]) -> str:
    """SQL for the sums of rows ``t`` joined with ``kinds k``, and for their breakdown.

    Args:
        sums: what one row adds to `SUM_COLUMNS`, in their order.
    """
    requests = sums[SUM_COLUMNS.index("requests")]
    first = SUM_COLUMNS.index(TOKEN_COLUMNS[0])
    tokens = f"({' + '.join(sums[first : first + len(TOKEN_COLUMNS)])})"
    parts = (
        *sums,
        *(f"CASE WHEN k.source = '{source}' THEN {requests} ELSE 0 END" for source in Source),
        *(f"CASE WHEN k.state = '{state}' THEN {requests} ELSE 0 END" for state in State),
        *(f"CASE WHEN k.state = '{state}' THEN {tokens} ELSE 0 END" for state in State),
        *(f"CASE WHEN k.asked_by IN ({_UNASKED}) THEN {of} ELSE 0 END" for of in sums),
    )
    return ", ".join(f"sum({part})" for part in parts)


def _entries(charge_columns: Sequence[str]) -> str:
    """Each entry with all its words."""
    return f"""SELECT usage.*, {", ".join((*charge_columns, *KIND_COLUMNS, *PLACE_COLUMNS))}
    FROM usage JOIN kinds ON kinds.id = kind_id JOIN charges ON charges.id = charge_id
    JOIN places ON places.id = place_id"""  # noqa: S608 - own names


_BASE = f"""
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, mode TEXT NOT NULL, credential_class TEXT NOT NULL,
    bucket TEXT NOT NULL, guard TEXT NOT NULL, guarantees TEXT NOT NULL,
    started_at INTEGER NOT NULL, ended_at INTEGER, agent_name TEXT, agent_version TEXT,
    claude_version TEXT, cwd TEXT
);
CREATE INDEX runs_by_start ON runs (started_at);
CREATE TABLE sessions (
    run_id TEXT NOT NULL, session_id TEXT NOT NULL, opened_at INTEGER NOT NULL, ended_at INTEGER,
    settled_at INTEGER, cwd TEXT, model TEXT, turn_began_at INTEGER,
    PRIMARY KEY (run_id, session_id)
);
CREATE INDEX sessions_awaiting ON sessions (session_id) WHERE settled_at IS NULL;
CREATE TABLE charges (
    id INTEGER PRIMARY KEY, {", ".join(f"{column} TEXT" for column in _FIRST_CHARGE_COLUMNS)}
);
CREATE TABLE kinds (
    id INTEGER PRIMARY KEY, charge_id INTEGER NOT NULL REFERENCES charges,
    {", ".join(f"{column} TEXT NOT NULL" for column in KIND_COLUMNS)}
);
CREATE TABLE places (id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, session_id TEXT, project TEXT);
CREATE INDEX places_by_run ON places (run_id);
CREATE INDEX places_by_session ON places (session_id);
CREATE TABLE usage (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, at INTEGER NOT NULL,
    kind_id INTEGER NOT NULL REFERENCES kinds, place_id INTEGER NOT NULL REFERENCES places,
    agent_id TEXT, turn INTEGER, requests INTEGER,
    {", ".join(f"{column} INTEGER" for column in TOKEN_COLUMNS)},
    cost_micros INTEGER, request_id TEXT, duration_ms INTEGER, ttft_ms INTEGER, detail TEXT
);
CREATE INDEX usage_by_time ON usage (at);
CREATE INDEX usage_by_place ON usage (place_id);
CREATE VIEW entries AS
    {_entries(_FIRST_CHARGE_COLUMNS)};
CREATE TABLE evidence (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
    source TEXT NOT NULL, value TEXT NOT NULL, verdict TEXT NOT NULL
);
CREATE INDEX evidence_by_run ON evidence (run_id);
CREATE TABLE violations (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, at INTEGER NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX violations_by_run ON violations (run_id);
CREATE TABLE readings (
    id INTEGER PRIMARY KEY, session_id TEXT NOT NULL, model TEXT NOT NULL, at INTEGER NOT NULL,
    run_id TEXT NOT NULL, {", ".join(f"{column} INTEGER NOT NULL" for column in TOKEN_COLUMNS)},
    cost_micros INTEGER
);
CREATE INDEX readings_by_session ON readings (session_id);
"""


def _counters(columns: Sequence[str]) -> str:
    return ", ".join(f"{column} INTEGER NOT NULL" for column in columns)


_QUARTERS = f"""
CREATE TABLE place_quarters (
    quarter INTEGER NOT NULL, kind_id INTEGER NOT NULL, place_id INTEGER NOT NULL,
    agent_id TEXT NOT NULL, {_counters(SUM_COLUMNS)},
    PRIMARY KEY (quarter, kind_id, place_id, agent_id)
) WITHOUT ROWID;
CREATE INDEX place_quarters_by_place ON place_quarters (place_id);
CREATE TABLE charge_quarters (
    quarter INTEGER NOT NULL, charge_id INTEGER NOT NULL,
    {_counters((*SUM_COLUMNS, *BREAKDOWN_COLUMNS))}, PRIMARY KEY (quarter, charge_id)
) WITHOUT ROWID;
INSERT INTO place_quarters
    SELECT at / {QUARTER}, kind_id, place_id, ifnull(agent_id, ''),
        {", ".join(f"sum({part})" for part in ENTRY_SUMS)}
    FROM usage t GROUP BY 1, 2, 3, 4;
INSERT INTO charge_quarters
    SELECT quarter, charge_id, {with_breakdown(QUARTER_SUMS)}
    FROM place_quarters t JOIN kinds k ON k.id = kind_id GROUP BY 1, 2;
"""  # noqa: S608 - own names

_WITNESSES = f"""
CREATE TABLE witnesses (
    run_id TEXT NOT NULL, session_id TEXT NOT NULL, source TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER, {_counters(TOKEN_COLUMNS)}, cost_micros INTEGER, at INTEGER NOT NULL,
    PRIMARY KEY (run_id, session_id, source, model)
) WITHOUT ROWID;
"""

_POLICIES = f"""
ALTER TABLE charges ADD COLUMN policy_version TEXT;
DROP VIEW entries;
CREATE VIEW entries AS
    {_entries(CHARGE_COLUMNS)};
ALTER TABLE runs ADD COLUMN plan TEXT;
ALTER TABLE runs ADD COLUMN policy_version TEXT;
ALTER TABLE runs ADD COLUMN bridge_version TEXT;
ALTER TABLE runs ADD COLUMN removed TEXT;
ALTER TABLE runs ADD COLUMN wire TEXT;
ALTER TABLE sessions ADD COLUMN client_session_id TEXT;
CREATE TABLE reservations (
    id TEXT PRIMARY KEY, run_id TEXT NOT NULL, session_id TEXT, at INTEGER NOT NULL,
    mode TEXT NOT NULL, bucket TEXT NOT NULL, cost_kind TEXT NOT NULL, project TEXT, model TEXT,
    requests INTEGER NOT NULL, tokens INTEGER NOT NULL, cost_micros INTEGER
) WITHOUT ROWID;
CREATE INDEX reservations_by_run ON reservations (run_id);
"""

SUMS_OF_PLACES = f"""
    SELECT place_id, agent_id, charge_id, {with_breakdown(QUARTER_SUMS)}
    FROM place_quarters t JOIN kinds k ON k.id = kind_id"""  # noqa: S608 - own names
"""The rows of ``place_sums``, without the ``GROUP BY`` of its first three columns."""

_SUMS = f"""
CREATE TABLE place_sums (
    place_id INTEGER NOT NULL, agent_id TEXT NOT NULL, charge_id INTEGER NOT NULL,
    {_counters((*SUM_COLUMNS, *BREAKDOWN_COLUMNS))}, PRIMARY KEY (place_id, agent_id, charge_id)
) WITHOUT ROWID;
INSERT INTO place_sums {SUMS_OF_PLACES} GROUP BY 1, 2, 3;
"""

MIGRATIONS = (_BASE, _QUARTERS, _WITNESSES, _POLICIES, _SUMS)
"""Version N of the schema is what the first N leave. Once released, a migration never changes."""


def migrate(connection: "sqlite3.Connection") -> None:
    """Bring the schema to the newest version, in one transaction; several processes may try.

    Raises:
        sqlite3.Error: it could not be done, and nothing changed.
    """
    if version_of(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in MIGRATIONS[version_of(connection) :]:
            for statement in migration.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def version_of(connection: "sqlite3.Connection") -> int:
    """The version of the schema in the file; 0 in an empty one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
