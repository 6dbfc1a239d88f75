"""What was used, as a table for spreadsheets (RFC 4180): one header, then a row for each group.

The columns are those of the document (`acp_bridge.run.usage_document`), and always the same for the
same grouping. Each kind of money has a column of its own. What is unknown is an empty cell, and so
is money of a kind that the row has none of; there are no totals, which a spreadsheet can add up.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from acp_bridge.ledger.exporting import spreadsheet_safe
from acp_bridge.ledger.schema import TOKEN_COLUMNS
from acp_bridge.metering.usage import CostKind, Source, State

_Row = Mapping[str, Any]
_COUNTED: tuple[tuple[str, Iterable[str]], ...] = (
    ("sources", Source),
    ("states", State),
    ("state_tokens", State),
)
"""Members of a row that count by word; a word that is not named there counts nothing."""


def render_csv(document: Mapping[str, Any]) -> str:
    """The table.

    Args:
        document: from `acp_bridge.run.usage_document.usage_document`.
    """
    names = document["group_by"]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*names, *(name for name, _ in _figures(document["totals"]))])
    for row in document["rows"]:
        values = [None if row[name] is None else spreadsheet_safe(row[name]) for name in names]
        writer.writerow([*values, *(value for _, value in _figures(row))])
    return text.getvalue()


def _figures(row: _Row) -> Iterator[tuple[str, int | str | None]]:
    """The columns that no row groups by, with their names."""
    yield "requests", row["requests"]
    yield from _tokens(row, "")
    for name, words in _COUNTED:
        for word in words:
            yield f"{name}_{word}", row[name].get(word, 0)
    yield "unknown_requests", row["unknown_requests"]
    yield "pending", "true" if row["pending"] else "false"
    yield from _money(row, "")
    unasked = row["unasked"]
    yield "unasked_requests", unasked["requests"]
    yield from _tokens(unasked, "unasked_")
    yield from _money(unasked, "unasked_")


def _tokens(row: _Row, prefix: str) -> Iterator[tuple[str, int | None]]:
    for column in TOKEN_COLUMNS:
        yield prefix + column, row[column]


def _money(row: _Row, prefix: str) -> Iterator[tuple[str, str | None]]:
    cost = {one["cost_kind"]: one["cost_usd"] for one in row["cost"]}
    for kind in CostKind:
        yield f"{prefix}{kind}_usd", cost.get(kind)
