"""What to say about a line over the limit, as far as its first bytes tell what it was.

Nobody may wait for ever because a line was discarded: a request is answered to whoever asked, and
in the place of a discarded answer goes an error. Clients and agents write the id before params and
result; where it cannot be seen, a discarded answer is made good when the agent ends.
"""

from dataclasses import dataclass
from enum import Enum, auto

from acp_bridge.errors import Reason
from acp_bridge.protocol import json_text
from acp_bridge.protocol.decisions import Refuse
from acp_bridge.protocol.envelope import Envelope, from_members, has_valid_id
from acp_bridge.protocol.names import Code


class Was(Enum):
    """What a discarded line was."""

    REQUEST = auto()
    RESPONSE = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Remains:
    """What is known of a discarded line.

    Attributes:
        was: what it was.
        raw_id: its id, if it was a request or a response.
        method: its method, if it was a request.
    """

    was: Was
    raw_id: bytes = b""
    method: str | None = None


_UNKNOWN = Remains(Was.UNKNOWN)


def identify(head: bytes) -> Remains:
    """Identify a discarded line by its first bytes."""
    found = json_text.leading_members(head)
    message: Envelope = from_members(found)
    if not has_valid_id(message):
        return _UNKNOWN
    if "method" in found:
        method = json_text.string(found["method"] or None)
        return Remains(Was.REQUEST, message.raw_id, method)
    if "result" in found or "error" in found:
        return Remains(Was.RESPONSE, message.raw_id)
    return _UNKNOWN


def refusal(limit: int, writer: str, code: Code) -> Refuse:
    """What to answer for a discarded line.

    Args:
        limit: the limit in bytes.
        writer: who wrote it, as the sentence names them.
        code: the error's code.
    """
    return Refuse(
        code,
        Reason.LINE_TOO_LONG,
        f"The {writer} sent a line of more than {limit} bytes, and it was not passed on.",
        "Send less at once, or raise ACP_BRIDGE_MAX_LINE_BYTES if both sides take longer lines.",
    )
