"""The telemetry receiver: Claude Code's own log events on loopback.

    POST /TOKEN/v1/logs          events that nobody else gets
    POST /TOKEN/NAME/v1/logs     events that are forwarded to the destination of the record NAME

Each body is shown to an observer at once; then, if it has a destination, it is passed on as it
came, and the destination's answer becomes Claude Code's. Anything else is refused and counted.
Of headers and bodies nothing is kept or logged.
"""

import hashlib
import hmac
import socket as sockets
import zlib
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from acp_bridge.launch.telemetry_records import Destination, destination
from acp_bridge.loopback.bound import LOOPBACK
from acp_bridge.loopback.forwarding import Forwarder, UndeliveredError
from acp_bridge.loopback.http import Disconnect, Limits, Request, Response, listen

_BODY_BYTES = 32 * 1024 * 1024
_CONNECTIONS = 64
_FORWARDED_AT_ONCE = 16
_REMEMBERED_BODIES = 256
_GRACE_SECONDS = 2.0
_SIGNAL = ("v1", "logs")
_ZLIB_OR_GZIP = 47


@dataclass(frozen=True, slots=True)
class TelemetryBody:
    """One body of log events, for the meter.

    Attributes:
        body: the bytes, content encoding undone.
        content_type: as it came, for example ``application/json``.
        at: when it was received, aware UTC.
    """

    body: bytes
    content_type: str
    at: datetime


@dataclass(slots=True)
class TelemetryCounts:
    """How many requests the receiver has seen.

    Attributes:
        observed: bodies shown to the observer.
        repeated: bodies that came again and were not shown again.
        unreadable: bodies in an encoding, or of a size, that cannot be shown.
        forwarded: requests that their destination answered, whatever it said.
        undelivered: requests whose destination gave no answer.
        refused: requests for anything else, or from anything else than Claude Code.
    """

    observed: int = 0
    repeated: int = 0
    unreadable: int = 0
    forwarded: int = 0
    undelivered: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Delivery:
    """A request that is being passed on, also when whoever sent it has left."""

    request: Request
    destination: Destination
    done: anyio.Event
    answer: Response | None = None


def _now() -> datetime:
    return datetime.now(UTC)


class TelemetryReceiver:
    """Receives log events for the length of an ``async with`` block (asyncio and trio).

    Leaving the block stops listening at once and gives deliveries under way a moment to end.

    Args:
        socket: from `acp_bridge.loopback.bound.bind_loopback`; closed with the receiver.
        token: what a request has to carry in its path.
        observe: gets each body once, before it is passed on. It must neither wait nor raise.
        records: `acp_bridge.launch.launcher.Launcher.telemetry_records`.
        clock: the time, aware UTC.
        grace_seconds: what deliveries under way get when the block is left.
    """

    def __init__(  # noqa: PLR0913 — the last two are for tests
        self,
        socket: sockets.socket,
        token: str,
        observe: Callable[[TelemetryBody], None],
        *,
        records: Path,
        clock: Callable[[], datetime] = _now,
        grace_seconds: float = _GRACE_SECONDS,
    ) -> None:
        self.counts = TelemetryCounts()
        self._token = token.encode()
        self._observe = observe
        self._records = records
        self._clock = clock
        self._grace_seconds = grace_seconds
        port = socket.getsockname()[1]
        self._hosts = (f"{LOOPBACK}:{port}", f"localhost:{port}")
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._destinations: dict[str, Destination] = {}
        self._forwarder = Forwarder()
        self._slots = anyio.CapacityLimiter(_FORWARDED_AT_ONCE)
        self._under_way: set[anyio.Event] = set()
        self._tasks: TaskGroup | None = None
        limits = Limits(body_bytes=_BODY_BYTES, connections=_CONNECTIONS)
        self._listener = listen(self._answer, limits=limits, socket=socket)
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as entered:
            await entered.enter_async_context(self._forwarder)
            self._tasks = await entered.enter_async_context(anyio.create_task_group())
            entered.push_async_callback(self._settle, self._tasks)
            await entered.enter_async_context(self._listener)
            self._exit = entered.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    async def _settle(self, tasks: TaskGroup) -> None:
        with anyio.move_on_after(self._grace_seconds, shield=True):
            for done in tuple(self._under_way):
                await done.wait()
        tasks.cancel_scope.cancel()

    async def _answer(self, request: Request) -> Response:
        refusal, name = self._read_target(request)
        if refusal is not None:
            self.counts.refused += 1
            return Response(refusal)
        self._show(request)
        if name is None:
            return _accepted(request)
        where = self._destination(name)
        if where is None:
            self.counts.undelivered += 1
            raise Disconnect
        return await self._deliver(request, where)

    def _read_target(self, request: Request) -> tuple[HTTPStatus | None, str | None]:
        """Why a request is refused, or the name of its record if it has one."""
        if request.header("host") not in self._hosts or request.header("origin") is not None:
            return HTTPStatus.FORBIDDEN, None
        match request.target.split("/"):
            case ["", token, *rest] if hmac.compare_digest(token.encode("latin-1"), self._token):
                pass
            case _:
                return HTTPStatus.NOT_FOUND, None
        if request.method == "POST" and tuple(rest[-2:]) == _SIGNAL:
            match rest[:-2]:
                case []:
                    return None, None
                case [name]:
                    return None, name
        return HTTPStatus.NOT_FOUND, None

    def _show(self, request: Request) -> None:
        digest = hashlib.sha256(request.body).digest()
        if digest in self._seen:
            # Claude Code sends a body again when it was answered 429, 502, 503 or 504.
            self.counts.repeated += 1
            return
        body = _decoded(request.body, request.header("content-encoding"))
        if body is None:
            self.counts.unreadable += 1
            return
        self._seen[digest] = None
        if len(self._seen) > _REMEMBERED_BODIES:
            self._seen.popitem(last=False)
        self.counts.observed += 1
        content_type = request.header("content-type") or ""
        self._observe(TelemetryBody(body, content_type, self._clock()))

    def _destination(self, name: str) -> Destination | None:
        found = self._destinations.get(name) or destination(self._records, name)
        if found is not None:
            self._destinations[name] = found
        return found

    async def _deliver(self, request: Request, where: Destination) -> Response:
        """Pass a request on in a task of its own.

        Claude Code does not wait for the answer to its last events: without the bridge they are on
        their way by then, so they are not called back when it leaves.
        """
        delivery = _Delivery(request, where, anyio.Event())
        if self._tasks is None:
            raise Disconnect
        self._under_way.add(delivery.done)
        self._tasks.start_soon(self._forward, delivery)
        await delivery.done.wait()
        if delivery.answer is None:
            raise Disconnect
        return delivery.answer

    async def _forward(self, delivery: _Delivery) -> None:
        try:
            async with self._slots:
                delivery.answer = await self._forwarder.forward(
                    delivery.request, delivery.destination
                )
            self.counts.forwarded += 1
        except UndeliveredError:
            self.counts.undelivered += 1
        finally:
            self._under_way.discard(delivery.done)
            delivery.done.set()


def _accepted(request: Request) -> Response:
    """A full success as OTLP words it: an empty message of the request's own type."""
    content_type = request.header("content-type") or "application/json"
    body = b"{}" if content_type.startswith("application/json") else b""
    return Response(HTTPStatus.OK, (("content-type", content_type),), body)


def _decoded(body: bytes, encoding: str | None) -> bytes | None:
    """A body without its content encoding; None if that is unknown, broken or too large."""
    match (encoding or "identity").strip().lower():
        case "identity":
            return body
        case "gzip" | "x-gzip" | "deflate":
            return _inflated(body)
        case _:
            return None


def _inflated(body: bytes) -> bytes | None:
    inflate = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        data = inflate.decompress(body, _BODY_BYTES)
    except zlib.error:
        return None
    return data if inflate.eof else None
