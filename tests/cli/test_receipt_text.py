"""What others call things, on a receipt: visible, on one line, and nobody's home."""

import re
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.inspect.told import Told, in_markdown, in_plain, visible, without_home
from tests.bridge.process import Json
from tests.cli.receipt_command import (
    RUN,
    Receipt,
    ended,
    evidence,
    one,
    opened,
    registered,
    violation,
)
from tests.cli.usage_command import assert_wrong, write
from tests.ledger.rows import spent

HOSTILE = "s|`x`\x1b[2J\r\n# @all <script>\u202e\ud800\x85 ~~~ [a](b) ``"


def test_whatever_others_call_things_a_page_has_its_lines_and_nothing_that_is_not_shown(
    tmp_path: Path, path: Path, receipt: Receipt
) -> None:
    storable = HOSTILE.replace("\ud800", "")
    rows = (
        ended(agent_name=storable, claude_version=storable),
        opened(storable, storable, cwd=storable, model=storable),
        spent("1", run_id=RUN, session_id=storable, model=storable),
        evidence(value=storable),
        violation(storable),
    )
    write(path, *rows)
    assert one(receipt(storable, "--json"))["session"]["session_id"] == storable
    plain, markdown = receipt().stdout, receipt("--markdown").stdout
    for page, lines in ((plain, 24), (markdown, 27)):
        assert len(page.split("\n")) == lines
        assert all(line.isprintable() for line in page.split("\n"))
        assert page.count("@all") == 8
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", markdown)
    assert not {"@", "<", "~", "\\", "["} & set(outside)
    table = [line for line in markdown.split("\n") if line.startswith("|")]
    assert {line.count("|") for line in table} == {10}
    assert_wrong(receipt("--run", "\ud800"), "'\\ud800'")
    assert_wrong(receipt(HOSTILE), "no session")
    with closing(registered(tmp_path / "state", sessions=[unstorable()])):
        assert receipt(HOSTILE).status == 0
        assert receipt(HOSTILE, "--markdown").status == 0
        assert one(receipt(HOSTILE, "--json"))["session"]["session_id"] == HOSTILE


def unstorable() -> Json:
    """A session of an id that is no Unicode text."""
    return {"session_id": HOSTILE, "cwd": None, "model": None, "usage": None}


@given(st.text(max_size=400))
def test_any_text_is_one_visible_line_of_bounded_length(text: str) -> None:
    shown = in_plain(Told(text), str)
    assert shown.isprintable()
    assert len(shown) <= 300


@given(st.text("`|\\ a\n", max_size=20))
def test_any_text_is_one_code_span_in_markdown_and_one_cell(text: str) -> None:
    written = in_markdown(Told(text), str)
    assert "|" not in written
    if not text.strip(" "):
        assert written == f'"{text}"'
        return
    (fence,) = re.findall(r"^`+", written)
    inner = written[len(fence) : -len(fence)]
    assert written.endswith(fence)
    assert fence not in re.findall(r"`+", inner)
    assert inner[0] != "`" != inner[-1]
    assert inner.strip(" ") == visible(text).replace("|", "\\x7c").strip(" ")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("/home/me", "~"),
        ("/home/me/work", "~/work"),
        (
            "settings file /home/me/.claude.json, not /home/me.",
            "settings file ~/.claude.json, not ~.",
        ),
        ("'/home/me/a b'", "'~/a b'"),
        ("/home/me2/work", "/home/me2/work"),
        ("/home/me.old", "/home/me.old"),
        ("/home/me-too", "/home/me-too"),
        ("/mnt/home/me", "/mnt/home/me"),
    ],
)
def test_the_home_directory_is_a_tilde(text: str, written: str) -> None:
    assert without_home("/home/me")(text) == without_home("/home/me/")(text) == written


@pytest.mark.parametrize("home", ["", "/"])
def test_without_a_home_of_ones_own_nothing_is_shortened(home: str) -> None:
    assert without_home(home)("/work") == "/work"


def test_pages_name_no_home_directory_and_no_credential_and_the_document_is_exact(
    tmp_path: Path, path: Path, receipt: Receipt
) -> None:
    project = str(tmp_path / "home" / "project")
    key = "sk-ant-api03-" + "FAKE" * 10
    write(path, ended(), opened(cwd=project), violation(f"{key} in {project}/.env"))
    for form in ((), ("--markdown",)):
        page = receipt(*form).stdout
        assert "~/project/.env" in page
        assert str(tmp_path) not in page
        assert "FAKE" not in page
    assert one(receipt("--json"))["session"]["cwd"] == project
