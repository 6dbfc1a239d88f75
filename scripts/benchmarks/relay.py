"""What the bridge costs between a client and its agent, beside what stands there otherwise.

    scripts/bench relay [--rounds N]

Compares, interleaved in one run, medians over the rounds: no proxy, two `cat`, a Python relay that
inspects nothing, the bridge. The agent is `cat`, which answers each line with itself, so that all
of the time is the relay's. Then: the time to `initialize` with the real agent, with and without the
bridge, and the bridge's memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from acp_bridge.agent.find import find_agent
from acp_bridge.loopback.scratch import make_scratch_home, scratch_environment
from acp_bridge.loopback.threaded import running_sink

HERE = Path(__file__).parent
SMALL_LINE = 248
BIG_LINE = 1024 * 1024
BIG_TOTAL = 192 * 1024 * 1024
MEDIUM_LINE = 4096
MEDIUM_TOTAL = 64 * 1024 * 1024
ROUND_TRIPS = 1500
PYTHON = sys.executable
BRIDGE = str(Path(PYTHON).parent / "acp-bridge")

RELAYS: dict[str, list[str]] = {
    "no proxy": ["cat"],
    "two cat": ["sh", "-c", "cat | cat | cat"],
    "relay that inspects nothing": [PYTHON, str(HERE / "plain_relay.py"), "cat"],
    "acp-bridge": [BRIDGE, "--agent-kind", "other", "--", "cat"],
}


def update_line(size: int) -> bytes:
    """A session update of that many bytes, LF included."""
    head = b'{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","text":"'
    tail = b'"}}\n'
    return head + b"x" * (size - len(head) - len(tail)) + tail


@contextmanager
def running(command: list[str], env: dict[str, str]) -> Iterator[tuple[int, int, int]]:
    """Start a relay; yields (write to it, read from it, its pid)."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdin.fileno(), process.stdout.fileno(), process.pid
        finally:
            process.stdin.close()
            process.wait(20)


def round_trip(write: int, read: int, line: bytes) -> None:
    """Send a line and read it back."""
    os.write(write, line)
    left = len(line)
    while left:
        left -= len(os.read(read, left))


def median_round_trip(write: int, read: int) -> float:
    """Microseconds of a round trip of a small line, median."""
    line = update_line(SMALL_LINE)
    times = []
    for _ in range(ROUND_TRIPS):
        start = time.perf_counter()
        round_trip(write, read, line)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def throughput(write: int, read: int, *, size: int, total: int) -> float:
    """Megabytes a second through the relay and back, lines of one size."""
    line = update_line(size)
    count = total // size

    def feed() -> None:
        for _ in range(count):
            view = memoryview(line)
            while view:
                view = view[os.write(write, view) :]

    start = time.perf_counter()
    feeder = threading.Thread(target=feed)
    feeder.start()
    left = count * size
    while left:
        left -= len(os.read(read, min(left, 1 << 20)))
    feeder.join()
    return total / (time.perf_counter() - start) / 1e6


def measure_relays(rounds: int, env: dict[str, str]) -> dict[str, dict[str, float]]:
    """Medians over the rounds, by relay and figure."""
    figures: dict[str, Callable[[int, int], float]] = {
        "round trip µs": median_round_trip,
        "MB/s, 1 MiB lines": lambda w, r: throughput(w, r, size=BIG_LINE, total=BIG_TOTAL),
        "MB/s, 4 KiB lines": lambda w, r: throughput(w, r, size=MEDIUM_LINE, total=MEDIUM_TOTAL),
    }
    seen: dict[str, dict[str, list[float]]] = {
        name: {figure: [] for figure in figures} for name in RELAYS
    }
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for name, command in RELAYS.items():
            with running(command, env) as (write, read, _):
                round_trip(write, read, update_line(SMALL_LINE))
                for figure, measure in figures.items():
                    seen[name][figure].append(measure(write, read))
    return {
        name: {figure: statistics.median(values) for figure, values in by_figure.items()}
        for name, by_figure in seen.items()
    }


def initialize(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Milliseconds until `initialize` is answered; then the process's memory in MB."""
    request = {"jsonrpc": "2.0", "id": 0, "method": "initialize"}
    request["params"] = {"protocolVersion": 1, "clientCapabilities": {}}
    start = time.perf_counter()
    with running(command, env) as (write, read, pid):
        os.write(write, json.dumps(request).encode() + b"\n")
        answer = b""
        while b"\n" not in answer:
            answer += os.read(read, 65536)
        elapsed = time.perf_counter() - start
        memory = psutil.Process(pid).memory_info().rss
    return elapsed * 1e3, memory / 1e6


def measure_start(rounds: int, env: dict[str, str]) -> dict[str, float]:
    """Medians: milliseconds to `initialize` with and without the bridge, and its memory."""
    agent = find_agent(None, prefix=Path(sys.prefix), data_dir=Path("/nonexistent"), path="")
    alone, bridged, memory = [], [], []
    for number in range(rounds):
        print(f"start {number + 1} of {rounds}", file=sys.stderr)
        alone.append(initialize(list(agent.argv), env)[0])
        took, resident = initialize([BRIDGE], env)
        bridged.append(took)
        memory.append(resident)
    return {
        "alone": statistics.median(alone),
        "bridged": statistics.median(bridged),
        "memory": max(memory),
    }


def report(relays: dict[str, dict[str, float]], start: dict[str, float]) -> str:
    """The tables, in Markdown."""
    base = relays["relay that inspects nothing"]
    figures = list(base)
    lines = [
        "| between client and agent | " + " | ".join(f"{name} (ratio)" for name in figures) + " |",
        "|---|" + "---|" * len(figures),
    ]
    for name, values in relays.items():
        cells = [f"{values[f]:,.0f} ({values[f] / base[f]:.2f})" for f in figures]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    extra = start["bridged"] - start["alone"]
    lines += [
        "",
        f"`initialize` answered by the real agent: alone {start['alone']:.0f} ms,",
        f"through the bridge {start['bridged']:.0f} ms (+{extra:.0f} ms).",
        f"The bridge's resident memory: {start['memory']:.0f} MB.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_sink() as sink:
        home = make_scratch_home(Path(folder) / "home")
        env = scratch_environment(home, sink_url=sink.url)
        env |= {
            "ACP_BRIDGE_STATE_DIR": str(Path(folder) / "state"),
            "ACP_BRIDGE_CONFIG": os.devnull,
        }
        print(report(measure_relays(options.rounds, env), measure_start(options.rounds, env)))


if __name__ == "__main__":
    main()
