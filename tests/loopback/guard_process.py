"""A wire guard in a process of its own that reads what passes, and tells what memory it took.

python -m tests.loopback.guard_process UPSTREAM_URL

Prints its port. For each line on stdin it prints, as JSON, the most memory that was in use at once
since the last line, in bytes, and what it read of the answers in the meantime.
"""

import gc
import json
import sys
import tracemalloc

import anyio

from acp_bridge.loopback.bound import bind_loopback
from acp_bridge.loopback.guard import RequestFacts, WireGuard
from acp_bridge.loopback.message import HeaderPairs
from acp_bridge.loopback.upstream import Upstream
from acp_bridge.metering.wire import AnswerReader
from acp_bridge.metering.wire_limits import read_limits
from acp_bridge.metering.wire_request import Endpoint, read_request
from acp_bridge.modes import BillingMode
from acp_bridge.policy.judgement import Judge
from tests.loopback.guard_rig import HELD, TOKEN, attach_key


class Reading:
    """Reads requests and answers as a run's metering does."""

    def __init__(self) -> None:
        self.answers: list[dict[str, object]] = []

    def request(self, facts: RequestFacts) -> "ReadingOne":
        request = read_request(facts.method, facts.target, (), facts.body)
        return ReadingOne(self.answers, request.endpoint)


class ReadingOne:
    """Reads one answer."""

    def __init__(self, answers: list[dict[str, object]], endpoint: Endpoint) -> None:
        self._answers = answers
        self._endpoint = endpoint
        self._reader: AnswerReader | None = None

    def response(self, status: int, headers: HeaderPairs) -> None:
        read_limits(headers)
        self._reader = AnswerReader(self._endpoint, status, headers)

    def chunk(self, data: bytes) -> None:
        if self._reader is not None:
            self._reader.feed(data)

    async def admit(self) -> None:
        """Every request is admitted."""

    def end(self, *, complete: bool, sent: bool = True) -> None:
        if self._reader is not None and sent:
            seen = self._reader.finish(complete=complete)
            output = seen.tokens.output if seen.tokens else None
            self._answers.append({"complete": seen.complete, "output": output})


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def main(upstream: str) -> None:
    reading = Reading()
    listening = bind_loopback()
    async with WireGuard(
        listening,
        TOKEN,
        judge=Judge(BillingMode.API_KEY, HELD),
        upstream=Upstream(upstream),
        attach=attach_key,
        observer=reading,
    ):
        say(listening.getsockname()[1])
        tracemalloc.start()
        at_first = 0
        while await anyio.to_thread.run_sync(sys.stdin.readline):
            peak = tracemalloc.get_traced_memory()[1] - at_first
            say(json.dumps({"peak": peak, "answers": reading.answers}))
            reading.answers.clear()
            gc.collect()
            at_first = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
