"""Claude Code's telemetry events, from the body of an OTLP/JSON ``POST /v1/logs``.

Seen with Claude Code 2.1.316: ``resourceLogs[].scopeLogs[].logRecords[].attributes[]``, the kind in
the attribute ``event.name``; ``event.sequence`` counts from 0 in each process; ``event.timestamp``
of an ``api_request`` is the end of its answer. A receiver that answers 503 is sent the same records
again. Retries that succeed in the end, streams that break and streams that are cancelled leave no
event at all.

The five-minute and one-hour writes to the cache are told apart; where an older version tells only
their sum, it is counted as five-minute writes, the API's default.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from acp_bridge.metering.moments import from_iso, from_seconds
from acp_bridge.metering.usage import Tokens

_MOST = 2**53
_NANOSECONDS = 1_000_000_000


class UnreadableTelemetryError(ValueError):
    """A body that is no OTLP logs document; the text says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event tells.

    Attributes:
        session_id: Claude Code's session; after ``/clear`` another one than the client's.
        at: when it was written. Aware UTC; None if it does not say.
        sequence: its number in the process that wrote it.
        prompt_id: the prompt it belongs to; None before the first.
    """

    session_id: str | None
    at: datetime | None
    sequence: int | None
    prompt_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest(Event):
    """An API request that was answered to its end (``api_request``).

    Attributes:
        model: as answered.
        tokens: None if the event does not tell them.
        cost_micros: by Claude Code's own price list. After a stream that broke, the request that
            followed it has the cost of both.
        query_source: what asked, in Claude Code's words.
        request_id: the provider's id; None at endpoints that give none.
        agent_id: the subagent that asked.
    """

    model: str | None
    tokens: Tokens | None
    cost_micros: int | None
    query_source: str | None
    request_id: str | None
    agent_id: str | None
    duration_ms: int | None
    ttft_ms: int | None

    @property
    def began_at(self) -> datetime | None:
        """When it was sent."""
        if self.at is None or self.duration_ms is None:
            return self.at
        return self.at - timedelta(milliseconds=self.duration_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiFailed(Event):
    """The last attempt of a request that Claude Code gave up (``api_error``).

    Attributes:
        status: the HTTP status; None if no answer came.
        attempt: as the event says; not the number of requests made.
    """

    model: str | None
    status: int | None
    attempt: int | None
    query_source: str | None
    request_id: str | None
    agent_id: str | None
    duration_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSeen(Event):
    """A prompt was taken up (``user_prompt``).

    Attributes:
        command: the slash command in it, e.g. ``compact``.
    """

    command: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherEvent(Event):
    """Any other event: it shows that telemetry speaks for the session.

    Attributes:
        name: ``assistant_response``, ``tool_result``, ``compaction``, …
    """

    name: str


TelemetryEvent = ApiRequest | ApiFailed | PromptSeen | OtherEvent


class _Value(msgspec.Struct):
    string: str | None = msgspec.field(default=None, name="stringValue")
    # ProtoJSON writes 64-bit integers as text; Claude Code writes numbers. Both are allowed.
    integer: int | str | None = msgspec.field(default=None, name="intValue")
    double: float | None = msgspec.field(default=None, name="doubleValue")


class _Attribute(msgspec.Struct):
    key: str = ""
    value: _Value | None = None


class _Record(msgspec.Struct):
    time: int | str | None = msgspec.field(default=None, name="timeUnixNano")
    attributes: list[_Attribute] | None = None


class _Scope(msgspec.Struct):
    records: list[_Record] | None = msgspec.field(default=None, name="logRecords")


class _Resource(msgspec.Struct):
    scopes: list[_Scope] | None = msgspec.field(default=None, name="scopeLogs")


class _Document(msgspec.Struct):
    resources: list[_Resource] | None = msgspec.field(default=None, name="resourceLogs")


_DECODER = msgspec.json.Decoder(_Document)


def read_events(body: bytes) -> list[TelemetryEvent]:
    """The events in the body of one export, in order. Records without a name are left out.

    Raises:
        UnreadableTelemetryError: the body is no OTLP logs document.
    """
    try:
        document = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableTelemetryError("the body is no OTLP/JSON logs document") from error
    events = (
        _event(record)
        for resource in document.resources or ()
        for scope in resource.scopes or ()
        for record in scope.records or ()
    )
    return [event for event in events if event is not None]


def _event(record: _Record) -> TelemetryEvent | None:
    told = _Told(record)
    name = told.text("event.name")
    if name is None:
        return None
    common: dict[str, Any] = {
        "session_id": told.text("session.id"),
        "at": _moment(told.text("event.timestamp"), record.time),
        "sequence": told.count("event.sequence"),
        "prompt_id": told.text("prompt.id"),
    }
    asked: dict[str, Any] = {
        "model": told.text("model"),
        "query_source": told.text("query_source"),
        "request_id": told.text("request_id"),
        "agent_id": told.text("agent_id"),
        "duration_ms": told.count("duration_ms"),
    }
    match name:
        case "api_request":
            return ApiRequest(
                tokens=_tokens(told),
                cost_micros=told.count("cost_usd_micros"),
                ttft_ms=told.count("ttft_ms"),
                **asked,
                **common,
            )
        case "api_error":
            return ApiFailed(
                status=told.count("status_code"), attempt=told.count("attempt"), **asked, **common
            )
        case "user_prompt":
            return PromptSeen(command=told.text("command_name"), **common)
        case _:
            return OtherEvent(name=name, **common)


class _Told:
    """The attributes of a record by name."""

    def __init__(self, record: _Record) -> None:
        self._values = {one.key: one.value for one in record.attributes or () if one.value}

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        return (value.string or None) if value else None

    def count(self, name: str) -> int | None:
        """A whole number from 0; some events write numbers as text."""
        value = self._values.get(name)
        if value is None:
            return None
        return next(
            (
                number
                for number in map(_whole, (value.integer, value.double, value.string))
                if number is not None
            ),
            None,
        )


def _whole(value: float | str | None) -> int | None:
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) <= len(str(_MOST))):
            return None
        value = int(value)
    if value is None or not 0 <= value <= _MOST or value != int(value):
        return None
    return int(value)


def _tokens(told: _Told) -> Tokens | None:
    given, made = told.count("input_tokens"), told.count("output_tokens")
    if given is None or made is None:
        return None
    hour = told.count("cache_creation_1h_tokens") or 0
    five = told.count("cache_creation_5m_tokens")
    if five is None:
        five = max(0, (told.count("cache_creation_tokens") or 0) - hour)
    return Tokens(given, made, told.count("cache_read_tokens") or 0, five, hour)


def _moment(text: str | None, nanoseconds: int | str | None) -> datetime | None:
    if found := from_iso(text):
        return found
    if isinstance(nanoseconds, str):
        nanoseconds = _whole(nanoseconds[:-9])  # seconds are enough
        return from_seconds(nanoseconds)
    return from_seconds(None if nanoseconds is None else nanoseconds / _NANOSECONDS)
