"""What a model request tells of itself: where it goes, for whom, and what for. No text is kept."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from acp_bridge.metering.asked import ReadBody, read_body
from acp_bridge.metering.usage import AskedBy
from acp_bridge.policy.surface import Surface, surface_of

_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_MODEL_LENGTH = 200


class Endpoint(StrEnum):
    """What a request is made to; only `messages` spends tokens."""

    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A request as the wire showed it.

    Attributes:
        endpoint: what it was made to.
        session_id: ``x-claude-code-session-id``; None if there is none that looks like an id.
        agent_id: ``x-claude-code-agent-id``: the subagent; None in the main loop.
        prompt_id: ``x-claude-code-prompt-id``: Claude Code's own id of the prompt, if it says one.
        surface: what kind of program says it asks.
        asked_by: what made it: `main`, `subagent`, `title`, `suggestion`, `compaction`, `count` or
            `other`. A retry looks like the request that it repeats.
        model: as asked for; None if the body does not tell.
        stream: the answer is to be server-sent events.
        size: bytes of the body.
        max_tokens: the longest answer that is asked for; None if the body does not tell.
        speed: as asked for; None if the body names none.
        inference_geo: where it is to be answered; None if the body names nothing.
    """

    endpoint: Endpoint
    session_id: str | None
    agent_id: str | None
    prompt_id: str | None
    surface: Surface
    asked_by: AskedBy
    model: str | None
    stream: bool
    size: int = 0
    max_tokens: int | None = None
    speed: str | None = None
    inference_geo: str | None = None


def endpoint_of(method: str, target: str) -> Endpoint:
    """What a request is made to.

    Args:
        method: upper case.
        target: path and query as they go upstream, without the guard's secret path.
    """
    match method, target.partition("?")[0]:
        case "POST", "/v1/messages":
            return Endpoint.MESSAGES
        case "POST", "/v1/messages/count_tokens":
            return Endpoint.COUNT_TOKENS
        case _:
            return Endpoint.OTHER


def read_request(
    method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes
) -> ModelRequest:
    """Read what a request tells.

    Args:
        method: upper case.
        target: path and query as they go upstream, without the guard's secret path.
        headers: names (any case) and values; of a name that comes twice the first counts.
        body: the whole body, content encoding undone.
    """
    named = {name.lower(): value for name, value in reversed(tuple(headers))}
    endpoint = endpoint_of(method, target)
    agent_id = _id(named.get("x-claude-code-agent-id"))
    told = ReadBody() if endpoint is Endpoint.OTHER else read_body(body, agent_id=agent_id)
    return ModelRequest(
        endpoint=endpoint,
        session_id=_id(named.get("x-claude-code-session-id")),
        agent_id=agent_id,
        prompt_id=_id(named.get("x-claude-code-prompt-id")),
        surface=surface_of(named.get("user-agent")),
        asked_by=AskedBy.COUNT if endpoint is Endpoint.COUNT_TOKENS else told.asked_by,
        model=told.model if told.model and len(told.model) <= _MODEL_LENGTH else None,
        stream=told.stream,
        size=len(body),
        max_tokens=told.max_tokens,
        speed=told.speed,
        inference_geo=told.inference_geo,
    )


def _id(value: str | None) -> str | None:
    return value if value and _ID.fullmatch(value) else None
