"""The wire guard's way to the model provider: requests as they came, answers as they come.

It sits on httpcore, the transport below httpx, because a relay must send what it was given: no
headers, cookies, redirects or decoding of a client's own. Proxy and authorities are those that the
bridge's environment names; a loopback address is reached without a proxy.
"""

import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import anyio
import h11
import httpcore
import httpx

from acp_bridge.launch.telemetry_records import Destination
from acp_bridge.loopback.end_to_end import HOP_BY_HOP, is_loopback, named_by_connection
from acp_bridge.loopback.forwarding import proxy_of
from acp_bridge.loopback.merging import MergingBackend, body_begun
from acp_bridge.loopback.message import HeaderPairs

# Claude Code gives up after 600 s of its own; whoever gives up first decides what the user reads.
SILENCE_SECONDS = 660.0
_CONNECT_SECONDS = 30.0
_WRITE_SECONDS = 120.0
_CLOSE_SECONDS = 2.0
_IDLE_SECONDS = 30.0
_PIECE_BYTES = 256 * 1024
_IDLE_CONNECTIONS = 32
_FAILURES = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    h11.ProtocolError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    OSError,
)
_NOT_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.ProxyError)


class UpstreamError(Exception):
    """The provider gave no answer, or not all of it; the text is for people and has no secret.

    Args:
        text: what happened.
        sent: the request, or a part of it, may have reached the provider.
    """

    def __init__(self, text: str, *, sent: bool = True) -> None:
        super().__init__(text)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """An answer whose head is there and whose body is coming.

    Attributes:
        status: the HTTP status.
        headers: end-to-end headers, names in the case they came in.
        response: where the body comes from.
    """

    status: int
    headers: HeaderPairs
    response: httpcore.Response

    @property
    def begun(self) -> bool:
        """Whether the first chunk is there already; in doubt, it is not."""
        return body_begun(self.response)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes: content encoding left alone, what is there at once in one chunk.

        Raises:
            UpstreamError: it ended too early, or nothing came for too long.
        """
        stream = cast("AsyncGenerator[bytes, None]", self.response.aiter_stream())
        try:
            async with aclosing(stream) as parts:
                async for part in parts:
                    yield part
        except _FAILURES as exc:
            raise UpstreamError(_sentence(exc)) from exc

    async def aclose(self) -> None:
        """Let go of the connection: kept if the body was read to its end, else cut."""
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self.response.aclose()


class Upstream:
    """A pool of connections to one base URL, as an async context manager.

    Args:
        base_url: ``https://…``, or ``http://`` on loopback; a path in it comes before each target.
        environment: where a proxy's and authorities' variables are looked up; the process's own
            (and the system's proxy settings) if not given.
        silence_seconds: how long a provider may be silent before it is given up.

    Raises:
        ValueError: the URL is none, or credentials would go over it in clear.
    """

    def __init__(
        self,
        base_url: str,
        *,
        environment: Mapping[str, str] | None = None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        url = urlsplit(base_url)
        self._host = url.hostname or ""
        secure = url.scheme == "https"
        if not self._host or not (secure or (url.scheme == "http" and is_loopback(self._host))):
            raise ValueError("an upstream is an https address, or http on loopback")
        self._url = url
        self._port = url.port
        self._authority = url.netloc.rpartition("@")[2].encode("idna")
        self._base_path = url.path.rstrip("/")
        self._environment = os.environ if environment is None else environment
        self._proxies = getproxies() if environment is None else _proxies_in(environment)
        self._timeout = {
            "connect": _CONNECT_SECONDS,
            "read": silence_seconds,
            "write": _WRITE_SECONDS,
            "pool": None,
        }
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def __aenter__(self) -> Self:
        self._pool = self._make_pool()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await self._pool.aclose()

    async def send(
        self, method: str, target: str, headers: HeaderPairs, body: bytes
    ) -> UpstreamAnswer:
        """Send a request on and wait for the head of its answer; close the answer when done.

        Host and what belongs to the other connection are replaced; all else goes as it is.

        Raises:
            UpstreamError: there is no answer.
        """
        if self._pool is None:
            raise RuntimeError("the upstream is used outside its block")
        request = httpcore.Request(
            method.encode("ascii"),
            httpcore.URL(
                scheme=self._url.scheme.encode("ascii"),
                host=self._host.encode("idna"),
                port=self._port,
                target=(self._base_path + target).encode("latin-1"),
            ),
            headers=self._headers(headers, body),
            content=_pieces(body) if len(body) > _PIECE_BYTES else body,
            extensions={"timeout": self._timeout},
        )
        try:
            response = await self._pool.handle_async_request(request)
        except _FAILURES as exc:
            raise UpstreamError(_sentence(exc), sent=not isinstance(exc, _NOT_SENT)) from exc
        pairs = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in response.headers)
        return UpstreamAnswer(response.status, end_to_end(pairs), response)

    def _headers(self, headers: HeaderPairs, body: bytes) -> list[tuple[bytes, bytes]]:
        """End-to-end headers; host and length in the places where they came."""
        passed: list[tuple[bytes, bytes]] = []
        dropped = HOP_BY_HOP | named_by_connection(headers)
        length = b"%d" % len(body)
        for name, value in headers:
            match name.lower():
                case "host":
                    passed.append((name.encode("ascii"), self._authority))
                case "content-length" | "transfer-encoding":
                    # The length counted here: beside chunks, a declared one would be a lie.
                    if length:
                        same = name.lower() == "content-length"
                        passed.append((name.encode("ascii") if same else b"Content-Length", length))
                    length = b""
                case lower if lower not in dropped:
                    passed.append((name.encode("ascii"), value.encode("latin-1")))
        return passed

    def _make_pool(self) -> httpcore.AsyncConnectionPool:
        secure = self._url.scheme == "https"
        trust = _trust(self._environment) if secure else None
        http2 = secure and find_spec("h2") is not None
        shared: dict[str, Any] = {
            "ssl_context": trust,
            "max_connections": None,
            "max_keepalive_connections": _IDLE_CONNECTIONS,
            "keepalive_expiry": _IDLE_SECONDS,
            "http2": http2,
            "network_backend": MergingBackend(),
        }
        proxy = self._proxy()
        if proxy is None:
            return httpcore.AsyncConnectionPool(**shared)
        return httpcore.AsyncHTTPProxy(
            proxy_url=httpcore.URL(str(proxy.url)),
            proxy_auth=proxy.raw_auth,
            proxy_ssl_context=trust if proxy.url.scheme == "https" else None,
            **shared,
        )

    def _proxy(self) -> httpx.Proxy | None:
        named = self._proxies.get(self._url.scheme) or self._proxies.get("all") or ""
        where = Destination(self._url.geturl(), named, self._proxies.get("no", ""))
        found = proxy_of(where)
        return httpx.Proxy(found) if found else None


def end_to_end(headers: HeaderPairs) -> HeaderPairs:
    """The headers without those that belong to one connection."""
    dropped = HOP_BY_HOP | named_by_connection(headers)
    if any(name.lower() == "transfer-encoding" for name, _ in headers):
        dropped |= {"content-length"}
    return tuple((name, value) for name, value in headers if name.lower() not in dropped)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), _PIECE_BYTES):
        yield body[at : at + _PIECE_BYTES]


def _proxies_in(environment: Mapping[str, str]) -> dict[str, str]:
    """As `urllib.request.getproxies_environment`: lower case wins over upper case."""
    found = {}
    for matches_case in (False, True):
        for name, value in environment.items():
            if name.lower().endswith("_proxy") and (not matches_case or name.islower()):
                found[name.lower().removesuffix("_proxy")] = value
    return found


def _trust(environment: Mapping[str, str]) -> ssl.SSLContext:
    """The bundled authorities or ``SSL_CERT_FILE``, the system's, and what Claude Code adds."""
    context = httpx.create_ssl_context(trust_env=True)
    context.load_default_certs()
    if extra := environment.get("NODE_EXTRA_CA_CERTS"):
        # Claude Code, too, goes on without a file that it cannot read.
        with suppress(OSError):
            context.load_verify_locations(cafile=extra)
    return context


def _sentence(error: BaseException) -> str:
    """What happened, in fixed words: a foreign text may name more than it should."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "a secure connection to the model provider could not be made"
        cause = cause.__cause__ or cause.__context__
    match error:
        case httpcore.ConnectError() | httpcore.ConnectTimeout() | httpcore.ProxyError():
            return "the model provider could not be reached"
        case httpcore.TimeoutException():
            return "the model provider did not answer in time"
        case _:
            return "the connection to the model provider broke"
