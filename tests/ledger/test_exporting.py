"""Entries and everything else as JSON lines and CSV: exact, in order, in little memory."""

import csv
import io
import json
import sqlite3
import tracemalloc
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.ledger.exporting import (
    ENTRY_COLUMNS,
    OTHER_TABLES,
    Format,
    export,
    export_ledger,
    part,
    spreadsheet_safe,
)
from tests.ledger.exported import (
    EVIDENCE,
    everything_of_a_run,
    exported,
    rows,
    store,
)
from tests.ledger.rows import NOON, run, spent


def test_an_entry_is_told_with_all_its_words(path: Path) -> None:
    full = spent("a", at=NOON + timedelta(microseconds=7), agent_id="agent", cost_micros=1_234_567)
    store(path, full)
    assert rows(path, part()) == [
        {
            "table": "entries",
            "key": "a",
            "at": "2026-11-24T12:00:00.000007+00:00",
            "run_id": "run",
            "session_id": "session",
            "project": "/project",
            "mode": "subscription",
            "credential_class": "subscription_oauth",
            "bucket": "plan_limits",
            "surface": "agent-sdk",
            "cost_kind": "list_price_equivalent",
            "model": "opus",
            "policy_version": "2026-11-26",
            "asked_by": "main",
            "source": "telemetry",
            "state": "live",
            "agent_id": "agent",
            "turn": 1,
            "requests": 1,
            "input_tokens": 10,
            "output_tokens": 20,
            "cache_read_tokens": 300,
            "cache_write_5m_tokens": 40,
            "cache_write_1h_tokens": 5,
            "cost_usd": "1.234567",
            "request_id": "req_a",
            "duration_ms": 900,
            "ttft_ms": 300,
            "detail": "as told",
        }
    ]


def test_every_column_of_an_entry_is_exported_but_the_ledgers_own_numbers(path: Path) -> None:
    store(path, spent("a"))
    with closing(sqlite3.connect(path)) as file:
        described = file.execute("SELECT * FROM entries").description
    own_numbers = {"id", "kind_id", "place_id"}
    assert {column[0] for column in described} - own_numbers == set(ENTRY_COLUMNS)


def test_what_is_unknown_is_null_and_in_csv_an_empty_cell(path: Path) -> None:
    store(path, spent("a", model=None, tokens=None, cost_micros=None, requests=None))
    (line,) = rows(path, part())
    unknown = ("model", "input_tokens", "cost_usd", "requests")
    assert {line[name] for name in unknown} == {None}
    (row,) = csv.DictReader(io.StringIO(exported(path, part(), Format.CSV)))
    assert {row[name] for name in unknown} == {""}


@pytest.mark.parametrize(
    ("micros", "text"),
    [(1, "0.000001"), (0, "0.000000"), (-50, "-0.000050"), (10**13 + 1, "10000000.000001")],
)
def test_money_is_exact_decimal_text(path: Path, micros: int, text: str) -> None:
    store(path, spent("a", cost_micros=micros))
    assert rows(path, part())[0]["cost_usd"] == text
    (row,) = csv.DictReader(io.StringIO(exported(path, part(), Format.CSV)))
    assert row["cost_usd"] == text


def test_entries_come_oldest_first_from_since_to_before_until_and_of_one_run(path: Path) -> None:
    moments = [NOON + timedelta(hours=hour) for hour in (2, 0, 1)]
    store(path, *(spent(f"{at:%H}", at=at) for at in moments), spent("x", run_id="other"))

    def keys(**asked: Any) -> list[str]:
        return [row["key"] for row in rows(path, part(**asked))]

    assert keys() == ["12", "x", "13", "14"]
    assert keys(since=NOON + timedelta(hours=1)) == ["13", "14"]
    assert keys(until=NOON + timedelta(hours=1)) == ["12", "x"]
    assert keys(run_id="run", until=NOON + timedelta(hours=2)) == ["12", "13"]


def test_everything_is_the_version_of_the_form_then_each_table(path: Path) -> None:
    everything_of_a_run(path)
    version, *found = rows(path, part(everything=True))
    assert version == {"schema_version": 1}
    assert [row["table"] for row in found] == ["entries", *OTHER_TABLES]
    by_table = {row.pop("table"): row for row in found}
    assert by_table["runs"]["started_at"] == "2026-11-24T12:00:00.000000+00:00"
    assert by_table["runs"]["ended_at"] is None
    assert by_table["sessions"]["client_session_id"] == "client"
    assert by_table["evidence"] == {
        "run_id": "run",
        "at": "2026-11-24T12:00:00.000000+00:00",
        "kind": "declared",
        "source": "plan",
        "value": "v",
        "verdict": "agrees",
    }
    assert by_table["witnesses"]["cost_usd"] == "0.001500"
    assert (by_table["reservations"]["id"], by_table["reservations"]["cost_usd"]) == (
        "r-1",
        "2.000000",
    )


def test_no_table_is_forgotten(path: Path) -> None:
    store(path)
    with closing(sqlite3.connect(path)) as file:
        found = file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    within_entries = {"usage", "kinds", "charges", "places"}
    sums = {"place_quarters", "charge_quarters", "place_sums"}
    assert {name for (name,) in found} - within_entries - sums == set(OTHER_TABLES)


def test_everything_of_a_time_is_of_the_runs_that_began_or_spent_in_it(path: Path) -> None:
    long_ago, later = NOON - timedelta(days=9), NOON + timedelta(days=9)
    store(
        path,
        run("long", started_at=long_ago),
        replace(EVIDENCE, run_id="long", at=long_ago),
        spent("a", run_id="long", at=NOON),
        run("silent", started_at=NOON),
        run("past", started_at=long_ago),
        spent("b", run_id="past", at=long_ago),
        run("to come", started_at=later),
    )

    def told_of(**asked: Any) -> set[tuple[str, str]]:
        found = rows(path, part(everything=True, **asked))[1:]
        return {(row["table"], row["run_id"]) for row in found}

    day = {"since": NOON, "until": NOON + timedelta(days=1)}
    assert told_of(**day) == {
        ("entries", "long"),
        ("runs", "long"),
        ("evidence", "long"),
        ("runs", "silent"),
    }
    assert told_of(run_id="past") == {("entries", "past"), ("runs", "past")}
    assert told_of(run_id="silent", **day) == {("runs", "silent")}


def test_a_missing_ledger_has_no_rows(path: Path) -> None:
    assert exported(path, part()) == ""
    assert exported(path, part(), Format.CSV).split(",")[0] == "key"
    assert not path.exists()


def test_csv_is_one_header_and_lines_as_rfc_4180_has_them(path: Path) -> None:
    store(path, spent("a", project='/with "quotes", and\nlines'))
    text = exported_lines(path)
    assert text.startswith(",".join(ENTRY_COLUMNS[:3]) + ",")
    assert text.count("\r\n") == 2
    assert '"/with ""quotes"", and\nlines"' in text


def exported_lines(path: Path) -> str:
    text = io.StringIO()
    assert export_ledger(path, part(), Format.CSV, text) == 1
    return text.getvalue()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(path: Path, text: str) -> None:
    assert spreadsheet_safe(text) == "'" + text
    store(path, spent("a", model=text, project=text))
    (row,) = csv.DictReader(io.StringIO(exported_lines(path), newline=""))
    assert (row["model"], row["project"]) == ("'" + text, "'" + text)
    assert json.loads(exported(path, part()))["model"] == text


@pytest.mark.parametrize("text", ["opus", "", "1-1", "/a=b"])
def test_an_ordinary_cell_is_left_alone(text: str) -> None:
    assert spreadsheet_safe(text) == text


class Bin:
    """Takes text and keeps none of it."""

    def write(self, text: str) -> int:
        return len(text)


def test_memory_does_not_grow_with_the_ledger(path: Path) -> None:
    store(path, *(spent(str(number)) for number in range(20_000)))

    def most() -> int:
        tracemalloc.start()
        try:
            assert export_ledger(path, part(), Format.JSONL, Bin()) > 0  # type: ignore[arg-type]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert most() < 1_000_000


def test_nothing_is_sorted_before_the_first_entry_comes_out(path: Path) -> None:
    store(path, spent("a"))
    asked: list[str] = []
    with closing(sqlite3.connect(path)) as file:
        file.set_trace_callback(asked.append)
        export(file, part(), Format.JSONL, Bin())  # type: ignore[arg-type]
        file.set_trace_callback(None)
        plan = [step[3] for step in file.execute("EXPLAIN QUERY PLAN " + asked[0])]
    assert plan[0].startswith("SEARCH usage USING INDEX usage_by_time")
    assert not any("TEMP B-TREE" in step for step in plan)
