import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.protocol import json_text
from acp_bridge.protocol.json_text import NotJSONError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
LOOKS_LIKE_JSON = st.text(
    alphabet=list('{}[]",:\\u0019.eE+-truefalsn \t\n\r\x00\x0b\xa0é'), max_size=30
)


def python_reads(text: str) -> object:
    def no_constant(name: str) -> object:
        raise ValueError(name)

    return json.loads(text, parse_constant=no_constant)


@given(st.dictionaries(st.text(), JSON), st.sampled_from([None, 1]))
def test_members_are_what_was_written(value: dict[str, object], indent: int | None) -> None:
    raw = json.dumps(value, indent=indent).encode()
    for read in (json_text.members, json_text.strict_members):
        found = read(raw)
        assert found is not None
        assert {name: json.loads(part) for name, part in found.items()} == value


@given(LOOKS_LIKE_JSON)
def test_the_grammar_accepts_what_python_accepts_and_nothing_else(text: str) -> None:
    raw = ('{"a":' + text + "}").encode()
    try:
        expected = python_reads(raw.decode())
    except ValueError:
        with pytest.raises(NotJSONError):
            json_text.strict_members(raw)
    else:
        found = json_text.strict_members(raw)
        assert found is not None
        assert {name: json.loads(part) for name, part in found.items()} == expected


@given(st.lists(JSON))
def test_elements_are_what_was_written(value: list[object]) -> None:
    found = json_text.elements(json.dumps(value).encode())
    assert found is not None
    assert [json.loads(part) for part in found] == value


@pytest.mark.parametrize(
    "raw",
    [b"{", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a":1]', b'{"a":[1}}', b'{"a":1} 2', b"1 2", b""],
)
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(NotJSONError):
        json_text.members(raw)


@pytest.mark.parametrize("raw", [b"[1", b"[1,]", b"[1}", b"[,]"])
def test_what_is_no_array_of_json_is_refused(raw: bytes) -> None:
    with pytest.raises(NotJSONError):
        json_text.elements(raw)


@pytest.mark.parametrize("raw", [b"[1]", b'"a"', b"1", b"null", b" true "])
def test_other_values_have_no_members(raw: bytes) -> None:
    assert json_text.members(raw) is None


def test_of_doubled_members_the_last_wins_and_keeps_the_first_place() -> None:
    for read in (json_text.members, json_text.strict_members):
        found = read(b'{"a":1,"b":2,"\\u0061":3}')
        assert found is not None
        assert list(found.items()) == [("a", b"3"), ("b", b"2")]


def test_a_value_a_hundred_thousand_levels_deep_is_read() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert json_text.members(b'{"a":' + deep + b',"b":1}') == {"a": deep, "b": b"1"}


def test_a_cut_object_gives_the_members_before_the_cut() -> None:
    seen = json_text.leading_members
    assert seen(b'{"id":12,"method":"a","params":{"x":"yy') == {
        "id": b"12",
        "method": b'"a"',
        "params": b"",
    }
    assert seen(b'{"id":12') == {"id": b""}
    assert seen(b'{"id":12,"res') == {"id": b"12"}
    assert seen(b"") == {}
    assert seen(b"[1,2") == {}


def test_members_are_written_with_the_values_they_were_read_with() -> None:
    values = {"a\ud800": b"1.0", "é\n": b'{ "x":1e2}'}
    raw = json_text.encode_members(values)
    assert raw == b'{"a\\ud800":1.0,"\\u00e9\\n":{ "x":1e2}}'
    assert json_text.members(raw) == values
