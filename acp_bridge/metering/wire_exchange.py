"""One exchange with the provider as the wire showed it, and the entries that come of it."""

from dataclasses import dataclass, replace
from datetime import datetime

from acp_bridge.metering.prices import Prices, Terms
from acp_bridge.metering.usage import Source, State, UsageEntry
from acp_bridge.metering.wire_answer import AnswerKind, SeenAnswer
from acp_bridge.metering.wire_request import Endpoint, ModelRequest
from acp_bridge.metering.wire_usage import SideUsage
from acp_bridge.modes import Bucket

_ERROR = 400


@dataclass(frozen=True, slots=True)
class AnswerBegan:
    """The head of an answer came: whatever else tells of this request tells of one that was seen.

    Attributes:
        request_id: the provider's; None if it names none.
    """

    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireExchange:
    """A request that went to the provider, and what came of it.

    Attributes:
        number: which of the run's requests it was.
        request: what it told of itself.
        began_at: when it came. Aware UTC.
        duration_ms: until the end of the answer.
        ttft_ms: until the first piece of content; None if there was none.
        answer: what was seen of the answer; None if none came.
        reservation: what was reserved for it, by its id; None if nothing was.
        bucket: what its rate limits say was charged; None where they are not looked at.
    """

    number: int
    request: ModelRequest
    began_at: datetime
    duration_ms: int
    ttft_ms: int | None
    answer: SeenAnswer | None
    reservation: str | None = None
    bucket: Bucket | None = None


def entries_of(
    run_id: str,
    exchange: WireExchange,
    *,
    turn: int | None,
    prices: Prices | None = None,
) -> list[UsageEntry]:
    """What the ledger keeps of an exchange that cost something.

    One entry, and one for each sampling that its own tokens leave out. An answer that was cut off
    is counted with what it had told by then. One that had told nothing is unknown; one that is an
    error costs nothing.

    Args:
        run_id: the run.
        exchange: what was seen.
        turn: the prompt turn that it belongs to.
        prices: the price list; None leaves the cost unknown.
    """
    request, answer = exchange.request, exchange.answer
    if request.endpoint is not Endpoint.MESSAGES or not _costs(answer):
        return []
    tokens = answer.tokens if answer else None
    own = UsageEntry(
        key=f"wire:{run_id}:{exchange.number}",
        run_id=run_id,
        session_id=request.session_id,
        at=exchange.began_at,
        source=Source.WIRE,
        state=State.UNKNOWN if tokens is None else State.LIVE,
        asked_by=request.asked_by,
        model=(answer.model if answer else None) or request.model,
        tokens=tokens,
        turn=turn,
        agent_id=request.agent_id,
        request_id=answer.request_id if answer else None,
        duration_ms=exchange.duration_ms,
        ttft_ms=exchange.ttft_ms,
        detail=_detail(answer),
        bucket=exchange.bucket,
    )
    side = (answer.side_usage if answer else None) or ()
    beside = [_beside(own, one, place) for place, one in enumerate(side, 1)]
    return [_priced(one, answer, prices, request.model) for one in (own, *beside)]


def _priced(
    entry: UsageEntry, answer: SeenAnswer | None, prices: Prices | None, asked: str | None
) -> UsageEntry:
    if prices is None or answer is None or entry.tokens is None:
        return entry
    terms = Terms(
        speed=answer.speed,
        service_tier=answer.service_tier,
        inference_geo=answer.inference_geo,
        # What the server's tools did is told once, with the request's own tokens.
        server_tools=dict(answer.server_tools or ()) if entry.requests else {},
    )
    cost = prices.cost_micros(entry.model, entry.tokens, entry.at, **terms)
    if cost is None and prices.also_as_asked:
        cost = prices.cost_micros(asked, entry.tokens, entry.at, **terms)
    return replace(entry, cost_micros=cost)


def _beside(own: UsageEntry, side: SideUsage, place: int) -> UsageEntry:
    return replace(
        own,
        key=f"{own.key}:{place}",
        state=State.UNKNOWN if side.tokens is None else State.LIVE,
        model=side.model or own.model,
        tokens=side.tokens,
        requests=0,
        detail=f"{side.kind} within a request",
    )


def _costs(answer: SeenAnswer | None) -> bool:
    if answer is None:
        return True
    return answer.kind is AnswerKind.MESSAGE or (
        answer.kind is AnswerKind.OTHER and answer.status < _ERROR
    )


def _detail(answer: SeenAnswer | None) -> str | None:
    if answer is None or (answer.tokens is None and not answer.unread):
        return "it was cut off before the provider told its usage"
    if answer.unread:
        return f"its answer could not be read: {answer.unread}"
    return None if answer.complete else "it was cut off; counted is what was told by then"
