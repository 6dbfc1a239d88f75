"""What each witness missed, as the page that people read.

The document is `acp_bridge.inspect.reconciliation`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from acp_bridge.metering.comparison import Reference
from acp_bridge.metering.usage import Source

_KINDS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache read",
    "cache_write_5m_tokens": "write 5m",
    "cache_write_1h_tokens": "write 1h",
}
_HEAD = ("model", "witness", "reference", "requests", *_KINDS.values(), "share", "")
_WORDS = 3
"""Columns of words at the left; then come figures, and at the end what is missed and beyond."""

_NONE = (
    "no witness figures in this ledger{of_that}: nothing was spent yet, or by a version that kept "
    "none; `acp-bridge usage` shows what is recorded\n"
)

_Cells = tuple[str, ...]
_Row = Mapping[str, Any]


def render_reconciliation(document: Mapping[str, Any], *, is_part: bool) -> str:
    """The page for people.

    Args:
        document: from `acp_bridge.inspect.reconciliation.reconciliation_document`.
        is_part: not all there is was asked for.
    """
    rows: Sequence[_Row] = document["rows"]
    if not rows:
        return _NONE.format(of_that=" for that" if is_part else "")
    sessions = [list(of) for _, of in groupby(rows, _place)]
    blocks = [[line for row in session for line in _lines(row)] for session in sessions]
    blocks.append(list(_lines({"model": "total", "reference": None, **document["totals"]})))
    head, *body = _aligned([_HEAD, *(line for block in blocks for line in block)])
    page = [head]
    for title, block in zip([*map(_title, sessions), "all sessions"], blocks, strict=True):
        page += ["", title, *body[: len(block)]]
        del body[: len(block)]
    return "\n".join([*page, "", *_notes(sessions)]) + "\n"


def _aligned(cells: Sequence[_Cells]) -> Iterator[str]:
    *widths, _ = (max(map(len, column)) for column in zip(*cells, strict=True))
    for *row, last in cells:
        aligned = (
            cell.ljust(width) if place < _WORDS else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join((*aligned, last)).rstrip()


def _place(row: _Row) -> tuple[str, str | None]:
    return row["run_id"], row["session_id"]


def _title(session: Sequence[_Row]) -> str:
    run_id, session_id = _place(session[0])
    return f"session {session_id or '-'}, run {run_id}"


def _lines(row: _Row) -> Iterator[_Cells]:
    """A line for each witness; before them the reference, where it is none of them."""
    model, reference = row["model"] or "all models", row["reference"]
    if reference != Reference.WIRE:
        name = f"({reference or 'reference'})"
        yield (model, name, reference or "", "", *_counts(row["reference_tokens"]), "", "")
        model = ""
    for source, told in row["witnesses"].items():
        yield (model, _name(source), reference or "", *_figures(told))
        model = ""


def _figures(told: Mapping[str, Any] | None) -> _Cells:
    if told is None:
        return ("", *[""] * len(_KINDS), "", "told nothing")
    requests = "?" if told["requests"] is None else f"{told['requests']:,}"
    found = {word: _by_kind(told[f"{word}_tokens"]) for word in ("missed", "beyond")}
    rest = "; ".join(f"{word} {of}" for word, of in found.items() if of)
    return (requests, *_counts(told), told["share"] or "?", rest)


def _name(source: str) -> str:
    return source.replace("_", " ")


def _counts(tokens: Mapping[str, int]) -> _Cells:
    return tuple(f"{tokens[kind]:,}" for kind in _KINDS)


def _by_kind(tokens: Mapping[str, int]) -> str:
    return ", ".join(f"{tokens[kind]:,} {word}" for kind, word in _KINDS.items() if tokens[kind])


def _notes(sessions: Iterable[Sequence[_Row]]) -> Iterator[str]:
    rows = [row for session in sessions for row in _each_once(session)]
    yield "share: the part of the reference that the witness told"
    if any(row["reference"] == Reference.LEDGER for row in rows):
        yield (
            "reference ledger: the wire guard saw nothing of the session; the reference is the "
            "ledger's own entries, without what something else spent there (outside)"
        )
    if beyond := _beyond(rows, Reference.WIRE):
        yield (
            f"beyond the wire ({', '.join(map(_name, beyond))}): tokens that the wire guard did "
            "not see; something may have gone around it"
        )
    if beyond := _beyond(rows, Reference.LEDGER):
        names = ", ".join(map(_name, beyond))
        yield f"beyond the ledger ({names}): tokens that no entry of the ledger holds"
    if Source.AGENT_RESULT in _beyond(rows, *Reference):
        yield "agent result: what it says of the output of a cancelled answer is a guess"
    if any(row["witnesses"][Source.ACP] for row in rows):
        yield "acp does not tell how long cache writes last: its writes are compared as one kind"


def _each_once(session: Sequence[_Row]) -> Sequence[_Row]:
    """Rows that hold everything once: of all models together, if there is such a row."""
    return [row for row in session if row["model"] is None] or session


def _beyond(rows: Iterable[_Row], *references: Reference) -> list[Source]:
    """The witnesses that told what one of these references has not."""
    told = [row["witnesses"] for row in rows if row["reference"] in references]
    return [
        source
        for source in Source
        if any(of[source] and any(of[source]["beyond_tokens"].values()) for of in told)
    ]
