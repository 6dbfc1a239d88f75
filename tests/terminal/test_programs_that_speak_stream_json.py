"""Claude Code behind programs that speak stream-json: metered and held like an ACP session."""

import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from acp_bridge.loopback.asked import Asked
from acp_bridge.loopback.scratch import FAKE_API_KEY
from acp_bridge.loopback.script import Answer, Step, Text, Usage, say, use
from tests.bridge.process import BRIDGE, SECONDS, run_bridge
from tests.launch.standin import write_settings
from tests.support.real import CLAUDE
from tests.terminal.world import CLASSES, EXEC, World, closed_world, wait_until

pytestmark = pytest.mark.agent

SPEAKS = ("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose")
TWO_TURNS = [
    Answer((Text("One."),), Usage(10, 3, 2_000, 500, 100)),
    use("Bash", command="echo two", usage=Usage(20, 5, 2_600)),
    Answer((Text("Two."),), Usage(30, 6, 2_700, 70)),
]


def say_to(stream: IO[str], text: str) -> None:
    message = {"type": "user", "message": {"role": "user", "content": text}}
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def results(stream: IO[str]) -> Iterator[dict[str, Any]]:
    return (said for said in map(json.loads, stream) if said["type"] == "result")


def hold_two_turns(
    argv: list[str], env: dict[str, str], cwd: Path, *, status: int = 0
) -> list[str]:
    """As a GUI does; what was answered."""
    with subprocess.Popen(
        argv, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as gui:
        assert gui.stdin is not None
        assert gui.stdout is not None
        answers, said = results(gui.stdout), []
        for text in ("one", "two"):
            say_to(gui.stdin, text)
            said.append(next(answers)["result"])
        gui.stdin.close()
        assert gui.wait(SECONDS) == status
    return said


@pytest.mark.parametrize(
    ("mode", "guard"),
    [("subscription", "off"), ("api-key", "enforce"), ("subscription", "enforce")],
)
def test_what_the_ledger_holds_is_what_the_endpoint_answered(
    tmp_path: Path, mode: str, guard: str
) -> None:
    with closed_world(tmp_path, TWO_TURNS) as world:
        argv = [*EXEC, *SPEAKS, "--allowedTools", "Bash"]
        assert hold_two_turns(argv, world.in_mode(mode, guard=guard), world.project) == [
            "One.",
            "Two.",
        ]
        run = world.ended_run()
        assert (run["guard"], run["violations"]) == (guard, [])
        assert world.paid_with == {CLASSES[mode]}
        assert world.usage() == world.tokens()
        assert "  agent        Claude Code 2." in run_bridge("status", env=world.env).stdout
        (session,) = run["sessions"]
        assert session["usage"]["pending"] is False
        rows = world.ask("usage", "--by", "project,surface,source")["rows"]
        assert {(row["project"], row["surface"]) for row in rows} == {(str(world.project), "print")}


def wrapper(tmp_path: Path, mode: str) -> Path:
    """What an editor's setting for a process wrapper names: it is given the real program."""
    path = tmp_path / "wrapper"
    path.write_text(f'#!/bin/sh\nexec {" ".join(BRIDGE)} exec --mode {mode} -- "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_behind_a_process_wrapper_a_projects_key_does_not_pay(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world:
        other = {"env": {"ANTHROPIC_API_KEY": FAKE_API_KEY}}
        write_settings(world.project / ".claude" / "settings.json", other)
        argv = [str(wrapper(tmp_path, "subscription")), str(CLAUDE), *SPEAKS]
        env = world.in_mode("subscription")
        del env["ACP_BRIDGE_MODE"]
        hold_two_turns(argv, env, world.project)
        assert world.paid_with == {"subscription_oauth"}
        assert "ANTHROPIC_API_KEY" in {item["channel"] for item in world.ended_run()["removed"]}


def test_what_goes_on_in_the_background_is_still_held_and_counted(tmp_path: Path) -> None:
    log = tmp_path / "background"
    # The endpoint's first answer to what runs in the background comes after the command has ended.
    leave = f"setsid claude -p later > {log} 2>&1 < /dev/null & until [ -s {log}.up ]; do :; done"

    def answer(asked: Asked) -> Step:
        if asked.prompt == "later":
            (tmp_path / "background.up").write_text("up")
            return Answer((Text("Late."),), Usage(40, 8), pause_seconds=0.7)
        return (
            say("Left one behind.")
            if "tool_result" in str(asked.body["messages"][-1])
            else use("Bash", command=leave)
        )

    with closed_world(tmp_path, answer) as world:
        argv = [*EXEC, "-p", "go", "--allowedTools", "Bash"]
        assert run_in(world, argv, mode="api-key").stdout == "Left one behind.\n"
        assert log.read_text() == ""
        assert world.run()["alive"]
        wait_until(lambda: log.read_text() == "Late.\n")
        world.ended_run()
        assert world.paid_with == {"api_key"}
        assert world.usage() == world.tokens()


def test_background_sessions_of_claude_codes_own_service_are_refused(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world:
        done = run_in(world, [*EXEC, "--bg", "hello"], mode="subscription")
        assert "is disabled by CLAUDE_CODE_DISABLE_AGENT_VIEW" in done.stderr
        assert done.returncode == 1
        assert world.endpoint.seen == []


def run_in(world: World, argv: list[str], *, mode: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env=world.in_mode(mode),
        cwd=world.project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
