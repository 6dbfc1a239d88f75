"""What a model request is for, from its body.

Claude Code asks for more than its user typed: a title for each session and, after most turns, a
suggestion for the next prompt. Seen with Claude Code 2.1.316 to 2.1.330: the last user text of a
suggestion says ``SUGGESTION MODE``; a title request has no tools and a system prompt that speaks of
the title; the last user text of a compaction begins with a fixed sentence. The texts are looked at
and forgotten.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from acp_bridge.metering.usage import AskedBy

_SUGGESTION_MARK = "SUGGESTION MODE"
_MOST_SECOND_LOOK = 8 * 1024 * 1024
_COMPACTION_BEGINNING = "CRITICAL: Respond with TEXT ONLY"


class _Body(msgspec.Struct):
    """The members that tell; the messages, which may be megabytes, are not taken apart."""

    model: Any = None
    stream: Any = None
    system: Any = None
    messages: list[msgspec.Raw] | None = None
    tools: list[msgspec.Raw] | None = None
    max_tokens: Any = None
    speed: Any = None
    inference_geo: Any = None


class _Message(msgspec.Struct):
    role: Any = None
    content: Any = None


_BODY = msgspec.json.Decoder(_Body)
_MESSAGE = msgspec.json.Decoder(_Message)
_CANNOT = (ValueError, RecursionError)  # msgspec's and json's errors are ValueErrors


@dataclass(frozen=True, slots=True)
class ReadBody:
    """What the body of a request to ``/v1/messages`` tells.

    Attributes:
        model: as named by the client; None if it cannot be read.
        stream: the answer is to be server-sent events.
        asked_by: what made the request; `AskedBy.OTHER` if the body cannot be read.
        max_tokens: the longest answer that is asked for; None if the body does not say.
        speed: as named by the client, such as ``fast``; None if it names none.
        inference_geo: the same of where it is answered.
    """

    model: str | None = None
    stream: bool = False
    asked_by: AskedBy = AskedBy.OTHER
    max_tokens: int | None = None
    speed: str | None = None
    inference_geo: str | None = None


def read_body(body: bytes, *, agent_id: str | None) -> ReadBody:
    """What a body tells. One that cannot be read tells nothing, and is no error here."""
    try:
        told = _decode(body)
        texts = _last_user_texts(told.messages or [])
    except _CANNOT:
        return ReadBody()
    asked_by = asked_in(
        system=told.system, last_texts=texts, has_tools=bool(told.tools), agent_id=agent_id
    )
    return ReadBody(
        _text(told.model),
        told.stream is True,
        asked_by,
        _count(told.max_tokens),
        _text(told.speed),
        _text(told.inference_geo),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _decode(body: bytes) -> _Body:
    try:
        return _BODY.decode(body)
    except _CANNOT:
        if len(body) > _MOST_SECOND_LOOK:
            raise
        # msgspec refuses lone surrogates, which a prompt may hold.
        document = json.loads(body.decode(errors="replace"))
        return _BODY.decode(json.dumps(document, ensure_ascii=False).encode(errors="replace"))


def asked_in(
    *, system: object, last_texts: Sequence[str], has_tools: bool, agent_id: str | None = None
) -> AskedBy:
    """The label of a request.

    Args:
        system: the system prompt, decoded: a string or text blocks.
        last_texts: the text blocks of the last user message.
        has_tools: whether tools are on offer.
        agent_id: the subagent that asked, if any.
    """
    if any(_SUGGESTION_MARK in text for text in last_texts):
        return AskedBy.SUGGESTION
    if not has_tools and "title" in "\n".join(texts_of(system)).lower():
        return AskedBy.TITLE
    if typed(last_texts).startswith(_COMPACTION_BEGINNING):
        return AskedBy.COMPACTION
    return AskedBy.SUBAGENT if agent_id else AskedBy.MAIN


def typed(texts: Sequence[str]) -> str:
    """The last of the texts that is no ``<system-reminder>``: what the user typed, or ``""``."""
    return next(
        (text for text in reversed(texts) if not text.lstrip().startswith("<system-reminder>")), ""
    )


def texts_of(content: object) -> list[str]:
    """The texts of a message's content or of a system prompt, decoded."""
    if isinstance(content, str):
        return [content]
    blocks = content if isinstance(content, list) else []
    texts = [
        block.get("text")
        for block in blocks
        if isinstance(block, Mapping) and block.get("type") == "text"
    ]
    return [text for text in texts if isinstance(text, str)]


def _last_user_texts(messages: list[msgspec.Raw]) -> list[str]:
    for raw in reversed(messages):
        message = _MESSAGE.decode(raw)
        if message.role == "user":
            return texts_of(message.content)
    return []
