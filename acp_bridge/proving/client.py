"""A small scripted ACP client over a program's stdio.

It is given an argv (the plain adapter, or ``acp-bridge …``), sends what it is told to, answers what
the agent asks by rules that can be set, and keeps everything it received.

    async with acp_client(ADAPTER_ARGV, env=env, cwd=project) as client:
        await client.initialize()
        session = await client.new_session(project)
        turn = await client.prompt(session, "hello")
        assert turn.text == "Hello from the embedded endpoint."
"""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from acp_bridge.proving.processes import kill, processes_below, wait_for_the_end

Json = dict[str, Any]
Answerer = Callable[[Json], Json]

REQUEST_SECONDS: Final = 60.0
_END_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 2.0
_LINE_BYTES: Final = 512 * 1024 * 1024
_METHOD_NOT_FOUND: Final = {"code": -32601, "message": "Method not found"}
_ENDS: Final = (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError)
_GONE: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError)


class AcpError(Exception):
    """The agent answered a request with an error."""

    def __init__(self, error: Json) -> None:
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt turn: the response and the session updates that came during it."""

    response: Json
    updates: list[Json] = field(default_factory=list)

    @property
    def stop_reason(self) -> str:
        """Why the turn ended."""
        return str(self.response["stopReason"])

    @property
    def text(self) -> str:
        """What the agent said, its message chunks joined."""
        return "".join(
            update["content"]["text"]
            for update in self.of_kind("agent_message_chunk")
            if update["content"]["type"] == "text"
        )

    def of_kind(self, kind: str) -> list[Json]:
        """The updates whose ``sessionUpdate`` is that kind."""
        return [update for update in self.updates if update["sessionUpdate"] == kind]


def choose_permission(kind: str) -> Answerer:
    """Answer permission requests with the first option of a kind, e.g. ``allow_once``."""

    def answer(params: Json) -> Json:
        chosen = next(option for option in params["options"] if option["kind"] == kind)
        return {"outcome": {"outcome": "selected", "optionId": chosen["optionId"]}}

    return answer


class AcpClient:
    """The client side of one ACP connection. `acp_client` makes one.

    Attributes:
        received: every message from the agent, decoded, in order.
        answers: how requests of the agent are answered, by method; permission requests get
            ``allow_once`` unless told otherwise, unknown methods get -32601.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.received: list[Json] = []
        self.answers: dict[str, Answerer] = {
            "session/request_permission": choose_permission("allow_once")
        }
        self._stderr = bytearray()
        self._next_id = 0
        self._end = ""
        self._changed = anyio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return bool(self._end)

    @property
    def stderr(self) -> str:
        """What the program has written to stderr so far."""
        return self._stderr.decode(errors="replace")

    async def initialize(self, **capabilities: Any) -> Json:
        """Send ``initialize`` with these client capabilities and return its result."""
        return await self.request(
            "initialize", {"protocolVersion": 1, "clientCapabilities": capabilities}
        )

    async def new_session(self, cwd: Path, **more: Any) -> str:
        """Open a session and return its id; keyword arguments are further params."""
        params = {"cwd": str(cwd), "mcpServers": [], **more}
        return str((await self.request("session/new", params))["sessionId"])

    async def prompt(self, session: str, text: str, *, seconds: float = REQUEST_SECONDS) -> Turn:
        """Send a prompt, wait for the turn's end and return it.

        Raises:
            AcpError: the turn was answered with an error.
            TimeoutError: the turn did not end in time.
        """
        before = len(self.received)
        params = {"sessionId": session, "prompt": [{"type": "text", "text": text}]}
        response = await self.request("session/prompt", params, seconds=seconds)
        return Turn(response, self.updates(session, since=before))

    def updates(self, session: str, *, since: int = 0) -> list[Json]:
        """The session's updates among the messages received from that place on."""
        return [
            message["params"]["update"]
            for message in self.received[since:]
            if message.get("method") == "session/update"
            and message["params"]["sessionId"] == session
        ]

    def requests_of(self, method: str) -> list[Json]:
        """The params of every message of the agent with that method."""
        return [m["params"] for m in self.received if m.get("method") == method]

    async def request(self, method: str, params: Json, *, seconds: float = REQUEST_SECONDS) -> Json:
        """Send a request and return its result.

        Raises:
            AcpError: it was answered with an error.
            TimeoutError: it was not answered in time, or the agent ended.
        """
        try:
            number = await self.send_request(method, params)
        except _GONE:
            raise TimeoutError(f"the agent reads no more; stderr: {self.stderr[-2000:]}") from None
        response = await self.wait_for_response(number, seconds=seconds)
        if "error" in response:
            raise AcpError(response["error"])
        result: Json = response["result"]
        return result

    async def send_request(self, method: str, params: Json) -> int:
        """Send a request and return its id, without waiting."""
        number, self._next_id = self._next_id, self._next_id + 1
        await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    async def notify(self, method: str, params: Json) -> None:
        """Send a notification."""
        await self.send({"jsonrpc": "2.0", "method": method, "params": params})

    async def send(self, message: Json) -> None:
        """Send a message as one line."""
        await self.send_bytes(json.dumps(message).encode() + b"\n")

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self.process.stdin is not None:
            await self.process.stdin.send(data)

    async def wait_for_response(self, number: int, *, seconds: float = REQUEST_SECONDS) -> Json:
        """The response with that id, past or to come, result or error."""
        return await self.wait_for(
            lambda message: "method" not in message and message.get("id") == number,
            seconds=seconds,
        )

    async def wait_for(
        self, predicate: Callable[[Json], bool], *, seconds: float = REQUEST_SECONDS
    ) -> Json:
        """The first message, past or to come, that the predicate accepts.

        Raises:
            TimeoutError: none came in time, or the agent closed its output without one.
        """
        with anyio.fail_after(seconds):
            checked = 0
            while True:
                changed = self._changed
                for message in self.received[checked:]:
                    if predicate(message):
                        return message
                checked = len(self.received)
                if self._end:
                    raise TimeoutError(f"{self._end}; stderr: {self.stderr[-2000:]}")
                await changed.wait()

    async def read_messages(self) -> None:
        """Receive until the program closes its stdout; `acp_client` runs this."""
        end = "the agent closed its output"
        if self.process.stdout is not None:
            lines = BufferedByteReceiveStream(self.process.stdout)
            with contextlib.suppress(*_ENDS):
                try:
                    while True:
                        await self._take(json.loads(await lines.receive_until(b"\n", _LINE_BYTES)))
                except ValueError:
                    end = "the agent wrote a line that is no JSON"
        self._end = end
        self._announce()

    async def read_stderr(self) -> None:
        """Keep the program's stderr; `acp_client` runs this."""
        if self.process.stderr is not None:
            with contextlib.suppress(anyio.ClosedResourceError):
                async for chunk in self.process.stderr:
                    self._stderr += chunk

    async def _take(self, message: Json) -> None:
        self.received.append(message)
        self._announce()
        if "method" not in message or "id" not in message:
            return
        reply: Json = {"jsonrpc": "2.0", "id": message["id"]}
        answer = self.answers.get(message["method"])
        reply |= (
            {"error": _METHOD_NOT_FOUND}
            if answer is None
            else {"result": answer(message["params"])}
        )
        with contextlib.suppress(*_GONE):
            await self.send(reply)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class acp_client:  # noqa: N801 - reads as the function it stands for
    """Start a program that speaks ACP on stdio, and end it with the ``async with`` block.

    The end is a closed stdin; what has not gone after ten seconds is killed with its group. A block
    that is cancelled does not wait for so long: the program is told to stop, and killed after two.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        self._argv, self._env, self._cwd = argv, dict(env), cwd

    async def __aenter__(self) -> AcpClient:
        self._process = await anyio.open_process(
            self._argv, env=self._env, cwd=self._cwd, start_new_session=True
        )
        client = AcpClient(self._process)
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(client.read_messages)
        self._tasks.start_soon(client.read_stderr)
        return client

    async def __aexit__(self, *error: object) -> None:
        cancelled = isinstance(error[1], anyio.get_cancelled_exc_class())
        # The block's own error passes by the task group, which would wrap it.
        with anyio.CancelScope(shield=True):
            await _end(self._process, at_once=cancelled)
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self._process.aclose()


async def _end(process: Process, *, at_once: bool) -> None:
    if at_once:
        await _stop(process)
        return
    if process.stdin is not None:
        await process.stdin.aclose()
    with anyio.move_on_after(_END_SECONDS):
        await process.wait()
    if process.returncode is None:
        _signal_group(process, signal.SIGKILL)
        await process.wait()


async def _stop(process: Process) -> None:
    """End a program and everything below it, in process groups of its own or not."""
    below = await processes_below(process.pid)
    _signal_group(process, signal.SIGTERM)
    with anyio.move_on_after(_STOP_SECONDS):
        await process.wait()
    _signal_group(process, signal.SIGKILL)
    kill(below)
    await process.wait()
    await wait_for_the_end(below, _END_SECONDS)


def _signal_group(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
