"""Requests that a transcript shows as made and never told to their end.

Seen with Claude Code 2.1.316: each attempt of the agent loop (subagents have files of their own)
leaves a line ``api-request`` with its own id; the lines of the answer name it (``requestRef``), a
cancelled one with ``isAbortedMidStream``; an attempt that failed and is made again leaves a line
``system``/``api_error``, with the HTTP status if one came. Titles, suggestions and compactions
leave no such line: of those, nothing can be said here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from acp_bridge.metering.moments import from_iso


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """A request that was made, may have been billed, and whose tokens nobody told.

    Attributes:
        ref: Claude Code's own id of the attempt, unique.
        at: when it was sent.
        query_source: what asked, in Claude Code's words.
        request_id: the provider's id, where the answer had begun.
        detail: in words, what became of it.
    """

    ref: str
    at: datetime | None
    query_source: str | None
    model: str | None
    agent_id: str | None
    request_id: str | None
    detail: str


class _Message(msgspec.Struct):
    model: str | None = None


class _Params(msgspec.Struct):
    model: str | None = None


class _Problem(msgspec.Struct):
    status: int | None = None


class _Line(msgspec.Struct, rename="camel"):
    type: str = ""
    subtype: str | None = None
    id: str | None = None
    timestamp: str | None = None
    query_source: str | None = None
    agent_id: str | None = None
    params: _Params | None = None
    request_id: str | None = None
    request_ref: str | None = None
    is_aborted_mid_stream: bool | None = None
    is_api_error_message: bool | None = None
    api_error_status: int | None = None
    error: _Problem | str | None = None


_LINE = msgspec.json.Decoder(_Line)
_TELLING = (b'"api-request"', b'"assistant"', b'"api_error"', b'"user"')


def untold_requests(lines: Iterable[bytes]) -> list[Untold]:
    """The requests of one transcript that were cancelled, cut or never answered.

    An attempt that the endpoint refused with an HTTP status was not billed and is not among them;
    an attempt that is followed by another at once was refused too (Claude Code asks again without
    what it believes was wrong).

    Args:
        lines: in the order of the file, from where this run began to write.
    """
    attempts = _Attempts()
    for line in filter(None, map(_line, lines)):
        attempts.read(line)
    attempts.end()
    return attempts.untold


class _Attempts:
    """One transcript, line by line. The agent loop makes one request at a time."""

    def __init__(self) -> None:
        self.untold: list[Untold] = []
        self._asked: _Line | None = None  # sent, and nothing heard of it
        self._answering: _Line | None = None  # blocks of the answer have come

    def read(self, line: _Line) -> None:
        match line:
            case _Line(type="api-request"):
                self._asked, self._answering = line, None
            case _Line(type="assistant", is_api_error_message=True, api_error_status=status):
                self._failed(line, status, "no answer came")
            case _Line(type="system", subtype="api_error", error=problem):
                status = problem.status if isinstance(problem, _Problem) else None
                self._failed(line, status, "the connection broke while it was answered")
            case _Line(type="assistant"):
                self._answered(line)
            case _Line(type="user"):
                self._failed(line, None, "cancelled before it was answered")
            case _:
                pass

    def end(self) -> None:
        if self._asked:
            self._failed(self._asked, None, "the agent ended before it was answered")

    def _answered(self, line: _Line) -> None:
        attempt = self._asked or self._answering
        self._asked, self._answering = None, attempt
        if attempt and line.is_aborted_mid_stream:
            self._answering = None
            self._add(attempt, line, "cancelled while it was answered")

    def _failed(self, line: _Line, status: int | None, detail: str) -> None:
        if self._asked and status is None:
            self._add(self._asked, line, detail)
        self._asked = None

    def _add(self, asked: _Line, told: _Line, detail: str) -> None:
        self.untold.append(
            Untold(
                ref=asked.id or "",
                at=from_iso(asked.timestamp),
                query_source=asked.query_source,
                model=asked.params.model if asked.params else None,
                agent_id=asked.agent_id,
                request_id=told.request_id,
                detail=detail,
            )
        )


def _line(line: bytes) -> _Line | None:
    if not any(word in line for word in _TELLING):
        return None
    try:
        return _LINE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
