"""What is imported before the agent's start costs little."""

import subprocess
import sys

import pytest

HEAVY = ("asyncio", "anyio", "msgspec", "ssl")


def python(code: str) -> str:
    """What a program prints in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_settings_are_read_without_an_event_loop() -> None:
    code = "import sys, acp_bridge.run.preparation; print([m for m in sys.modules])"
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
from acp_bridge.importing import imported_late
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
from acp_bridge.importing import imported_late
with imported_late("json"):
    from json import dumps
    import json
assert json.dumps is dumps
"""
    assert python(code) == ""


@pytest.mark.parametrize("was_on", [True, False])
def test_no_garbage_is_looked_for_within_the_block(*, was_on: bool) -> None:
    code = f"""
import gc
from acp_bridge.importing import without_collections
(gc.enable if {was_on} else gc.disable)()
with without_collections():
    assert not gc.isenabled()
assert gc.isenabled() is {was_on}
assert gc.get_freeze_count() > 0
"""
    assert python(code) == ""


@pytest.mark.parametrize("own", [None, "some_plugin"])
def test_settings_are_read_without_plugins_and_the_users_own_choice_stays(own: str | None) -> None:
    code = f"""
import os
own = {own!r}
if own: os.environ["PYDANTIC_DISABLE_PLUGINS"] = own
import pydantic.plugin._loader as loader
import acp_bridge.settings
assert loader._plugins is None, "plugins were looked for"
assert os.environ.get("PYDANTIC_DISABLE_PLUGINS") == own
"""
    assert python(code) == ""
