"""A small ACP client: enough to hold one headless conversation through the bridge.

It is a client like any other: it speaks on the bridge's downstream byte stream and sees nothing
that an editor would not see.
"""

import json
from collections.abc import Callable
from typing import Any, Protocol

import anyio
from anyio.abc import TaskGroup

from acp_bridge import __version__
from acp_bridge.errors import BridgeError, RefusedError

PROTOCOL_VERSION = 1


class Downstream(Protocol):
    """The bridge's side that a client speaks on."""

    async def receive(self) -> bytes:
        """Some bytes, or `anyio.EndOfStream`."""

    async def send(self, item: bytes, /) -> None:
        """All of these bytes."""


class PromptFailedError(BridgeError):
    """The agent or the bridge answered a request with an error."""


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
        self._open: dict[int, tuple[anyio.Event, list[dict[str, Any]]]] = {}
        self.declined: list[str] = []

    async def listen(self) -> None:
        """Read until the bridge closes the stream; run it in a task of its own."""
        pending = bytearray()
        try:
            while True:
                pending += await self._stream.receive()
                *lines, rest = pending.split(b"\n")
                pending = bytearray(rest)
                for line in lines:
                    if line.strip():
                        await self._take(json.loads(line))
        except anyio.EndOfStream:
            for done, answer in self._open.values():
                answer.append({"error": {"message": "the bridge closed the connection"}})
                done.set()

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its result.

        Raises:
            RefusedError: the billing mode or a budget refused it.
            PromptFailedError: any other error answer.
        """
        number, self._next_id = self._next_id, self._next_id + 1
        done: tuple[anyio.Event, list[dict[str, Any]]] = (anyio.Event(), [])
        self._open[number] = done
        await self._say({"id": number, "method": method, "params": params})
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
        block = {"type": "text", "text": text}
        return await self.request(
            "session/prompt", {"sessionId": session["sessionId"], "prompt": [block]}
        )

    async def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            waiting = self._open.get(message.get("id", -1))
            if waiting is not None:
                waiting[1].append(message)
                waiting[0].set()
        elif "id" in message:
            await self._answer(message)
        elif message["method"] == "session/update":
            update = message["params"].get("update", {})
            content = update.get("content")
            if update.get("sessionUpdate") == "agent_message_chunk" and isinstance(content, dict):
                self._on_text(content.get("text", ""))

    async def _answer(self, message: dict[str, Any]) -> None:
        if message["method"] != "session/request_permission":
            error = {"code": -32601, "message": "this client offers no such method"}
            await self._say({"id": message["id"], "error": error})
            return
        params = message.get("params", {})
        wanted = ("allow_once", "allow_always") if self._approve else ("reject_once",)
        options = {option.get("kind"): option.get("optionId") for option in params["options"]}
        chosen = next((options[kind] for kind in wanted if kind in options), None)
        if not self._approve:
            self.declined.append(str(params.get("toolCall", {}).get("title", "a tool call")))
        outcome = (
            {"outcome": "selected", "optionId": chosen} if chosen else {"outcome": "cancelled"}
        )
        await self._say({"id": message["id"], "result": {"outcome": outcome}})

    async def _say(self, message: dict[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False)
        await self._stream.send(line.encode() + b"\n")


def _error(method: str, error: dict[str, Any]) -> BridgeError:
    message = str(error.get("message", "no reason given"))
    data = error.get("data")
    ours = data.get("acp_bridge") if isinstance(data, dict) else None
    if isinstance(ours, dict):
        return RefusedError(message, hint=str(ours.get("hint", "see acp-bridge status")))
    return PromptFailedError(
        f"the agent answered {method} with an error: {message}",
        hint="see acp-bridge status, or run again with --log-level debug",
    )
