"""JSON as text: the members of an object as raw slices, read as JavaScript's JSON.parse reads them.

A grammar and nothing else, walked without recursion, so that depth is no reason to refuse a line
that the agent would accept. Invalid UTF-8 inside a string is let through as the agent does (it
becomes U+FFFD there), lone surrogates written as escapes too; NaN, control characters and trailing
commas are not JSON. Of doubled members the last wins.
"""

import json
import re
from collections.abc import Iterator, Mapping

import msgspec

Members = dict[str, bytes]
"""The members of a JSON object: decoded names, values as the bytes they were written with."""

# What JavaScript's String.prototype.trim removes, as UTF-8.
_SPACE = (
    rb"[\t\n\v\f\r ]|\xc2\xa0|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f"
    rb"|\xe3\x80\x80|\xef\xbb\xbf"
)
_LEADING_SPACE = re.compile(rb"(?:" + _SPACE + rb")*+")
_SPACE_ENDS = tuple(
    "".join(map(chr, (9, 10, 11, 12, 13, 32, 0xA0, 0x1680, *range(0x2000, 0x200B))))
    + "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_SPACE_ENCODED = tuple(one.encode() for one in _SPACE_ENDS)

_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?"
_WS = rb"[ \t\n\r]*+"
_VALUE = re.compile(
    _WS + rb"(?:(\{)|(\[)|" + _STRING + rb"|" + _NUMBER + rb"|true|false|null)", re.DOTALL
)
_KEY = re.compile(_WS + rb"(" + _STRING + rb")" + _WS + rb":")
_END_OF_OBJECT = re.compile(_WS + rb"\}")
_END_OF_ARRAY = re.compile(_WS + rb"\]")
_AFTER_VALUE = re.compile(_WS + rb"([,}\]])")
_BLANKS = re.compile(_WS)
_OPENS_OBJECT, _OPENS_ARRAY = 1, 2

_fast_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class NotJSONError(ValueError):
    """The bytes are not one JSON value of the kind asked for."""


def trim(text: bytes) -> bytes:
    """Strip what JavaScript's ``trim`` strips, on UTF-8 bytes."""
    match = _LEADING_SPACE.match(text)
    start = match.end() if match else 0
    end = len(text)
    while end > start:
        cut = next((len(s) for s in _SPACE_ENCODED if text.endswith(s, start, end)), 0)
        if not cut:
            break
        end -= cut
    return text[start:end]


def members(raw: bytes) -> Members | None:
    """The members of an object, or None if the value is of another kind.

    Raises:
        NotJSONError: the bytes are not JSON.
    """
    try:
        return {name: bytes(value) for name, value in _fast_members.decode(raw).items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return strict_members(raw)


def strict_members(raw: bytes) -> Members | None:
    """`members` by the grammar of this module alone, for what msgspec refuses or cannot reach."""
    opening = _BLANKS.match(raw)
    start = opening.end() if opening else 0
    if not raw.startswith(b"{", start):
        if _value_end(raw, start) != len(raw.rstrip(b" \t\n\r")):
            raise NotJSONError("more than one value")
        return None
    found: Members = {}
    end = 0
    for name, value_start, end in _walk_members(raw, start + 1):
        if name is not None:
            found[name] = raw[value_start:end]
    if _blanks_end(raw, end) != len(raw):
        raise NotJSONError("more than one value")
    return found


def leading_members(head: bytes) -> Members:
    """The members that can be seen whole in the first bytes of a line that was cut off.

    The value of a member that was cut is given as what there is of it.
    """
    start = trim(head)
    found: Members = {}
    if not start.startswith(b"{"):
        return found
    at = 1
    try:
        for name, value_start, end in _walk_members(start, 1):
            if name is not None:
                found[name] = start[value_start:end]
            at = end
    except NotJSONError:
        key = _KEY.match(start, _after_comma(start, at))
        if key:
            found[_unescape(key.group(1))] = b""
    return found


def encode_members(values: Mapping[str, bytes]) -> bytes:
    """Write an object from raw values."""
    parts = (quoted(name) + b":" + value for name, value in values.items())
    return b"{" + b",".join(parts) + b"}"


def quoted(text: str) -> bytes:
    """Write a JSON string, in ASCII."""
    return json.dumps(text).encode()


def string(raw: bytes | None) -> str | None:
    """The text of a JSON string; None for any other value or none at all."""
    if raw is None:
        return None
    raw = raw.strip(b" \t\n\r")
    return _unescape(raw) if raw.startswith(b'"') else None


def is_object(raw: bytes | None) -> bool:
    """Whether a valid raw value is an object."""
    return raw is not None and raw.lstrip(b" \t\n\r").startswith(b"{")


def is_null(raw: bytes | None) -> bool:
    """Whether a valid raw value is ``null``."""
    return raw is not None and raw.strip(b" \t\n\r") == b"null"


def elements(raw: bytes) -> list[bytes] | None:
    """The elements of an array as raw slices, or None if the value is no array.

    Raises:
        NotJSONError: the bytes are not JSON.
    """
    start = _blanks_end(raw, 0)
    if not raw.startswith(b"[", start):
        return None
    empty = _END_OF_ARRAY.match(raw, start + 1)
    if empty:
        return []
    found: list[bytes] = []
    at = start + 1
    while True:
        begin = _blanks_end(raw, at)
        end = _value_end(raw, begin)
        found.append(raw[begin:end])
        after = _require(_AFTER_VALUE, raw, end)
        if after.group(1) == b"]":
            return found
        if after.group(1) != b",":
            raise NotJSONError("an array that closes as an object")
        at = after.end()


def _walk_members(raw: bytes, at: int) -> Iterator[tuple[str | None, int, int]]:
    """Yield (name, start, end) of each member; last (None, _, end of the object)."""
    empty = _END_OF_OBJECT.match(raw, at)
    if empty:
        yield None, at, empty.end()
        return
    while True:
        key = _require(_KEY, raw, at)
        start = _blanks_end(raw, key.end())
        end = _value_end(raw, start)
        after = _require(_AFTER_VALUE, raw, end)
        yield _unescape(key.group(1)), start, end
        if after.group(1) == b"}":
            yield None, end, after.end()
            return
        if after.group(1) != b",":
            raise NotJSONError("an object that closes as an array")
        at = after.end()


def _value_end(raw: bytes, at: int) -> int:
    """Where the value that begins at a position ends; a stack of closers instead of recursion."""
    closers = bytearray()
    while True:
        value = _require(_VALUE, raw, at)
        at = value.end()
        if value.lastindex == _OPENS_OBJECT:
            empty = _END_OF_OBJECT.match(raw, at)
            if empty is None:
                closers += b"}"
                at = _require(_KEY, raw, at).end()
                continue
            at = empty.end()
        elif value.lastindex == _OPENS_ARRAY:
            empty = _END_OF_ARRAY.match(raw, at)
            if empty is None:
                closers += b"]"
                continue
            at = empty.end()
        at = _close(raw, at, closers)
        if not closers:
            return at


def _close(raw: bytes, at: int, closers: bytearray) -> int:
    """After a value: step over what closes, up to where the next value is due."""
    while closers:
        after = _require(_AFTER_VALUE, raw, at)
        at = after.end()
        mark = after.group(1)[0]
        if mark == closers[-1]:
            closers.pop()
        elif mark == ord(","):
            return _require(_KEY, raw, at).end() if closers[-1] == ord("}") else at
        else:
            raise NotJSONError("brackets that do not match")
    return at


def _require(pattern: re.Pattern[bytes], raw: bytes, at: int) -> re.Match[bytes]:
    match = pattern.match(raw, at)
    if match is None:
        raise NotJSONError(f"unexpected text at byte {at}")
    return match


def _blanks_end(raw: bytes, at: int) -> int:
    match = _BLANKS.match(raw, at)
    return match.end() if match else at


def _after_comma(raw: bytes, at: int) -> int:
    after = _AFTER_VALUE.match(raw, at)
    return after.end() if after else at


def _unescape(quoted: bytes) -> str:
    text: str = json.loads(quoted.decode("utf-8", "replace"))
    return text
