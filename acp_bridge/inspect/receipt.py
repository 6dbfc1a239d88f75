"""Receipts as people read them: a page for the terminal, and Markdown to paste into an issue.

Both say the same in the same order, who pays first. The document is
`acp_bridge.inspect.found_receipts`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from acp_bridge.inspect.told import Told, in_markdown, in_plain, without_home
from acp_bridge.metering.usage import CostKind
from acp_bridge.modes import Guard

Json = Mapping[str, Any]
Line = tuple[str | Told, ...]
"""Our own words and others' text."""
Facts = list[tuple[str, list[Line]]]
"""What is said under each name."""
Table = list[Sequence[str | Told]]
"""The head and the rows; the first two columns are words, the others figures."""

_WORDS = 2
_MONEY: Mapping[str, str] = {
    CostKind.BILLED_ESTIMATE: "USD estimated bill",
    CostKind.LIST_PRICE_EQUIVALENT: "USD at list price",
    CostKind.ENDPOINT_PRICE: "USD by the endpoint",
    CostKind.UNKNOWN: "USD of a kind that is not known",
}
_COUNTS: Mapping[str, str] = {
    "requests": "requests",
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache read",
    "cache_write_5m_tokens": "write 5m",
    "cache_write_1h_tokens": "write 1h",
}
_GROUPS = ("bucket", "model", "source", "state")
_UNKNOWN = "?"


def render(document: Json, *, home: str = "") -> str:
    """The page for the terminal.

    Args:
        document: from `acp_bridge.inspect.found_receipts.receipts_document`.
        home: written as ``~``; empty if that is not known.
    """
    return _joined(document, _plain_page, _writer(in_plain, home))


def render_markdown(document: Json, *, home: str = "") -> str:
    """The same as Markdown, in which no text of others formats, links or mentions anything.

    Args:
        document: from `acp_bridge.inspect.found_receipts.receipts_document`.
        home: written as ``~``; empty if that is not known.
    """
    return _joined(document, _markdown_page, _writer(in_markdown, home))


_Text = Callable[[Iterable[str | Told]], str]


def _writer(written: Callable[[Told, Callable[[str], str]], str], home: str) -> _Text:
    shorten = without_home(home)
    return lambda line: "".join(
        written(part, shorten) if isinstance(part, Told) else part for part in line
    )


def _joined(document: Json, page: Callable[[Json, _Text], Iterator[str]], text: _Text) -> str:
    pages = ["\n".join(page(receipt, text)) for receipt in document["receipts"]]
    if others := _others(document):
        pages.append(others)
    return "\n\n".join(pages) + "\n"


def _plain_page(receipt: Json, text: _Text) -> Iterator[str]:
    yield text(_title(receipt))
    for name, lines in _facts(receipt):
        for place, line in enumerate(lines):
            yield f"  {'' if place else name:<12} {text(line)}"
    if table := _table(receipt):
        cells = [[text((cell,)) for cell in row] for row in table]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        yield ""
        for row in cells:
            aligned = (
                cell.ljust(width) if place < _WORDS else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            yield ("  " + "  ".join(aligned)).rstrip()
    if notes := list(_notes(receipt)):
        yield ""
        yield from (f"  {text(note)}" for note in notes)


def _markdown_page(receipt: Json, text: _Text) -> Iterator[str]:
    yield f"### {text(_title(receipt))}"
    yield ""
    for name, lines in _facts(receipt):
        if len(lines) == 1:
            yield f"- **{name}**: {text(lines[0])}"
        else:
            yield f"- **{name}**:"
            yield from (f"  - {text(line)}" for line in lines)
    if table := _table(receipt):
        head, *rows = ([text((cell,)) for cell in row] for row in table)
        rule = ["---" if place < _WORDS else "--:" for place in range(len(head))]
        yield ""
        yield from (f"| {' | '.join(row)} |" for row in (head, rule, *rows))
    if notes := list(_notes(receipt)):
        yield ""
        yield from (f"- {text(note)}" for note in notes)


def _others(document: Json) -> str:
    count = len(document["other_runs"])
    runs = "1 other run" if count == 1 else f"{count} other runs"
    return f"{runs} had this session, too; --all shows what each had of it." if count else ""


def _title(receipt: Json) -> Line:
    session, run_id = receipt["session"], Told(receipt["run"]["run_id"])
    if session is None:
        return ("Receipt of run ", run_id)
    return ("Receipt of session ", Told(session["session_id"]), " in run ", run_id)


def _facts(receipt: Json) -> Facts:
    run, policy, session = receipt["run"], receipt["policy"], receipt["session"]
    expected, bucket = Told(run["expected_credential_class"]), Told(run["bucket"])
    plan, version = _or_unknown(policy["plan"]), _or_unknown(policy["policy_version"])
    facts: Facts = [
        ("mode", [(Told(run["mode"]), " (", Told(run["mode_letter"]), ")")]),
        ("payer", [("expected ", expected, ", charged to ", bucket)]),
        ("plan", [(*plan, "; billing policy ", *version)]),
        ("guarantees", [(Told(run["guarantees"]), "; wire guard ", Told(run["guard"]))]),
        ("started", [(Told(run["started_at"]),)]),
        ("ended", [_or_unknown(run["ended_at"], "not yet, or nobody saw it")]),
    ]
    if session is not None:
        facts += [
            ("folder", [_or_unknown(session["cwd"])]),
            ("model", [_or_unknown(session["model"])]),
        ]
    return [
        *facts,
        ("versions", _versions(receipt["versions"])),
        ("on the wire", _wire(receipt["wire"], is_off=run["guard"] == Guard.OFF)),
        ("removed", _removed(receipt["decisions"]["removed"])),
        ("evidence", [_evidence(one) for one in receipt["evidence"]] or [("none",)]),
        ("violations", [_violation(one) for one in receipt["violations"]] or [("none",)]),
    ]


def _or_unknown(value: str | None, otherwise: str = "not known") -> Line:
    return (otherwise,) if value is None else (Told(value),)


def _versions(versions: Json) -> list[Line]:
    agent = _or_unknown(versions["agent_name"], "agent")
    return [
        ("acp-bridge ", *_or_unknown(versions["bridge"])),
        (*agent, " ", *_or_unknown(versions["agent_version"])),
        ("Claude Code ", *_or_unknown(versions["claude_version"])),
    ]


def _wire(wire: Json | None, *, is_off: bool) -> list[Line]:
    if is_off:
        return [("nobody looked",)]
    if wire is None:
        return [("not known",)]
    return [
        *(_seen("came with ", one, count) for one, count in wire["presented"].items()),
        *(_seen("went on with ", one, count) for one, count in wire["attached"].items()),
    ] or [("no request",)]


def _seen(how: str, credential_class: str, count: int) -> Line:
    return (f"{_requests(count)} {how}", Told(credential_class))


def _removed(removed: Sequence[Json] | None) -> list[Line]:
    if removed is None:
        return [("not known",)]
    return [(Told(one["channel"]), ", from ", Told(one["origin"])) for one in removed] or [
        ("nothing",)
    ]


def _evidence(one: Json) -> Line:
    said = (Told(one["kind"]), ": ", Told(one["value"]), " from ", Told(one["source"]))
    return (*said, ", ", Told(one["verdict"]), ", at ", Told(one["at"]))


def _violation(one: Json) -> Line:
    return (Told(one["reason"]), ": ", Told(one["detail"]), ", at ", Told(one["at"]))


def _table(receipt: Json) -> Table:
    usage = receipt["usage"]
    totals = usage["totals"]
    if totals is None or not totals["cost"]:
        return []
    kinds = [one["cost_kind"] for one in totals["cost"]]
    rows: Table = [("used by", "", *_COUNTS.values(), *(_MONEY[kind] for kind in kinds))]
    for group in _GROUPS:
        for place, row in enumerate(usage[f"by_{group}"] or ()):
            (name,) = _or_unknown(row[group])
            rows.append(("" if place else group, name, *_figures(row, kinds)))
    return [*rows, ("total", "", *_figures(totals, kinds))]


def _figures(row: Json, kinds: Sequence[str]) -> Iterator[str]:
    """Counts, and each kind of money in a column of its own: kinds are never added together."""
    for name in _COUNTS:
        yield _UNKNOWN if row[name] is None else f"{row[name]:,}"
    cost = {one["cost_kind"]: one["cost_usd"] for one in row["cost"]}
    for kind in kinds:
        yield "-" if kind not in cost else _UNKNOWN if cost[kind] is None else cost[kind]


def _notes(receipt: Json) -> Iterator[Line]:
    usage, metering = receipt["usage"], receipt["metering"]
    if not _table(receipt):
        yield ("nothing was counted",)
    if usage["totals"] is not None:
        yield from _notes_of_figures(usage["totals"])
    if usage["uncosted_entries"]:
        yield (f"the cost of {_entries(usage['uncosted_entries'])} is not known, and in no sum",)
    if metering is not None:
        yield from (("the meter falls back: ", Told(one)) for one in metering["falls_back"])
        ledger = metering["ledger"]
        if ledger["lost"]:
            yield (f"not in it: {ledger['lost']:,} rows that the ledger lost", *_why(ledger))


def _notes_of_figures(totals: Json) -> Iterator[Line]:
    if totals["unasked"]["requests"]:
        yield (f"{_requests(totals['unasked']['requests'])} of these nobody typed",)
    if totals["requests"] is None:
        yield ("nobody told how many requests these were",)
    if totals["unknown_requests"]:
        yield (f"nobody told the tokens of {_requests(totals['unknown_requests'])}",)
    if totals["pending"]:
        yield ("pending: it is not settled yet, and the figures may grow",)


def _why(ledger: Json) -> Line:
    return (": ", Told(ledger["reason"])) if ledger["reason"] else ()


def _requests(count: int) -> str:
    return f"{count:,} request" + ("" if count == 1 else "s")


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"
