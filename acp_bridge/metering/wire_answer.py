"""What an answer of the Messages API tells, put together from its events or its JSON body.

Of errors only the type is kept, of content nothing.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Never

import msgspec

from acp_bridge.metering.usage import Tokens
from acp_bridge.metering.wire_usage import (
    SideUsage,
    Unread,
    UnreadError,
    UsageSoFar,
    count_in,
    name_in,
)

_MOST_SECOND_LOOK = 4 * 1024 * 1024
_MODEL_LENGTH = 200


class AnswerKind(StrEnum):
    """What an answer was: a message, a count of tokens, an error, or nothing known here."""

    MESSAGE = "message"
    COUNT = "count"
    ERROR = "error"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenAnswer:
    """An answer as the wire showed it; what is unknown is None.

    Attributes:
        kind: what it was. A message that broke off with an error is a message.
        status: the HTTP status.
        complete: it came to its own end: ``message_stop``, or a whole JSON body. Where it could not
            be read, whether the transport did.
        unread: why it could not be read; then the tokens are unknown.
        request_id: the header ``request-id``.
        message_id: ``msg_…``.
        model: as answered.
        stop_reason: e.g. ``end_turn``, ``tool_use``.
        error_type: e.g. ``overloaded_error``.
        tokens: of an answer that is not complete, those told by then: the output is at least that.
            A count of tokens spends none.
        writes_of_unknown_lifetime: of these tokens, those written to the cache that are counted as
            five-minute writes because the answer tells only a sum.
        server_tools: uses of server tools by the provider's names, e.g. ``web_search_requests``.
        side_usage: samplings that were made for this request and are not in `tokens`.
        service_tier: e.g. ``standard``.
        speed: e.g. ``fast``.
        inference_geo: e.g. ``us``.
        counted: what a count of tokens answered.
    """

    kind: AnswerKind
    status: int
    complete: bool
    unread: Unread | None = None
    request_id: str | None = None
    message_id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    error_type: str | None = None
    tokens: Tokens | None = None
    writes_of_unknown_lifetime: int | None = None
    server_tools: tuple[tuple[str, int], ...] | None = None
    side_usage: tuple[SideUsage, ...] | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    counted: int | None = None


class _Told(msgspec.Struct):
    """The members that tell, of an event or of a body; all else is passed over undecoded."""

    type: Any = None
    message: Any = None
    delta: Any = None
    usage: Any = None
    error: Any = None
    id: Any = None
    model: Any = None
    stop_reason: Any = None
    input_tokens: Any = None


_TOLD = msgspec.json.Decoder(_Told)
_CANNOT = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class AnswerSoFar:
    """What has been told of an answer up to now."""

    def __init__(self) -> None:
        self.begun = False
        self.stopped = False
        self.failed = False
        self._usage = UsageSoFar()
        self._id: str | None = None
        self._model: str | None = None
        self._stop_reason: str | None = None
        self._error_type: str | None = None
        self._counted: int | None = None

    def event(self, data: bytes) -> None:
        """Take in the data of a server-sent event.

        Raises:
            UnreadError: it is malformed.
        """
        self._event(_decode(data))

    def left_open(self, data: bytes) -> None:
        """Take in what there is of an event that the end of the stream left open.

        It was told if its JSON is whole, and otherwise is not malformed.

        Raises:
            UnreadError: a figure in it is no count.
        """
        try:
            told = _decode(data)
        except UnreadError:
            return
        self._event(told)

    def _event(self, told: _Told | None) -> None:
        match told.type if told else None:
            case "message_start" if told and isinstance(told.message, dict):
                self._message(_Told(**{n: told.message.get(n) for n in _Told.__struct_fields__}))
            case "message_start":
                raise UnreadError(Unread.MALFORMED)
            case "message_delta" if told:
                if isinstance(told.delta, dict):
                    self._stop_reason = name_in(told.delta.get("stop_reason")) or self._stop_reason
                self._usage.tell(told.usage)
            case "message_stop":
                self.stopped = True
            case "error" if told:
                self._error(told.error)

    def body(self, body: bytes, *, is_count: bool, complete: bool) -> None:
        """Take in a JSON body: a message, a count of tokens or an error.

        Args:
            body: as far as it came.
            is_count: a count of tokens was asked for.
            complete: it came to its end; half a body tells nothing and is not malformed.

        Raises:
            UnreadError: it is malformed.
        """
        try:
            told = _decode(body)
        except UnreadError:
            if complete:
                raise
            return
        if told is None:
            raise UnreadError(Unread.MALFORMED)
        if told.error is not None:
            self._error(told.error)
        elif is_count:
            self._counted = count_in(told.input_tokens)
        elif told.type == "message" or told.usage is not None:
            self._message(told)
        self.stopped = True

    def result(
        self, *, status: int, request_id: str | None, complete: bool, unread: Unread | None
    ) -> SeenAnswer:
        """All that was told."""
        kind = self._kind(status)
        tokens = Tokens() if kind is AnswerKind.COUNT else self._usage.tokens
        tokens = None if unread else tokens
        unknown_lifetime = self._usage.writes_of_unknown_lifetime
        tools = self._usage.server_tools
        return SeenAnswer(
            kind=kind,
            status=status,
            complete=complete,
            unread=unread,
            request_id=request_id,
            message_id=self._id,
            model=self._model,
            stop_reason=self._stop_reason,
            error_type=self._error_type,
            tokens=tokens,
            writes_of_unknown_lifetime=None if tokens is None else unknown_lifetime,
            server_tools=None if tools is None else tuple(sorted(tools.items())),
            side_usage=self._usage.side,
            service_tier=self._usage.service_tier,
            speed=self._usage.speed,
            inference_geo=self._usage.inference_geo,
            counted=self._counted,
        )

    def _kind(self, status: int) -> AnswerKind:
        if self.begun:
            return AnswerKind.MESSAGE
        if self._counted is not None:
            return AnswerKind.COUNT
        return AnswerKind.ERROR if self.failed or status >= 400 else AnswerKind.OTHER  # noqa: PLR2004 - HTTP

    def _message(self, message: _Told) -> None:
        self.begun = True
        self._id = name_in(message.id)
        self._model = _model(message.model)
        self._stop_reason = name_in(message.stop_reason)
        self._usage.tell(message.usage)

    def _error(self, error: object) -> None:
        self.failed = True
        self._error_type = name_in(error.get("type")) if isinstance(error, dict) else None


def _model(value: object) -> str | None:
    fits = isinstance(value, str) and 0 < len(value) <= _MODEL_LENGTH and value.isprintable()
    return value if isinstance(value, str) and fits else None


def _decode(data: bytes) -> _Told | None:
    """The members that tell; None if it is no object.

    Raises:
        UnreadError: it is not JSON.
    """
    try:
        return _TOLD.decode(data)
    except _CANNOT:
        return _second_look(data)


def _second_look(data: bytes) -> _Told | None:
    """Decode as JavaScript does: lone surrogates and invalid UTF-8 are no reason to refuse."""
    if len(data) > _MOST_SECOND_LOOK:
        raise UnreadError(Unread.MALFORMED)
    try:
        document = json.loads(data.decode("utf-8", "replace"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UnreadError(Unread.MALFORMED) from error
    if not isinstance(document, dict):
        return None
    return _Told(**{name: document.get(name) for name in _Told.__struct_fields__})


def _refuse(constant: str) -> Never:
    raise ValueError(constant)
