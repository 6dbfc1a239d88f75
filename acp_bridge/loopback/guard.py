"""The wire guard: the loopback relay that lets only the billing mode's credential pass.

    METHOD /TOKEN/v1/messages…     judged, then sent to the upstream and answered from there

Each request is judged by its head before one byte goes upstream. Whoever asks without the token, by
another host's name or from a web page gets an empty refusal before a body is read. Nothing is kept
or logged here; an observer sees each exchange as it goes.

Bodies stay what they are, byte for byte, and so do the names, values and order of headers. What
differs from a direct connection:

* ``host`` is the upstream's, and the token is out of the path; a path of the upstream's base URL
  comes before it.
* The credential takes the placeholder's place (modes api-key and endpoint).
* Headers that belong to one connection are not passed on: `acp_bridge.loopback.end_to_end`, and
  those that ``connection`` names.
* A chunked request gets a ``Content-Length``, without its chunk extensions and trailers. Where an
  answer is chunked, chunks that came together are one, its extensions and trailers are left out,
  and ``Transfer-Encoding`` is its last header.
* Blanks around a header's value, and the reason phrase of a status, are left out.
* 1xx answers are this bridge's own: ``100-continue`` is answered here.
* Over HTTP/2, which an upstream may offer, names of headers are in lower case.
"""

import hmac
import socket as sockets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from types import TracebackType
from typing import Protocol, Self

from acp_bridge.errors import BridgeError
from acp_bridge.loopback.bound import LOOPBACK, address_of
from acp_bridge.loopback.end_to_end import without_named_by_connection
from acp_bridge.loopback.http import (
    Disconnect,
    Door,
    HeaderPairs,
    Limits,
    Request,
    Response,
    json_response,
    listen,
)
from acp_bridge.loopback.upstream import Upstream, UpstreamAnswer, UpstreamError
from acp_bridge.policy.judgement import Allowed, Refused, Verdict, Way

Judgement = Callable[[str, str, Iterable[tuple[str, str]]], Verdict]
Attach = Callable[[HeaderPairs], Awaitable[HeaderPairs]]
Renew = Callable[[HeaderPairs], Awaitable[bool]]


class TurnedAway(StrEnum):
    """Why a request was refused at the door, where nothing but its head is known."""

    ANOTHER_HOST = "another_host"
    WEB_PAGE = "web_page"
    WRONG_PATH = "wrong_path"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    BROKEN = "broken"


Report = Callable[[TurnedAway, int], None]
_BROKEN = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TurnedAway.TOO_LARGE,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: TurnedAway.TOO_LARGE,
    HTTPStatus.REQUEST_TIMEOUT: TurnedAway.TOO_SLOW,
}


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What is known of a request once it was judged.

    Attributes:
        method: as it came.
        target: as it came, query included, without the secret path.
        verdict: what was judged.
        passed: whether it goes on to the upstream.
        headers: as they came, credential and all: to look at, and not to be kept.
        body: the request's body; no copy, and not to be kept.
    """

    method: str
    target: str
    verdict: Verdict
    passed: bool
    headers: HeaderPairs = field(repr=False)
    body: bytes = field(repr=False)


class Exchange(Protocol):
    """Watches one request and its answer. Its methods neither wait nor raise, except `admit`."""

    async def admit(self) -> None:
        """Asked before the request is sent; may take its time.

        Raises:
            BridgeError: it is not to be sent; sentence and hint become the answer.
        """

    def response(self, status: int, headers: HeaderPairs) -> None:
        """The head of the upstream's answer; not called when there is none."""

    def chunk(self, data: bytes) -> None:
        """The next bytes of the upstream's body, content encoding left alone; no copy."""

    def end(self, *, complete: bool, sent: bool = True) -> None:
        """Called once, last.

        Args:
            complete: the upstream's whole answer was passed on.
            sent: the request may have reached the upstream.
        """


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
        observing: requests with a wrong credential pass unchanged, where that gives no login away.
        renew: asked once when the upstream answers 401, with the headers that it was sent; true if
            `attach` now knows another credential, with which the request is sent once more.
        report: is told why a request was turned away, and how many were so far for that reason; at
            the 1st, 10th, 100th and so on, so that nobody fills a log.
        limits: bounds of each connection; `Limits()` if not given.
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
        observing: bool = False,
        renew: Renew | None = None,
        report: Report | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._turned_away: Counter[TurnedAway] = Counter()
        self._report = report
        self.url = address_of(socket, token)
        port = socket.getsockname()[1]
        self._hosts = (f"{LOOPBACK}:{port}", f"localhost:{port}")
        self._token = token.encode()
        self._judge = judge
        self._upstream = upstream
        self._attach = attach
        self._observer = observer
        self._observing = observing
        self._renew = renew
        door = Door(self._admit, self._note_broken)
        self._listener = listen(self._answer, limits=limits, door=door, socket=socket)
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

    @property
    def turned_away(self) -> int:
        """How many requests were refused at the door."""
        return self._turned_away.total()

    def _admit(self, request: Request) -> Response | None:
        """The answer for whoever is not let in."""
        if request.header("host") not in self._hosts:
            self._note(TurnedAway.ANOTHER_HOST)
            return Response(HTTPStatus.FORBIDDEN)
        if request.header("origin") is not None:
            self._note(TurnedAway.WEB_PAGE)
            return Response(HTTPStatus.FORBIDDEN)
        if self._without_token(request.target) is None or request.method == "CONNECT":
            self._note(TurnedAway.WRONG_PATH)
            return Response(HTTPStatus.NOT_FOUND)
        return None

    def _note_broken(self, status: HTTPStatus) -> None:
        self._note(_BROKEN.get(status, TurnedAway.BROKEN))

    def _note(self, why: TurnedAway) -> None:
        self._turned_away[why] += 1
        count = self._turned_away[why]
        if self._report is not None and count == 10 ** (len(str(count)) - 1):
            self._report(why, count)

    async def _answer(self, request: Request) -> Response:
        target = self._without_token(request.target)
        if target is None:
            raise RuntimeError("a request without the token was let in")
        verdict = self._judge(request.method, target, request.headers)
        if isinstance(verdict, Refused):
            passed = self._observing and verdict.may_pass
        else:
            passed = verdict.way is not Way.LOCAL
        facts = RequestFacts(request.method, target, verdict, passed, request.headers, request.body)
        exchange = self._observer.request(facts)
        if passed:
            return await self._relay(request, facts, exchange)
        exchange.end(complete=False, sent=False)
        return _refusal(verdict) if isinstance(verdict, Refused) else Response(HTTPStatus.OK)

    def _without_token(self, target: str) -> str | None:
        """The target behind ``/TOKEN``; None if that is not where it begins."""
        before, slash, rest = target.partition("/")
        token, query_mark, query = rest.partition("?")
        token, behind, path = token.partition("/")
        named = hmac.compare_digest(token.encode("latin-1"), self._token)
        if before or not slash or not named:
            return None
        return f"/{path if behind else ''}{query_mark}{query}"

    async def _relay(self, request: Request, facts: RequestFacts, exchange: Exchange) -> Response:
        begun, sent = False, False
        try:
            await exchange.admit()
            sent = True
            attached = isinstance(facts.verdict, Allowed) and facts.verdict.attach
            answer = await self._send(request, facts.target, attached=attached)
            exchange.response(answer.status, answer.headers)
            body = _watched(answer, exchange)
            await anext(body)
            begun = True
            first = await anext(body, b"") if answer.begun else b""
        except UpstreamError as exc:
            sent = exc.sent
            return _api_error(HTTPStatus.BAD_GATEWAY, "api_error", f"acp-bridge: {exc}", retry=True)
        except BridgeError as exc:
            sent = False
            text = f"acp-bridge: {exc.message}. {exc.hint}"
            return _api_error(HTTPStatus.PAYMENT_REQUIRED, "billing_error", text, retry=False)
        finally:
            if not begun:
                exchange.end(complete=False, sent=sent)
        return Response(answer.status, answer.headers, body, first)

    async def _send(self, request: Request, target: str, *, attached: bool) -> UpstreamAnswer:
        # Taken out before the credential comes in, which is not for the client to name.
        headers = without_named_by_connection(request.wire_headers)
        passed = await self._attach(headers) if attached else headers
        answer = await self._upstream.send(request.method, target, passed, request.body)
        if not attached or answer.status != HTTPStatus.UNAUTHORIZED or self._renew is None:
            return answer
        try:
            renewed = await self._renew(passed)
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


def _refusal(verdict: Refused) -> Response:
    text = f"acp-bridge: {verdict.sentence}; it was not sent. {verdict.hint}"
    if verdict.on_model_path:
        return _api_error(HTTPStatus.PAYMENT_REQUIRED, "billing_error", text, retry=False)
    return Response(
        HTTPStatus.FORBIDDEN, (("content-type", "text/plain; charset=utf-8"),), text.encode()
    )


def _api_error(status: HTTPStatus, kind: str, text: str, *, retry: bool) -> Response:
    """An error as the API words it: Claude Code shows its text, and obeys ``x-should-retry``."""
    document = {"type": "error", "error": {"type": kind, "message": text}}
    return json_response(status, document, (("x-should-retry", "true" if retry else "false"),))
