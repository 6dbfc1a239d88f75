"""Changing one budget in the text of a configuration file: that change, and not a byte beside."""

import tomllib
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acp_bridge.errors import ConfigurationError
from acp_bridge.run.budget_edit import Changes, budget_tables, remove_budget, set_budget

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ORIGIN = "config.toml"
FILE = """\
# who pays
mode = "api-key"  # the team's

# the month
[[budget]]  # first
  name = "month"
  window = "cycle"  # as billed
  cycle_day = 31
  # plenty
  limit_usd = "25.00"   # raised in May
# that was the month

# nothing in particular

# what it asks
[endpoint.prices]
opus = { input = "2.00" }

[[budget]]
name = "burst"
scope = { mode = "api-key", project = "/x" } # mine
window = "5h"
limit_tokens = 1_000
"""


def change(text: str, name: str, **changes: object) -> str:
    return set_budget(text, name, changes, origin=ORIGIN)


def remove(text: str, name: str) -> str:
    return remove_budget(text, name, origin=ORIGIN)


def replaced(old: str, new: str) -> str:
    assert FILE.count(old) == 1
    return FILE.replace(old, new)


def test_a_value_is_changed_where_it_stands_and_its_comment_stays() -> None:
    assert change(FILE, "month", limit_usd="30.00") == replaced('"25.00"  ', '"30.00"  ')


def test_what_is_new_follows_the_last_value_with_its_indentation() -> None:
    new = change(FILE, "month", action="cancel", warn_at=0.9)
    line = '  limit_usd = "25.00"   # raised in May\n'
    assert new == replaced(line, line + '  action = "cancel"\n  warn_at = 0.9\n')


def test_none_takes_a_value_out_and_nothing_else() -> None:
    assert change(FILE, "month", cycle_day=None) == replaced("  cycle_day = 31\n", "")
    assert change(FILE, "month", action=None) == FILE


def test_what_is_as_it_should_be_is_not_touched() -> None:
    assert change(FILE, "burst", limit_tokens=1000, scope={"project": "/x"}) == FILE


@pytest.mark.parametrize(
    ("scope", "written"),
    [
        ({"mode": "endpoint"}, '{ mode = "endpoint", project = "/x" }'),
        ({"model": "opus*"}, '{ mode = "api-key", project = "/x", model = "opus*" }'),
        ({"mode": None}, '{ project = "/x" }'),
        ({"mode": None, "session": "s"}, '{ project = "/x", session = "s" }'),
    ],
)
def test_a_condition_of_an_inline_scope_is_changed_in_it(
    scope: dict[str, str | None], written: str
) -> None:
    new = change(FILE, "burst", scope=scope)
    assert new == replaced('{ mode = "api-key", project = "/x" }', written)


def test_a_scope_without_a_condition_goes() -> None:
    new = change(FILE, "burst", scope={"mode": None, "project": None})
    assert new == replaced('scope = { mode = "api-key", project = "/x" } # mine\n', "")


def test_a_first_condition_makes_a_scope() -> None:
    line = '  limit_usd = "25.00"   # raised in May\n'
    new = change(FILE, "month", scope={"mode": "api-key", "project": "/x"})
    added = '  scope = { mode = "api-key", project = "/x" }\n'
    assert new == replaced(line, line + added)


def test_a_condition_is_added_to_a_scope_of_dotted_keys() -> None:
    text = '[[budget]]\nname = "a"\nscope.mode = "api-key" # this\nwindow = "day"\n'
    new = change(text, "a", scope={"project": "/x"})
    line = 'scope.mode = "api-key" # this\n'
    assert new == text.replace(line, line + 'scope.project = "/x"\n')


def test_a_condition_is_added_to_a_scope_that_is_a_table() -> None:
    text = '[[budget]]\nname = "a"\n\n[budget.scope]\nmode = "api-key"\n\n[endpoint]\n'
    new = change(text, "a", window="day", scope={"project": "/x"})
    assert new == (
        '[[budget]]\nname = "a"\nwindow = "day"\n\n'
        '[budget.scope]\nmode = "api-key"\nproject = "/x"\n\n[endpoint]\n'
    )


def test_a_scope_that_is_no_table_gives_way_to_one() -> None:
    text = '[[budget]]\nname = "a"\nscope = "everything"\n'
    new = change(text, "a", scope={"mode": "endpoint"})
    assert new == '[[budget]]\nname = "a"\nscope = { mode = "endpoint" }\n'


def test_a_new_budget_goes_to_the_end_with_what_is_given() -> None:
    new = change(FILE, "new", scope={"mode": None}, window="day", money=None, limit_requests=9)
    assert new == FILE + '\n[[budget]]\nname = "new"\nwindow = "day"\nlimit_requests = 9\n'


def test_the_first_budget_of_an_empty_file_has_no_blank_line_before_it() -> None:
    scope = {"project": 'C:\\a "b"', "model": "ö"}
    new = change("", "new", window="day", scope=scope)
    assert new.startswith('[[budget]]\nname = "new"\n')
    assert tomllib.loads(new) == {"budget": [{"name": "new", "window": "day", "scope": scope}]}


def test_a_last_line_without_an_end_gets_one_before_another_follows() -> None:
    text = '[[budget]]\nname = "a"\nwindow = "day"'
    assert change(text, "a", limit_tokens=5) == text + "\nlimit_tokens = 5"
    assert change(text, "b", window="day") == (
        text + '\n\n[[budget]]\nname = "b"\nwindow = "day"\n'
    )


def test_lines_end_as_the_others_do() -> None:
    text = '[[budget]]\r\nname = "a"\r\nwindow = "day" # so\r\n'
    new = change(text, "a", window="week", limit_tokens=5)
    assert new == text.replace("day", "week") + "limit_tokens = 5\r\n"
    assert change("# mine\r\n", "b", window="day") == (
        '# mine\r\n\r\n[[budget]]\r\nname = "b"\r\nwindow = "day"\r\n'
    )


def test_a_removed_budget_takes_its_own_comments_and_one_blank_line_along() -> None:
    head, rest = FILE.split("# the month\n")
    _, rest = rest.split("# that was the month\n\n")
    assert remove(FILE, "month") == head + rest
    first, _ = FILE.split("\n[[budget]]\nname")
    assert remove(FILE, "burst") == first


def test_a_comment_right_above_the_next_table_is_the_next_tables() -> None:
    text = '[[budget]]\nname = "a"\n# of b\n[[budget]]\nname = "b"\n'
    assert remove(text, "a") == '# of b\n[[budget]]\nname = "b"\n'
    assert remove(text, "b") == '[[budget]]\nname = "a"\n'


def test_the_one_blank_line_between_what_stays_stays() -> None:
    text = 'mode = "B"\n[[budget]]\nname = "a"\n\n[endpoint]\n'
    assert remove(text, "a") == 'mode = "B"\n\n[endpoint]\n'


def test_a_table_of_a_removed_budget_goes_with_it_wherever_it_stands() -> None:
    text = '[[budget]]\nname = "a"\n\n# e\n[endpoint]\n\n[ "budget" . scope ]\nmode = "B"\n'
    assert remove(text, "a") == "# e\n[endpoint]\n"


def test_a_line_in_a_long_text_is_no_header() -> None:
    text = 'agent = """\n[[budget]]\nname = "a"\n"""\n\n[[budget]]\nname = "a"\nwindow = "day"\n'
    first, _ = text.split("\n\n")
    assert remove(text, "a") == first + "\n"
    assert change(text, "a", window="week") == text.replace('"day"', '"week"')


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"config.toml has no budget 'moth'") as caught:
        remove(FILE, "moth")
    assert caught.value.hint == "the budgets are month, burst"
    with pytest.raises(ConfigurationError) as caught:
        remove("", "moth")
    assert "acp-bridge budget set" in caught.value.hint


@pytest.mark.parametrize(
    "text", ['budget = [{ name = "a" }]\n', "budget = []\n", "[budget]\n", "budget = 1\n"]
)
def test_budgets_that_are_no_tables_of_their_own_are_left_alone(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"budgets in config.toml are not") as caught:
        change(text, "b", window="day")
    assert "[[budget]]" in caught.value.hint


def test_what_is_not_toml_is_told_with_its_line() -> None:
    with pytest.raises(ConfigurationError, match=r"not valid TOML.*line 2"):
        change("mode = 'B'\nmode = \n", "b", window="day")


@dataclass(frozen=True, slots=True)
class Written:
    """A file in parts; those of one budget, by its name, are its table with its comments."""

    parts: tuple[tuple[str | None, str], ...]

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.parts)

    @property
    def data(self) -> dict[str, Any]:
        return tomllib.loads(self.text)

    def around(self, name: str) -> tuple[str, str]:
        """What stands before a budget, and behind it."""
        place = next(at for at, (of, _) in enumerate(self.parts) if of == name)
        before, after = self.parts[:place], self.parts[place + 1 :]
        return "".join(text for _, text in before), "".join(text for _, text in after)


NAMES = ("month", "week", "burst")
COMMENTS = st.sampled_from(("", "# a note\n", '# name = "month"\n', "# [[budget]]\n"))
ENDS = st.sampled_from(("\n", "  # so\n", "\t# [[budget]]\n"))
BLANKS = st.sampled_from(("\n", "\n\n", " \n"))
TOP = st.sampled_from(
    (
        "",
        'mode = "api-key"  # who\n\n',
        '# the file\n\nmode = "A"\n# key\napi_key_command = """\n[[budget]]\nname = "month"\n"""\n',
        "agent = [\n  '[[budget]]',\n  # why\n  'b',\n]\n",
    )
)
OTHER = st.sampled_from(
    (
        '# asked\n[endpoint.prices]\nopus = { input = "2.00", output = "1" }\n',
        '[endpoint]\n[endpoint.prices]\n"[[budget]]" = { input = "2.00" }\n# end\n',
        "[ endpoint . 'prices' ]\nnames = [\n[1],\n[2]]\n",
    )
)
SCOPES = st.sampled_from(
    (
        "",
        'scope = { mode = "api-key", "project" = "/x" }',
        "scope={}",
        'scope.mode = "api-key"',
        'scope . mode = "api-key"',
        '[budget.scope]\nmode = "api-key"',
        "[ budget.'scope' ]\nproject = '''\n[[budget]]'''",
    )
)
VALUES = st.sampled_from(
    (
        'window = "month"',
        "limit_tokens = 1_000",
        "'warn_at' = 0.80",
        'time_zone = """\\\n  Europe/\\\n  Zurich"""',
        'action = "block"',
        "cycle_day=31",
    )
)


@st.composite
def budgets(draw: st.DrawFn, name: str) -> str:
    keys = draw(st.lists(VALUES, unique=True, max_size=4))
    keys.insert(draw(st.integers(0, len(keys))), f'name = "{name}"')
    scope = draw(SCOPES)
    if scope.startswith("["):
        keys.append(scope)
    elif scope:
        keys.insert(draw(st.integers(0, len(keys))), scope)
    indent = draw(st.sampled_from(("", "  ")))
    head = draw(COMMENTS) + draw(st.sampled_from(("[[budget]]", "[[ 'budget' ]]"))) + draw(ENDS)
    body = "".join(
        draw(st.sampled_from(("", "\n", "# why\n"))) + indent + key + draw(ENDS) for key in keys
    )
    return head + body + draw(COMMENTS)


@st.composite
def files(draw: st.DrawFn) -> Written:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3))
    blocks: list[tuple[str | None, str]] = [(name, draw(budgets(name))) for name in names]
    if draw(st.booleans()):
        blocks.insert(draw(st.integers(0, len(blocks))), (None, draw(OTHER)))
    parts: list[tuple[str | None, str]] = [(None, draw(TOP) + "\n")]
    for block in blocks:
        parts += [block, (None, draw(BLANKS) + draw(st.sampled_from(("", "# apart\n\n"))))]
    if len(parts) > 1 and draw(st.booleans()):
        parts.pop()
    if draw(st.booleans()):
        parts = [(name, text.replace("\n", "\r\n")) for name, text in parts]
    if draw(st.booleans()):
        parts[-1] = (parts[-1][0], parts[-1][1].rstrip("\r\n"))
    return Written(tuple(parts))


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "window": st.sampled_from(("week", "5h", 'x"\n')),
        "limit_tokens": st.none() | st.integers(1, 10**15),
        "limit_usd": st.none() | st.just("25.00"),
        "warn_at": st.none() | st.sampled_from((0.8, 0.25)),
        "time_zone": st.none() | st.just("UTC"),
        "scope": st.dictionaries(
            st.sampled_from(("mode", "project", "model")), st.none() | st.sampled_from(("a", "é"))
        ),
    },
)


def changed(data: dict[str, Any], name: str, changes: Changes) -> dict[str, Any]:
    """The same with a budget changed, or added behind the others."""
    tables = [dict(table) for table in data.get("budget", [])]
    if name not in [table["name"] for table in tables]:
        tables.append({"name": name})
    (table,) = (one for one in tables if one["name"] == name)
    for key, value in changes.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, dict) else value
    return plain({**data, "budget": tables})


def plain(data: dict[str, Any]) -> dict[str, Any]:
    """Without what is None, and without scopes that say nothing."""
    tables = []
    for table in data.get("budget", []):
        scope = {k: v for k, v in table.get("scope", {}).items() if v is not None}
        told = {k: v for k, v in {**table, "scope": scope}.items() if v is not None and v != {}}
        tables.append(told)
    return {**data, "budget": tables}


@given(files(), st.sampled_from(NAMES), CHANGES)
@UNTIMED
def test_a_change_is_exactly_that_change_and_is_idempotent(
    written: Written, name: str, changes: dict[str, Any]
) -> None:
    new = set_budget(written.text, name, changes, origin=ORIGIN)
    assert plain(tomllib.loads(new)) == changed(written.data, name, changes)
    assert set_budget(new, name, changes, origin=ORIGIN) == new
    if name in [of for of, _ in written.parts]:
        before, after = written.around(name)
        assert new.startswith(before)
        assert new.endswith(after)
    else:
        assert new.startswith(written.text)


@given(files(), CHANGES)
@UNTIMED
def test_a_budget_that_is_added_and_removed_leaves_no_trace(
    written: Written, changes: dict[str, Any]
) -> None:
    text = written.text
    newline = "\r\n" if "\r\n" in text else "\n"
    ended = text if text.endswith("\n") or not text else text + newline
    added = set_budget(text, "new", changes, origin=ORIGIN)
    assert added.startswith(ended)
    assert added.count("\r\n") == (added.count("\n") if "\r\n" in ended else 0)
    assert remove_budget(added, "new", origin=ORIGIN) == ended


@given(files(), st.sampled_from(NAMES))
@UNTIMED
def test_a_removal_is_exactly_that_removal(written: Written, name: str) -> None:
    if name not in [of for of, _ in written.parts]:
        with pytest.raises(ConfigurationError):
            remove_budget(written.text, name, origin=ORIGIN)
        return
    new = remove_budget(written.text, name, origin=ORIGIN)
    tables = [table for table in written.data["budget"] if table["name"] != name]
    left = {**written.data, "budget": tables}
    assert tomllib.loads(new) == {key: value for key, value in left.items() if value != []}
    before, after = written.around(name)
    _, _, after_a_line = after.partition("\n")
    a_line_less = before.removesuffix("\n").removesuffix("\r").removesuffix(" ")
    assert new in {before + after, before + after_a_line, a_line_less + after}


@given(files())
@UNTIMED
def test_the_budgets_of_a_file_are_those_that_toml_sees(written: Written) -> None:
    assert budget_tables(written.text, ORIGIN) == written.data.get("budget", [])
