"""A telemetry destination of the user's own: a plain HTTP server that keeps what it gets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

# What differs from one run to the next of the same conversation.
_VOLATILE = {
    "duration_ms",
    "event.timestamp",
    "message.uuid",
    "prompt.id",
    "session.id",
    "ttft_ms",
    "user.id",
}


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Collector:
    """What came so far."""

    url: str
    received: list[Received] = field(default_factory=list)

    def bodies(self, path: str) -> list[bytes]:
        return [request.body for request in self.received if request.path == path]


def events(bodies: list[bytes]) -> list[tuple[str, dict[str, Any]]]:
    """Name and lasting attributes of each log event, in the order in which they were made."""
    found = []
    for body in bodies:
        for resource in json.loads(body)["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                found += [_event(record) for record in scope["logRecords"]]
    return sorted(found, key=lambda event: event[1]["event.sequence"])


def _event(record: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    attributes = {item["key"]: next(iter(item["value"].values())) for item in record["attributes"]}
    lasting = {name: value for name, value in attributes.items() if name not in _VOLATILE}
    return record["body"]["stringValue"], lasting


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Run a collector on a free loopback port for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            collector.received.append(Received(self.path, headers, body))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
