"""A small ACP client: enough to hold one headless conversation through the bridge.

It is a client like any other: it speaks on the bridge's downstream byte stream and sees nothing
that an editor would not see.
"""

import contextlib
import json
from collections.abc import Callable
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from acp_bridge import __version__
from acp_bridge.errors import BridgeError, Reason, RefusedError

PROTOCOL_VERSION = 1
AUTH_REQUIRED = -32000

_NOT_A_REFUSAL = (Reason.AGENT_EXITED, Reason.LINE_TOO_LONG, Reason.UNPARSEABLE)


class Downstream(Protocol):
    """The bridge's side that a client speaks on."""

    async def receive(self) -> bytes:
        """Some bytes, or `anyio.EndOfStream`."""

    async def send(self, item: bytes, /) -> None:
        """All of these bytes."""


class PromptFailedError(BridgeError):
    """The agent or the bridge answered a request with an error."""


class AgentEndedError(PromptFailedError):
    """The agent ended before it answered."""


class Conversation:
    """One ACP connection: requests with their answers, updates to a callback.

    Args:
        stream: the downstream byte stream.
        on_text: called with each piece of the agent's answer.
        approve: whether permission requests are granted; otherwise they are declined.
    """

    def __init__(
        self, stream: Downstream, *, on_text: Callable[[str], None], approve: bool = False
    ) -> None:
        self._stream = stream
        self._on_text = on_text
        self._approve = approve
        self._next_id = 0
        self._ended = False
        self._open: dict[int, tuple[anyio.Event, list[dict[str, Any]]]] = {}
        self.declined: list[str] = []

    async def listen(self) -> None:
        """Read until the bridge closes the stream; run it in a task of its own."""
        pending = bytearray()
        with contextlib.suppress(anyio.EndOfStream):
            while True:
                pending += await self._stream.receive()
                *lines, rest = pending.split(b"\n")
                pending = bytearray(rest)
                for line in lines:
                    message = _object(line)
                    if message:
                        await self._take(message)
        self._ended = True
        for done, answer in self._open.values():
            answer.append(_ENDED)
            done.set()

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its result.

        Raises:
            RefusedError: the billing mode or a budget refused it.
            AgentEndedError: the agent ended.
            PromptFailedError: any other error answer.
        """
        number, self._next_id = self._next_id, self._next_id + 1
        done: tuple[anyio.Event, list[dict[str, Any]]] = (anyio.Event(), [])
        self._open[number] = done
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._say({"id": number, "method": method, "params": params})
        if self._ended:
            raise _error(method, _ENDED["error"])
        await done[0].wait()
        del self._open[number]
        message = done[1][0]
        if "error" in message:
            raise _error(method, message["error"])
        result = message.get("result")
        return result if isinstance(result, dict) else {}

    async def start(self, tasks: TaskGroup) -> dict[str, Any]:
        """Begin to listen, and initialize; returns the agent's answer."""
        tasks.start_soon(self.listen)
        return await self.request(
            "initialize",
            {
                "protocolVersion": PROTOCOL_VERSION,
                "clientInfo": {"name": "acp-bridge ask", "version": __version__},
                "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}},
            },
        )

    async def prompt(self, text: str, *, cwd: str, model: str | None = None) -> dict[str, Any]:
        """One prompt in a new session; returns the prompt's result."""
        params: dict[str, Any] = {"cwd": cwd, "mcpServers": []}
        if model is not None:
            params["_meta"] = {"claudeCode": {"options": {"model": model}}}
        session = await self.request("session/new", params)
        if not isinstance(session.get("sessionId"), str):
            raise PromptFailedError(
                "the agent opened a session without an id",
                hint="it may not be an ACP agent; see what it says with --log-level info",
            )
        block = {"type": "text", "text": text}
        return await self.request(
            "session/prompt", {"sessionId": session["sessionId"], "prompt": [block]}
        )

    async def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            number = message.get("id")
            waiting = self._open.get(number) if isinstance(number, int) else None
            if waiting is not None:
                waiting[1].append(message)
                waiting[0].set()
        elif "id" in message:
            await self._answer(message)
        elif message["method"] == "session/update":
            update = _member(_member(message, "params"), "update")
            text = _member(update, "content").get("text")
            if update.get("sessionUpdate") == "agent_message_chunk" and isinstance(text, str):
                self._on_text(text)

    async def _answer(self, message: dict[str, Any]) -> None:
        if message["method"] != "session/request_permission":
            error = {"code": -32601, "message": "this client offers no such method"}
            await self._say({"id": message["id"], "error": error})
            return
        params = _member(message, "params")
        wanted = ("allow_once", "allow_always") if self._approve else ("reject_once",)
        offered = params.get("options")
        listed = offered if isinstance(offered, list) else []
        options = [one for one in listed if isinstance(one, dict)]
        by_kind = {str(option.get("kind")): option.get("optionId") for option in options}
        chosen = next((by_kind[kind] for kind in wanted if kind in by_kind), None)
        if not self._approve:
            self.declined.append(str(_member(params, "toolCall").get("title", "a tool call")))
        outcome = (
            {"outcome": "selected", "optionId": chosen} if chosen else {"outcome": "cancelled"}
        )
        await self._say({"id": message["id"], "result": {"outcome": outcome}})

    async def _say(self, message: dict[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False)
        await self._stream.send(line.encode() + b"\n")


_ENDED: dict[str, Any] = {
    "error": {
        "message": "the agent ended",
        "data": {"acp_bridge": {"reason": Reason.AGENT_EXITED.value}},
    }
}


def _object(line: bytes | bytearray) -> dict[str, Any]:
    """A message, or nothing where the agent wrote something else."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _member(value: dict[str, Any], name: str) -> dict[str, Any]:
    member = value.get(name)
    return member if isinstance(member, dict) else {}


def _error(method: str, answered: Any) -> BridgeError:
    error = answered if isinstance(answered, dict) else {}
    message = str(error.get("message", "no reason given"))
    ours = _member(_member(error, "data"), "acp_bridge")
    reason, hint = ours.get("reason"), str(ours.get("hint", "see acp-bridge status"))
    if reason == Reason.AGENT_EXITED:
        return AgentEndedError(message, hint=hint)
    if reason in _NOT_A_REFUSAL:
        return PromptFailedError(message, hint=hint)
    if ours:
        return RefusedError(message, hint=hint)
    sentence = f"the agent answered {method} with an error: {message}"
    if error.get("code") == AUTH_REQUIRED:
        return PromptFailedError(
            sentence, hint="sign in with: acp-bridge --cli auth login --claudeai"
        )
    return PromptFailedError(
        sentence, hint="see acp-bridge status, or run again with --log-level info"
    )
