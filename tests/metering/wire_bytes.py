"""Answers as bytes, cut and read, and a slow reading of them to compare with."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from acp_bridge.metering.usage import Tokens
from acp_bridge.metering.wire import BOUNDS, AnswerReader, Bounds
from acp_bridge.metering.wire_answer import SeenAnswer
from acp_bridge.metering.wire_request import Endpoint

STREAM = ("content-type", "text/event-stream; charset=utf-8")
JSON = ("content-type", "application/json")


def event(kind: str, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def usage(**members: object) -> dict[str, object]:
    return {"input_tokens": 10, "output_tokens": 1, **members}


def message(**members: object) -> dict[str, object]:
    model = {"id": "msg_1", "type": "message", "model": "claude-sonnet-5-5", "content": []}
    return model | {"stop_reason": None, "usage": usage()} | members


def stream(start: dict[str, object], *rest: bytes) -> bytes:
    return b"".join((event("message_start", message=start), *rest))


def delta(stop_reason: str | None = "end_turn", **told: object) -> bytes:
    return event("message_delta", delta={"stop_reason": stop_reason}, usage=told)


STOP = event("message_stop")
CONTENT = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hé\n"})
PING = event("ping")


def pieces(body: bytes, places: Iterable[int]) -> list[bytes]:
    """The body cut at these places, wherever they lie."""
    cuts = sorted({place % (len(body) + 1) for place in places} | {0, len(body)})
    return [body[start:end] for start, end in pairwise(cuts)]


def read(
    chunks: bytes | Sequence[bytes],
    *headers: tuple[str, str],
    endpoint: Endpoint = Endpoint.MESSAGES,
    status: int = 200,
    complete: bool = True,
    bounds: Bounds = BOUNDS,
) -> SeenAnswer:
    reader = AnswerReader(endpoint, status, headers or (STREAM,), bounds)
    for chunk in [chunks] if isinstance(chunks, bytes) else chunks:
        reader.feed(chunk)
    return reader.finish(complete=complete)


def told_slowly(body: bytes) -> dict[str, Any]:
    """What a stream of LF lines with one data line each tells, read line by line."""
    told: dict[str, Any] = {"model": None, "stop_reason": None, "error": None, "complete": False}
    counts: dict[str, int] = {}
    for line in body.decode("utf-8", "ignore").split("\n"):
        try:
            data = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
        except json.JSONDecodeError:
            continue  # the last line, cut
        match data.get("type"):
            case "message_start":
                told["model"] = data["message"]["model"]
                counts |= data["message"]["usage"]
                counts |= data["message"]["usage"].get("cache_creation", {})
            case "message_delta":
                told["stop_reason"] = data["delta"]["stop_reason"] or told["stop_reason"]
                counts |= {
                    name: n for name, n in data["usage"].items() if n or name == "output_tokens"
                }
            case "message_stop":
                told["complete"] = True
            case "error":
                told["error"] = data["error"]["type"]
    told["tokens"] = _tokens(counts) if counts else None
    return told


def _tokens(counts: dict[str, int]) -> Tokens:
    five = counts.get("ephemeral_5m_input_tokens", 0)
    hour = counts.get("ephemeral_1h_input_tokens", 0)
    five = max(five, counts.get("cache_creation_input_tokens", 0) - hour)
    read = counts.get("cache_read_input_tokens", 0)
    return Tokens(counts["input_tokens"], counts["output_tokens"], read, five, hour)
