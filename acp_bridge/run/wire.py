"""What the wire guard's requests mean for a run: evidence, violations, and what is counted.

It is shown each request as it passes (`acp_bridge.loopback.guard.Observer`) and hands on what it
saw, without waiting. Nothing of a credential is kept.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from acp_bridge.errors import Reason
from acp_bridge.loopback.guard import RequestFacts
from acp_bridge.loopback.message import HeaderPairs
from acp_bridge.metering.wire import AnswerReader
from acp_bridge.metering.wire_exchange import AnswerBegan, WireExchange
from acp_bridge.metering.wire_limits import LimitsKind, RateLimits, read_limits
from acp_bridge.metering.wire_request import Endpoint, ModelRequest, read_request
from acp_bridge.modes import BillingMode, Bucket, CredentialClass
from acp_bridge.policy.judgement import Allowed, Refused
from acp_bridge.protocol.decisions import Contradiction
from acp_bridge.protocol.evidence import (
    PLACEHOLDER,
    Context,
    Evidence,
    Signal,
    Source,
    Verdict,
    weigh,
)

_MILLISECONDS = 1000
_LIMITS = {LimitsKind.PLAN: "unified", LimitsKind.API: "api"}
_CHARGED = {
    "unified": "the provider counted a request against a plan's limits",
    "api": "the provider counted a request against an API key's limits",
}
OVERAGE = "overage"
"""The rate-limit signal of a request that extra usage paid for."""


@dataclass(frozen=True, slots=True)
class Tell:
    """To whom what was seen is told; none of these may wait or raise.

    Attributes:
        count: the credential class that a request came with, and the one that it went on with;
            None if it went nowhere.
        evidence: a signal, the first time it is seen.
        found: a contradiction.
        meter: an exchange, for counting.
        admit: asked for a request that will cost something, with the id of its reservation; may
            wait, and raises a `BridgeError` if it is not to be sent. None admits all.
        release: a reservation whose request was never sent.
        limits: the rate limits of an answer, its HTTP status and Claude Code's session; gives what
            its request was charged to, None where that is not asked.
    """

    count: Callable[[CredentialClass, CredentialClass | None], None]
    evidence: Callable[[Evidence], None]
    found: Callable[[Contradiction], None]
    meter: Callable[[AnswerBegan | WireExchange], None]
    admit: Callable[[ModelRequest, str], Awaitable[None]] | None = None
    release: Callable[[str], None] = lambda _: None
    limits: Callable[[RateLimits, int, str | None], Bucket | None] = lambda *_: None


class WireWatch:
    """Watches the requests of one run.

    Args:
        run_id: the run.
        mode: the billing mode.
        attached: the class of the credential that the guard attaches.
        tell: who is told.
        clock: wall time, aware UTC.
    """

    def __init__(
        self,
        run_id: str,
        mode: BillingMode,
        attached: CredentialClass,
        tell: Tell,
        clock: Callable[[], datetime],
    ) -> None:
        self._run_id = run_id
        self.tell = tell
        self.clock = clock
        self._mode = mode
        self._attached = attached
        self._numbers = count(1)
        self._signals: set[Signal] = set()

    def request(self, facts: RequestFacts) -> "WatchedExchange":
        """A request was judged."""
        verdict = facts.verdict
        request = read_request(facts.method, facts.target, facts.headers, facts.body)
        if isinstance(verdict, Refused) and verdict.is_violation:
            self._count(facts)
            self._signal(Signal(Source.WIRE, verdict.presented))
            self.tell.found(_contradiction(verdict, passed=facts.passed))
        elif request.endpoint is not Endpoint.OTHER:
            self._count(facts)
            self._signal(Signal(Source.WIRE, self._came_with(facts)))
        return WatchedExchange(self, next(self._numbers), request)

    def reservation(self, number: int) -> str:
        """The id of what is reserved for a request of the run."""
        return f"{self._run_id}:{number}"

    def limits(self, limits: RateLimits) -> None:
        """Note whose limits an answer was counted against."""
        if limits.overage:
            self._signal(Signal(Source.RATE_LIMIT, OVERAGE))
        value = _LIMITS.get(limits.kind)
        if value is None:
            return
        verdict = self._signal(Signal(Source.RATE_LIMIT, value))
        if verdict is Verdict.CONTRADICTION:
            self.tell.found(
                Contradiction(
                    Reason.CREDENTIAL_CONTRADICTION,
                    f"This run is locked to {self._mode.value} mode, but {_CHARGED[value]}.",
                    "Check whose credential this is; `acp-bridge status` shows the evidence.",
                    f"{Source.RATE_LIMIT}:{value}",
                )
            )

    def _count(self, facts: RequestFacts) -> None:
        went_on = None
        if facts.passed:
            attach = isinstance(facts.verdict, Allowed) and facts.verdict.attach
            went_on = self._attached if attach else facts.verdict.presented
        self.tell.count(facts.verdict.presented, went_on)

    def _came_with(self, facts: RequestFacts) -> str:
        verdict = facts.verdict
        is_placeholder = isinstance(verdict, Allowed) and verdict.attach
        return PLACEHOLDER if is_placeholder else verdict.presented

    def _signal(self, signal: Signal) -> Verdict | None:
        """Tell a signal once. Returns its verdict the first time."""
        if signal in self._signals:
            return None
        self._signals.add(signal)
        evidence = weigh(self._mode, signal, Context(), time.monotonic())
        self.tell.evidence(evidence)
        return evidence.verdict


class WatchedExchange:
    """One request and its answer, read from copies as they pass."""

    def __init__(self, watch: WireWatch, number: int, request: ModelRequest) -> None:
        self._watch = watch
        self._number = number
        self._request = request
        self._began_at = watch.clock()
        self._began = time.monotonic()
        self._first_token: float | None = None
        self._reader: AnswerReader | None = None
        self._reservation: str | None = None
        self._bucket: Bucket | None = None

    async def admit(self) -> None:
        """Wait until the request may be sent."""
        admit = self._watch.tell.admit
        if admit is not None and self._request.endpoint is Endpoint.MESSAGES:
            # Named before it is made: whoever gives up meanwhile gives it back.
            self._reservation = self._watch.reservation(self._number)
            await admit(self._request, self._reservation)
            # What waited for room is sent now: its cost belongs where its reservation does.
            self._began_at = self._watch.clock()
            self._began = time.monotonic()

    def response(self, status: int, headers: HeaderPairs) -> None:
        """The head of the answer."""
        self._reader = AnswerReader(self._request.endpoint, status, headers)
        if self._request.endpoint is Endpoint.MESSAGES:
            self._watch.tell.meter(AnswerBegan(self._reader.request_id))
            limits = read_limits(headers)
            self._watch.limits(limits)
            session_id = self._request.session_id
            self._bucket = self._watch.tell.limits(limits, status, session_id)

    def chunk(self, data: bytes) -> None:
        """The next bytes of the answer's body."""
        reader = self._reader
        if reader is not None:
            reader.feed(data)
            if self._first_token is None and reader.content_begun:
                self._first_token = time.monotonic()

    def end(self, *, complete: bool, sent: bool = True) -> None:
        """The exchange is over."""
        if not sent:
            if self._reservation is not None:
                self._watch.tell.release(self._reservation)
            return
        seen = None if self._reader is None else self._reader.finish(complete=complete)
        first = self._first_token
        self._watch.tell.meter(
            WireExchange(
                number=self._number,
                request=self._request,
                began_at=self._began_at,
                duration_ms=self._since(time.monotonic()),
                ttft_ms=None if first is None else self._since(first),
                answer=seen,
                reservation=self._reservation,
                bucket=self._bucket,
            )
        )

    def _since(self, moment: float) -> int:
        return round((moment - self._began) * _MILLISECONDS)


def _contradiction(verdict: Refused, *, passed: bool) -> Contradiction:
    outcome = "the guard only observes, so it was sent" if passed else "it was not sent"
    return Contradiction(
        Reason.CREDENTIAL_CONTRADICTION,
        f"{verdict.sentence[:1].upper()}{verdict.sentence[1:]}; {outcome}.",
        verdict.hint,
        f"{Source.WIRE}:{verdict.presented}",
    )
