"""`acp-bridge receipt`: which session it takes, and what it says of it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.ledger.records import EvidenceRow, Row
from acp_bridge.modes import BillingMode, Bucket, Guard
from acp_bridge.run.record import KEPT_EVIDENCE, KEPT_VIOLATIONS
from tests.cli.receipt_command import (
    CLEARED,
    DAY,
    KILLED,
    LATER,
    MARKDOWN,
    OTHER,
    PAGE,
    RUN,
    SESSION,
    Receipt,
    ended,
    evidence,
    one,
    opened,
    small_ledger,
    violation,
)
from tests.cli.usage_command import Said, assert_wrong, write
from tests.documents import assert_receipts
from tests.ledger.rows import NOON, run, spent


def test_the_page_and_the_markdown_say_all_of_a_session(
    path: Path, receipt: Receipt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    write(path, *small_ledger())
    assert receipt(SESSION) == Said(0, PAGE.read_text(), "")
    assert receipt(SESSION, "--markdown") == Said(0, MARKDOWN.read_text(), "")


def test_the_document_has_the_sessions_figures_alone_and_before_and_after_it_was_cleared(
    path: Path, receipt: Receipt
) -> None:
    write(path, *small_ledger())
    found = one(receipt(SESSION, "--json"))
    assert found["session"] == {
        "session_id": SESSION,
        "cwd": "/home/somebody/project",
        "model": "opus",
    }
    assert found["policy"] == {"plan": "max-20x", "policy_version": "2026-11-26"}
    assert found["versions"]["bridge"] == "0.1"
    assert found["wire"]["attached"] == {"subscription_oauth": 4}
    usage = found["usage"]
    requests = {
        group: {row[group]: row["requests"] for row in usage[f"by_{group}"]}
        for group in ("model", "state", "bucket", "source")
    }
    assert requests == {
        "model": {"fable": 1, "haiku": 1, "opus": 3},
        "state": {"live": 4, "unknown": 1},
        "bucket": {"extra_usage": 1, "plan_limits": 4},
        "source": {"telemetry": 4, "wire": 1},
    }
    assert usage["totals"]["requests"] == 5
    assert usage["totals"]["cost"] == [
        {"cost_kind": "billed_estimate", "cost_usd": "0.002500"},
        {"cost_kind": "list_price_equivalent", "cost_usd": "0.004500"},
    ]
    assert usage["totals"]["pending"] is True
    assert usage["uncosted_entries"] == 1


def test_the_receipt_of_a_run_has_all_of_its_sessions(path: Path, receipt: Receipt) -> None:
    write(path, *small_ledger())
    said = receipt("--run", RUN, "--json")
    found = one(said)
    assert (said.document["session_id"], found["session"]) == (None, None)
    assert found["usage"]["totals"]["requests"] == 6
    assert receipt("--run", RUN).stdout.startswith(f"Receipt of run {RUN}\n")


def test_without_a_session_it_is_the_newest_that_a_client_opened(
    path: Path, receipt: Receipt
) -> None:
    rows = (
        opened(OTHER, OTHER, opened_at=NOON + DAY),
        opened("nested", None, opened_at=NOON + 2 * DAY),
    )
    write(path, ended(), opened(), *rows)
    assert receipt("--json").document["session_id"] == OTHER


@pytest.mark.parametrize("written", [SESSION, SESSION[:13], CLEARED, CLEARED[:13]])
def test_a_session_is_named_by_either_id_or_its_beginning(
    path: Path, receipt: Receipt, written: str
) -> None:
    write(path, *small_ledger())
    assert receipt(written, "--json").document["session_id"] == SESSION


def test_a_beginning_of_several_ids_is_wrong_and_they_are_named(
    path: Path, receipt: Receipt
) -> None:
    ids = [f"{SESSION[:-1]}{number}" for number in range(5)]
    write(path, ended(), *(opened(one, one) for one in ids))
    assert_wrong(receipt(SESSION[:8]), "begins the ids of 5 sessions", *ids[:3], "and 2 more")
    assert receipt(ids[2], "--json").document["session_id"] == ids[2]


def test_fewer_than_eight_characters_name_a_session_only_in_full(
    path: Path, receipt: Receipt
) -> None:
    write(path, ended(), opened(), opened("short", "short"))
    assert receipt("short", "--json").document["session_id"] == "short"
    assert_wrong(receipt(SESSION[:7]), "no session '0b8c7a5'")


def test_of_an_unknown_session_or_run_the_hint_names_the_newest(
    path: Path, receipt: Receipt
) -> None:
    ids = [f"session-{number}" for number in range(5)]
    rows = [opened(one, one, opened_at=NOON + n * DAY) for n, one in enumerate(ids)]
    runs = [replace(ended(one), started_at=NOON) for one in (RUN, LATER, KILLED)]
    write(path, *runs, *rows)
    assert_wrong(receipt("nobody-here"), "'nobody-here'", "session-4, session-3, session-2\n")
    assert_wrong(receipt("--run", "nothing"), "'nothing'", f"{LATER}, {RUN}, {KILLED}\n")


def resumed() -> list[Row]:
    """A session that two runs had."""
    return [
        *(ended(), ended(LATER)),
        *(opened(), opened(run_id=LATER, opened_at=NOON + DAY)),
        spent("1", run_id=RUN, session_id=SESSION),
        spent("2", run_id=LATER, session_id=SESSION, model="haiku"),
    ]


def runs_in(said: Said) -> list[str]:
    return [found["run"]["run_id"] for found in said.document["receipts"]]


def test_of_a_session_that_several_runs_had_the_newest_part_is_shown_and_the_others_are_told(
    path: Path, receipt: Receipt
) -> None:
    write(path, *resumed())
    found = one(said := receipt(SESSION, "--json"))
    assert (runs_in(said), said.document["other_runs"]) == ([LATER], [RUN])
    assert [row["model"] for row in found["usage"]["by_model"]] == ["haiku"]
    for form in ((), ("--markdown",)):
        assert receipt(SESSION, *form).stdout.splitlines()[-1] == (
            "1 other run had this session, too; --all shows what each had of it."
        )


def test_with_all_every_part_is_shown_and_with_run_the_one_that_is_named(
    path: Path, receipt: Receipt
) -> None:
    write(path, *resumed())
    every = receipt(SESSION, "--all", "--json")
    assert_receipts(every.document)
    assert (runs_in(every), every.document["other_runs"]) == ([LATER, RUN], [])
    assert receipt(SESSION, "--all").stdout.count("Receipt of session ") == 2
    only = receipt(SESSION, "--run", RUN, "--json")
    assert (runs_in(only), only.document["other_runs"]) == ([RUN], [LATER])


def test_a_run_that_had_not_the_session_is_wrong_and_those_that_had_it_are_named(
    path: Path, receipt: Receipt
) -> None:
    write(path, *resumed(), ended(KILLED))
    assert_wrong(receipt(SESSION, "--run", KILLED), KILLED, "did not have", f"{LATER}, {RUN}")


def test_of_a_run_whose_end_nobody_saw_the_wire_is_unknown_and_not_empty(
    path: Path, receipt: Receipt
) -> None:
    write(path, replace(run(RUN), guard=Guard.ENFORCE), opened())
    found = one(receipt("--json"))
    assert (found["run"]["ended_at"], found["wire"]) == (None, None)
    assert "  on the wire  not known\n" in receipt().stdout


def test_what_an_older_bridge_did_not_note_is_unknown(path: Path, receipt: Receipt) -> None:
    bare: Any = dict.fromkeys(("bridge_version", "removed", "wire", "plan", "policy_version"))
    write(path, ended(guard=Guard.ENFORCE, **bare), opened(client=None))
    found = one(receipt("--json"))
    assert (found["decisions"]["removed"], found["wire"]) == (None, None)
    assert found["versions"]["bridge"] is None
    assert found["policy"] == {"plan": None, "policy_version": None}
    page = receipt().stdout
    assert "  plan         not known; billing policy not known\n" in page
    assert "  removed      not known\n" in page


def test_what_somebody_garbled_in_the_ledger_is_unknown(path: Path, receipt: Receipt) -> None:
    write(path, ended(removed="[{", wire="{"), opened())
    found = one(receipt("--json"))
    assert (found["decisions"]["removed"], found["wire"]) == (None, None)


def test_of_a_long_run_the_newest_evidence_and_violations_are_kept(
    path: Path, receipt: Receipt
) -> None:
    """As many as a run's status keeps, so that both say the same."""
    told = [evidence(value=str(n), at=n) for n in range(KEPT_EVIDENCE + 1)]
    done = [violation(str(n)) for n in range(KEPT_VIOLATIONS + 1)]
    write(path, ended(), opened(), *told, *done)
    found = one(receipt("--json"))
    assert [of["value"] for of in found["evidence"]] == [str(n + 1) for n in range(KEPT_EVIDENCE)]
    assert [of["detail"] for of in found["violations"]] == [
        str(n + 1) for n in range(KEPT_VIOLATIONS)
    ]


@pytest.mark.parametrize(
    ("changes", "more", "bucket"),
    [
        ((), {}, "plan_limits"),
        (("extra_usage",), {}, "extra_usage"),
        (("extra_usage", "plan_limits"), {}, "plan_limits"),
        (("extra_usage", "unified"), {}, "extra_usage"),
        (("api",), {"mode": BillingMode.ENDPOINT, "bucket": Bucket.ENDPOINT}, "endpoint"),
        (("extra_usage",), {"guarantees": "none", "bucket": Bucket.UNKNOWN}, "unknown"),
    ],
)
def test_the_bucket_is_the_one_that_was_charged_last(
    path: Path, receipt: Receipt, changes: tuple[str, ...], more: Any, bucket: str
) -> None:
    """The ledger's run has the one that it began with; ``api`` is also a kind of rate limit."""
    seen = {"kind": "on_the_wire", "source": "rate_limit", "verdict": "note"}
    told = [
        EvidenceRow(run_id=RUN, at=NOON + timedelta(seconds=n), value=value, **seen)
        for n, value in enumerate(changes)
    ]
    contradiction = replace(evidence(value="programmatic_credit", at=9), source="rate_limit")
    write(path, ended(**more), opened(), *told, contradiction)
    assert one(receipt("--json"))["run"]["bucket"] == bucket


def test_a_session_in_which_nothing_was_counted_has_a_receipt(path: Path, receipt: Receipt) -> None:
    write(path, ended(), opened())
    assert one(receipt("--json"))["usage"]["totals"] is None
    for form in ((), ("--markdown",)):
        said = receipt(*form)
        assert (said.status, said.stdout.splitlines()[-1].lstrip(" -")) == (
            0,
            "nothing was counted",
        )
