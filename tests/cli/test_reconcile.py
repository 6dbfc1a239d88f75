"""`acp-bridge usage --reconcile`: every witness beside what is known best, and what it missed."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.ledger.records import Row
from acp_bridge.metering.usage import Source, State, Tokens
from tests.cli.usage_command import Said, Usage, assert_wrong, write
from tests.documents import assert_reconciliation
from tests.ledger.rows import NOON, run, spent, told

RUN, OTHER_RUN = "20261124-120000-aaaaaa", "20261124-130000-bbbbbb"
GUARDED: dict[str, Any] = {"run_id": RUN, "session_id": "session-1"}
UNGUARDED: dict[str, Any] = {"run_id": OTHER_RUN, "session_id": "session-2"}
TRUE = Tokens(1200, 340, 56_000, 700, 80)
TITLE = Tokens(90, 12)
HOUR = timedelta(hours=1)


def guarded() -> list[Row]:
    """A session that the wire guard saw: some witnesses missed something, one went beyond it."""
    return [
        told(Source.WIRE, tokens=TRUE, requests=12, **GUARDED),
        told(Source.WIRE, model="haiku", tokens=TITLE, **GUARDED),
        told(Source.TELEMETRY, tokens=TRUE, requests=12, **GUARDED),
        told(Source.TELEMETRY, model="haiku", tokens=TITLE + Tokens(5), requests=2, **GUARDED),
        told(
            Source.AGENT_RESULT,
            tokens=Tokens(1200, 300, 50_000, 700, 80),
            requests=None,
            **GUARDED,
        ),
        told(Source.ACP, tokens=Tokens(600, 170, 28_000, 780), requests=None, **GUARDED),
    ]


def unguarded() -> list[Row]:
    """A session without the wire guard: its entries say more than the agent told."""
    return [
        told(Source.TRANSCRIPT, tokens=TRUE, requests=None, at=NOON + HOUR, **UNGUARDED),
        told(Source.ACP, model="", tokens=Tokens(600), requests=None, at=NOON + HOUR, **UNGUARDED),
        spent("1", tokens=Tokens(1000, 340, 56_000, 700, 80), **UNGUARDED),
        spent("2", tokens=Tokens(200), state=State.SETTLED, **UNGUARDED),
        spent("3", tokens=Tokens(9_000_000), state=State.OUTSIDE, **UNGUARDED),
    ]


def both() -> list[Row]:
    return [run(RUN), run(OTHER_RUN, started_at=NOON + HOUR), *guarded(), *unguarded()]


PAGE = Path(__file__).with_name("reconcile_page.txt")
"""What the command says of both sessions, to be read."""


def reconciled(usage: Usage, *arguments: str) -> Any:
    document = usage("--reconcile", "--json", *arguments).document
    assert_reconciliation(document)
    return document


def tokens(of: Tokens) -> dict[str, int]:
    names = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    return {f"{name}_tokens": getattr(of, name) for name in names}


def test_the_page_groups_by_session_and_says_what_each_witness_missed(
    path: Path, usage: Usage
) -> None:
    write(path, *both())
    assert usage("--reconcile") == Said(0, PAGE.read_text(), "")


def test_a_row_has_every_witness_beside_the_wire(path: Path, usage: Usage) -> None:
    write(path, *guarded())
    haiku, opus = reconciled(usage)["rows"]
    assert (haiku["model"], opus["model"]) == ("haiku", "opus")
    for row in (haiku, opus):
        assert {name: row[name] for name in GUARDED} == GUARDED
        assert row["reference"] == "wire"
    assert opus["reference_tokens"] == tokens(TRUE)
    assert opus["witnesses"]["wire"] == {
        "requests": 12,
        **tokens(TRUE),
        "missed_tokens": tokens(Tokens()),
        "beyond_tokens": tokens(Tokens()),
        "share": "1.000",
    }
    assert opus["witnesses"]["agent_result"] == {
        "requests": None,
        **tokens(Tokens(1200, 300, 50_000, 700, 80)),
        "missed_tokens": tokens(Tokens(output=40, cache_read=6000)),
        "beyond_tokens": tokens(Tokens()),
        "share": "0.896",
    }
    assert opus["witnesses"]["acp"]["missed_tokens"] == tokens(Tokens(600, 170, 28_000))
    assert opus["witnesses"]["transcript"] is None
    assert haiku["witnesses"]["acp"] is None
    assert haiku["witnesses"]["telemetry"]["beyond_tokens"] == tokens(Tokens(5))
    assert haiku["witnesses"]["telemetry"]["share"] == "1.000"


def test_without_the_wire_the_ledgers_own_entries_are_the_reference(
    path: Path, usage: Usage
) -> None:
    write(path, *unguarded())
    document = reconciled(usage)
    opus, everything = document["rows"]
    assert (opus["model"], everything["model"]) == ("opus", None)
    for row in (opus, everything):
        assert row["reference"] == "ledger"
        assert row["reference_tokens"] == tokens(TRUE)
        assert row["witnesses"]["wire"] is None
    assert opus["witnesses"]["transcript"]["share"] == "1.000"
    assert everything["witnesses"]["acp"]["missed_tokens"]["input_tokens"] == 600
    assert document["totals"]["reference_tokens"] == tokens(TRUE)


def test_totals_are_of_all_sessions_and_silence_is_missed_in_them(path: Path, usage: Usage) -> None:
    write(path, *both())
    totals = reconciled(usage)["totals"]
    assert totals["reference_tokens"] == tokens(TRUE + TRUE + TITLE)
    assert totals["witnesses"]["wire"]["requests"] == 13
    assert totals["witnesses"]["wire"]["missed_tokens"] == tokens(TRUE)
    assert totals["witnesses"]["transcript"]["missed_tokens"] == tokens(TRUE + TITLE)
    assert totals["witnesses"]["telemetry"]["beyond_tokens"] == tokens(Tokens(5))


def sessions(document: Any) -> set[str]:
    return {row["session_id"] for row in document["rows"]}


def test_one_run_or_a_period_is_asked_for(path: Path, usage: Usage) -> None:
    write(path, *both())
    assert sessions(reconciled(usage)) == {"session-1", "session-2"}
    assert sessions(reconciled(usage, "--run", RUN)) == {"session-1"}
    assert sessions(reconciled(usage, "--until", "2026-11-24T13:00Z")) == {"session-1"}
    assert sessions(reconciled(usage, "--since", "2026-11-24T13:00Z")) == {"session-2"}
    assert sessions(reconciled(usage, "--since", "2026-11-25")) == set()
    assert_wrong(usage("--reconcile", "--run", "20260101-000000-abcdef"), "usage --by run")
    assert_wrong(usage("--reconcile", "--since", "1d", "--until", "2d"), "is not before --until")


def test_it_has_rows_of_its_own_and_is_not_grouped(usage: Usage) -> None:
    assert_wrong(usage("--reconcile", "--by", "mode"), "--by does not go with it", "leave out one")


@pytest.mark.parametrize("state", ["missing", "no figures"])
def test_where_no_witness_has_told_anything_a_sentence_says_so(
    path: Path, usage: Usage, state: str
) -> None:
    if state == "no figures":
        write(path, run(RUN), spent("1", run_id=RUN))
    said = usage("--reconcile")
    assert (said.status, said.stderr) == (0, "")
    assert said.stdout.startswith("no witness figures in this ledger: ")
    assert said.stdout.count("\n") == 1
    document = reconciled(usage)
    assert document["rows"] == []
    assert set(document["totals"]["witnesses"].values()) == {None}


def test_where_only_others_are_told_of_the_sentence_says_so(path: Path, usage: Usage) -> None:
    write(path, run(OTHER_RUN), *guarded())
    said = usage("--reconcile", "--run", OTHER_RUN)
    assert said.stdout.startswith("no witness figures in this ledger for that: ")
    assert said.status == 0


def test_figures_without_a_session_or_a_model_are_null_in_the_document(
    path: Path, usage: Usage
) -> None:
    write(path, told(Source.ACP, session_id="", model="", run_id=RUN))
    (row,) = reconciled(usage)["rows"]
    assert (row["session_id"], row["model"]) == (None, None)
    assert f"session -, run {RUN}" in usage("--reconcile").stdout


def test_nothing_is_said_to_have_gone_around_the_guard_where_nothing_did(
    path: Path, usage: Usage
) -> None:
    write(path, *(told(source, **GUARDED) for source in Source))
    assert "gone around" not in usage("--reconcile").stdout
    write(path, told(Source.TELEMETRY, model="other", **GUARDED))
    assert "beyond the wire (telemetry): " in usage("--reconcile").stdout
