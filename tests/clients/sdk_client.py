# ruff: noqa: ARG002 - the SDK passes arguments by name
"""A client written with the Python SDK as its users write one: callbacks for all that ACP asks.

Files are read and written, commands are run, permissions are answered by a rule. Everything the
agent sent is kept as it came off the wire, so that two runs can be compared.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import acp
import anyio
from acp.client.connection import ClientSideConnection
from acp.connection import StreamDirection, StreamEvent
from acp.schema import (
    AllowedOutcome,
    ClientCapabilities,
    CreateTerminalResponse,
    FileSystemCapabilities,
    Implementation,
    InitializeResponse,
    PermissionOption,
    PromptResponse,
    ReadTextFileResponse,
    RequestPermissionResponse,
    TerminalExitStatus,
    TerminalOutputResponse,
    ToolCallUpdate,
    WaitForTerminalExitResponse,
)

from acp_bridge.loopback.seen import Record

if TYPE_CHECKING:
    from anyio.abc import Process

Json = dict[str, Any]

WAIT_SECONDS = 60.0
END_SECONDS = 20.0
"""The SDK's own 2 s are short where tests share a core with other tests."""

OFFERED = ClientCapabilities(
    fs=FileSystemCapabilities(read_text_file=True, write_text_file=True), terminal=True
)


class SdkClient:
    """The callbacks of one connection.

    Attributes:
        choice: the kind of the option that answers permission requests.
        wire: every message from the agent, decoded, in order.
    """

    def __init__(self, choice: str = "allow_once") -> None:
        self.choice = choice
        self.wire: Record[Json] = Record()
        self._terminals: dict[str, Process] = {}

    def observe(self, event: StreamEvent) -> None:
        """Keep what the agent sent; the connection calls this."""
        if event.direction is StreamDirection.INCOMING:
            self.wire.add(event.message)

    async def wait_for_text(self, text: str) -> None:
        """Until the agent has said that, in one piece of its answer, past or to come."""
        await self.wire.wait_for(lambda message: text in _text(_update(message)), WAIT_SECONDS)

    def updates(self, kind: str, session_id: str | None = None) -> list[Json]:
        """The session updates of that kind so far, of one session or of all."""
        return [
            _update(message)
            for message in self.wire.all()
            if _update(message).get("sessionUpdate") == kind
            and session_id in (None, message["params"]["sessionId"])
        ]

    def said(self, session_id: str | None = None, kind: str = "agent_message_chunk") -> str:
        """The text of the message chunks so far, joined."""
        return "".join(_text(chunk) for chunk in self.updates(kind, session_id))

    @property
    def requests(self) -> list[str]:
        """The methods that the agent asked for, in order."""
        return [m["method"] for m in self.wire.all() if "method" in m and "id" in m]

    @property
    def errors(self) -> list[Json]:
        """The errors that answered this client's requests."""
        return [message["error"] for message in self.wire.all() if "error" in message]

    async def request_permission(
        self, session_id: str, tool_call: ToolCallUpdate, options: list[PermissionOption], **_: Any
    ) -> RequestPermissionResponse:
        chosen = next(option for option in options if option.kind == self.choice)
        return RequestPermissionResponse(
            outcome=AllowedOutcome(outcome="selected", option_id=chosen.option_id)
        )

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        """Updates are kept off the wire, by `observe`."""

    async def read_text_file(
        self,
        session_id: str,
        path: str,
        line: int | None = None,
        limit: int | None = None,
        **_: Any,
    ) -> ReadTextFileResponse:
        lines = (await anyio.Path(path).read_text("utf-8")).splitlines(keepends=True)
        first = (line or 1) - 1
        return ReadTextFileResponse(content="".join(lines[first:][:limit]))

    async def write_text_file(self, session_id: str, path: str, content: str, **_: Any) -> None:
        await anyio.Path(path).write_text(content, "utf-8")

    async def create_terminal(
        self, session_id: str, command: str, args: list[str] | None = None, **_: Any
    ) -> CreateTerminalResponse:
        name = f"terminal-{len(self._terminals)}"
        self._terminals[name] = await anyio.open_process([command, *(args or [])])
        return CreateTerminalResponse(terminal_id=name)

    async def wait_for_terminal_exit(
        self, session_id: str, terminal_id: str, **_: Any
    ) -> WaitForTerminalExitResponse:
        with anyio.fail_after(WAIT_SECONDS):
            status = await self._terminals[terminal_id].wait()
        return WaitForTerminalExitResponse.model_validate(_exit(status))

    async def terminal_output(
        self, session_id: str, terminal_id: str, **_: Any
    ) -> TerminalOutputResponse:
        process = self._terminals[terminal_id]
        assert process.stdout is not None
        assert process.returncode is not None, "the example agent asks when the command has ended"
        output = b"".join([chunk async for chunk in process.stdout])
        status = TerminalExitStatus.model_validate(_exit(process.returncode))
        return TerminalOutputResponse(output=output.decode(), truncated=False, exit_status=status)

    async def kill_terminal(self, session_id: str, terminal_id: str, **_: Any) -> None:
        self._terminals[terminal_id].kill()

    async def release_terminal(self, session_id: str, terminal_id: str, **_: Any) -> None:
        await self._terminals[terminal_id].aclose()

    async def ext_method(self, method: str, params: Json) -> Json:
        return {"method": method, "params": params}

    async def ext_notification(self, method: str, params: Json) -> None:
        """Notifications are kept off the wire, by `observe`."""


@dataclass(slots=True)
class Connected:
    """A client and its connection to an agent.

    Attributes:
        agent: the SDK's proxy; its methods are requests.
        client: the callbacks.
        returncode: the exit status of the program, once the connection is closed.
        stderr: what the program wrote there, once the connection is closed.
    """

    agent: ClientSideConnection
    client: SdkClient
    returncode: int | None = None
    stderr: str = ""

    async def initialize(self) -> InitializeResponse:
        """Initialize as an editor that offers files and terminals."""
        return await self.agent.initialize(
            acp.PROTOCOL_VERSION, OFFERED, Implementation(name="sdk-client", version="1")
        )

    async def open(self, cwd: Path) -> str:
        """Initialize and open a session."""
        await self.initialize()
        return (await self.agent.new_session(str(cwd))).session_id

    async def prompt(self, session_id: str, text: str) -> PromptResponse:
        """One prompt of one text block; bounded."""
        with anyio.fail_after(WAIT_SECONDS):
            return await self.agent.prompt(session_id, [acp.text_block(text)])


@asynccontextmanager
async def connect(
    client: SdkClient, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
) -> AsyncIterator[Connected]:
    """Start an agent, or the bridge before one, with the SDK; close it as the SDK does.

    Args:
        client: the callbacks.
        argv: the program that speaks ACP on stdio.
        env: its environment.
        cwd: its working directory.
        log: a file for its stderr.
    """
    with log.open("wb") as stderr:
        transport = {"stderr": stderr.fileno(), "shutdown_timeout": END_SECONDS}
        async with acp.spawn_agent_process(
            cast("acp.Client", client),
            *argv,
            env=env,
            cwd=cwd,
            transport_kwargs=transport,
            use_unstable_protocol=True,
            observers=[client.observe],
        ) as (agent, process):
            connected = Connected(agent, client)
            yield connected
    connected.returncode = process.returncode
    connected.stderr = await anyio.Path(log).read_text("utf-8")


def _update(message: Json) -> Json:
    if message.get("method") != "session/update":
        return {}
    update: Json = message["params"]["update"]
    return update


def _text(update: Json) -> str:
    if not update.get("sessionUpdate", "").endswith("_chunk"):
        return ""
    return str(update["content"].get("text", ""))


def _exit(returncode: int) -> Json:
    if returncode < 0:
        return {"exitCode": None, "signal": str(-returncode)}
    return {"exitCode": returncode, "signal": None}
