"""Passing a request on to where it was meant to go, as it came. Stores and logs nothing."""

import contextlib
import ssl
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from acp_bridge.launch.telemetry_records import Destination
from acp_bridge.loopback.end_to_end import HOP_BY_HOP, is_loopback, named_by_connection
from acp_bridge.loopback.message import HeaderPairs, Request, Response

if TYPE_CHECKING:
    import httpx

_ANSWER_BYTES = 1024 * 1024
_CONNECT_SECONDS = 10.0
_SECONDS = 30.0
_PORTS = {"http": 80, "https": 443}
# The other connection says these itself.
_NOT_PASSED_ON = HOP_BY_HOP | {"content-length", "host"}


class UndeliveredError(Exception):
    """The destination gave no answer: not reached, refused, timed out, not trusted."""


class Forwarder:
    """HTTP clients for destinations, made when first needed; an async context manager."""

    def __init__(self) -> None:
        self._clients: dict[Destination, httpx.AsyncClient] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def forward(self, request: Request, destination: Destination) -> Response:
        """Send method, headers and body on and bring back the answer; redirects are answers.

        Raises:
            UndeliveredError: there is no answer.
        """
        import httpx  # noqa: PLC0415 — 175 ms that most runs do without

        try:
            # Built here: a request that the client builds gets headers of the client's own.
            passed_on = httpx.Request(
                request.method,
                destination.url,
                headers=[(name.encode(), value.encode("latin-1")) for name, value in _end(request)],
                content=request.body,
            )
            client = self._client(destination)
            answer = await client.send(passed_on, stream=True)
            try:
                return await _response(answer)
            finally:
                await answer.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as exc:
            raise UndeliveredError(type(exc).__name__) from exc

    def _client(self, destination: Destination) -> "httpx.AsyncClient":
        import httpx  # noqa: PLC0415 — as above

        if destination not in self._clients:
            secure = urlsplit(destination.url).scheme.lower() == "https"
            self._clients[destination] = httpx.AsyncClient(
                verify=_trust(destination) if secure else False,
                proxy=proxy_of(destination),
                trust_env=False,
                timeout=httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS),
            )
        return self._clients[destination]


def proxy_of(destination: Destination) -> str | None:
    """The proxy that Claude Code would use for a destination; None for none.

    A loopback address is reached without one. A SOCKS proxy is not used, as in Claude Code.
    """
    url = urlsplit(destination.url)
    host = (url.hostname or "").lower()
    proxy = destination.proxy.strip()
    if not proxy or is_loopback(host) or _is_named(host, url.scheme, url.port, destination):
        return None
    if "://" not in proxy:
        return f"http://{proxy}"
    return proxy if proxy.lower().startswith(("http://", "https://")) else None


def _is_named(host: str, scheme: str, port: int | None, destination: Destination) -> bool:
    """Whether the list of hosts without proxy names one: ``*``, a host, ``.domain``, host:port."""
    full = f"{host}:{port or _PORTS.get(scheme.lower(), 0)}"
    entries = destination.no_proxy.lower().replace(",", " ").split()
    return any(
        entry in ("*", host, full)
        or (entry.startswith(".") and (host == entry[1:] or host.endswith(entry)))
        for entry in entries
    )


def _trust(destination: Destination) -> ssl.SSLContext:
    """The bundled authorities, the system's and the user's: what Claude Code believes."""
    import httpx  # noqa: PLC0415 — as above

    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    for file in destination.certificates:
        # Claude Code goes on without a file that it cannot read.
        with contextlib.suppress(OSError):
            context.load_verify_locations(cafile=file)
    return context


def _end(request: Request) -> HeaderPairs:
    dropped = _NOT_PASSED_ON | named_by_connection(request.headers)
    return tuple((name, value) for name, value in request.headers if name not in dropped)


async def _response(answer: "httpx.Response") -> Response:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk[: _ANSWER_BYTES - len(body)]
        if len(body) == _ANSWER_BYTES:
            break
    headers = tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in answer.headers.raw
    )
    kept = tuple((name, value) for name, value in headers if name not in _NOT_PASSED_ON)
    return Response(answer.status_code, kept, bytes(body))
