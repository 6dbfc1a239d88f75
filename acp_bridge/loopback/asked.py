"""A model request as the endpoint reads it, and what kind of request it is.

Claude Code asks for more than its user typed: a title for each session and, after most turns, a
suggestion for the next prompt. They are told apart here, so that they do not eat a script's steps:
a suggestion's last user text says ``SUGGESTION MODE``; a title request has no tools and a system
prompt that speaks of the title.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

_SUGGESTION_MARK = "SUGGESTION MODE"


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
    last_text = "\n".join(texts)
    return Asked(
        kind=_kind(document, last_text, tools),
        model=model,
        stream=document.get("stream") is True,
        last_text=last_text,
        prompt=next((text for text in reversed(texts) if not _is_reminder(text)), ""),
        tools=tools,
        agent_id=agent_id,
        session_id=session_id,
        body=document,
    )


def _kind(document: Mapping[str, Any], last_text: str, tools: tuple[str, ...]) -> RequestKind:
    if _SUGGESTION_MARK in last_text:
        return RequestKind.SUGGESTION
    wants_title = "title" in "\n".join(_texts(document.get("system"))).lower()
    return RequestKind.TITLE if wants_title and not tools else RequestKind.MAIN


def _last_user_texts(messages: list[Any]) -> list[str]:
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return _texts(message.get("content"))
    return []


def _is_reminder(text: str) -> bool:
    return text.lstrip().startswith("<system-reminder>")


def _texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    texts = [block.get("text") for block in _dicts(content) if block.get("type") == "text"]
    return [text for text in texts if isinstance(text, str)]


def _tool_names(tools: object) -> tuple[str, ...]:
    names = (tool.get("name") for tool in _dicts(tools))
    return tuple(name for name in names if isinstance(name, str))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
