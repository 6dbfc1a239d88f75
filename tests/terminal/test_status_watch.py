"""``status --watch``: the runs that live, drawn anew at each change."""

import json
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acp_bridge.inspect.watch import live_table
from tests.bridge.process import BRIDGE, SECONDS, bridge_environment
from tests.terminal.test_statusline import RUN
from tests.terminal.tmux import terminal
from tests.terminal.world import wait_until

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
LIVING: dict[str, Any] = {**RUN, "alive": True, "pid": 4711}


def table(*runs: dict[str, Any]) -> list[str]:
    return live_table({"bridges": runs}, NOW).splitlines()


def test_each_living_run_is_a_line() -> None:
    limit = {"window": "seven_day", "used": "0.6", "resets_at": None}
    ended = {**LIVING, "alive": False}
    assert table({**LIVING, "limits": [limit]}, ended) == [
        "acp-bridge, 09:30:00",
        "",
        "mode              charged to   pid   sessions  tokens  spent                windows",
        (
            "subscription (B)  plan_limits  4711  1         3.0k    $0.42 at list price  "
            "seven_day 60 %"
        ),
    ]


def test_what_is_wrong_stands_below_and_cannot_move_the_cursor() -> None:
    violation = {"reason": "guard_bypassed", "detail": "it went\x1b[2J round"}
    assert table({**LIVING, "violations": [violation]})[-1] == (
        "  VIOLATION guard_bypassed: it went [2J round"
    )


def test_without_a_run_it_says_so() -> None:
    assert table()[-1] == "no bridge is running"


def exec_shell(env: dict[str, str], script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*BRIDGE, "exec", "--", "sh", "-c", script], env=env)


def test_a_terminal_shows_a_run_come_and_go_and_its_end_restores_it(tmp_path: Path) -> None:
    env = {**bridge_environment(tmp_path, claude="/bin/true"), "PS1": "ready> "}
    with terminal(tmp_path, ["bash", "--norc", "-i"], env, tmp_path) as tty:
        tty.wait_for("ready>")
        tty.type(" ".join([*BRIDGE, "status", "--watch"]))
        tty.press("Enter")
        tty.wait_for("no bridge is running")
        with exec_shell(env, "exec sleep 600") as command:
            tty.wait_for("subscription (B)  plan_limits")
            tty.resize(30, 20)
            wait_until(lambda: max(map(len, tty.screen.splitlines())) <= 30)
            command.kill()
        tty.wait_for("no bridge is running")
        tty.press("C-c")
        wait_until(lambda: "no bridge is running" not in tty.screen)
        tty.type("echo status $?")
        tty.press("Enter")
        tty.wait_for("status 130")


def test_elsewhere_each_change_is_a_document_a_line(tmp_path: Path) -> None:
    env = bridge_environment(tmp_path, claude="/bin/true")
    argv = [*BRIDGE, "status", "--watch", "--json"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["bridges"] == []
        with exec_shell(env, "exec sleep 600") as command:
            (run,) = json.loads(watching.stdout.readline())["bridges"]
            assert (run["alive"], run["pid"]) == (True, command.pid)
            command.kill()
        while json.loads(watching.stdout.readline())["bridges"][0]["alive"]:
            pass
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(SECONDS) == 128 + signal.SIGTERM
