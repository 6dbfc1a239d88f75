"""Lines that the bridge writes itself: answers in the agent's place, and notifications to it."""

from typing import Any

import msgspec

from acp_bridge.errors import Reason
from acp_bridge.modes import BillingMode
from acp_bridge.protocol import names

NULL_ID = b"null"


def refusal(  # noqa: PLR0913  (one argument for each member of the documented error shape)
    raw_id: bytes,
    code: names.Code,
    sentence: str,
    *,
    reason: Reason,
    mode: BillingMode,
    hint: str,
    method: str | None = None,
    channel: str | None = None,
) -> bytes:
    """An error response with ``data.acp_bridge``; the id is echoed byte for byte."""
    error = refusal_error(
        code, sentence, reason=reason, mode=mode, hint=hint, method=method, channel=channel
    )
    return _line({"jsonrpc": "2.0", "id": msgspec.Raw(raw_id), "error": error})


def refusal_error(  # noqa: PLR0913  (as above)
    code: names.Code,
    sentence: str,
    *,
    reason: Reason,
    mode: BillingMode,
    hint: str,
    method: str | None = None,
    channel: str | None = None,
) -> dict[str, Any]:
    """The error object of such a response."""
    data = {"reason": reason.value, "mode": mode.value}
    if method is not None:
        data["method"] = method
    if channel is not None:
        data["channel"] = channel
    data["hint"] = hint
    return {"code": int(code), "message": sentence, "data": {"acp_bridge": data}}


def result(raw_id: bytes, value: bytes) -> bytes:
    """A result response.

    Args:
        raw_id: the id as the client wrote it.
        value: the result as JSON.
    """
    return _line({"jsonrpc": "2.0", "id": msgspec.Raw(raw_id), "result": msgspec.Raw(value)})


def plain_error(raw_id: bytes, code: names.Code, sentence: str) -> bytes:
    """An error response to the agent, which is not told about the bridge."""
    error = {"code": int(code), "message": sentence}
    return _line({"jsonrpc": "2.0", "id": msgspec.Raw(raw_id), "error": error})


def cancel(raw_session_id: bytes) -> bytes:
    """The notification that stops a session's running turn."""
    params = {"sessionId": msgspec.Raw(raw_session_id)}
    return _line({"jsonrpc": "2.0", "method": names.SESSION_CANCEL, "params": params})


def notification(method: str, params: bytes) -> bytes:
    """A notification of the bridge's own to the client.

    Args:
        method: its name.
        params: as JSON.
    """
    return _line({"jsonrpc": "2.0", "method": method, "params": msgspec.Raw(params)})


def shown(text: str, limit: int = 64) -> str:
    """A client's text made safe to repeat in a sentence: printable ASCII and short."""
    plain = text.encode("unicode_escape").decode("ascii")
    return plain if len(plain) <= limit else plain[:limit] + "…"


def _line(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message) + b"\n"
