"""The status line: what it says of a run, and that the real Claude Code shows it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.cli import main
from acp_bridge.inspect.statusline import NOT_BRIDGED, statusline
from acp_bridge.loopback.script import Answer, Text, Usage
from tests.launch.standin import write_settings
from tests.readme.commands import README
from tests.terminal.tmux import terminal
from tests.terminal.world import EXEC, closed_world

USAGE = {
    "cost": [{"cost_kind": "list_price_equivalent", "cost_usd": "0.420000"}],
    "input_tokens": 1,
    "output_tokens": 2,
    "cache_read_tokens": 3000,
    "cache_write_5m_tokens": 0,
    "cache_write_1h_tokens": 0,
}
RUN: dict[str, Any] = {
    "mode": "subscription",
    "mode_letter": "B",
    "bucket": "plan_limits",
    "limits": [],
    "violations": [],
    "sessions": [{"session_id": "one", "usage": USAGE}],
}


def said(tmp_path: Path, run: Mapping[str, Any] | str, given: str = '{"session_id": "one"}') -> str:
    launcher = tmp_path / "launch" / "agent" / "claude"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "status.json").write_text(run if isinstance(run, str) else json.dumps(run))
    return statusline(given, {"CLAUDE_CODE_EXECUTABLE": str(launcher)})


def test_mode_bucket_and_spend_of_the_session(tmp_path: Path) -> None:
    assert said(tmp_path, RUN) == "subscription (B) · plan_limits · $0.42 at list price"


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_utc")
def test_windows_with_their_resets_and_violations(tmp_path: Path) -> None:
    limit = {"window": "five_hour", "used": "0.63", "resets_at": "2026-11-26T14:00:00+00:00"}
    violation = {"reason": "guard_bypassed"}
    line = said(tmp_path, {**RUN, "limits": [limit]})
    assert f"```text\n{line}\n```" in README
    violated = said(tmp_path, {**RUN, "limits": [limit], "violations": [violation]})
    assert violated == f"{line} · VIOLATION guard_bypassed"
    unknown = {**limit, "used": None, "resets_at": None}
    assert "five_hour" not in said(tmp_path, {**RUN, "limits": [unknown]})


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        ([("billed_estimate", "1.005000")], "$1.00"),
        ([("unknown", None)], "3.0k tokens"),
        ([("endpoint_price", "0.000001")], "$0.00 at the endpoint's price"),
        (
            [("billed_estimate", "1.000000"), ("list_price_equivalent", "2.000000")],
            "$1.00, $2.00 at list price",
        ),
    ],
)
def test_kinds_of_money_stay_apart(
    tmp_path: Path, costs: list[tuple[str, str | None]], words: str
) -> None:
    usage = {**USAGE, "cost": [{"cost_kind": kind, "cost_usd": usd} for kind, usd in costs]}
    run = {**RUN, "sessions": [{"session_id": "one", "usage": usage}]}
    assert said(tmp_path, run).endswith(f" · {words}")


def test_other_sessions_of_the_run_are_told_beside(tmp_path: Path) -> None:
    sessions = [*RUN["sessions"], {"session_id": "two", "usage": None}]
    line = said(tmp_path, {**RUN, "sessions": sessions}, '{"session_id": "two"}')
    assert line == "subscription (B) · plan_limits · 0 tokens · run $0.42 at list price"


@pytest.mark.parametrize("given", ["", "no json", "[]", '{"session_id": 7}', "[" * 100_000])
def test_what_is_given_may_be_anything(tmp_path: Path, given: str) -> None:
    assert "subscription" in said(tmp_path, RUN, given)


@pytest.mark.parametrize("run", ["", "{", "[]", "7"])
def test_a_status_that_cannot_be_read_is_no_run(tmp_path: Path, run: str) -> None:
    assert said(tmp_path, run) == NOT_BRIDGED


def test_a_status_of_another_shape_still_says_the_mode(tmp_path: Path) -> None:
    assert said(tmp_path, {"mode": "api-key"}) == "acp-bridge: mode api-key"


@pytest.mark.parametrize("launcher", [None, "/usr/bin/claude", "/nowhere/launch/agent/claude"])
def test_without_a_bridge_it_says_so(launcher: str | None) -> None:
    env = {} if launcher is None else {"CLAUDE_CODE_EXECUTABLE": launcher}
    assert statusline("{}", env) == NOT_BRIDGED


def test_the_command_prints_one_line_and_cannot_move_the_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said(tmp_path, {**RUN, "bucket": "plan\x1b[2J\nlimits"})
    launcher = tmp_path / "launch" / "agent" / "claude"
    monkeypatch.setenv("CLAUDE_CODE_EXECUTABLE", str(launcher))
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["statusline"]) == 0
    assert (
        capsys.readouterr().out
        == "subscription (B) · plan [2J limits · 0 tokens · run $0.42 at list price\n"
    )


def test_it_imports_nothing_that_takes_long() -> None:
    program = (
        "import sys; from acp_bridge.cli import main; main(['statusline']);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, input="{}"
    )
    loaded = set(done.stdout.splitlines()[1].split())
    assert not loaded & {
        "argparse",
        "pydantic",
        "anyio",
        "sqlite3",
        "structlog",
        "msgspec",
        "tomllib",
    }


@pytest.mark.agent
def test_claude_code_shows_it(tmp_path: Path) -> None:
    answer = Answer((Text("The first answer."),), Usage(100_000, 0))
    with closed_world(tmp_path, [answer]) as world:
        world.trust_the_project()
        command = f"{Path(sys.executable).with_name('acp-bridge')} statusline"
        settings = {"statusLine": {"type": "command", "command": command}}
        write_settings(world.home.config / "settings.json", settings)
        with terminal(tmp_path, EXEC, world.in_mode("api-key"), world.project) as tty:
            tty.wait_for("api-key (A) · api · 0 tokens")
            tty.type("hello")
            tty.press("Enter")
            tty.wait_for("The first answer.")
            tty.wait_for("api-key (A) · api · $0.40")
