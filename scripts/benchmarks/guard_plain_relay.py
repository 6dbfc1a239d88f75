"""What one writes first: a relay of starlette, uvicorn and httpx. Prints its port.

python guard_plain_relay.py UPSTREAM_URL
"""

import socket
import sys

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

HOP_BY_HOP = {"connection", "host", "keep-alive", "transfer-encoding"}
client = httpx.AsyncClient(base_url=sys.argv[1], timeout=600, trust_env=False)


async def relay(request: Request) -> StreamingResponse:
    """Send the request on and stream the answer back."""
    headers = [(n, v) for n, v in request.headers.items() if n not in HOP_BY_HOP]
    passed_on = client.build_request(
        request.method, request.url.path, headers=headers, content=await request.body()
    )
    answer = await client.send(passed_on, stream=True)
    kept = {n: v for n, v in answer.headers.items() if n not in HOP_BY_HOP}
    return StreamingResponse(
        answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose)
    )


# With the protocol named, asyncio turns Nagle's algorithm off, as for uvicorn's own sockets.
listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listening.bind(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
app = Starlette(routes=[Route("/{path:path}", relay, methods=["GET", "POST"])])
uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run([listening])
