"""The end of a run: whoever ends it, nothing is left open and nothing is left behind."""

import shutil
import signal
import socket
import sys
from pathlib import Path

import anyio
import psutil
import pytest

from tests.bridge.process import SECONDS, all_gone, bridge_process, run_bridge, stand_in

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CLAUDE = {"agent_kind": "claude", "claude": "/bin/true"}


async def test_the_end_of_stdin_ends_agent_and_bridge_with_status_0(tmp_path: Path) -> None:
    async with bridge_process(tmp_path) as bridge:
        await bridge.session()
        family = bridge.descendants()
        bridge.close_stdin()
        assert await bridge.exit_status() == 0
        assert await all_gone(family)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
async def test_a_signal_ends_the_bridge_with_128_plus_its_number(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with bridge_process(tmp_path) as bridge:
        session = await bridge.session()
        waiting = await bridge.send_prompt(session, "child wait")
        child = psutil.Process(int(await bridge.chunk()))
        bridge.signal(number)
        assert await bridge.exit_status() == 128 + number
        assert (await bridge.error(waiting))["data"]["acp_bridge"]["reason"] == "agent_exited"
        assert await all_gone([child])


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
async def test_a_signal_during_start_up_ends_it_cleanly(
    tmp_path: Path, number: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        ask = f"import socket; socket.create_connection(('127.0.0.1', {port})).recv(1)"
        command = f"{sys.executable} -c \"{ask}; print('sk-ant-api03-FAKE-for-a-test')\""
        settings = {"mode": "api-key", "api_key_command": command}
        async with bridge_process(tmp_path, settings) as bridge:
            with anyio.fail_after(SECONDS):
                await anyio.wait_readable(listening)
            asked, _ = listening.accept()
            bridge.signal(number)
            asked.close()
            assert await bridge.exit_status() == 128 + number
            assert bridge.output == b""
            assert "Traceback" not in bridge.stderr


async def test_an_agent_that_ignores_the_end_is_ended_in_bounded_time(tmp_path: Path) -> None:
    async with bridge_process(tmp_path, agent=stand_in("--ignore-end")) as bridge:
        await bridge.session()
        family = bridge.descendants()
        bridge.close_stdin()
        assert await bridge.exit_status() == 128 + signal.SIGKILL
        assert await all_gone(family)


async def test_a_second_signal_does_not_wait_for_the_agents_grace(tmp_path: Path) -> None:
    async with bridge_process(tmp_path, agent=stand_in("--ignore-end")) as bridge:
        await bridge.session()
        bridge.signal(signal.SIGTERM)
        bridge.signal(signal.SIGINT)
        # Without hurry: 5 s of grace and 2 s after SIGTERM. Which of two signals that wait together
        # is handed over first is the system's choice.
        status = await bridge.exit_status(within=4.5)
        assert status in (128 + signal.SIGTERM, 128 + signal.SIGINT)


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        ("exit:0", 0, "it exited with status 0"),
        ("exit:7", 7, "it exited with status 7"),
        ("signal:11", 128 + 11, "it was ended by SIGSEGV"),
        ("signal:9", 128 + 9, "it was ended by SIGKILL"),
    ],
)
async def test_the_death_of_the_agent_answers_every_open_request(
    tmp_path: Path, end: str, status: int, words: str
) -> None:
    async with bridge_process(tmp_path) as bridge:
        session = await bridge.session()
        waiting = await bridge.send_prompt(session, "hang")
        fatal = await bridge.send_prompt(await bridge.new_session(), end)
        for number in (waiting, fatal):
            error = await bridge.error(number)
            assert error["code"] == -32603
            assert error["data"]["acp_bridge"]["reason"] == "agent_exited"
            assert words in error["message"]
        assert await bridge.exit_status() == status


async def test_what_a_dead_agent_left_behind_does_not_delay_the_answer(tmp_path: Path) -> None:
    async with bridge_process(tmp_path) as bridge:
        session = await bridge.session()
        fatal = await bridge.send_prompt(session, "child exit:1")
        child = psutil.Process(int(await bridge.chunk()))
        await bridge.error(fatal)
        # The keeper gives what is left 5 s to end by itself; the answer does not wait for that.
        assert child.is_running()
        assert await bridge.exit_status() == 1
        assert await all_gone([child])


async def test_a_request_written_after_the_agents_death_is_answered_too(tmp_path: Path) -> None:
    async with bridge_process(tmp_path) as bridge:
        session = await bridge.session()
        await bridge.send_prompt(session, "child exit:1")
        await bridge.wait_for(lambda message: "error" in message)
        late = await bridge.send_request("session/new", {"cwd": "/", "mcpServers": []})
        assert (await bridge.error(late))["data"]["acp_bridge"]["reason"] == "agent_exited"


@pytest.mark.parametrize("habit", ["deaf", "mute"])
async def test_an_agent_that_closes_one_of_its_pipes_is_ended(tmp_path: Path, habit: str) -> None:
    async with bridge_process(tmp_path, agent=stand_in("--ignore-end")) as bridge:
        session = await bridge.session()
        await bridge.send_prompt(session, habit)
        if habit == "deaf":
            await bridge.wait_for(lambda message: "stopReason" in message.get("result", {}))
        unheard = await bridge.send_request("session/list", {})
        assert (await bridge.error(unheard))["data"]["acp_bridge"]["reason"] == "agent_exited"
        assert await bridge.exit_status() == 128 + signal.SIGKILL


async def test_a_client_that_closes_stdout_alone_ends_the_run(tmp_path: Path) -> None:
    async with bridge_process(tmp_path) as bridge:
        session = await bridge.session()
        family = bridge.descendants()
        await bridge.close_stdout()
        await bridge.send_prompt(session, "chunks:3")
        assert await bridge.exit_status() == 0
        assert await all_gone(family)
        assert "Traceback" not in bridge.stderr


async def test_a_client_that_stops_reading_cannot_keep_the_run_alive(tmp_path: Path) -> None:
    async with bridge_process(tmp_path) as bridge:
        session = await bridge.session()
        bridge.pause_reading()
        # More than all pipes between agent and client hold.
        await bridge.send_prompt(session, "chunks:60000")
        bridge.signal(signal.SIGTERM)
        assert await bridge.exit_status() == 128 + signal.SIGTERM


async def test_a_flood_on_stderr_stalls_nothing_even_if_nobody_reads_it(tmp_path: Path) -> None:
    async with bridge_process(tmp_path, {"log_level": "info"}, reads_stderr=False) as bridge:
        session = await bridge.session()
        response = await bridge.response(await bridge.send_prompt(session, "stderr:20000"))
        assert response["result"] == {"stopReason": "end_turn"}
        bridge.close_stdin()
        assert await bridge.exit_status() == 0


async def test_lines_that_are_no_json_are_forwarded_and_counted(tmp_path: Path) -> None:
    async with bridge_process(tmp_path) as bridge:
        session = await bridge.session()
        await bridge.response(await bridge.send_prompt(session, "nonsense:3 text:after"))
        nonsense = [line for line in bridge.lines if line.startswith(b"this is no JSON")]
        assert nonsense == [b"this is no JSON %d" % number for number in range(3)]
        await bridge.wait_for_stderr("count=3")
        assert "unparseable_line" in bridge.stderr


async def test_kill_9_of_the_bridge_leaves_no_agent_and_no_secret(tmp_path: Path) -> None:
    async with bridge_process(tmp_path, agent=stand_in("--ignore-end")) as bridge:
        session = await bridge.session()
        await bridge.send_prompt(session, "child wait")
        await bridge.chunk()
        family = bridge.descendants()
        bridge.signal(signal.SIGKILL)
        assert await bridge.exit_status() == -signal.SIGKILL
        assert await all_gone(family)
        status = run_bridge("status", env=bridge.env)
        assert "running" not in status.stdout
        assert status.returncode == 0


async def test_a_state_directory_that_is_cleared_meanwhile_is_no_traceback(tmp_path: Path) -> None:
    async with bridge_process(tmp_path) as bridge:
        await bridge.initialize()
        shutil.rmtree(tmp_path / "state")
        bridge.close_stdin()
        assert await bridge.exit_status() == 0
        assert "Traceback" not in bridge.stderr


async def test_stdin_that_ends_while_a_prompt_is_held_still_delivers_the_prompt(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    agent = stand_in("--name", "claude-agent-acp", "--log", str(log))
    async with bridge_process(
        tmp_path, {**CLAUDE, "status_wait_seconds": "0.5"}, agent=agent
    ) as bridge:
        session = await bridge.session()
        await bridge.send_prompt(session, "text:late")
        bridge.close_stdin()
        assert await bridge.exit_status() == 0
        assert b"text:late" in log.with_suffix(".in").read_bytes()


async def test_a_signal_while_a_prompt_is_held_does_not_wait_for_the_status(tmp_path: Path) -> None:
    agent = stand_in("--name", "claude-agent-acp")
    async with bridge_process(
        tmp_path, {**CLAUDE, "status_wait_seconds": "500"}, agent=agent
    ) as bridge:
        session = await bridge.session()
        held = await bridge.send_prompt(session, "text:late")
        # Later requests are not read while a prompt is held, so only the record tells.
        bridge.signal(signal.SIGTERM)
        assert await bridge.exit_status() == 128 + signal.SIGTERM
        assert (await bridge.error(held))["data"]["acp_bridge"]["reason"] == "agent_exited"
