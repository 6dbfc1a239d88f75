"""Reads a line as the agent would: what it asks, and with which id.

The fast path is msgspec with raw params and result. What msgspec refuses (a byte order mark, lone
surrogates, invalid UTF-8 in a name, deep nesting) is read by `json_text`, which follows the agent's
parser; what that refuses too, the agent refuses. Invariant: for every line, the method, the id and
the kind read here are those that the agent reads.
"""

import math
from enum import Enum, auto

import msgspec

from acp_bridge.protocol import json_text
from acp_bridge.protocol.framing import terminator

IdKey = str | float | None
"""An id as the agent compares it: text, a JavaScript number, or null. 1, 1.0 and 1e0 are one id."""

UNSET = msgspec.UNSET
_ABSENT = msgspec.Raw()
_VERSION = b'"2.0"'


class Other(Enum):
    """A line that is no JSON object."""

    BLANK = auto()
    BATCH = auto()
    SCALAR = auto()
    UNPARSEABLE = auto()


class Kind(Enum):
    """What the agent makes of an object."""

    REQUEST = auto()
    NOTIFICATION = auto()
    RESPONSE = auto()
    INVALID = auto()


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A JSON object on the wire: its method decoded, everything else as it was written.

    Absent members are empty; a method that is there and is no string makes an `OddEnvelope`.
    """

    jsonrpc: msgspec.Raw = _ABSENT
    id: msgspec.Raw = _ABSENT
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw = _ABSENT
    result: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT

    @property
    def raw_id(self) -> bytes:
        """The id as it was written; empty if there is none."""
        return bytes(self.id)


class OddEnvelope(Envelope, frozen=True, gc=False):
    """An object whose ``method`` is there but is no string: nobody executes it."""


_decoder = msgspec.json.Decoder(Envelope)
_decode, _decode_lines = _decoder.decode, _decoder.decode_lines
_OPENS, _CLOSES = b"{}"


def read(line: bytes) -> Envelope | Other:
    """Read one line, terminator included or not. Never raises."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_slowly(line)


def read_together(lines: bytes) -> list[Envelope] | None:
    """Read several lines at once; None if any of them has to be read by itself.

    Every line has to begin with a brace and end with one. JSON allows ``}``, a line feed and ``{``
    in a row between two values only, never within one. So there are at least as many values as
    lines, and when there are just as many, each line holds one.
    """
    count, end = 0, lines.find(b"\n")
    if lines[0] != _OPENS:
        return None
    last = len(lines) - 1
    while end >= 0:
        if lines[end - 1] != _CLOSES or (end != last and lines[end + 1] != _OPENS):
            return None
        count += 1
        end = lines.find(b"\n", end + 1)
    try:
        messages = _decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return messages if len(messages) == count else None


def read_object(line: bytes) -> Envelope:
    """Read a line that is known to be an object.

    Raises:
        TypeError: it is not.
    """
    message = read(line)
    if not isinstance(message, Envelope):
        raise TypeError("the line is not a JSON object")
    return message


def kind_of(message: Envelope) -> Kind:
    """Classify an object by the agent's rules (`isRequestMessage` and its neighbours)."""
    if message.method is not msgspec.UNSET:
        if not speaks_version_2(message):
            return Kind.INVALID
        if not message.raw_id:
            return Kind.NOTIFICATION
        return Kind.REQUEST if has_valid_id(message) else Kind.INVALID
    if isinstance(message, OddEnvelope):
        return Kind.INVALID
    if message.raw_id or bytes(message.result) or bytes(message.error):
        return Kind.RESPONSE
    return Kind.INVALID


def speaks_version_2(message: Envelope) -> bool:
    """Whether ``jsonrpc`` is ``"2.0"``, however it is written."""
    raw = bytes(message.jsonrpc)
    return raw == _VERSION or (raw != b"" and json_text.string(raw) == "2.0")


def has_valid_id(message: Envelope) -> bool:
    """Whether there is an id that a request may carry: text, a finite number or null."""
    raw = message.raw_id
    if raw[:1] in (b'"', b"n"):
        return True
    return raw[:1] in _NUMBER_STARTS and math.isfinite(float(raw))


def id_key(raw: bytes) -> IdKey:
    """The id as the agent would compare and echo it.

    Args:
        raw: a valid id, as written.
    """
    first = raw[:1]
    if first == b'"':
        return json_text.string(raw)
    return None if first == b"n" else float(raw)


_NUMBER_STARTS = frozenset(bytes((byte,)) for byte in b"-0123456789")


def with_member(line: bytes, name: str, value: bytes) -> bytes:
    """The line with one member replaced and its terminator kept.

    Args:
        line: a line that reads as an object.
        name: the member, there or not.
        value: its new value as JSON.
    """
    found = json_text.members(json_text.trim(line)) or {}
    found[name] = value
    return json_text.encode_members(found) + terminator(line)


def _read_slowly(line: bytes) -> Envelope | Other:
    text = json_text.trim(line)
    if not text:
        return Other.BLANK
    try:
        found = json_text.strict_members(text)
    except json_text.NotJSONError:
        return Other.UNPARSEABLE
    if found is None:
        return Other.BATCH if text.startswith(b"[") else Other.SCALAR
    return from_members(found)


def from_members(found: json_text.Members) -> Envelope:
    """An envelope from the members of an object, as far as they are there."""
    method = json_text.string(found.get("method"))
    odd = method is None and "method" in found
    make = OddEnvelope if odd else Envelope
    return make(
        jsonrpc=_raw(found, "jsonrpc"),
        id=_raw(found, "id"),
        method=UNSET if method is None else method,
        params=_raw(found, "params"),
        result=_raw(found, "result"),
        error=_raw(found, "error"),
    )


def _raw(found: json_text.Members, name: str) -> msgspec.Raw:
    return msgspec.Raw(found.get(name, b""))
