"""How the Anthropic API words an answer: as one JSON message, or as server-sent events. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from acp_bridge.loopback.script import (
    Answer,
    Block,
    ErrorAnswer,
    Text,
    Thinking,
    ToolUse,
    Usage,
)

_PIECES = 3


@dataclass(frozen=True, slots=True)
class AnswerIds:
    """The identifiers of one answer.

    Attributes:
        message: ``msg_…``, also the stem of the ids of its tool calls.
        request: ``req_…``, sent as the header ``request-id``.
    """

    message: str
    request: str


def as_message(answer: Answer, *, model: str, ids: AnswerIds) -> dict[str, object]:
    """The JSON document of an answer that was not asked for as a stream."""
    return {
        "id": ids.message,
        "type": "message",
        "role": "assistant",
        "model": answer.model or model,
        "content": [_block(block, ids, n) for n, block in enumerate(answer.blocks)],
        "stop_reason": answer.effective_stop_reason,
        "stop_sequence": None,
        "usage": _whole_usage(answer.usage),
    }


def as_error(error: ErrorAnswer, *, ids: AnswerIds) -> dict[str, object]:
    """The JSON document of an error."""
    return {
        "type": "error",
        "error": {"type": error.error_type, "message": error.message},
        "request_id": ids.request,
    }


def as_events(answer: Answer, *, model: str, ids: AnswerIds) -> Iterator[bytes]:
    """The server-sent events of an answer, in the API's order, a ping within the first block."""
    start = as_message(answer, model=model, ids=ids)
    start |= {"content": [], "stop_reason": None, "usage": _first_usage(answer.usage)}
    yield _event("message_start", message=start)
    for index, block in enumerate(answer.blocks):
        yield _event("content_block_start", index=index, content_block=_opened(block, ids, index))
        if index == 0:
            yield _event("ping")
        for delta in _deltas(block):
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    yield _event(
        "message_delta",
        delta={"stop_reason": answer.effective_stop_reason, "stop_sequence": None},
        usage=_totals(answer.usage),
    )
    yield _event("message_stop")


def _event(name: str, **fields: object) -> bytes:
    data = msgspec.json.encode({"type": name, **fields})
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _totals(usage: Usage) -> dict[str, object]:
    """The ``usage`` of ``message_delta``: cumulative, without the split of the cache writes."""
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }


def _whole_usage(usage: Usage) -> dict[str, object]:
    return _totals(usage) | {
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "service_tier": "standard",
    }


def _first_usage(usage: Usage) -> dict[str, object]:
    """The ``usage`` of ``message_start``: a first output token, whatever will follow."""
    return _whole_usage(usage) | {"output_tokens": min(1, usage.output_tokens)}


def _block(block: Block, ids: AnswerIds, index: int) -> dict[str, object]:
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case Thinking(thinking, signature):
            return {"type": "thinking", "thinking": thinking, "signature": signature}
        case ToolUse(name, tool_input, given):
            call = given or f"toolu_{ids.message.removeprefix('msg_')}{index}"
            return {"type": "tool_use", "id": call, "name": name, "input": dict(tool_input)}


def _opened(block: Block, ids: AnswerIds, index: int) -> dict[str, object]:
    whole = _block(block, ids, index)
    empty: dict[str, object] = {"text": "", "thinking": "", "signature": "", "input": {}}
    return whole | {key: empty[key] for key in whole if key in empty}


def _deltas(block: Block) -> Iterator[dict[str, object]]:
    match block:
        case Text(text):
            for piece in _pieces(text):
                yield {"type": "text_delta", "text": piece}
        case Thinking(thinking, signature):
            for piece in _pieces(thinking):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": signature}
        case ToolUse(_, tool_input, _):
            text = msgspec.json.encode(dict(tool_input)).decode()
            for piece in ("", *_pieces(text)):
                yield {"type": "input_json_delta", "partial_json": piece}


def _pieces(text: str) -> Iterator[str]:
    size = max(1, -(-len(text) // _PIECES))
    return (text[at : at + size] for at in range(0, len(text), size))
