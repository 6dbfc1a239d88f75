"""Asks the Claude adapter for the raw messages that tell what a turn cost, for the bridge alone.

``_meta.claudeCode.emitRawSDKMessages`` of a request that opens a session makes the adapter send the
messages of the Agent SDK as ``_claude/sdkMessage`` (FACTS §4). The bridge adds the few that it
needs to what the client asked for, and keeps from the client those that it did not ask for.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from acp_bridge.protocol import json_text, names, sessions
from acp_bridge.protocol.decisions import (
    AgentDecision,
    ClientDecision,
    Drop,
    Interceptor,
    Note,
    Rewrite,
)
from acp_bridge.protocol.envelope import Envelope, IdKey, id_key
from acp_bridge.protocol.facts import RawMessageSeen, UsageUpdated
from acp_bridge.protocol.json_text import Members
from acp_bridge.protocol.open_requests import OpenRequest

WANTED: tuple[Mapping[str, str], ...] = (
    {"type": "result"},
    {"type": "system", "subtype": "init"},
    {"type": "rate_limit_event"},
)
"""What the bridge asks for: totals of each turn, the program's own report, the plan's windows."""

LONGEST_USAGE_UPDATE = 4096
_USAGE_UPDATE = b'"usage_update"'
_OPTION = "emitRawSDKMessages"
_EVERYTHING = b"true"

Asked = Sequence[Members] | bool
"""What a client asked for: filters, or everything."""


class RawMessages(Interceptor):
    """Adds the bridge's wishes to a session's, and takes what only the bridge wished for."""

    client_methods = names.SESSION_OPENING
    agent_methods = frozenset({names.RAW_MESSAGE})
    answers_to = names.SESSION_OPENING

    def __init__(self) -> None:
        self._opening: dict[IdKey, Asked] = {}
        self._asked: dict[str, Asked] = {}

    def client_message(self, message: Envelope, now: float) -> ClientDecision:
        """Add the bridge's filters to those of the client."""
        del now
        top = json_text.members(bytes(message.params)) if bytes(message.params) else None
        if top is None:
            return None
        meta = _object(top.get("_meta"))
        claude = _object(meta.get("claudeCode"))
        asked = _asked(claude.get(_OPTION))
        if asked is None:
            return None
        if message.raw_id and asked:
            self._opening[id_key(message.raw_id)] = asked
        if asked is True:
            return None
        claude[_OPTION] = _together(asked)
        meta["claudeCode"] = json_text.encode_members(claude)
        top["_meta"] = json_text.encode_members(meta)
        return Rewrite("params", json_text.encode_members(top))

    def agent_response(self, request: OpenRequest, message: Envelope, now: float) -> None:
        """Learn which session the client's wishes are for."""
        del now
        asked = self._opening.pop(id_key(request.raw_id), False)
        opened = sessions.session_opened(request, message)
        if opened is not None and asked:
            self._asked[opened.session_id] = asked
        elif opened is not None:
            self._asked.pop(opened.session_id, None)

    def agent_message(self, message: Envelope, now: float) -> AgentDecision:
        """Record a raw message; the client sees it if it asked for it."""
        del now
        params = _object(bytes(message.params))
        raw = params.get("message", b"")
        session_id = json_text.string(params.get("sessionId"))
        facts = (RawMessageSeen(session_id, raw),)
        return Note(facts) if self._client_wants(session_id, _object(raw)) else Drop(facts)

    def _client_wants(self, session_id: str | None, raw: Members) -> bool:
        known = self._asked.get(session_id or "")
        # A session may speak before the response that opens it.
        candidates = [known] if known is not None else list(self._opening.values())
        return any(one is True or _matches(one, raw) for one in candidates)


class UsageUpdates(Interceptor):
    """Records what an agent of any kind tells of a session's cost while it works."""

    agent_methods = frozenset({names.SESSION_UPDATE})
    agent_marks = MappingProxyType({names.SESSION_UPDATE: _USAGE_UPDATE})
    claude_only = False

    def agent_message(self, message: Envelope, now: float) -> AgentDecision:
        """Look for the one kind of update; it is small, and most of the others are not."""
        del now
        if len(message.params) > LONGEST_USAGE_UPDATE:
            return None
        params = bytes(message.params)
        return Note((UsageUpdated(params),)) if _USAGE_UPDATE in params else None


def _asked(written: bytes | None) -> Asked | None:
    """What the option asks for; None for what the adapter would stumble over."""
    if written is None or json_text.is_null(written) or written == b"false":
        return ()
    if written == _EVERYTHING:
        return True
    elements = json_text.elements(written)
    return None if elements is None else [_object(element) for element in elements]


def _together(asked: Asked) -> bytes:
    theirs = [json_text.encode_members(one) for one in asked] if not isinstance(asked, bool) else []
    ours = [
        json_text.encode_members({key: json_text.quoted(value) for key, value in one.items()})
        for one in WANTED
    ]
    return b"[" + b",".join([*theirs, *ours]) + b"]"


def _matches(asked: Asked, raw: Members) -> bool:
    """The adapter's own rule (`shouldEmitRawMessage` of 0.100.0)."""
    if isinstance(asked, bool):
        return asked
    said = (
        json_text.string(raw.get("type")),
        json_text.string(raw.get("subtype")),
        json_text.string(_object(raw.get("origin")).get("kind")),
    )
    return any(
        json_text.string(one.get("type")) == said[0]
        and all(
            name not in one or json_text.string(one[name]) == value
            for name, value in zip(("subtype", "origin"), said[1:], strict=True)
        )
        for one in asked
    )


def _object(raw: bytes | None) -> Members:
    return (json_text.members(raw) if raw else None) or {}
