"""One run of a scripted agent: it reads the client, answers, and does the turns of its script."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

import anyio
import msgspec
from anyio.abc import AnyByteStream, TaskGroup

from acp_bridge.agent.ending import AgentExit
from acp_bridge.testing.script import Script
from acp_bridge.testing.steps import (
    AskPermission,
    Chunk,
    Crash,
    End,
    Fail,
    Hang,
    Notify,
    Pause,
    Step,
    Turn,
    Update,
    Write,
)

ECHO = "_testing/echo"
"""A request that is answered with its own params, byte for byte."""
RECEIVED = "_testing/received"
"""A request for a `Digest` of all lines before it, and of all that was written before its answer:
``{received: {bytes, sha256}, sent: {bytes, sha256}}``."""
RELEASE = "_testing/release"
"""A notification that releases the event ``name``: every `Pause` until it goes on."""

_METHOD_NOT_FOUND = {"code": -32601, "message": "Method not found"}
_PARSE_ERROR = {"code": -32700, "message": "Parse error"}
_ALLOW = ("allow_once", "allow_always")
_OPTIONS = [
    {"optionId": kind, "kind": kind, "name": kind.replace("_", " ").capitalize()}
    for kind in (*_ALLOW, "reject_once")
]
_LAST_TURN: Turn = (Chunk(),)
_RAW_NULL = msgspec.Raw(b"null")
_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError)


class _Message(msgspec.Struct, frozen=True):
    """What a line says, its values left as they are written."""

    id: msgspec.Raw = msgspec.Raw()
    method: str | None = None
    params: msgspec.Raw = _RAW_NULL
    result: msgspec.Raw = _RAW_NULL


class _Params(msgspec.Struct, rename="camel", frozen=True):
    session_id: str = ""
    name: str = ""


class _Outcome(msgspec.Struct, rename="camel", frozen=True):
    option_id: str | None = None


class _Permission(msgspec.Struct, frozen=True):
    outcome: _Outcome = _Outcome()


class Digest:
    """Counts a stream's bytes and hashes them."""

    def __init__(self) -> None:
        self._bytes = 0
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        """Take the stream's next bytes."""
        self._bytes += len(data)
        self._hash.update(data)

    def document(self) -> dict[str, Any]:
        """``{bytes, sha256}`` so far."""
        return {"bytes": self._bytes, "sha256": self._hash.hexdigest()}


@dataclass
class _RunningTurn:
    """One prompt being answered."""

    session_id: str
    cancelled: bool = False
    wait: anyio.CancelScope | None = None

    def cancel(self) -> None:
        self.cancelled = True
        if self.wait is not None:
            self.wait.cancel()

    async def until(self, event: anyio.Event) -> None:
        """Wait for an event, or for the turn's cancellation."""
        with anyio.CancelScope() as self.wait:
            # The cancellation may have come while something was being sent.
            if not self.cancelled:
                await event.wait()
        self.wait = None


class Serving:
    """A scripted agent with its client, from the first byte to the last.

    Args:
        script: what it does.
        client: the client's byte stream.
    """

    def __init__(self, script: Script, client: AnyByteStream) -> None:
        self._script = script
        self._client = client
        self._writing = anyio.Lock()
        self._received, self._sent = Digest(), Digest()
        self._turns = iter(script.turns)
        self._sessions, self._requests = count(1), count(1)
        self._running: dict[str, _RunningTurn] = {}
        self._released: dict[str, anyio.Event] = {}
        self._asked: dict[bytes, tuple[anyio.Event, list[msgspec.Raw]]] = {}
        self._exit = AgentExit(returncode=0)
        self._tasks: TaskGroup

    async def run(self) -> AgentExit:
        """Serve until the client's stream ends, or the script says otherwise; tells how it ends."""
        async with anyio.create_task_group() as self._tasks:
            await self._read()
            if self._script.stubborn:
                await anyio.sleep_forever()
            self._tasks.cancel_scope.cancel()
        return self._exit

    async def _read(self) -> None:
        unfinished: list[bytes] = []
        async for data in self._client:
            *ends, rest = data.split(b"\n")
            for end in ends:
                line = b"".join((*unfinished, end, b"\n"))
                unfinished.clear()
                await self._take(line)
                self._received.add(line)
            unfinished.append(rest)

    async def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            message = msgspec.json.decode(line, type=_Message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            await self._send(id=None, error=_PARSE_ERROR)
            return
        if message.method is None:
            self._take_response(message)
        elif bytes(message.id):
            await self._take_request(message.method, message)
        else:
            self._take_notification(message.method, message.params)

    def _take_response(self, message: _Message) -> None:
        waiting = self._asked.get(bytes(message.id))
        if waiting is not None:
            waiting[1].append(message.result)
            waiting[0].set()

    def _take_notification(self, method: str, params: msgspec.Raw) -> None:
        match method:
            case "session/cancel":
                turn = self._running.get(_params(params).session_id)
                if turn is not None:
                    turn.cancel()
            case _ if method == RELEASE:
                self._event(_params(params).name).set()

    async def _take_request(self, method: str, message: _Message) -> None:
        match method:
            case "initialize":
                await self._send(id=message.id, result=self._card())
                await self._do_all(self._script.at_start, _RunningTurn(""))
            case "session/new":
                session_id = f"session-{next(self._sessions)}"
                await self._send(id=message.id, result={"sessionId": session_id})
            case "session/prompt":
                turn = _RunningTurn(_params(message.params).session_id)
                self._running[turn.session_id] = turn
                steps = next(self._turns, _LAST_TURN)
                self._tasks.start_soon(self._do_turn, message.id, steps, turn)
            case _ if method == ECHO:
                await self._send(id=message.id, result=message.params)
            case _ if method == RECEIVED:
                seen = {"received": self._received.document(), "sent": self._sent.document()}
                await self._send(id=message.id, result=seen)
            case _:
                await self._send(id=message.id, error=_METHOD_NOT_FOUND)

    def _card(self) -> dict[str, Any]:
        info = {"name": self._script.name, "title": "Scripted", "version": self._script.version}
        return {
            "protocolVersion": 1,
            "agentInfo": info,
            "agentCapabilities": {"loadSession": False},
            "authMethods": [],
        }

    async def _do_turn(self, number: msgspec.Raw, steps: Turn, turn: _RunningTurn) -> None:
        end = await self._do_all(steps, turn) or End()
        self._running.pop(turn.session_id, None)
        if turn.cancelled:
            await self._send(id=number, result={"stopReason": "cancelled"})
        elif isinstance(end, Fail):
            error = {"code": end.code, "message": end.message}
            data = {} if end.data is None else {"data": end.data}
            await self._send(id=number, error=error | data)
        else:
            await self._send(id=number, result=_prompt_result(end))

    async def _do_all(self, steps: Iterable[Step], turn: _RunningTurn) -> End | Fail | None:
        """Do steps until one ends the turn, and return that one."""
        for step in steps:
            if turn.cancelled:
                return None
            end = await self._do(step, turn)
            if end is not None:
                return end
        return None

    async def _do(self, step: Step, turn: _RunningTurn) -> End | Fail | None:
        match step:
            case Chunk(text, times):
                await self._say(text, times, turn)
            case Update(update):
                await self._update(turn, update)
            case Notify(method, params):
                await self._send(method=method, params=params)
            case AskPermission():
                return await self._ask_permission(step, turn)
            case Pause(until):
                await turn.until(self._event(until))
            case Hang():
                await anyio.sleep_forever()
            case Write(text):
                await self._write(text.encode())
            case Crash(status, number):
                await self._leave(
                    AgentExit(returncode=status) if number is None else AgentExit(signal=number)
                )
            case End() | Fail():
                return step
        return None

    async def _say(self, text: str, times: int, turn: _RunningTurn) -> None:
        content = {"type": "text", "text": text}
        for _ in range(times):
            if turn.cancelled:
                return
            await self._update(turn, {"sessionUpdate": "agent_message_chunk", "content": content})

    async def _update(self, turn: _RunningTurn, update: dict[str, Any]) -> None:
        params = {"sessionId": turn.session_id, "update": update}
        await self._send(method="session/update", params=params)

    async def _ask_permission(self, step: AskPermission, turn: _RunningTurn) -> End | Fail | None:
        number = f"permission-{next(self._requests)}"
        answered, result = anyio.Event(), list[msgspec.Raw]()
        self._asked[msgspec.json.encode(number)] = (answered, result)
        params = {
            "sessionId": turn.session_id,
            "toolCall": {"toolCallId": number, "title": step.title},
            "options": _OPTIONS,
        }
        await self._send(id=number, method="session/request_permission", params=params)
        await turn.until(answered)
        granted = bool(result) and _chosen(result[0]) in _ALLOW
        return await self._do_all(step.granted if granted else step.declined, turn)

    async def _leave(self, how: AgentExit) -> None:
        """End the agent in the middle of whatever it does."""
        self._exit = how
        self._tasks.cancel_scope.cancel()
        await anyio.sleep_forever()

    async def _send(self, **members: object) -> None:
        await self._write(msgspec.json.encode({"jsonrpc": "2.0", **members}) + b"\n")

    async def _write(self, data: bytes) -> None:
        try:
            async with self._writing:
                await self._client.send(data)
                self._sent.add(data)
        except _GONE:
            await self._leave(AgentExit(returncode=1))

    def _event(self, name: str) -> anyio.Event:
        return self._released.setdefault(name, anyio.Event())


def _prompt_result(end: End) -> dict[str, Any]:
    result: dict[str, Any] = {"stopReason": end.stop_reason}
    if end.usage is not None:
        counted = msgspec.to_builtins(end.usage)
        result["usage"] = {**counted, "totalTokens": end.usage.total_tokens}
    if end.meta is not None:
        result["_meta"] = end.meta
    return result


def _params(params: msgspec.Raw) -> _Params:
    """The params that the agent looks at; empty where they are of another shape."""
    try:
        return msgspec.json.decode(params, type=_Params)
    except msgspec.DecodeError:
        return _Params()


def _chosen(result: msgspec.Raw) -> str | None:
    try:
        return msgspec.json.decode(result, type=_Permission).outcome.option_id
    except msgspec.DecodeError:
        return None
