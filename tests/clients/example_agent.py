# ruff: noqa: ARG002 - the SDK passes arguments by name
"""An ACP agent of a page, written with the Python SDK's agent side. It calls no model.

It is what the SDK's own examples are (they are not in the package): a program that speaks ACP over
stdio. The first word of a prompt says what to do; anything else is echoed. What it receives is
appended to ``received.ndjson`` in its working directory, what a session was told to
``<session>.json``, so that a later process can load it.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import acp
from acp.connection import StreamDirection, StreamEvent
from acp.schema import (
    AgentCapabilities,
    ForkSessionResponse,
    Implementation,
    InitializeResponse,
    LoadSessionResponse,
    NewSessionResponse,
    PermissionOption,
    PromptResponse,
    ResumeSessionResponse,
    SessionCapabilities,
    SessionForkCapabilities,
    SessionResumeCapabilities,
    TextContentBlock,
    ToolCallUpdate,
)

RECEIVED = Path("received.ndjson")
OPTIONS = [
    PermissionOption(option_id="yes", name="Yes", kind="allow_once"),
    PermissionOption(option_id="no", name="No", kind="reject_once"),
]


class ExampleAgent:
    """Does what the first word of a prompt says."""

    def __init__(self) -> None:
        self._client: acp.Client
        self._told: dict[str, list[str]] = {}
        self._cancelled = asyncio.Event()

    def on_connect(self, conn: acp.Client) -> None:
        self._client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> InitializeResponse:
        return InitializeResponse(
            protocol_version=min(protocol_version, acp.PROTOCOL_VERSION),
            agent_capabilities=AgentCapabilities(
                load_session=True,
                session_capabilities=SessionCapabilities(
                    fork=SessionForkCapabilities(), resume=SessionResumeCapabilities()
                ),
            ),
            agent_info=Implementation(name="example-agent", title="Example", version="0.1.0"),
        )

    async def new_session(self, cwd: str, **_: Any) -> NewSessionResponse:
        return NewSessionResponse(session_id=self._open([]))

    async def load_session(self, cwd: str, session_id: str, **_: Any) -> LoadSessionResponse:
        self._read(session_id)
        for text in self._told[session_id]:
            await self._client.session_update(session_id, acp.update_user_message_text(text))
        return LoadSessionResponse()

    async def resume_session(self, session_id: str, cwd: str, **_: Any) -> ResumeSessionResponse:
        self._read(session_id)
        return ResumeSessionResponse()

    async def fork_session(self, session_id: str, cwd: str, **_: Any) -> ForkSessionResponse:
        self._read(session_id)
        return ForkSessionResponse(session_id=self._open(self._told[session_id]))

    async def prompt(self, session_id: str, prompt: list[Any], **_meta: Any) -> PromptResponse:
        text = "".join(block.text for block in prompt if isinstance(block, TextContentBlock))
        self._write(session_id, [*self._told[session_id], text])
        word, _space, rest = text.partition(" ")
        match word:
            case "ask":
                await self._ask(session_id)
            case "copy":
                await self._copy(session_id, *rest.split())
            case "run":
                await self._run(session_id, *rest.split())
            case "kill":
                await self._kill(session_id, *rest.split())
            case "call":
                answer = await self._client.ext_method("example/call", {"text": rest})
                await self._say(session_id, json.dumps(answer, sort_keys=True))
            case "fail":
                raise acp.RequestError(-32050, rest, {"example": True})
            case "wait":
                return await self._wait(session_id)
            case _:
                for piece in (f"{len(self._told[session_id])}: ", text):
                    await self._say(session_id, piece)
        return PromptResponse(stop_reason="end_turn")

    async def cancel(self, session_id: str, **_: Any) -> None:
        self._cancelled.set()

    async def ext_method(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        await self._client.ext_notification("example/called", {"method": method})
        return {"params": params}

    async def _ask(self, session_id: str) -> None:
        start = acp.start_tool_call("call-1", "Change a file", kind="edit", status="pending")
        await self._client.session_update(session_id, start)
        asked = ToolCallUpdate(tool_call_id="call-1", title="Change a file")
        answer = await self._client.request_permission(session_id, asked, OPTIONS)
        granted = answer.outcome.outcome == "selected" and answer.outcome.option_id == "yes"
        end = acp.update_tool_call("call-1", status="completed" if granted else "failed")
        await self._client.session_update(session_id, end)
        await self._say(session_id, "granted" if granted else "declined")

    async def _copy(self, session_id: str, source: str, target: str) -> None:
        file = await self._client.read_text_file(session_id, source)
        await self._client.write_text_file(session_id, target, file.content)
        await self._say(session_id, f"copied {len(file.content)} characters")

    async def _run(self, session_id: str, command: str, *args: str) -> None:
        terminal = (await self._client.create_terminal(session_id, command, list(args))).terminal_id
        exited = await self._client.wait_for_terminal_exit(session_id, terminal)
        shown = await self._client.terminal_output(session_id, terminal)
        await self._client.release_terminal(session_id, terminal)
        await self._say(session_id, f"{exited.exit_code}: {shown.output}")

    async def _kill(self, session_id: str, command: str, *args: str) -> None:
        terminal = (await self._client.create_terminal(session_id, command, list(args))).terminal_id
        await self._client.kill_terminal(session_id, terminal)
        exited = await self._client.wait_for_terminal_exit(session_id, terminal)
        await self._client.release_terminal(session_id, terminal)
        await self._say(session_id, f"killed, exit code {exited.exit_code}")

    async def _wait(self, session_id: str) -> PromptResponse:
        await self._say(session_id, "waiting")
        await self._cancelled.wait()
        self._cancelled.clear()
        return PromptResponse(stop_reason="cancelled")

    async def _say(self, session_id: str, text: str) -> None:
        await self._client.session_update(session_id, acp.update_agent_message_text(text))

    def _open(self, told: list[str]) -> str:
        session_id = f"session-{len(list(Path().glob('session-*.json')))}"
        self._write(session_id, told)
        return session_id

    def _write(self, session_id: str, told: list[str]) -> None:
        self._told[session_id] = list(told)
        Path(f"{session_id}.json").write_text(json.dumps(told))

    def _read(self, session_id: str) -> None:
        self._told[session_id] = json.loads(Path(f"{session_id}.json").read_text())


def keep(event: StreamEvent) -> None:
    """Append what the client sent to `RECEIVED`."""
    if event.direction is StreamDirection.INCOMING:
        with RECEIVED.open("a") as file:
            file.write(json.dumps(event.message) + "\n")


if __name__ == "__main__":
    agent = cast("acp.Agent", ExampleAgent())
    asyncio.run(acp.run_agent(agent, use_unstable_protocol=True, observers=[keep]))
