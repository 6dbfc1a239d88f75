"""A socket that is bound before there is an event loop, and adopted by one."""

import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from acp_bridge.loopback.bound import address_of, bind_loopback, new_token
from acp_bridge.loopback.http import Request, Response, listen
from tests.support.raw import raw_client

Run = Callable[[Callable[[], Awaitable[Any]]], Any]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def hello(_request: Request) -> Response:
    return Response(200, body=b"hello")


def test_who_connects_before_the_event_loop_is_there_is_answered_by_it(run: Run) -> None:
    listening = bind_loopback()
    early = socket.create_connection(listening.getsockname(), timeout=5)
    early.sendall(GET)

    async def scenario() -> None:
        async with listen(hello, socket=listening) as server, raw_client(server.url) as late:
            await late.send(GET)
            await late.read_until(b"hello")

    run(scenario)

    with early:
        assert b"hello" in early.recv(1024)
    assert listening.fileno() == -1


def test_only_this_machine_can_connect() -> None:
    with bind_loopback() as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
        assert not listening.get_inheritable()


def test_an_address_has_the_port_and_an_unguessable_path() -> None:
    with bind_loopback() as listening:
        port = listening.getsockname()[1]
        assert address_of(listening, "token") == f"http://127.0.0.1:{port}/token"
    assert new_token() != new_token()
    assert len(new_token()) == 64


@pytest.mark.parametrize("module", ["anyio", "h11", "httpx", "asyncio", "ssl"])
def test_binding_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, acp_bridge.loopback.bound; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
