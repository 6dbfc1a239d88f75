"""Changing one member of a JSON file that people edit: comments and layout stay, byte for byte.

Editors read JSON with comments and with commas after the last member; a parser that writes the
document back would lose both. Here a document is only looked at, with the place of each value, and
what is not changed is not touched. Pure; the text comes without a byte order mark.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = str | int | float | bool | None | list[Any] | dict[str, Any]

_BLANK = " \t\r\n"
_DEFAULT_INDENT = "  "
_DEPTH = 200


class JsoncError(ValueError):
    """A text that is no JSON; the message says what and where, as line and column from 1."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value and where it is.

    Attributes:
        value: what it says.
        start: where its first character is.
        end: just behind its last one.
        members: of an object, by key; the last of those that have the same key.
    """

    value: Json
    start: int
    end: int
    members: Mapping[str, "Value"] | None = None


def parse(text: str) -> Value:
    """Read a document; an empty one is an empty object.

    Raises:
        JsoncError: it is none.
    """
    return _Parser(text).document()


def with_member(text: str, path: Sequence[str], value: Json) -> str:
    """The document with a value at a path of keys; objects on the way are made if need be.

    An object that is there already keeps the members that the new one does not have.

    Args:
        text: the document.
        path: the keys, from the outermost object.
        value: the new value.

    Raises:
        JsoncError: the text is no JSON, or what is on the way is no object.
    """
    root = parse(text)
    if root.start == root.end:  # nothing but blanks and comments
        before = text if not text or text.endswith("\n") else f"{text}\n"
        return f"{before}{_rendered(_nested(path, value), '', _DEFAULT_INDENT, _newline(text))}\n"
    parent, rest = root, list(path)
    while rest:
        if parent.members is None:
            where = " > ".join(path[: len(path) - len(rest)]) or "the document"
            raise JsoncError(f"{where} is no object")
        inner = parent.members.get(rest[0])
        if inner is None:
            return _inserted(text, root, parent, rest[0], _nested(rest[1:], value))
        parent, rest = inner, rest[1:]
    return _replaced(text, root, parent, value)


def _replaced(text: str, root: Value, old: Value, new: Json) -> str:
    if old.value == new and type(old.value) is type(new):
        return text
    if old.members is None or not isinstance(new, dict):
        layout = _Layout.of(text, root)
        rendered = _rendered(new, layout.indent_at(old.start), layout.unit, layout.newline)
        return text[: old.start] + rendered + text[old.end :]
    for key, value in new.items():
        # Each change moves what is behind it, so the document is looked at anew.
        root = parse(text)
        here = _at(root, old.start)
        inner = (here.members or {}).get(key)
        if inner is None:
            text = _inserted(text, root, here, key, value)
        else:
            text = _replaced(text, root, inner, value)
    return text


def _at(value: Value, start: int) -> Value:
    """The object that begins there."""
    for inner in (value.members or {}).values():
        if inner.start <= start < inner.end:
            return _at(inner, start)
    return value


def _nested(path: Sequence[str], value: Json) -> Json:
    for key in reversed(path):
        value = {key: value}
    return value


def _inserted(text: str, root: Value, parent: Value, key: str, value: Json) -> str:
    """The document with one more member, behind the last."""
    layout = _Layout.of(text, root)
    closing = parent.end - 1
    content = _Parser(text)
    last, comma = content.last_of_object(parent.start)
    if last is not None and "\n" not in text[parent.start : parent.end]:
        rendered = f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        if comma is not None:
            return f"{text[: comma + 1]} {rendered},{text[comma + 1 :]}"
        return f"{text[:last]}, {rendered}{text[last:]}"
    outer = layout.indent_at(parent.start)
    indent = outer + layout.unit if last is None else layout.indent_at(last - 1, within=parent)
    name = json.dumps(key, ensure_ascii=False)
    member = f"{indent}{name}: {_rendered(value, indent, layout.unit, layout.newline)}"
    # Comments that follow the last member stay with it.
    kept = text[:closing].rstrip(_BLANK)
    behind = text[len(kept) : closing]
    between = layout.newline
    ending = behind if "\n" in behind else f"{layout.newline}{outer}"
    if last is not None and comma is None:
        kept = f"{kept[:last]},{kept[last:]}"
    trailing = "," if comma is not None else ""
    return f"{kept}{between}{member}{trailing}{_last_break(ending, layout)}{text[closing:]}"


def _last_break(blank: str, layout: "_Layout") -> str:
    """The last line break of what was before the closing bracket, with the bracket's indent."""
    return layout.newline + blank.rpartition("\n")[2]


def _rendered(value: Json, indent: str, unit: str, newline: str) -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = indent + unit
    members = [
        f"{inner}{json.dumps(key, ensure_ascii=False)}: {_rendered(of, inner, unit, newline)}"
        for key, of in value.items()
    ]
    return f"{{{newline}{f',{newline}'.join(members)}{newline}{indent}}}"


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a document is laid out."""

    text: str
    unit: str
    newline: str

    @classmethod
    def of(cls, text: str, root: Value) -> "_Layout":
        unit = ""
        for member in (root.members or {}).values():
            unit = unit or _indent(text, member.start)
        return cls(text, unit or _DEFAULT_INDENT, _newline(text))

    def indent_at(self, place: int, within: Value | None = None) -> str:
        """The indent of the line; of the first member's line if the place is within an object."""
        if within is not None and within.members:
            first = min(member.start for member in within.members.values())
            return _indent(self.text, first)
        return _indent(self.text, place)


def _indent(text: str, place: int) -> str:
    line = text[text.rfind("\n", 0, place) + 1 : place]
    return line[: len(line) - len(line.lstrip(" \t"))]


class _Parser:
    """Reads JSON with comments and commas behind the last member or item."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._strings = json.JSONDecoder()

    def document(self) -> Value:
        self._skip()
        if self._place == len(self._text):
            return Value({}, self._place, self._place, {})
        found = self._value(0)
        self._skip()
        if self._place < len(self._text):
            raise self._error("something follows the document")
        return found

    def last_of_object(self, start: int) -> tuple[int | None, int | None]:
        """Where the last member of the object that begins there ends, and the comma behind it."""
        self._place = start + 1
        last = comma = None
        self._skip()
        while self._text[self._place] != "}":
            self._string()
            self._skip()
            self._place += 1
            self._skip()
            self._value(0)
            last, comma = self._place, None
            self._skip()
            if self._text[self._place] == ",":
                comma = self._place
                self._place += 1
                self._skip()
        return last, comma

    def _value(self, depth: int) -> Value:
        start = self._place
        if depth > _DEPTH:
            raise self._error("it is nested too deeply")
        match self._text[start : start + 1]:
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case '"':
                return Value(self._string(), start, self._place)
            case _:
                return self._word()

    def _object(self, depth: int) -> Value:
        start = self._place
        self._place += 1
        members: dict[str, Value] = {}
        while not self._closes("}"):
            if self._text[self._place : self._place + 1] != '"':
                raise self._error("a key in double quotes is missing")
            key = self._string()
            self._skip()
            self._take(":")
            self._skip()
            members[key] = self._value(depth + 1)
            self._separates("}")
        values = {key: of.value for key, of in members.items()}
        return Value(values, start, self._place, members)

    def _array(self, depth: int) -> Value:
        start = self._place
        self._place += 1
        items: list[Any] = []
        while not self._closes("]"):
            items.append(self._value(depth + 1).value)
            self._separates("]")
        return Value(items, start, self._place)

    def _closes(self, bracket: str) -> bool:
        self._skip()
        if self._text[self._place : self._place + 1] != bracket:
            return False
        self._place += 1
        return True

    def _separates(self, bracket: str) -> None:
        self._skip()
        if self._text[self._place : self._place + 1] != bracket:
            self._take(",")
            self._skip()

    def _take(self, character: str) -> None:
        if self._text[self._place : self._place + 1] != character:
            raise self._error(f"a {character!r} is missing")
        self._place += 1

    def _string(self) -> str:
        return str(self._decoded())

    def _word(self) -> Value:
        start = self._place
        return Value(self._decoded(), start, self._place)

    def _decoded(self) -> Json:
        try:
            value, self._place = self._strings.raw_decode(self._text, self._place)
        except json.JSONDecodeError as exc:
            self._place = exc.pos
            raise self._error(exc.msg[:1].lower() + exc.msg[1:]) from None
        except RecursionError:
            raise self._error("it is nested too deeply") from None
        found: Json = value
        return found

    def _skip(self) -> None:
        """Pass blanks and comments by."""
        text = self._text
        while self._place < len(text):
            if text[self._place] in _BLANK:
                self._place += 1
            elif text.startswith("//", self._place):
                end = text.find("\n", self._place)
                self._place = len(text) if end < 0 else end
            elif text.startswith("/*", self._place):
                end = text.find("*/", self._place + 2)
                if end < 0:
                    raise self._error("a comment has no end")
                self._place = end + 2
            else:
                return

    def _error(self, what: str) -> JsoncError:
        line = self._text.count("\n", 0, self._place) + 1
        column = self._place - self._text.rfind("\n", 0, self._place)
        return JsoncError(f"line {line}, column {column}: {what}")
