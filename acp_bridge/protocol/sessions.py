"""Reads from requests and responses which session they are about."""

from collections.abc import Iterable

import msgspec

from acp_bridge.protocol import json_text, names
from acp_bridge.protocol.envelope import Envelope
from acp_bridge.protocol.facts import SessionClosed, SessionOpened
from acp_bridge.protocol.open_requests import OpenRequest

_WITH_SESSION = names.SESSION_OPENING | names.SESSION_CLOSING | {names.SESSION_PROMPT}
_CONTINUING = frozenset({names.SESSION_LOAD, names.SESSION_RESUME})
_ABSENT = msgspec.Raw()


class _Params(msgspec.Struct, frozen=True):
    sessionId: msgspec.Raw = _ABSENT  # noqa: N815  (the protocol's spelling)
    cwd: msgspec.Raw = _ABSENT


_decode = msgspec.json.Decoder(_Params).decode


def open_request(message: Envelope) -> OpenRequest:
    """What to remember of a request until it is answered."""
    method = str(message.method)
    if method not in _WITH_SESSION or not bytes(message.params):
        return OpenRequest(message.raw_id, method)
    session_id, cwd = _session_and_cwd(message.params)
    return OpenRequest(message.raw_id, method, session_id, json_text.string(cwd))


def session_of(message: Envelope) -> str | None:
    """The session that a request or notification of any method names, as text."""
    params = bytes(message.params)
    return json_text.string(_session_and_cwd(message.params)[0]) if params else None


def session_text(request: OpenRequest) -> str | None:
    """The session id of a request as text."""
    return json_text.string(request.raw_session_id)


def session_opened(request: OpenRequest, message: Envelope) -> SessionOpened | None:
    """The session that a response opened; None if the request failed."""
    result = bytes(message.result)
    if not result:
        return None
    found = json_text.members(result) or {}
    session_id = json_text.string(found.get("sessionId"))
    if session_id is None and request.method != names.SESSION_FORK:
        session_id = session_text(request)
    if session_id is None:
        return None
    continued = request.method in _CONTINUING
    return SessionOpened(session_id, request.cwd, _model(found), continued)


def session_closed(request: OpenRequest, message: Envelope) -> SessionClosed | None:
    """The session that a response closed; None if the request failed."""
    session_id = session_text(request)
    if session_id is None or not bytes(message.result):
        return None
    return SessionClosed(session_id)


def _session_and_cwd(params: msgspec.Raw) -> tuple[bytes, bytes]:
    try:
        found = _decode(params)
        return bytes(found.sessionId), bytes(found.cwd)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        members = json_text.strict_members(bytes(params)) or {}
        return members.get("sessionId", b""), members.get("cwd", b"")


def _model(result: json_text.Members) -> str | None:
    """The session's model: the ``model`` entry of configOptions, or ``models.currentModelId``."""
    for option in _objects(result.get("configOptions")):
        if json_text.string(option.get("id")) == "model":
            return json_text.string(option.get("currentValue"))
    models = result.get("models")
    found = json_text.members(models) if models else None
    return json_text.string((found or {}).get("currentModelId"))


def _objects(array: bytes | None) -> Iterable[json_text.Members]:
    for element in (json_text.elements(array) if array else None) or []:
        found = json_text.members(element)
        if found is not None:
            yield found
