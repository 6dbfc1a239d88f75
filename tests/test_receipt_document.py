"""A receipt says what the status and usage documents say, and nothing that they do not."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from acp_bridge.ledger.report import GroupKey, Report, ReportRow, RowSum
from acp_bridge.ledger.sums import breakdown_of, sums_of
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State, Tokens, UsageEntry
from acp_bridge.modes import Bucket
from acp_bridge.run.receipt_document import run_receipt, session_receipt
from acp_bridge.run.usage_document import figures, usage_document
from tests.documents import assert_receipt, assert_status

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
RUN_ID = "20260131-120000-a1b2c3"
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
Json = dict[str, Any]


def entry(
    session_id: str | None,
    model: str,
    number: int,
    *,
    state: State = State.LIVE,
    asked_by: AskedBy = AskedBy.MAIN,
) -> UsageEntry:
    """An API request that nobody could take for another."""
    return UsageEntry(
        key=f"request:{number}",
        run_id=RUN_ID,
        session_id=session_id,
        at=AT,
        source=Source.TELEMETRY,
        state=state,
        asked_by=asked_by,
        model=model,
        tokens=Tokens(number, 10 * number, 100 * number, 1000 * number, 10_000 * number),
        cost_micros=7 * number,
    )


ENTRIES = (
    entry("first", OPUS, 1),
    entry("first", HAIKU, 2, asked_by=AskedBy.TITLE),
    entry("first", OPUS, 3, state=State.SETTLED),
    entry("second", OPUS, 4),
    entry("second, cleared", OPUS, 5),
    entry(None, OPUS, 6),
)
CLIENT_SESSIONS = {"first": ["first"], "second": ["second", "second, cleared"], "idle": []}


def row(entries: list[UsageEntry], values: tuple[str | None, ...] = ()) -> ReportRow:
    found = RowSum()
    for one in entries:
        sums = sums_of(one)
        found.add(CostKind.BILLED_ESTIMATE, [*sums, *breakdown_of(one, sums)])
    return found.row(values, pending=False)


def usage_by(*keys: GroupKey, entries: Sequence[UsageEntry] = ENTRIES) -> Json:
    """Entries as a usage document."""

    def values(one: UsageEntry) -> tuple[str | None, ...]:
        said = {
            GroupKey.SESSION: one.session_id,
            GroupKey.MODEL: one.model,
            GroupKey.STATE: one.state.value,
            GroupKey.SOURCE: one.source.value,
            GroupKey.BUCKET: Bucket.API.value,
        }
        return tuple(said[key] for key in keys)

    groups = sorted({values(one) for one in entries}, key=str)
    rows = [row([one for one in entries if values(one) == group], group) for group in groups]
    return usage_document(Report(keys, rows, row(list(entries))))


def entries_of(session_id: str) -> list[UsageEntry]:
    """The entries of a session of the client."""
    return [one for one in ENTRIES if one.session_id in CLIENT_SESSIONS.get(session_id, ())]


def session(session_id: str) -> Json:
    own = entries_of(session_id)
    usage = figures(row(own)) if own else None
    return {"session_id": session_id, "cwd": f"/{session_id}", "model": "default", "usage": usage}


@pytest.fixture
def run() -> Json:
    """A run of mode A, as the status document has it."""
    run = {
        "run_id": RUN_ID,
        "pid": 4321,
        "alive": True,
        "mode": "api-key",
        "mode_letter": "A",
        "guarantees": "enforced",
        "agent": {"name": "claude-agent-acp", "version": "0.9.0", "claude_version": "2.9.0"},
        "guard": "off",
        "started_at": "2026-01-31T12:00:00+00:00",
        "ended_at": None,
        "expected_credential_class": "api_key",
        "bucket": "api",
        "plan": None,
        "policy_version": None,
        "limits": [],
        "removed": [{"channel": "env.ANTHROPIC_AUTH_TOKEN", "origin": "environment"}],
        "evidence": [
            {
                "kind": "declared",
                "source": "launch plan",
                "at": "2026-01-31T12:00:01+00:00",
                "value": "api_key",
                "verdict": "agrees",
            }
        ],
        "wire": {"presented": {"none": 1}, "attached": {"api_key": 2}},
        "violations": [
            {"reason": "mode_locked", "at": "2026-01-31T12:00:02+00:00", "detail": "logout"}
        ],
        "sessions": [session(one) for one in CLIENT_SESSIONS],
        "metering": {
            "telemetry": True,
            "sources": [
                {"session_id": "first", "source": "telemetry"},
                {"session_id": "second", "source": "acp"},
            ],
            "falls_back": ["a company's own telemetry"],
            "pending": True,
            "ledger": {"ok": True, "reason": "", "hint": "", "lost": 0},
        },
    }
    assert_status({"schema_version": 1, "bridges": [run]})
    return run


def receipt(run: Json) -> Json:
    by_model, by_state = usage_by(GroupKey.MODEL), usage_by(GroupKey.STATE)
    found = run_receipt(run, by_model=by_model, by_state=by_state, bridge_version="1.2.3")
    assert_receipt(found)
    return found


def receipt_of(session_id: str, run: Json) -> Json:
    found = session_receipt(
        run,
        session_id,
        by_model=usage_by(GroupKey.MODEL, entries=entries_of(session_id)),
        by_state=usage_by(GroupKey.STATE, entries=entries_of(session_id)),
        bridge_version="1.2.3",
    )
    assert_receipt(found)
    return found


def test_the_receipt_of_a_run_says_of_it_what_its_status_says(run: Json) -> None:
    found = receipt(run)
    assert found["run"].items() <= run.items()
    for name in ("evidence", "violations", "wire", "metering"):
        assert found[name] == run[name]
    assert found["decisions"] == {"removed": run["removed"]}
    assert found["session"] is None


def test_it_names_the_versions_of_all_three_programs(run: Json) -> None:
    assert receipt(run)["versions"] == {
        "bridge": "1.2.3",
        "agent_name": "claude-agent-acp",
        "agent_version": "0.9.0",
        "claude_version": "2.9.0",
    }


def test_a_version_that_nobody_noted_is_null(run: Json) -> None:
    run["agent"] = {"name": None, "version": None, "claude_version": None}
    by_model, by_state = usage_by(GroupKey.MODEL), usage_by(GroupKey.STATE)
    found = run_receipt(run, by_model=by_model, by_state=by_state, bridge_version=None)
    assert_receipt(found)
    assert set(found["versions"].values()) == {None}


def test_the_usage_of_a_run_is_that_of_the_usage_documents(run: Json) -> None:
    by_model, by_state = usage_by(GroupKey.MODEL), usage_by(GroupKey.STATE)
    usage = receipt(run)["usage"]
    assert usage["by_model"] == by_model["rows"]
    assert usage["by_state"] == by_state["rows"]
    assert usage["totals"] == by_model["totals"] == by_state["totals"]


def test_the_receipt_of_a_session_names_it_and_has_its_rows_and_totals_alone(run: Json) -> None:
    found = receipt_of("first", run)
    own = [one for one in ENTRIES if one.session_id == "first"]
    assert found["session"] == {"session_id": "first", "cwd": "/first", "model": "default"}
    assert [(one["model"], one["requests"]) for one in found["usage"]["by_model"]] == [
        (HAIKU, 1),
        (OPUS, 2),
    ]
    assert [(one["state"], one["requests"]) for one in found["usage"]["by_state"]] == [
        ("live", 2),
        ("settled", 1),
    ]
    assert found["usage"]["totals"] == figures(row(own)) == run["sessions"][0]["usage"]


def test_the_receipt_of_a_session_has_the_runs_evidence_and_its_own_source(run: Json) -> None:
    whole, found = receipt(run), receipt_of("first", run)
    for name in ("run", "versions", "decisions", "evidence", "violations", "wire"):
        assert found[name] == whole[name]
    assert found["metering"]["sources"] == [{"session_id": "first", "source": "telemetry"}]
    assert len(run["metering"]["sources"]) == 2


def test_a_session_in_which_nothing_was_counted_has_no_rows_and_unknown_totals(run: Json) -> None:
    usage = receipt_of("idle", run)["usage"]
    assert (usage["by_model"], usage["by_state"], usage["totals"]) == ([], [], None)


def test_a_run_without_a_meter_has_receipts_too(run: Json) -> None:
    """``exec`` hands the terminal over, and nobody counts."""
    run["metering"] = None
    assert receipt(run)["metering"] is None
    assert receipt_of("first", run)["metering"] is None


def test_a_session_that_the_run_has_not_is_an_error(run: Json) -> None:
    with pytest.raises(KeyError, match="nobody"):
        receipt_of("nobody", run)


def test_usage_that_is_grouped_by_something_else_is_an_error(run: Json) -> None:
    by_model, by_state = usage_by(GroupKey.MODEL), usage_by(GroupKey.STATE)
    both = usage_by(GroupKey.SESSION, GroupKey.MODEL)
    for wrong in ((by_state, by_state), (by_model, by_model), (both, by_state)):
        with pytest.raises(ValueError, match="grouped by"):
            run_receipt(run, by_model=wrong[0], by_state=wrong[1], bridge_version=None)
    for wrong in ((by_state, by_state), (both, both)):
        with pytest.raises(ValueError, match="grouped by"):
            session_receipt(run, "first", by_model=wrong[0], by_state=wrong[1], bridge_version=None)


def test_usage_by_bucket_and_source_and_what_has_no_cost_are_in_it_where_they_are_told(
    run: Json,
) -> None:
    by: Json = {
        "by_model": usage_by(GroupKey.MODEL),
        "by_state": usage_by(GroupKey.STATE),
        "by_bucket": usage_by(GroupKey.BUCKET),
        "by_source": usage_by(GroupKey.SOURCE),
    }
    of_run = run_receipt(run, bridge_version=None, uncosted_entries=3, **by)
    of_session = session_receipt(run, "first", bridge_version=None, uncosted_entries=3, **by)
    for found in (of_run, of_session):
        assert_receipt(found)
        assert found["usage"]["by_bucket"] == by["by_bucket"]["rows"] != []
        assert found["usage"]["by_source"] == by["by_source"]["rows"] != []
        assert found["usage"]["uncosted_entries"] == 3


def test_where_they_are_not_told_they_are_unknown(run: Json) -> None:
    for found in (receipt(run), receipt_of("first", run)):
        for name in ("by_bucket", "by_source", "uncosted_entries"):
            assert found["usage"][name] is None


def test_bucket_and_source_cannot_be_taken_for_one_another(run: Json) -> None:
    by: Json = {"by_model": usage_by(GroupKey.MODEL), "by_state": usage_by(GroupKey.STATE)}
    bucket, source = usage_by(GroupKey.BUCKET), usage_by(GroupKey.SOURCE)
    with pytest.raises(ValueError, match="grouped by"):
        run_receipt(run, bridge_version=None, by_bucket=source, **by)
    with pytest.raises(ValueError, match="grouped by"):
        run_receipt(run, bridge_version=None, by_source=bucket, **by)


def test_the_plan_and_the_billing_policy_are_named_once_the_run_knows_them(run: Json) -> None:
    assert receipt(run)["policy"] == {"plan": None, "policy_version": None}
    run |= {"plan": "max-20x", "policy_version": "2026-11-26"}
    for found in (receipt(run), receipt_of("first", run)):
        assert found["policy"] == {"plan": "max-20x", "policy_version": "2026-11-26"}


def test_what_the_ledger_alone_cannot_know_of_a_run_is_null_in_its_receipt(run: Json) -> None:
    run |= {"removed": None, "wire": None, "metering": None}
    for found in (receipt(run), receipt_of("first", run)):
        assert found["decisions"] == {"removed": None}
        assert (found["wire"], found["metering"]) == (None, None)


def test_making_a_receipt_changes_nothing(run: Json) -> None:
    before = repr(run)
    receipt(run)
    receipt_of("first", run)
    assert repr(run) == before
