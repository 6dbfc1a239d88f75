"""A module that is imported late costs nothing until it is used."""

import subprocess
import sys

import pytest

HEAVY = ("asyncio", "anyio", "msgspec", "ssl")


def python(code: str) -> str:
    """What a program prints in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_settings_are_read_without_an_event_loop() -> None:
    code = "import sys, acp_bridge.preparation; print([m for m in sys.modules])"
    loaded = python(code)
    assert "acp_bridge.settings" in loaded
    assert [name for name in HEAVY if f"'{name}'" in loaded] == []


@pytest.mark.parametrize(
    "use",
    [
        "later.dumps([1])",
        "__import__('json').dumps([1])",
        "later.decoder and later.dumps([1])",
        "(lambda: __import__('importlib').import_module('json.decoder'))() and later.dumps([1])",
    ],
)
def test_what_was_left_out_is_there_when_it_is_used(use: str) -> None:
    code = f"""
from acp_bridge.late_import import imported_late
import sys
with imported_late("json"):
    import json as later
    assert "decoder" not in vars(later)
assert "json" not in sys.modules
assert {use} == "[1]"
import json
assert json.dumps is later.dumps
with imported_late("json"):
    import json as again
assert again is json
"""
    assert python(code) == ""


def test_it_may_be_used_while_it_is_left_out() -> None:
    code = """
from acp_bridge.late_import import imported_late
with imported_late("json"):
    from json import dumps
    import json
assert json.dumps is dumps
"""
    assert python(code) == ""
