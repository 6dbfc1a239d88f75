"""The wire guard: the loopback relay that lets only the billing mode's credential pass.

    METHOD /TOKEN/v1/messages…     judged, then sent to the upstream and answered from there

Each request is judged by its head before one byte goes upstream. Requests and answers stay what
they are, byte for byte, but for what belongs to one connection, the host, and the credential that
takes the placeholder's place. Whoever asks without the token, by another host's name or from a web
page gets an empty refusal. Nothing is kept or logged; an observer sees each exchange as it goes.
"""

import hmac
import socket as sockets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Protocol, Self

from acp_bridge.errors import BridgeError
from acp_bridge.loopback.bound import LOOPBACK, address_of
from acp_bridge.loopback.http import (
    Disconnect,
    HeaderPairs,
    Limits,
    Request,
    Response,
    json_response,
    listen,
)
from acp_bridge.loopback.upstream import Upstream, UpstreamAnswer, UpstreamError
from acp_bridge.policy.judgement import Refused, Verdict, Way
from acp_bridge.policy.surface import Surface, surface_of

Judgement = Callable[[str, str, Iterable[tuple[str, str]]], Verdict]
Attach = Callable[[HeaderPairs], Awaitable[HeaderPairs]]
Renew = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What is known of a request once it was judged.

    Attributes:
        method: as it came.
        target: as it came, query included, without the secret path.
        verdict: what was decided.
        surface: what kind of program says it asks.
        session_id: Claude Code's session, if it names one.
        agent_id: the subagent that asks; None for the main loop.
        body: the request's body; no copy, and not to be kept.
    """

    method: str
    target: str
    verdict: Verdict
    surface: Surface
    session_id: str | None
    agent_id: str | None
    body: bytes = field(repr=False)


class Exchange(Protocol):
    """Watches one request and its answer. Its methods neither wait nor raise."""

    def response(self, status: int, headers: HeaderPairs) -> None:
        """The head of the upstream's answer; not called when there is none."""

    def chunk(self, data: bytes) -> None:
        """The next bytes of the upstream's body, content encoding left alone; no copy."""

    def end(self, *, complete: bool) -> None:
        """Called once, last. Complete: the upstream's whole answer was passed on."""


class Observer(Protocol):
    """Is shown every request that carries the token."""

    def request(self, facts: RequestFacts) -> Exchange:
        """A request was judged; what it gives back watches the rest."""


class WireGuard:
    """Serves on a bound loopback socket for the length of an ``async with`` block.

    Leaving the block cuts what is still being answered.

    Args:
        socket: from `acp_bridge.loopback.bound.bind_loopback`; closed with the guard.
        token: the secret first part of every path.
        judge: decides a request from method, target and headers, as
            `acp_bridge.policy.judgement.Judge` does.
        upstream: where allowed requests go; entered and left with the guard.
        attach: takes a request's headers and gives them back with the credential in place of what
            was presented. Asked only for requests that are to get it. A `BridgeError` of it becomes
            the answer: its sentence and hint, with which the turn ends.
        observer: is shown every request.
        renew: asked once when the upstream answers 401 to an attached credential; true if `attach`
            now knows another one, with which the request is sent once more.
    """

    def __init__(  # noqa: PLR0913 — the parts it is put together from
        self,
        socket: sockets.socket,
        token: str,
        *,
        judge: Judgement,
        upstream: Upstream,
        attach: Attach,
        observer: Observer,
        renew: Renew | None = None,
    ) -> None:
        self.turned_away = 0
        self.url = address_of(socket, token)
        port = socket.getsockname()[1]
        self._hosts = (f"{LOOPBACK}:{port}", f"localhost:{port}")
        self._token = token.encode()
        self._judge = judge
        self._upstream = upstream
        self._attach = attach
        self._observer = observer
        self._renew = renew
        self._listener = listen(self._answer, limits=Limits(), socket=socket)
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as entered:
            await entered.enter_async_context(self._upstream)
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

    async def _answer(self, request: Request) -> Response:
        if request.header("host") not in self._hosts or request.header("origin") is not None:
            self.turned_away += 1
            return Response(HTTPStatus.FORBIDDEN)
        target = self._without_token(request.target)
        if target is None or request.method == "CONNECT":
            self.turned_away += 1
            return Response(HTTPStatus.NOT_FOUND)
        verdict = self._judge(request.method, target, request.headers)
        exchange = self._observer.request(_facts(request, target, verdict))
        if isinstance(verdict, Refused):
            exchange.end(complete=False)
            return _refusal(verdict)
        if verdict.way is Way.LOCAL:
            exchange.end(complete=False)
            return Response(HTTPStatus.OK)
        return await self._relay(request, target, exchange, attached=verdict.attach)

    def _without_token(self, target: str) -> str | None:
        """The target behind ``/TOKEN``; None if that is not where it begins."""
        before, slash, rest = target.partition("/")
        token, query_mark, query = rest.partition("?")
        token, behind, path = token.partition("/")
        named = hmac.compare_digest(token.encode("latin-1"), self._token)
        if before or not slash or not named:
            return None
        return f"/{path if behind else ''}{query_mark}{query}"

    async def _relay(
        self, request: Request, target: str, exchange: Exchange, *, attached: bool
    ) -> Response:
        begun = False
        try:
            answer = await self._send(request, target, attached=attached)
            exchange.response(answer.status, answer.headers)
            body = _watched(answer, exchange)
            await anext(body)
            begun = True
        except UpstreamError as exc:
            return _api_error(HTTPStatus.BAD_GATEWAY, "api_error", f"acp-bridge: {exc}", retry=True)
        except BridgeError as exc:
            text = f"acp-bridge: {exc.message}. {exc.hint}"
            return _api_error(HTTPStatus.PAYMENT_REQUIRED, "billing_error", text, retry=False)
        finally:
            if not begun:
                exchange.end(complete=False)
        return Response(answer.status, answer.headers, body)

    async def _send(self, request: Request, target: str, *, attached: bool) -> UpstreamAnswer:
        headers = request.wire_headers
        passed = await self._attach(headers) if attached else headers
        answer = await self._upstream.send(request.method, target, passed, request.body)
        if not attached or answer.status != HTTPStatus.UNAUTHORIZED or self._renew is None:
            return answer
        try:
            renewed = await self._renew()
        except BaseException:
            await answer.aclose()
            raise
        if not renewed:
            return answer
        await answer.aclose()
        passed = await self._attach(headers)
        return await self._upstream.send(request.method, target, passed, request.body)


async def _watched(answer: UpstreamAnswer, exchange: Exchange) -> AsyncGenerator[bytes, None]:
    """The body, shown to the exchange as it is passed on; whatever happens, both are ended.

    The first item is empty: only a generator that has begun sees that it is closed.
    """
    complete = False
    try:
        yield b""
        async for chunk in answer.chunks():
            exchange.chunk(chunk)
            yield chunk
        complete = True
    except UpstreamError as exc:
        raise Disconnect from exc
    finally:
        exchange.end(complete=complete)
        await answer.aclose()


def _facts(request: Request, target: str, verdict: Verdict) -> RequestFacts:
    return RequestFacts(
        request.method,
        target,
        verdict,
        surface_of(request.header("user-agent")),
        request.header("x-claude-code-session-id"),
        request.header("x-claude-code-agent-id"),
        request.body,
    )


def _refusal(verdict: Refused) -> Response:
    text = f"acp-bridge: {verdict.sentence}. {verdict.hint}"
    if verdict.on_model_path:
        return _api_error(HTTPStatus.PAYMENT_REQUIRED, "billing_error", text, retry=False)
    return Response(
        HTTPStatus.FORBIDDEN, (("content-type", "text/plain; charset=utf-8"),), text.encode()
    )


def _api_error(status: HTTPStatus, kind: str, text: str, *, retry: bool) -> Response:
    """An error as the API words it: Claude Code shows its text, and obeys ``x-should-retry``."""
    document = {"type": "error", "error": {"type": kind, "message": text}}
    return json_response(status, document, (("x-should-retry", "true" if retry else "false"),))
