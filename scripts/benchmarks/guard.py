"""What the wire guard costs between Claude Code and the provider, beside other relays.

    scripts/bench guard [--rounds N]

Compares, interleaved in one run, medians over the rounds: no relay, nginx (if it is installed), a
plain relay of starlette, uvicorn and httpx, the guard. The provider, the relay and the client are
three processes on loopback; the client is raw sockets. The first run installs starlette and uvicorn
beside this checkout's other benchmark programs.
"""

import argparse
import os
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
INSTALLED = Path(sys.prefix) / "share" / "acp-bridge" / "benchmarks" / "guard"
REQUIREMENTS = HERE / "guard-requirements.txt"
TOKEN = "token"  # noqa: S105 - a fake one
PLACEHOLDER = "placeholder"
BODY = b'{"model":"m","messages":[' + b'{"role":"user","content":"word"},' * 600 + b"{}]}"
HEADERS = "".join(f"x-stainless-{number}: value\r\n" for number in range(12))
SEQUENTIAL = 200
CONNECTIONS = 8
PARALLEL = 800
FEW_EVENTS = 20
MANY_EVENTS = 40_000
LAST_CHUNK = b"\r\n0\r\n\r\n"
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 64m; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; client_body_buffer_size 1m;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Relay:
    """A relay that runs: its port, what its paths begin with, and its process."""

    port: int
    path: str
    process: psutil.Process

    def request(self, events: int = 0) -> bytes:
        """The bytes of a request: for a JSON document, or for so many events."""
        wanted = f"x-events: {events}\r\n" if events else ""
        head = (
            f"POST {self.path}/v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            f"x-api-key: {PLACEHOLDER}\r\ncontent-type: application/json\r\n{HEADERS}{wanted}"
            f"content-length: {len(BODY)}\r\n\r\n"
        )
        return head.encode() + BODY

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), 60)

    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        used = [child.cpu_times() for child in [self.process, *self.process.children()]]
        return sum(times.user + times.system for times in used)


def ask(connection: socket.socket, request: bytes) -> tuple[float, float]:
    """Seconds to the first byte of the body, and to the end of the answer."""
    start = time.perf_counter()
    connection.sendall(request)
    head = b""
    while not head.partition(b"\r\n\r\n")[2]:
        head += received(connection)
    first = time.perf_counter() - start
    assert head.startswith(b"HTTP/1.1 200"), head[:200]
    read_body(connection, head)
    return first, time.perf_counter() - start


def read_body(connection: socket.socket, begun: bytes) -> None:
    """Read an answer to its end."""
    left = left_of(begun)
    tail = begun[-len(LAST_CHUNK) :]
    while left > 0 if left is not None else not tail.endswith(LAST_CHUNK):
        data = received(connection)
        tail = (tail + data)[-len(LAST_CHUNK) :]
        left = left - len(data) if left is not None else None


def left_of(begun: bytes) -> int | None:
    """How much of a body of known length is still to come; None if it is chunked."""
    head, _, body = begun.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return int(length) - len(body) if length else None


def received(connection: socket.socket) -> bytes:
    """What has arrived."""
    data = connection.recv(1 << 18)
    assert data, "the relay closed the connection"
    return data


def one_by_one(relay: Relay) -> dict[str, float]:
    """Medians of requests after one another: short streams."""
    request = relay.request(FEW_EVENTS)
    with relay.connect() as connection:
        ask(connection, request)
        times = [ask(connection, request) for _ in range(SEQUENTIAL)]
    first, whole = (statistics.median(column) * 1e3 for column in zip(*times, strict=True))
    return {"first byte p50, ms": first, "whole request p50, ms": whole}


def in_parallel(relay: Relay) -> dict[str, float]:
    """Requests on several connections at once: JSON documents."""
    request = relay.request()
    before, start, done, sent = relay.cpu(), time.perf_counter(), 0, CONNECTIONS
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            connection = stack.enter_context(relay.connect())
            selector.register(connection, selectors.EVENT_READ, bytearray())
            connection.sendall(request)
        while done < PARALLEL:
            for key, _ in selector.select(60):
                begun = key.data
                begun += received(key.fileobj)  # type: ignore[arg-type]
                if b"\r\n\r\n" not in begun or not is_whole(bytes(begun)):
                    continue
                begun.clear()
                done += 1
                if sent < PARALLEL:
                    sent += 1
                    key.fileobj.sendall(request)  # type: ignore[union-attr]
    elapsed = time.perf_counter() - start
    return {
        "requests/s at 8": PARALLEL / elapsed,
        "CPU per request, µs": (relay.cpu() - before) / PARALLEL * 1e6,
    }


def is_whole(begun: bytes) -> bool:
    """Whether an answer is there to its end."""
    left = left_of(begun)
    return begun.endswith(LAST_CHUNK) if left is None else left == 0


def one_long_stream(relay: Relay) -> dict[str, float]:
    """Events as fast as they come."""
    with relay.connect() as connection:
        ask(connection, relay.request(FEW_EVENTS))
        before = relay.cpu()
        seconds = ask(connection, relay.request(MANY_EVENTS))[1]
        used = relay.cpu() - before
    return {
        "events/s": MANY_EVENTS / seconds,
        "CPU per event, µs": used / MANY_EVENTS * 1e6,
        "memory, MB": relay.process.memory_info().rss / 1e6,
    }


MEASURES: tuple[Callable[[Relay], dict[str, float]], ...] = (
    one_by_one,
    in_parallel,
    one_long_stream,
)


@contextmanager
def running(command: list[str]) -> Iterator[tuple[psutil.Process, int]]:
    """Start a program that prints its port."""
    env = {**os.environ, "PYTHONPATH": str(INSTALLED)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as process:
        try:
            assert process.stdout is not None
            yield psutil.Process(process.pid), int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def nginx(program: str, upstream: int) -> Iterator[Relay]:
    """Start nginx without buffering."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nginx.conf"
        file.write_text(NGINX.format(folder=folder, port=port, upstream=upstream))
        with subprocess.Popen([program, "-c", str(file), "-p", folder]) as process:
            try:
                wait_for(port)
                yield Relay(port, "", psutil.Process(process.pid))
            finally:
                process.terminate()


def wait_for(port: int) -> None:
    """Wait until somebody listens.

    Raises:
        TimeoutError: nobody does, for long.
    """
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError


def install() -> None:
    """Install the plain relay's parts once."""
    stamp = INSTALLED / "requirements.txt"
    if stamp.exists() and stamp.read_bytes() == REQUIREMENTS.read_bytes():
        return
    print("installing starlette and uvicorn", file=sys.stderr)
    shutil.rmtree(INSTALLED, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    chosen = ["--no-deps", "--require-hashes", "--target", str(INSTALLED), "-r", str(REQUIREMENTS)]
    subprocess.run([*pip, *chosen], check=True)
    shutil.copyfile(REQUIREMENTS, stamp)


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Medians over the rounds, by relay and figure."""
    with ExitStack() as stack:
        provider, port = stack.enter_context(
            running([sys.executable, str(HERE / "guard_upstream.py")])
        )
        url = f"http://127.0.0.1:{port}"
        relays = {"no relay": Relay(port, "", provider)}
        if program := shutil.which("nginx"):
            relays["nginx"] = stack.enter_context(nginx(program, port))
        for name, path, script in (
            ("starlette + uvicorn + httpx", "", [str(HERE / "guard_plain_relay.py"), url]),
            ("the guard", f"/{TOKEN}", [str(HERE / "guard_alone.py"), url, TOKEN, PLACEHOLDER]),
        ):
            process, at = stack.enter_context(running([sys.executable, *script]))
            relays[name] = Relay(at, path, process)
        seen: dict[str, dict[str, list[float]]] = {name: {} for name in relays}
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            for one in MEASURES:
                for name, relay in relays.items():
                    for figure, value in one(relay).items():
                        seen[name].setdefault(figure, []).append(value)
    return {
        name: {figure: statistics.median(values) for figure, values in by_figure.items()}
        for name, by_figure in seen.items()
    }


def report(relays: dict[str, dict[str, float]]) -> str:
    """The table in Markdown; ratios are to the plain relay."""
    base = relays["starlette + uvicorn + httpx"]
    lines = [
        "| between Claude Code and the provider | "
        + " | ".join(f"{f} (ratio)" for f in base)
        + " |",
        "|---|" + "---|" * len(base),
    ]
    for name, values in relays.items():
        # Of no relay, the processor time and memory are the provider's.
        cells = [
            ""
            if name == "no relay" and figure.startswith(("CPU", "memory"))
            else f"{values[figure]:,.2f} ({values[figure] / base[figure]:.2f})"
            for figure in base
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    direct = relays["no relay"]["first byte p50, ms"]
    added = {name: values["first byte p50, ms"] - direct for name, values in relays.items()}
    lines += ["", "Added to the time to the first byte:"]
    lines += [f"* {name}: {ms:.2f} ms" for name, ms in added.items() if name != "no relay"]
    if "nginx" not in relays:
        lines += ["", "nginx is not installed: not compared."]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    install()
    print(report(measure(options.rounds)))


if __name__ == "__main__":
    main()
