"""What the wire guard costs between Claude Code and the provider, beside other relays.

    scripts/bench guard [--rounds N] [--quick] [--without-others]

Compares, interleaved in one run, medians over the rounds: no relay, nginx, a plain relay of
starlette, uvicorn and httpx, and the guard with metering on. The provider, the relay and the client
are processes of their own on loopback; the client is raw sockets. The first run installs the other
relays beside this checkout's other benchmark programs; ``--without-others`` does without them, and
``--quick`` is for seeing that it works.
"""

import argparse
import selectors
import socket
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from guard_relays import GUARD, HERE, NO_RELAY, PLAIN, Relay, Start, python, starts

FEW_EVENTS = "x-events: 20"
HELD_OPEN = "x-held-open: 1"
CONNECTIONS = 8
LAST_CHUNK = b"\r\n0\r\n\r\n"
FIRST_BYTE = "first byte p50, ms"
EVENTS = "events/s"
TIMES_EVENTS = 3
OF_THE_RELAY = ("CPU", "memory", "start-up")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    sequential: int = 200
    parallel: int = 800
    events: int = 40_000
    held_open: int = 50


def ask(connection: socket.socket, request: bytes) -> tuple[float, float]:
    """Seconds to the first byte of the body, and to the end of the answer."""
    start = time.perf_counter()
    connection.sendall(request)
    head = read_head(connection)
    first = time.perf_counter() - start
    read_body(connection, head)
    return first, time.perf_counter() - start


def read_head(connection: socket.socket) -> bytes:
    """An answer up to the first of its body."""
    head = b""
    while not head.partition(b"\r\n\r\n")[2]:
        head += received(connection)
    assert head.startswith(b"HTTP/1.1 200"), head[:200]
    return head


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


def one_by_one(relay: Relay, size: Size) -> dict[str, float]:
    """Medians of requests after one another: short streams."""
    request = relay.request(FEW_EVENTS)
    with relay.connect() as connection:
        ask(connection, request)
        times = [ask(connection, request) for _ in range(size.sequential)]
    first, whole = (statistics.median(column) * 1e3 for column in zip(*times, strict=True))
    return {FIRST_BYTE: first, "whole request p50, ms": whole}


def in_parallel(relay: Relay, size: Size) -> dict[str, float]:
    """Requests on several connections at once: JSON documents."""
    request = relay.request()
    before, start, done, sent = relay.cpu(), time.perf_counter(), 0, CONNECTIONS
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            connection = stack.enter_context(relay.connect())
            selector.register(connection, selectors.EVENT_READ, bytearray())
            connection.sendall(request)
        while done < size.parallel:
            for key, _ in selector.select(60):
                begun = key.data
                begun += received(key.fileobj)  # type: ignore[arg-type]
                if b"\r\n\r\n" not in begun or not is_whole(bytes(begun)):
                    continue
                begun.clear()
                done += 1
                if sent < size.parallel:
                    sent += 1
                    key.fileobj.sendall(request)  # type: ignore[union-attr]
    elapsed = time.perf_counter() - start
    used = relay.cpu() - before
    return {
        f"requests/s at {CONNECTIONS}": size.parallel / elapsed,
        "CPU per request, µs": used / size.parallel * 1e6,
    }


def is_whole(begun: bytes) -> bool:
    """Whether an answer is there to its end."""
    left = left_of(begun)
    return begun.endswith(LAST_CHUNK) if left is None else left == 0


def one_long_stream(relay: Relay, size: Size) -> dict[str, float]:
    """Events as fast as they come."""
    with relay.connect() as connection:
        ask(connection, relay.request(FEW_EVENTS))
        before = relay.cpu()
        seconds = ask(connection, relay.request(f"x-events: {size.events}"))[1]
        used = relay.cpu() - before
    return {
        EVENTS: size.events / seconds,
        "CPU per event, µs": used / size.events * 1e6,
        "memory, MB": relay.memory() / 1e6,
    }


MEASURES: tuple[Callable[[Relay, Size], dict[str, float]], ...] = (
    one_by_one,
    in_parallel,
    one_long_stream,
)


def from_the_start(start: Start, size: Size) -> dict[str, float]:
    """A new process: until its first answer, and what streams that stay open add to it."""
    begin = time.perf_counter()
    with start() as relay, ExitStack() as stack:
        with relay.connect() as first:
            ask(first, relay.request(FEW_EVENTS))
            took = time.perf_counter() - begin
            for _ in range(20):
                ask(first, relay.request(FEW_EVENTS))
        before = relay.memory()
        for _ in range(size.held_open):
            connection = stack.enter_context(relay.connect())
            connection.sendall(relay.request(HELD_OPEN))
            read_head(connection)
        grown = relay.memory() - before
    return {
        "start-up to the first answer, ms": took * 1e3,
        "memory per open stream, KB": grown / size.held_open / 1e3,
    }


def measure(size: Size, *, others: bool) -> dict[str, dict[str, float]]:
    """Medians over the rounds, by relay and figure."""
    with ExitStack() as stack:
        provider = stack.enter_context(python([str(HERE / "guard_upstream.py")]))
        by_name = starts(provider.port, others=others)
        relays = {NO_RELAY: provider}
        relays |= {name: stack.enter_context(start()) for name, start in by_name.items()}
        seen: dict[str, dict[str, list[float]]] = {name: {} for name in relays}

        def keep(name: str, figures: dict[str, float]) -> None:
            for figure, value in figures.items():
                seen[name].setdefault(figure, []).append(value)

        for number in range(size.rounds):
            print(f"round {number + 1} of {size.rounds}", file=sys.stderr)
            for one in MEASURES:
                for name, relay in relays.items():
                    keep(name, one(relay, size))
            for name, start in by_name.items():
                keep(name, from_the_start(start, size))
    return {
        name: {figure: statistics.median(values) for figure, values in by_figure.items()}
        for name, by_figure in seen.items()
    }


def _ratio(value: float, base: float) -> str:
    """How many times; nothing is no measure for anything, as memory that did not grow."""
    return f"{value / base:.2f}" if base else "-"


def report(relays: dict[str, dict[str, float]]) -> str:
    """The table in Markdown, and what is asked of the guard; ratios are to the plain relay."""
    base = relays.get(PLAIN, relays[GUARD])
    lines = ["| median (ratio) | " + " | ".join(relays) + " |", "|---|" + "---|" * len(relays)]
    for figure, of_the_plain in base.items():
        cells = [
            # Of no relay, these would be the provider's.
            ""
            if name == NO_RELAY and figure.startswith(OF_THE_RELAY)
            else f"{values[figure]:,.2f} ({_ratio(values[figure], of_the_plain)})"
            for name, values in relays.items()
        ]
        lines.append(f"| {figure} | " + " | ".join(cells) + " |")
    direct = relays[NO_RELAY][FIRST_BYTE]
    added = {name: values[FIRST_BYTE] - direct for name, values in relays.items()}
    lines += ["", "Added to the time to the first byte:"]
    lines += [f"* {name}: {ms:.2f} ms" for name, ms in added.items() if name != NO_RELAY]
    if PLAIN not in relays:
        return "\n".join(lines)
    faster = relays[GUARD][EVENTS] / base[EVENTS]
    wanted = (
        f"To the first byte the guard adds {added[GUARD] / added[PLAIN]:.2f} of what the plain"
        f" relay adds (at most 1.00 wanted): {_held(added[GUARD] <= added[PLAIN])}\n"
        f"It streams {faster:.1f} times the plain relay's events/s (at least {TIMES_EVENTS}"
        f" wanted): {_held(faster >= TIMES_EVENTS)}"
    )
    lines += ["", wanted]
    if "nginx" not in relays:
        lines += ["", "nginx: not installed"]
    return "\n".join(lines)


def _held(held: bool) -> str:  # noqa: FBT001 - what it is about
    return "yes" if held else "NO"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--without-others", action="store_true")
    options = parser.parse_args()
    quick = Size(1, sequential=20, parallel=80, events=4_000, held_open=10)
    size = quick if options.quick else Size(options.rounds)
    print(report(measure(size, others=not options.without_others)))


if __name__ == "__main__":
    main()
