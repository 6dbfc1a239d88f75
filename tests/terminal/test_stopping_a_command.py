"""What stops a command that has replaced the bridge: budgets, and what contradicts the mode."""

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest

from acp_bridge.loopback.script import Answer, Text
from tests.bridge.process import BRIDGE, SECONDS
from tests.support.real import CLAUDE
from tests.terminal.test_programs_that_speak_stream_json import SPEAKS, hold_two_turns
from tests.terminal.world import EXEC, World, closed_world, wait_until

pytestmark = pytest.mark.agent

BUDGET = '[[budget]]\nname = "one"\nlimit_requests = 1\nwindow = "day"\n'


def ask(world: World, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EXEC, "-p", "hello"],
        env=env,
        cwd=world.project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def with_a_budget(world: World, tmp_path: Path, mode: str, guard: str) -> dict[str, str]:
    config = tmp_path / "config.toml"
    config.write_text(BUDGET)
    return world.in_mode(mode, guard=guard, config=str(config))


def test_with_the_guard_a_used_up_budget_ends_the_turn(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world:
        env = with_a_budget(world, tmp_path, "api-key", "enforce")
        assert ask(world, env).returncode == 0
        refused = ask(world, env)
        assert refused.returncode == 1
        assert "402 acp-bridge: Budget one has spent 1 of 1 requests" in refused.stdout
        assert world.main_requests == 1


def test_without_it_the_command_does_not_start(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world:
        env = with_a_budget(world, tmp_path, "subscription", "off")
        first = ask(world, env)
        assert first.returncode == 0
        assert "budgets are asked once, before the command starts" in first.stderr
        wait_until(lambda: not [run for run in world.ask("status")["bridges"] if run["alive"]])
        refused = ask(world, env)
        assert refused.returncode == 3
        assert "error: Budget one has spent 1 of 1 requests" in refused.stderr
        assert world.main_requests == 1


def test_after_kill_9_the_session_is_settled(tmp_path: Path) -> None:
    stalls = Answer((Text("On and on."),), stall_after=4)
    with closed_world(tmp_path, [stalls]) as world:
        env = world.in_mode("api-key")
        with subprocess.Popen([*EXEC, "-p", "go"], env=env, cwd=world.project) as claude:
            wait_until(lambda: world.main_requests == 1)
            claude.kill()
        (session,) = world.ended_run()["sessions"]
        assert session["usage"]["pending"] is False
        assert world.usage()["input_tokens"] > 0


def test_without_its_companion_nothing_is_sent_any_more(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world:
        env = {**world.in_mode("api-key"), "API_TIMEOUT_MS": "3000", "CLAUDE_CODE_MAX_RETRIES": "1"}
        session_id = str(uuid.uuid4())
        argv = [*EXEC, "-p", "--input-format", "stream-json", "--output-format", "stream-json"]
        with subprocess.Popen(
            [*argv, "--verbose", "--session-id", session_id],
            env=env,
            cwd=world.project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as claude:
            wait_until(lambda: Path(f"/proc/{claude.pid}/exe").samefile(CLAUDE))
            os.kill(_companion_of(claude, session_id), signal.SIGKILL)
            message = {"type": "user", "message": {"role": "user", "content": "hello"}}
            out, _ = claude.communicate(json.dumps(message).encode() + b"\n", timeout=SECONDS)
        assert b'"is_error":true' in out
        assert world.endpoint.seen == []


def _companion_of(program: subprocess.Popen[bytes], session_id: str) -> int:
    """The process that still has the command line by which the program was started."""
    found = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if process.pid != program.pid
        and process.info["cmdline"]
        and process.info["cmdline"][-1] == session_id
    ]
    (companion,) = found
    return companion


def test_with_the_guard_no_request_draws_on_extra_usage_once_it_is_seen(tmp_path: Path) -> None:
    told = (("status", "rejected"), ("overage-in-use", "true"), ("overage-status", "allowed"))
    headers = tuple((f"anthropic-ratelimit-unified-{name}", value) for name, value in told)
    with closed_world(tmp_path, [Answer((Text("Paid extra."),), headers=headers)]) as world:
        argv = [*EXEC, *SPEAKS]
        env = world.in_mode("subscription", guard="enforce", on_overage="block")
        first, second = hold_two_turns(argv, env, world.project, status=1)
        assert first == "Paid extra."
        assert "402 acp-bridge: This run does not draw on extra usage" in second
        assert world.main_requests == 1
        run = world.ended_run()
        assert run["bucket"] == "extra_usage"


def test_without_it_that_is_said_before_the_command_starts(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world:
        done = ask(world, world.in_mode("subscription", on_overage="block"))
        assert "nobody sees when extra usage pays" in done.stderr


GOES_ROUND = f"""\
#!{sys.executable}
import json, os, sys, time, urllib.request
event = {{
    "event.name": "api_request", "session.id": "s", "model": "claude-opus-5-5",
    "request_id": "req_unseen", "input_tokens": "5", "output_tokens": "1",
    "cache_read_tokens": "0", "cache_creation_tokens": "0", "query_source": "sdk",
}}
attributes = [{{"key": key, "value": {{"stringValue": value}}}} for key, value in event.items()]
record = {{"body": {{"stringValue": "claude_code.api_request"}}, "attributes": attributes}}
body = {{"resourceLogs": [{{"scopeLogs": [{{"logRecords": [record]}}]}}]}}
settings = json.load(open(sys.argv[sys.argv.index("--settings") + 1]))["env"]
url = {{**os.environ, **settings}}["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"]
asked = urllib.request.Request(url, json.dumps(body).encode())
asked.add_header("content-type", "application/json")
urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(asked)
time.sleep(600)
"""
"""A Claude Code that tells of a request of which the guard saw nothing."""


def test_what_goes_round_the_guard_ends_with_the_command(tmp_path: Path) -> None:
    claude = tmp_path / "claude"
    claude.write_text(GOES_ROUND)
    claude.chmod(0o700)
    with closed_world(tmp_path) as world:
        argv = [*BRIDGE, "exec", "--", str(claude), "-p", "hello"]
        with subprocess.Popen(argv, env=world.in_mode("api-key"), cwd=world.project) as command:
            try:
                assert command.wait(SECONDS) == -signal.SIGTERM
            finally:
                command.kill()
        run = world.ended_run()
        assert [item["reason"] for item in run["violations"]] == ["guard_bypassed"]
