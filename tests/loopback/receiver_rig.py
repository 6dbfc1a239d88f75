"""A telemetry receiver with a client that asks it with raw sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acp_bridge.launch.gate_telemetry import record_name
from acp_bridge.loopback.bound import bind_loopback
from acp_bridge.loopback.telemetry import TelemetryBody, TelemetryReceiver
from tests.support.raw import raw_client

TOKEN = "FAKE0token"
BODY = b'{"resourceLogs": []}'
AT = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
JSON = b"Content-Type: application/json"


class Rig:
    """A receiver, what it has shown, and one client."""

    def __init__(self, receiver: TelemetryReceiver, port: int, shown: list[TelemetryBody]) -> None:
        self.receiver = receiver
        self.port = port
        self.shown = shown

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self,
        path: str = f"/{TOKEN}/v1/logs",
        *headers: bytes,
        body: bytes = BODY,
        method: str = "POST",
        host: str | None = None,
    ) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1".encode(),
            f"Host: {host or f'127.0.0.1:{self.port}'}".encode(),
            b"Content-Length: %d" % len(body),
            *(headers or (JSON,)),
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    async def ask(self, *arguments: Any, **options: Any) -> bytes:
        """Send one request on a connection of its own and return the whole answer."""
        last = b"Connection: close"
        headers = arguments[1:] or (JSON,)
        path = arguments[0] if arguments else f"/{TOKEN}/v1/logs"
        async with raw_client(self.url) as client:
            await client.send(self.request(path, *headers, last, **options))
            return await client.read_to_end()


@asynccontextmanager
async def rig(records: Path, *, grace_seconds: float = 5.0) -> AsyncIterator[Rig]:
    """Run a receiver that looks for records in a folder."""
    shown: list[TelemetryBody] = []
    listening = bind_loopback()
    port = listening.getsockname()[1]
    async with TelemetryReceiver(
        listening,
        TOKEN,
        shown.append,
        records=records,
        clock=lambda: AT,
        grace_seconds=grace_seconds,
    ) as receiver:
        yield Rig(receiver, port, shown)


def recorded(folder: Path, url: str) -> str:
    """Write a record as the launch gate does; the path at which the receiver forwards to it."""
    where = {"url": url, "proxy": "", "no_proxy": "", "certificates": []}
    record = {"destination": where}
    name = record_name(record)
    (folder / f"{name}.json").write_text(json.dumps(record))
    return f"/{TOKEN}/{name}/v1/logs"
