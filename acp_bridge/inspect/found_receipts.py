"""Which receipts are asked for, and the document that holds them: ``receipt --json``.

    {schema_version, session_id: the client's session or null for whole runs,
     receipts: [receipt], other_runs: [run_id]}

``other_runs`` had the session, too, and are not shown. A receipt is a document of
`acp_bridge.run.receipt_document`. Its figures are the ledger's; what was decided and seen is the
registry's for as long as that remembers the run, and then the ledger's as well.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from acp_bridge.errors import ConfigurationError
from acp_bridge.inspect.stored_run import stored_run
from acp_bridge.inspect.told import LISTED, listed
from acp_bridge.ledger import ledger_path
from acp_bridge.ledger.receipts import ReceiptLedger
from acp_bridge.ledger.report import GroupKey
from acp_bridge.ledger.runs import read_runs
from acp_bridge.run.receipt_document import run_receipt, session_receipt
from acp_bridge.run.usage_document import usage_document

SCHEMA_VERSION = 1
SHORTEST_BEGINNING = 8
"""Characters of a session's id that can stand for all of it."""

Json = dict[str, Any]

_NOT_ALWAYS_TOLD = ("plan", "policy_version", "bridge_version")
_NOTHING_YET = '`acp-bridge ask "hello"` makes one'


@dataclass(frozen=True, slots=True)
class Asked:
    """Which receipts.

    Attributes:
        session: the beginning of a session's id; None for the newest session.
        run_id: only this run; without a session all of it.
        every_run: of each run that had the session, not of the newest alone.
    """

    session: str | None = None
    run_id: str | None = None
    every_run: bool = False


def receipts_document(state_dir: Path, asked: Asked) -> Json:
    """The receipts that are asked for.

    Raises:
        ConfigurationError: nothing has that id, or more than one session.
        LedgerError: the ledger cannot be read.
    """
    registered = {run["run_id"]: run for run in read_runs(state_dir) if "sessions" in run}
    with ReceiptLedger(ledger_path(state_dir)) as ledger, ledger.at_one_moment():
        records = _Records(registered, ledger)
        if asked.run_id is not None and asked.session is None:
            return _document(None, [records.of_run(asked.run_id)], ())
        session_id = records.session(asked.session)
        had = records.runs_of(session_id)
        shown = _shown(asked, session_id, had)
        receipts = [records.of_session(session_id, run_id) for run_id in shown]
        return _document(session_id, receipts, (one for one in had if one not in shown))


def _document(session_id: str | None, receipts: list[Json], others: Iterable[str]) -> Json:
    return {
        "schema_version": SCHEMA_VERSION,
        "session_id": session_id,
        "receipts": receipts,
        "other_runs": list(others),
    }


def _shown(asked: Asked, session_id: str, had: list[str]) -> list[str]:
    if asked.run_id is None:
        return had if asked.every_run else had[:1]
    if asked.run_id not in had:
        raise ConfigurationError(
            f"the run {asked.run_id!r} did not have the session {session_id!r}",
            hint=f"it was had by {listed(had)}",
        )
    return [asked.run_id]


class _Records:
    """What registry and ledger hold together."""

    def __init__(self, registered: Mapping[str, Json], ledger: ReceiptLedger) -> None:
        self._registered = registered
        self._ledger = ledger

    def session(self, wanted: str | None) -> str:
        """The client's session that is meant."""
        newest = self._newest()
        if wanted is None:
            if not newest:
                raise ConfigurationError("no session is recorded", hint=_NOTHING_YET)
            return newest[0]
        found = self._named(wanted)
        if not found:
            raise ConfigurationError(f"no session {wanted!r} is recorded", hint=_hint(newest))
        if len(found) > 1:
            raise ConfigurationError(
                f"{wanted!r} begins the ids of {len(found)} sessions",
                hint=f"write more of one of {listed(found)}",
            )
        return found[0]

    def runs_of(self, session_id: str) -> list[str]:
        """The runs that had a session, the newest first."""
        since = {
            run_id: datetime.fromisoformat(run["started_at"])
            for run_id, run in self._registered.items()
            if _session_of(run, session_id) is not None
        }
        since |= {part.run_id: part.opened_at for part in self._ledger.parts(session_id)}
        return sorted(since, key=lambda run_id: (since[run_id], run_id), reverse=True)

    def of_run(self, run_id: str) -> Json:
        """The receipt of a whole run."""
        run, usage = self._run(run_id), self._usage(run_id)
        return run_receipt(run, bridge_version=run["bridge_version"], **usage)

    def of_session(self, session_id: str, run_id: str) -> Json:
        """The receipt of what a run had of a session."""
        run, usage = self._run(run_id), self._usage(run_id, session_id)
        session = _session_of(self._registered.get(run_id, {}), session_id)
        for part in self._ledger.parts(session_id):
            if part.run_id == run_id:
                known = {"session_id": session_id, "cwd": part.cwd, "model": part.model}
                rows, totals = usage["by_model"]["rows"], usage["by_model"]["totals"]
                session = known | (session or {}) | {"usage": totals if rows else None}
        run["sessions"] = [session]
        return session_receipt(run, session_id, bridge_version=run["bridge_version"], **usage)

    def _run(self, run_id: str) -> Json:
        row = self._ledger.run(run_id)
        stored = {} if row is None else stored_run(self._ledger, row)
        registered = self._registered.get(run_id, {})
        if not stored and not registered:
            newest = sorted(
                {*self._registered, *(one.run_id for one in self._ledger.runs(limit=LISTED))}
            )
            raise ConfigurationError(
                f"no run {run_id!r} is recorded", hint=_hint(newest[: -LISTED - 1 : -1])
            )
        # The two note the end one after the other; the moment that stays is the ledger's.
        ended = {"ended_at": stored["ended_at"]} if stored.get("ended_at") else {}
        return dict.fromkeys(_NOT_ALWAYS_TOLD) | stored | registered | ended

    def _usage(self, run_id: str, session_id: str | None = None) -> Json:
        """What a receipt is given of what was used, by its name there."""
        keys = (GroupKey.MODEL, GroupKey.STATE, GroupKey.BUCKET, GroupKey.SOURCE)
        reports = {key: self._ledger.used(key, run_id, session_id) for key in keys}
        documents = {f"by_{key}": usage_document(report) for key, report in reports.items()}
        return documents | {"uncosted_entries": reports[GroupKey.MODEL].totals.uncosted_entries}

    def _newest(self) -> list[str]:
        """The sessions that were opened last, the newest first.

        Of those that only the registry knows, because the ledger could not be written, it is known
        when their run began.
        """
        since = {session_id: at for at, session_id in self._ledger.newest(LISTED)}
        unlisted: dict[str, datetime] = {}
        for run in self._registered.values():
            for session in run["sessions"]:
                unlisted.pop(session["session_id"], None)
                unlisted[session["session_id"]] = datetime.fromisoformat(run["started_at"])
        since = unlisted | since
        return sorted(since, key=lambda session_id: since[session_id])[::-1][:LISTED]

    def _named(self, wanted: str) -> list[str]:
        ids = {one["session_id"] for run in self._registered.values() for one in run["sessions"]}
        if wanted in ids:
            return [wanted]
        if (found := self._ledger.named(wanted)) or len(wanted) < SHORTEST_BEGINNING:
            return found
        registered = (one for one in ids if one.startswith(wanted))
        return sorted({*registered, *self._ledger.beginning_with(wanted)})


def _session_of(run: Json, session_id: str) -> Json | None:
    sessions: list[Json] = run.get("sessions", [])
    return next((one for one in sessions if one["session_id"] == session_id), None)


def _hint(newest: list[str]) -> str:
    return f"the newest are {listed(newest)}" if newest else _NOTHING_YET
