"""`acp-bridge usage`: what it groups by, from when to when, its document and its page."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.ledger.records import SpentRow
from acp_bridge.ledger.report import GroupKey
from acp_bridge.ledger.schema import MIGRATIONS
from tests.cli.small_ledger import LONG, OTHER_RUN, RUN, small_ledger
from tests.cli.usage_command import Said, Usage, assert_wrong, write
from tests.ledger.rows import NOON, run, spent

PAGE = Path(__file__).with_name("usage_page.txt")
"""What the command says of the small ledger, to be read."""


def test_the_page_shows_every_figure_whose_money_it_is_and_what_is_not_known(
    path: Path, usage: Usage
) -> None:
    write(path, *small_ledger())
    assert usage() == Said(0, PAGE.read_text(), "")


def test_a_page_of_one_row_has_no_total_and_unknown_figures_are_question_marks(
    path: Path, usage: Usage
) -> None:
    write(path, spent("1", model=None, requests=None, cost_micros=None))
    assert usage().stdout.splitlines() == [
        "mode          model  requests  input  output  cache read  write 5m  write 1h  USD",
        "subscription  -             ?     10      20         300        40         5    ?",
        "",
        "live: 375 tokens, seen while they were spent",
        "nobody told how many requests these were",
    ]


VALUES = {
    "mode": {"api-key", "subscription"},
    "credential_class": {"subscription_oauth"},
    "bucket": {"plan_limits"},
    "surface": {"agent-sdk"},
    "model": {LONG, "haiku", "opus"},
    "asked_by": {"main", "title", "suggestion"},
    "source": {"telemetry", "transcript"},
    "state": {"live", "settled", "outside", "unknown"},
    "run": {RUN, OTHER_RUN},
    "session": {"session", None},
    "project": {"/project"},
    "subagent": {"subagent-1", None},
}


@pytest.mark.parametrize("key", GroupKey)
def test_by_each_key_the_rows_add_up_to_the_totals(path: Path, usage: Usage, key: GroupKey) -> None:
    write(path, *small_ledger())
    document = usage("--json", "--by", key.replace("_", "-")).document
    assert document["group_by"] == [key]
    found = {row[key] for row in document["rows"]}
    assert found == VALUES.get(key, found)
    assert len(found) == len(document["rows"]) > 0
    for name in ("input_tokens", "output_tokens", "cache_read_tokens"):
        assert sum(row[name] or 0 for row in document["rows"]) == document["totals"][name]
    assert f"{key.replace('_', ' ')}  " in usage("--by", key).stdout


@pytest.mark.parametrize(
    "by",
    [["--by", "model,state"], ["--by", "model", "--by", "state"], ["--by", " model, state,model"]],
)
def test_several_keys_are_given_with_commas_or_one_by_one(
    path: Path, usage: Usage, by: list[str]
) -> None:
    write(path, *small_ledger())
    document = usage("--json", *by).document
    assert document["group_by"] == ["model", "state"]
    assert [(row["model"], row["state"]) for row in document["rows"]] == [
        (LONG, "live"),
        (LONG, "unknown"),
        ("haiku", "live"),
        ("haiku", "outside"),
        ("haiku", "settled"),
        ("opus", "live"),
    ]


def test_by_all_keys_at_once_each_row_is_in_one_group_of_each(path: Path, usage: Usage) -> None:
    write(path, *small_ledger())
    document = usage("--json", "--by", ",".join(GroupKey)).document
    assert document["group_by"] == list(GroupKey)
    assert len(document["rows"]) == 8
    for key, values in VALUES.items():
        assert {row[key] for row in document["rows"]} == values
    for name in ("input_tokens", "output_tokens", "cache_read_tokens"):
        assert sum(row[name] or 0 for row in document["rows"]) == document["totals"][name]


def test_what_nothing_can_be_grouped_by_is_named_with_what_it_can(usage: Usage) -> None:
    assert_wrong(usage("--by", "model,weather"), "'weather'", ", ".join(GroupKey))


def test_the_document_has_a_version_its_keys_rows_and_totals(path: Path, usage: Usage) -> None:
    write(path, *small_ledger())
    document = usage("--json").document
    assert document.keys() == {"schema_version", "group_by", "rows", "totals"}
    assert document["schema_version"] == 1
    assert document["group_by"] == ["mode", "model"]
    totals = document["totals"]
    for row in document["rows"]:
        assert row.keys() == totals.keys() | {"mode", "model"}
    assert {row["pending"] for row in document["rows"] if row["mode"] == "subscription"} == {True}
    assert totals["requests"] == 6
    assert totals["sources"] == {"telemetry": 6}
    assert totals["states"] == {"live": 5, "unknown": 1}
    assert totals["unknown_requests"] == 1
    assert totals["cost"] == [
        {"cost_kind": "billed_estimate", "cost_usd": "1.234567"},
        {"cost_kind": "list_price_equivalent", "cost_usd": "2.003170"},
        {"cost_kind": "unknown", "cost_usd": "0.000900"},
    ]
    assert totals["unasked"]["requests"] == 2
    assert totals["unasked"]["cost"] == [
        {"cost_kind": "list_price_equivalent", "cost_usd": "2.000070"}
    ]


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


@pytest.mark.parametrize(
    ("period", "counted"),
    [
        (["--since", "2026-11-24"], 3),
        (["--since", "2026-11-24T12:00+00:00"], 2),
        (["--since", "2026-11-24T13:00:00+01:00"], 2),
        (["--until", "2026-11-24T12:00+00:00"], 2),
        (["--since", "2026-11-24T12:00:00Z", "--until", "2026-11-24T12:00:00.000001Z"], 1),
        (["--since", "2026-11-24T11:59:59.5Z", "--until", "2026-11-24T12:00Z"], 0),
        (["--since", "2026-11-25"], 0),
        (["--until", "2026-11-23"], 0),
        (["--since", "99999w"], 4),
    ],
)
def test_since_is_part_of_the_period_and_until_is_not(
    path: Path, usage: Usage, period: list[str], counted: int
) -> None:
    moments = [timedelta(days=-1), timedelta(hours=-1), timedelta(0), timedelta(hours=1)]
    write(path, *(spent(str(at), at=NOON + at) for at in moments))
    assert usage("--json", *period).document["totals"]["requests"] == counted


def test_a_span_is_counted_back_from_now(path: Path, usage: Usage) -> None:
    spans = [{"minutes": 10}, {"hours": 5}, {"days": 3}, {"weeks": 3}]
    write(path, *(spent(str(span), at=ago(**span)) for span in spans))

    def counted(*period: str) -> Any:
        return usage("--json", *period).document["totals"]["requests"]

    assert [counted("--since", span) for span in ("1h", "12h", "7d", "4w")] == [1, 2, 3, 4]
    assert counted("--since", "7d", "--until", "1d") == 1
    assert_wrong(usage("--since", "1d", "--until", "7d"), "--since is not before --until")
    assert_wrong(usage("--since", "1d", "--until", "1d"), "--since is not before --until")


@pytest.mark.parametrize(
    "word", ["", "yesterday", "7", "7m", "-7d", "1.5h", "2026-02-30", "2026-11-24T25:00", "7d "]
)
@pytest.mark.parametrize("flag", ["--since", "--until"])
def test_what_is_no_moment_is_named_with_what_to_write(usage: Usage, flag: str, word: str) -> None:
    assert_wrong(usage(f"{flag}={word}"), f"{flag} {word!r} is no moment", "2026-01-31")


def test_one_run_is_asked_for_by_its_id(path: Path, usage: Usage) -> None:
    write(path, *small_ledger())
    assert usage("--json", "--run", OTHER_RUN).document["totals"]["requests"] == 1
    assert usage("--json", "--run", RUN, "--by", "run").document["rows"][0]["run"] == RUN
    assert_wrong(usage("--run", "20260101-000000-abcdef"), "20260101", "usage --by run")


NOTHING = {"schema_version": 1, "group_by": ["mode", "model"], "rows": []}


@pytest.mark.parametrize("state", ["missing", "empty file", "no entries"])
def test_where_nothing_is_recorded_the_page_says_so(path: Path, usage: Usage, state: str) -> None:
    if state == "empty file":
        path.parent.mkdir()
        path.touch()
    if state == "no entries":
        write(path, run(RUN))
    before = path.exists()
    said = usage()
    assert (said.status, said.stderr) == (0, "")
    assert said.stdout.startswith("Nothing is recorded for that.")
    document = usage("--json").document
    assert {name: document[name] for name in NOTHING} == NOTHING
    assert document["totals"]["cost"] == []
    assert path.exists() is before


def test_a_run_is_not_in_a_ledger_that_does_not_exist(usage: Usage) -> None:
    assert_wrong(usage("--run", RUN), f"the ledger has no run {RUN!r}")


def test_what_is_no_database_is_an_error_with_a_hint(path: Path, usage: Usage) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database, " * 500)
    for arguments in ([], ["--json"], ["--run", RUN]):
        assert_wrong(usage(*arguments), str(path), "is no database", "move the file away")


def test_a_folder_in_place_of_the_ledger_is_an_error_with_a_hint(path: Path, usage: Usage) -> None:
    path.mkdir(parents=True)
    assert_wrong(usage(), str(path), "is a folder", "move the folder away")


def test_a_damaged_ledger_is_an_error_with_a_hint(path: Path, usage: Usage) -> None:
    write(path, *small_ledger())
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 2 :] = b"\xa5" * (len(damaged) - 4096 * 2)
    path.write_bytes(damaged)
    assert_wrong(usage(), "is damaged", "move the file away")


def test_a_ledger_of_a_newer_version_is_an_error_with_a_hint(path: Path, usage: Usage) -> None:
    write(path, *small_ledger())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    assert_wrong(usage(), "newer acp-bridge", "upgrade acp-bridge")


def in_zone(path: Path, zone: str, *arguments: str) -> Any:
    """The document, as a process in that time zone prints it."""
    env = {"PATH": os.environ["PATH"], "TZ": zone, "ACP_BRIDGE_CONFIG": os.devnull}
    env["ACP_BRIDGE_STATE_DIR"] = str(path.parent)
    argv = [sys.executable, "-m", "acp_bridge", "usage", "--json", *arguments]
    done = subprocess.run(argv, env=env, capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


def counted_in(document: Any, key: str) -> dict[str, int]:
    return {row[key]: row["requests"] for row in document["rows"]}


BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
"""As POSIX writes it, so that no database of zones is needed."""


def at(text: str) -> SpentRow:
    return spent(text, at=datetime.fromisoformat(text))


def test_hours_and_days_are_the_machines_also_when_the_clocks_change(path: Path) -> None:
    write(
        path,
        at("2026-03-29T00:30Z"),  # an hour before summer time begins
        at("2026-03-29T01:30Z"),  # in its first hour
        at("2026-10-24T22:30Z"),  # the day that ends summer time, just begun
        at("2026-10-25T00:30Z"),  # 02:30, for the first time
        at("2026-10-25T01:30Z"),  # 02:30 again
        at("2026-10-25T22:59Z"),  # its last minute
        at("2026-10-25T23:00Z"),  # the next day
    )
    assert counted_in(in_zone(path, BERLIN, "--by", "hour"), "hour") == {
        "2026-03-29T01:00+01:00": 1,
        "2026-03-29T03:00+02:00": 1,
        "2026-10-25T00:00+02:00": 1,
        "2026-10-25T02:00+02:00": 1,
        "2026-10-25T02:00+01:00": 1,
        "2026-10-25T23:00+01:00": 1,
        "2026-10-26T00:00+01:00": 1,
    }
    assert counted_in(in_zone(path, BERLIN, "--by", "day"), "day") == {
        "2026-03-29": 2,
        "2026-10-25": 4,
        "2026-10-26": 1,
    }
    assert counted_in(in_zone(path, "UTC", "--by", "day"), "day") == {
        "2026-03-29": 2,
        "2026-10-24": 1,
        "2026-10-25": 4,
    }


def test_a_date_begins_at_the_machines_midnight_of_that_day(path: Path) -> None:
    write(
        path,
        at("2026-10-24T21:59Z"),
        at("2026-10-24T22:00Z"),  # midnight, in summer time
        at("2026-10-25T22:59Z"),
        at("2026-10-25T23:00Z"),  # midnight, in winter time
    )
    period = ("--since", "2026-10-25", "--until", "2026-10-26")
    assert in_zone(path, BERLIN, *period)["totals"]["requests"] == 2
