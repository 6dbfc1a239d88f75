"""A model request as the endpoint reads it, and what kind of request it is.

Titles and suggestions, which nobody typed (`acp_bridge.metering.asked` tells them), are kept apart
so that they do not eat a script's steps; a compaction is a step like any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from acp_bridge.metering.asked import asked_in, texts_of, typed
from acp_bridge.metering.usage import AskedBy


class RequestKind(StrEnum):
    """What a request is for."""

    MAIN = "main"
    TITLE = "title"
    SUGGESTION = "suggestion"
    COUNT = "count"
    MODELS = "models"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to ``/v1/messages``.

    Attributes:
        kind: `main`, `title` or `suggestion`.
        model: as named by the client.
        stream: the answer is to be server-sent events.
        last_text: the text blocks of the last user message, joined by newlines.
        prompt: the last of them that is no ``<system-reminder>``: what the user typed.
        tools: names of the tools on offer.
        agent_id: ``x-claude-code-agent-id``; None in the main loop.
        session_id: ``x-claude-code-session-id``.
        body: the whole body, decoded.
    """

    kind: RequestKind
    model: str
    stream: bool
    last_text: str
    prompt: str
    tools: tuple[str, ...]
    agent_id: str | None
    session_id: str | None
    body: Mapping[str, Any]


class UnreadableBodyError(ValueError):
    """A body that is no Messages request; the text says why."""


def read_asked(body: bytes, *, agent_id: str | None, session_id: str | None) -> Asked:
    """Read the body of a request to ``/v1/messages`` or ``/v1/messages/count_tokens``.

    Raises:
        UnreadableBodyError: not a JSON object with a model and messages.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableBodyError(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableBodyError("the body is not a JSON object")
    model, messages = document.get("model"), document.get("messages")
    if not isinstance(model, str) or not isinstance(messages, list):
        raise UnreadableBodyError("model and messages are required")
    texts = _last_user_texts(messages)
    tools = _tool_names(document.get("tools"))
    return Asked(
        kind=_kind(document, texts, tools),
        model=model,
        stream=document.get("stream") is True,
        last_text="\n".join(texts),
        prompt=typed(texts),
        tools=tools,
        agent_id=agent_id,
        session_id=session_id,
        body=document,
    )


def _kind(document: Mapping[str, Any], texts: list[str], tools: tuple[str, ...]) -> RequestKind:
    match asked_in(system=document.get("system"), last_texts=texts, has_tools=bool(tools)):
        case AskedBy.SUGGESTION:
            return RequestKind.SUGGESTION
        case AskedBy.TITLE:
            return RequestKind.TITLE
        case _:
            return RequestKind.MAIN


def _last_user_texts(messages: list[Any]) -> list[str]:
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return texts_of(message.get("content"))
    return []


def _tool_names(tools: object) -> tuple[str, ...]:
    names = (tool.get("name") for tool in _dicts(tools))
    return tuple(name for name in names if isinstance(name, str))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
