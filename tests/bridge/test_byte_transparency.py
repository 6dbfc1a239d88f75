"""What the bridge need not change reaches the other side byte for byte, in both directions."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.loopback.script import Answer, Text, say
from tests.bridge.process import BridgeProcess, Json, bridge_process, stand_in
from tests.support.offline import offline
from tests.support.real import ADAPTER_ARGV, CLAUDE

TEE = (sys.executable, "-I", "-S", str(Path(__file__).with_name("tee.py")))
CLAUDE_KIND = {"agent_kind": "claude", "claude": "/bin/true"}
ODD_SPELLING = (
    '{ "jsonrpc" :\t"2.0", "id": %d , "method":"_echo/\\u0061" ,'
    '"params":{"x":1.0,"x":2,"y":"\\/"} }'
)
MEGABYTES_12 = 12 * 1024 * 1024


class Sent:
    """Everything that a client wrote."""

    def __init__(self, bridge: BridgeProcess) -> None:
        self._bridge = bridge
        self.data = b""

    async def line(self, text: str | bytes, end: bytes = b"\n") -> None:
        data = (text if isinstance(text, bytes) else text.encode()) + end
        self.data += data
        await self._bridge.send_bytes(data)

    async def message(self, **members: Any) -> None:
        await self.line(json.dumps({"jsonrpc": "2.0", **members}))


def assert_same_but(sent: bytes, received: bytes, edited: dict[int, str]) -> None:
    """Compare two streams line by line.

    Args:
        sent: what one side wrote.
        received: what the other side read.
        edited: which member of which line the bridge edits, by the line's number.
    """
    left, right = sent.split(b"\n"), received.split(b"\n")
    assert len(left) == len(right)
    for number, (before, after) in enumerate(zip(left, right, strict=True)):
        if number not in edited:
            assert before == after, f"line {number}"
            continue
        was, is_now = json.loads(before), json.loads(after)
        assert was != is_now
        for message in (was, is_now):
            leave_out_documented_edits(message[edited[number]])
        assert was == is_now


def leave_out_documented_edits(value: Json) -> None:
    """Take out of an ``initialize`` result, or session params, what the bridge may change."""
    value.pop("authMethods", None)
    value.get("agentCapabilities", {}).pop("providers", None)
    value.get("agentInfo", {}).pop("title", None)
    value.get("_meta", {}).pop("acp_bridge", None)
    claude = value.get("_meta", {}).get("claudeCode", {})
    claude.pop("emitRawSDKMessages", None)
    claude.get("options", {}).pop("settings", None)
    for names in (("_meta", "claudeCode", "options"), ("_meta", "claudeCode"), ("_meta",)):
        *path, last = names
        inner = value
        for name in path:
            inner = inner.get(name, {})
        if inner.get(last) == {}:
            del inner[last]


async def test_a_thousand_messages_each_way_are_the_same_bytes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    agent = stand_in("--name", "claude-agent-acp", "--log", str(log), "status:account")
    async with bridge_process(tmp_path, CLAUDE_KIND, agent=agent) as bridge:
        sent = Sent(bridge)
        await sent.message(id=0, method="initialize", params={"protocolVersion": 1})
        await sent.message(id=1, method="session/new", params={"cwd": "/", "mcpServers": []})
        await bridge.response(1)
        for number in range(2, 1002):
            await sent.line(ODD_SPELLING % number, b"\r\n" if number % 3 == 0 else b"\n")
        await sent.line("")
        await sent.line("  ")
        block = {"type": "text", "text": "chunks:1200"}
        params = {"sessionId": "session-1", "prompt": [block]}
        await sent.message(id=2000, method="session/prompt", params=params)
        await bridge.response(2000)
        await sent.line('{"jsonrpc":"2.0","method":"_last/without/newline"}', b"")
        bridge.close_stdin()
        assert await bridge.exit_status() == 0

    assert len(bridge.messages) > 2000
    assert_same_but(sent.data, log.with_suffix(".in").read_bytes(), {1: "params"})
    assert_same_but(log.with_suffix(".out").read_bytes(), bytes(bridge.output), {0: "result"})


async def test_an_image_of_12_megabytes_passes_unchanged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bridge_process(tmp_path, agent=stand_in("--log", str(log))) as bridge:
        session = await bridge.session()
        image = {"type": "image", "mimeType": "image/png", "data": "iVBORw0K" * (MEGABYTES_12 // 8)}
        params = {"sessionId": session, "prompt": [image]}
        echoed = await bridge.request("_echo", params)
        assert echoed == params
        bridge.close_stdin()
        assert await bridge.exit_status() == 0

    received = log.with_suffix(".in").read_bytes()
    assert json.dumps(params).encode() in received
    assert log.with_suffix(".out").read_bytes().split(b"\n")[1:] == bridge.output.split(b"\n")[1:]


@pytest.mark.agent
async def test_a_streamed_session_of_the_real_agent_is_the_same_bytes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    pieces = Answer(
        tuple(Text(f"Paragraph {number} of the long answer. ") for number in range(350))
    )
    async with offline(tmp_path, [pieces, say("Short.")], login=True) as world:
        env = {
            **world.env,
            "ACP_BRIDGE_UPSTREAM_URL": world.endpoint.url,
            "ACP_BRIDGE_STATE_DIR": str(tmp_path / "state"),
            "ACP_BRIDGE_CONFIG": "/dev/null",
            "ACP_BRIDGE_CLAUDE": str(CLAUDE),
        }
        agent = (*TEE, str(log), *ADAPTER_ARGV)
        async with bridge_process(tmp_path, agent=agent, env=env) as bridge:
            sent = Sent(bridge)
            await sent.message(id=0, method="initialize", params={"protocolVersion": 1})
            project = str(world.home.project)
            await sent.message(
                id=1, method="session/new", params={"cwd": project, "mcpServers": []}
            )
            session = (await bridge.response(1))["result"]["sessionId"]
            for number in (2, 3):
                params = {"sessionId": session, "prompt": [{"type": "text", "text": "Go on."}]}
                await sent.message(id=number, method="session/prompt", params=params)
                response = await bridge.response(number)
                assert response["result"]["stopReason"] == "end_turn"
            bridge.close_stdin()
            assert await bridge.exit_status() == 0

    assert len(bridge.messages) > 1000
    assert_same_but(sent.data, log.with_suffix(".in").read_bytes(), {1: "params"})
    raw, shown = apart(log.with_suffix(".out").read_bytes(), b"_claude/sdkMessage")
    assert len(raw) >= 2  # each turn's result, which the bridge alone asked for
    assert_same_but(b"".join(shown), bytes(bridge.output), {0: "result"})


def apart(stream: bytes, method: bytes) -> tuple[list[bytes], list[bytes]]:
    """The lines of a stream that have a method, and the others."""
    lines = stream.splitlines(keepends=True)
    found = [line for line in lines if b'"method":"%s"' % method in line]
    return found, [line for line in lines if line not in found]
