"""One member of a file that people edit is changed, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.clients.jsonc import JsoncError, parse, with_member

ENTRY: dict[str, Any] = {"command": "/bin/acp-bridge", "args": ["--mode", "subscription"]}

TABLE = {
    "an empty file": ("", '{\n  "a": 1\n}\n'),
    "nothing but a comment": ("// mine\n", '// mine\n{\n  "a": 1\n}\n'),
    "an empty object": ("{}\n", '{\n  "a": 1\n}\n'),
    "one line": ('{"b": 2}', '{"b": 2, "a": 1}'),
    "one line with a comma at its end": ('{"b": 2,}', '{"b": 2, "a": 1,}'),
    "lines": ('{\n    "b": 2\n}', '{\n    "b": 2,\n    "a": 1\n}'),
    "a comma behind the last": ('{\n\t"b": 2,\n}\n', '{\n\t"b": 2,\n\t"a": 1,\n}\n'),
    "a comment behind the last": (
        '{\n  "b": 2 // two\n}\n',
        '{\n  "b": 2, // two\n  "a": 1\n}\n',
    ),
    "a comment below the last": (
        '{\n  "b": 2, /* two */\n  // end\n}\n',
        '{\n  "b": 2, /* two */\n  // end\n  "a": 1,\n}\n',
    ),
    "an empty object with a comment": ("{ // here\n}\n", '{ // here\n  "a": 1\n}\n'),
    "line breaks of Windows": ('{\r\n  "b": 2\r\n}\r\n', '{\r\n  "b": 2,\r\n  "a": 1\r\n}\r\n'),
    "another value": ('{ "a": 2 /* was */ }', '{ "a": 1 /* was */ }'),
    "the same value": ('{ "a" : 1 }', '{ "a" : 1 }'),
    "the last of two counts": ('{"a": 3, "a": 4}', '{"a": 3, "a": 1}'),
    "a comment that looks like a member": (
        '{\n  // "a": 9\n  "b": "// no comment"\n}',
        '{\n  // "a": 9\n  "b": "// no comment",\n  "a": 1\n}',
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_a_member_is_put_where_people_would_put_it(case: str) -> None:
    before, after = TABLE[case]
    assert with_member(before, ["a"], 1) == after


def test_an_entry_that_is_there_keeps_what_is_not_ours() -> None:
    text = """{
  "servers": {
    "Claude": { // mine
      "args": ["--mode", "A"],
      "env": {"FOO": "bar"}, // keep
      "command": "/old/acp-bridge"
    }
  }
}
"""
    assert (
        with_member(text, ["servers", "Claude"], {**ENTRY, "type": "custom"})
        == """{
  "servers": {
    "Claude": { // mine
      "args": ["--mode", "subscription"],
      "env": {"FOO": "bar"}, // keep
      "command": "/bin/acp-bridge",
      "type": "custom"
    }
  }
}
"""
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: a ',' is missing"),
        ("{a: 1}", "line 1, column 2: a key in double quotes is missing"),
        ('{"a": tru}', "line 1, column 7: expecting value"),
        ('{"a": 1} {', "line 1, column 10: something follows the document"),
        ('{"a": /* no end', "line 1, column 7: a comment has no end"),
        ('{"a": "b', "line 1, column 7: unterminated string starting at"),
        ("[" * 100_000, "line 1, column 202: it is nested too deeply"),
        ('{"a": [1}', "line 1, column 9: a ',' is missing"),
        ("{", "line 1, column 2: a key in double quotes is missing"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(JsoncError, match=f"^{said.replace('(', '.').replace(')', '.')}$"):
        with_member(text, ["a"], 1)


@pytest.mark.parametrize("text", ["[]", '"a"', "1", '{"a": [1]}', '{"a": null}'])
def test_what_is_in_the_way_is_left_alone(text: str) -> None:
    with pytest.raises(JsoncError, match="is no object"):
        with_member(text, ["a", "b"], 1)


COMMENT = "¶"
"""What is in each comment, and nowhere else."""
BLANKS = st.text("  \t\n", max_size=3)
COMMENTS = st.one_of(
    st.just(""),
    st.text('ab"{}[],:/ ', max_size=6).map(lambda text: f"//{COMMENT}{text}\n"),
    st.text('ab"{}[],: ', max_size=6).map(lambda text: f"/*{COMMENT}{text}*/"),
)
BETWEEN = st.tuples(BLANKS, COMMENTS, BLANKS).map("".join)
KEYS = st.text('abc é"\\\n', max_size=3)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), KEYS)


@st.composite
def documents(draw: st.DrawFn, depth: int = 2) -> tuple[str, Any]:
    """A text, and what it says."""
    kind = draw(st.sampled_from(["leaf", "list", "object"] if depth else ["leaf"]))
    if kind == "leaf":
        leaf = draw(LEAVES)
        return json.dumps(leaf), leaf
    if kind == "list":
        items = draw(st.lists(documents(depth - 1), max_size=3))
        return _between(draw, "[]", [text for text, _ in items]), [value for _, value in items]
    return draw(objects(depth))


@st.composite
def objects(draw: st.DrawFn, depth: int = 2) -> tuple[str, dict[str, Any]]:
    members = draw(st.lists(st.tuples(KEYS, documents(depth - 1)), max_size=3))
    texts = [
        f"{json.dumps(key)}{draw(BETWEEN)}:{draw(BETWEEN)}{text}" for key, (text, _) in members
    ]
    return _between(draw, "{}", texts), {key: value for key, (_, value) in members}


def _between(draw: Any, brackets: str, texts: list[str]) -> str:
    parts = ",".join(f"{draw(BETWEEN)}{text}{draw(BETWEEN)}" for text in texts)
    comma = "," if texts and draw(st.booleans()) else ""
    return f"{brackets[0]}{parts}{comma}{draw(BETWEEN)}{brackets[1]}"


@given(objects(), BETWEEN, BETWEEN, st.lists(KEYS, min_size=1, max_size=3), LEAVES)
def test_the_document_says_what_it_said_and_the_new_value(
    document: tuple[str, dict[str, Any]], before: str, after: str, path: list[str], leaf: Any
) -> None:
    text, value = f"{before}{document[0]}{after}", document[1]
    assert parse(text).value == value
    expected: Any = json.loads(json.dumps(value))
    here = expected
    for key in path[:-1]:
        here = here.setdefault(key, {})
        if not isinstance(here, dict):
            with pytest.raises(JsoncError, match="is no object"):
                with_member(text, path, leaf)
            return
    replaced = here.get(path[-1])
    here[path[-1]] = leaf
    changed = with_member(text, path, leaf)
    assert parse(changed).value == expected
    assert with_member(changed, path, leaf) == changed
    if not isinstance(replaced, dict | list):  # whose comments go with them
        assert changed.count(COMMENT) == text.count(COMMENT)
