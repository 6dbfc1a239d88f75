"""`acp-bridge usage --csv`: the table for spreadsheets says what the document says."""

import csv
import io
from pathlib import Path

import pytest

from acp_bridge.metering.usage import CostKind, State, Tokens
from tests.cli.small_ledger import small_ledger
from tests.cli.usage_command import Said, Usage, write
from tests.ledger.rows import spent

TABLE = Path(__file__).with_name("usage_table.csv")
"""What the command says of the small ledger, for spreadsheets."""


def test_the_table_for_spreadsheets_has_one_header_and_a_row_for_each_group(
    path: Path, usage: Usage
) -> None:
    write(path, *small_ledger())
    assert usage("--csv") == Said(0, TABLE.read_text().replace("\n", "\r\n"), "")


def table(said: Said) -> list[dict[str, str]]:
    assert (said.status, said.stderr) == (0, "")
    return list(csv.DictReader(io.StringIO(said.stdout, newline="")))


def test_the_table_says_what_the_document_says(path: Path, usage: Usage) -> None:
    write(path, *small_ledger())
    keys = ["state", "session", "model"]
    rows = usage("--json", "--by", ",".join(keys)).document["rows"]
    for row, written in zip(rows, table(usage("--csv", "--by", ",".join(keys))), strict=True):
        shown = [*keys, "requests", "input_tokens", "cache_write_1h_tokens", "unknown_requests"]
        assert [written[name] for name in shown] == [
            "" if row[name] is None else str(row[name]) for name in shown
        ]
        assert written["pending"] == str(row["pending"]).lower()
        assert written["sources_telemetry"] == str(row["sources"].get("telemetry", 0))
        assert written["states_live"] == str(row["states"].get("live", 0))
        assert written["state_tokens_settled"] == str(row["state_tokens"].get("settled", 0))
        assert written["unasked_input_tokens"] == str(row["unasked"]["input_tokens"])
        for prefix, of in (("", row), ("unasked_", row["unasked"])):
            cost = {one["cost_kind"]: one["cost_usd"] for one in of["cost"]}
            for kind in CostKind:
                assert written[f"{prefix}{kind}_usd"] == (cost.get(kind) or "")


def test_what_is_unknown_is_an_empty_cell(path: Path, usage: Usage) -> None:
    write(path, spent("1", model=None, tokens=None, requests=None, cost_micros=None))
    (row,) = table(usage("--csv"))
    unknown = ("model", "requests", "input_tokens", "list_price_equivalent_usd")
    assert {row[name] for name in unknown} == {""}


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@a"])
def test_no_name_is_a_formula_and_negative_figures_are_figures(
    path: Path, usage: Usage, name: str
) -> None:
    correction = {"state": State.SETTLED, "tokens": Tokens(-5), "cost_micros": -10}
    write(path, spent("1", model=name, project=name, **correction))  # type: ignore[arg-type]
    (row,) = table(usage("--csv", "--by", "model,project"))
    assert (row["model"], row["project"]) == ("'" + name, "'" + name)
    assert row["input_tokens"] == "-5"
    assert row["list_price_equivalent_usd"] == "-0.000010"


def test_a_table_of_nothing_is_its_header(usage: Usage) -> None:
    said = usage("--csv", "--by", "day")
    assert said.stdout.startswith("day,requests,input_tokens,")
    assert said.stdout.count("\r\n") == 1
