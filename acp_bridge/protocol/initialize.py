"""Edits the agent's ``initialize`` result, so that clients offer only what the mode allows.

Sign-in methods that the lock would refuse are not offered, commands that would go round the bridge
lead to it, providers cannot be switched, and the mode stands in the agent's title and in
``_meta["acp_bridge"]``. An agent that is no Claude adapter gets the last of these and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from acp_bridge.modes import AgentKind, BillingMode, Bucket, CredentialClass
from acp_bridge.protocol import json_text, names
from acp_bridge.protocol.decisions import Interceptor, Rewrite
from acp_bridge.protocol.envelope import Envelope
from acp_bridge.protocol.facts import AgentIdentified
from acp_bridge.protocol.json_text import Members
from acp_bridge.protocol.lock import sign_in_is_refused
from acp_bridge.protocol.open_requests import OpenRequest

META_KEY = "acp_bridge"
GUARANTEES_ENFORCED, GUARANTEES_NONE = "enforced", "none"
_NOBODY_KNOWS = {
    "credential_class": CredentialClass.UNKNOWN.value,
    "bucket": Bucket.UNKNOWN.value,
}
_TERMINAL_AUTH = "terminal-auth"
_CLI_FLAG = "--cli"


@dataclass(frozen=True, slots=True)
class BridgeCard:
    """How the bridge presents itself to clients.

    Attributes:
        mode: the mode of the run.
        meta: the members of ``_meta["acp_bridge"]``, all but ``guarantees``.
        command: the argv prefix that starts the bridge in this mode, first the program.
    """

    mode: BillingMode
    meta: Mapping[str, Any]
    command: tuple[str, ...]


def identify(result: bytes, forced: AgentKind | None = None) -> AgentIdentified:
    """Read from an ``initialize`` result who the agent is.

    Args:
        result: the result as JSON.
        forced: the user's own word on the kind, which wins.
    """
    info = _object(_object(result).get("agentInfo"))
    name = json_text.string(info.get("name"))
    seen = AgentKind.CLAUDE if name in names.CLAUDE_ADAPTERS else AgentKind.OTHER
    return AgentIdentified(name, json_text.string(info.get("version")), forced or seen)


class InitializeEditor(Interceptor):
    """Edits the response to ``initialize``.

    Args:
        card: what to put in.
        forced: the agent's kind if the user set it.
    """

    answers_to = frozenset({names.INITIALIZE})
    claude_only = False

    def __init__(self, card: BridgeCard, forced: AgentKind | None = None) -> None:
        self._card = card
        self._forced = forced

    def agent_response(self, request: OpenRequest, message: Envelope, now: float) -> Rewrite | None:
        """Rewrite the result if it is an object."""
        del request, now
        result = bytes(message.result)
        if not json_text.is_object(result):
            return None
        kind = identify(result, self._forced).kind
        return Rewrite("result", edit(result, self._card, kind))


def edit(result: bytes, card: BridgeCard, kind: AgentKind) -> bytes:
    """Edit an ``initialize`` result.

    Args:
        result: the agent's result, a JSON object.
        card: what to put in.
        kind: what the agent is.
    """
    top = _object(result)
    if kind is AgentKind.CLAUDE:
        _withhold_providers(top)
        _name_the_mode(top, card.mode)
        _edit_sign_in(top, card)
    guarantees = GUARANTEES_ENFORCED if kind is AgentKind.CLAUDE else GUARANTEES_NONE
    payer = {} if kind is AgentKind.CLAUDE else _NOBODY_KNOWS
    meta = _object(top.get("_meta"))
    meta[META_KEY] = msgspec.json.encode({**card.meta, **payer, "guarantees": guarantees})
    top["_meta"] = json_text.encode_members(meta)
    return json_text.encode_members(top)


def _withhold_providers(top: Members) -> None:
    capabilities = _object(top.get("agentCapabilities"))
    if capabilities.pop("providers", None) is not None:
        top["agentCapabilities"] = json_text.encode_members(capabilities)


def _name_the_mode(top: Members, mode: BillingMode) -> None:
    info = _object(top.get("agentInfo"))
    title = json_text.string(info.get("title")) or json_text.string(info.get("name")) or "Agent"
    info["title"] = json_text.quoted(f"{title} · {mode.value}")
    top["agentInfo"] = json_text.encode_members(info)


def _edit_sign_in(top: Members, card: BridgeCard) -> None:
    methods = json_text.elements(top["authMethods"]) if "authMethods" in top else None
    if methods is None:
        return
    edited = (_edit_method(_object(method), card) for method in methods)
    kept = [json_text.encode_members(method) for method in edited if method is not None]
    top["authMethods"] = b"[" + b",".join(kept) + b"]"


def _edit_method(method: Members, card: BridgeCard) -> Members | None:
    if sign_in_is_refused(card.mode, json_text.string(method.get("id"))):
        return None
    meta = _object(method.get("_meta"))
    if _TERMINAL_AUTH in meta:
        terminal = _through_the_bridge(_object(meta.pop(_TERMINAL_AUTH)), card.command)
        if terminal is not None:
            meta[_TERMINAL_AUTH] = json_text.encode_members(terminal)
        method["_meta"] = json_text.encode_members(meta)
    return method


def _through_the_bridge(terminal: Members, command: tuple[str, ...]) -> Members | None:
    """The bridge's own command, followed by the agent's arguments from ``--cli`` on."""
    written = terminal.get("args")
    args = [json_text.string(arg) for arg in (json_text.elements(written) or [])] if written else []
    if _CLI_FLAG not in args or None in args:
        return None
    program, *prefix = command
    terminal["command"] = json_text.quoted(program)
    terminal["args"] = msgspec.json.encode([*prefix, *args[args.index(_CLI_FLAG) :]])
    return terminal


def _object(raw: bytes | None) -> Members:
    return (json_text.members(raw) if raw else None) or {}
