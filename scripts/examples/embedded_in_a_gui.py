"""The bridge inside a desktop program: the GUI's loop in the main thread, the bridge in another.

    python scripts/examples/embedded_in_a_gui.py "Say hello."

`Window` stands for the toolkit. With tkinter, `post` would be `root.after_idle`, with Qt a queued
signal; the rest stays as it is. The mode comes from the settings (`ACP_BRIDGE_MODE`, the file).
"""

import json
import queue
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ObjectStream
from anyio.from_thread import start_blocking_portal

from acp_bridge.bridge import Bridge
from acp_bridge.errors import BridgeError
from acp_bridge.settings import load_settings


class Window:
    """What the user sees. Only the main thread touches it; other threads `post` what to do."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._open = True
        self.failed = False

    def post(self, event: Callable[[], None]) -> None:
        """Have the main thread do something."""
        self._events.put(event)

    def run(self) -> None:
        """The event loop: until the window is closed."""
        while self._open:
            self._events.get()()

    def show(self, label: str, text: str) -> None:
        """Draw a line."""
        print(f"{label:<10}{text}", flush=True)

    def close(self, turn: Future[None]) -> None:
        """The turn is over: leave, and say so if it went wrong."""
        error = turn.exception()
        if error is not None:
            hint = f" ({error.hint})" if isinstance(error, BridgeError) else ""
            self.show("error", f"{error}{hint}")
            self.failed = True
        self._open = False


class Conversation:
    """An ACP client, as far as one prompt needs it, on the bridge's own stream."""

    def __init__(self, stream: ObjectStream[bytes], on_text: Callable[[str], None]) -> None:
        self._stream = stream
        self._on_text = on_text
        self._unread = bytearray()
        self._next_id = 0

    async def request(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and return its result; updates that come meanwhile are shown."""
        number, self._next_id = self._next_id, self._next_id + 1
        await self._send(id=number, method=method, params=params)
        while True:
            message = await self._message()
            if "method" in message:
                await self._take(message)
            elif message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(message["error"]["message"])
                return dict(message["result"])

    async def _take(self, message: dict[str, Any]) -> None:
        update = message.get("params", {}).get("update", {})
        if update.get("sessionUpdate") == "agent_message_chunk":
            self._on_text(update["content"].get("text", ""))
        elif message["method"] == "session/request_permission":
            # A real window would ask its user here.
            await self._send(id=message["id"], result={"outcome": {"outcome": "cancelled"}})
        elif "id" in message:
            await self._send(id=message["id"], error={"code": -32601, "message": "not offered"})

    async def _send(self, **members: Any) -> None:
        await self._stream.send(json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n")

    async def _message(self) -> dict[str, Any]:
        while b"\n" not in self._unread:
            self._unread += await self._stream.receive()
        line, _, self._unread = self._unread.partition(b"\n")
        return dict(json.loads(line))


async def converse(window: Window, prompt: str) -> None:
    """One prompt, in the bridge's thread; everything that is shown is posted to the window."""

    def show(label: str, text: str) -> None:
        window.post(lambda: window.show(label, text))

    async with Bridge(load_settings()) as bridge:
        conversation = Conversation(bridge.stream, lambda text: show("agent", text))
        with anyio.fail_after(60):
            agent = await conversation.request("initialize", protocolVersion=1)
        show("title", agent["agentInfo"]["title"])
        session = await conversation.request("session/new", cwd=str(Path.cwd()), mcpServers=[])
        text = {"type": "text", "text": prompt}
        turn = await conversation.request(
            "session/prompt", sessionId=session["sessionId"], prompt=[text]
        )
        show("turn", turn["stopReason"])
        show("mode", f"{bridge.mode} ({bridge.mode.letter})")
        for item in bridge.evidence:
            show("evidence", f"{item['kind']}: {item['value']}, {item['verdict']}")


def main(prompt: str) -> int:
    """Open the window and pump its events until the turn is over."""
    window = Window()
    with start_blocking_portal() as portal:
        turn = portal.start_task_soon(converse, window, prompt)
        turn.add_done_callback(lambda done: window.post(lambda: window.close(done)))
        window.run()
    return 1 if window.failed else 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:]) or "Say hello."))
