"""What the wire makes of other witnesses' entries: known, apart, or proof of a bypass."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from acp_bridge.metering.usage import Source, State, Tokens, UsageEntry
from acp_bridge.metering.wire_books import Weight, WireBooks

TOKENS = Tokens(input=10, output=5, cache_read=100, cache_write_5m=7)
OWN = ["session"]


def entry(source: Source, **changes: object) -> UsageEntry:
    told = UsageEntry(
        key="k",
        run_id="run",
        session_id="session",
        at=datetime(2026, 11, 25, tzinfo=UTC),
        source=source,
        state=State.LIVE,
        model="m",
        tokens=TOKENS,
    )
    return replace(told, **changes)  # type: ignore[arg-type]


def wired(*entries: UsageEntry, ids: tuple[str, ...] = ()) -> WireBooks:
    books = WireBooks()
    for request_id in ids:
        books.answered(request_id)
    books.saw(entries)
    return books


def test_a_request_whose_answer_began_on_the_wire_is_known_before_it_has_ended() -> None:
    books = wired(ids=("req_1",))

    assert books.weigh(entry(Source.TELEMETRY, request_id="req_1"), OWN) is Weight.KNOWN


def test_a_request_with_an_id_that_the_wire_did_not_see_went_round_the_guard() -> None:
    books = wired(entry(Source.WIRE), ids=("req_1",))

    assert books.weigh(entry(Source.TELEMETRY, request_id="req_2"), OWN) is Weight.BYPASSED


@pytest.mark.parametrize("source", [Source.TELEMETRY, Source.AGENT_RESULT, Source.TRANSCRIPT])
def test_without_an_id_the_input_of_all_that_was_told_decides(source: Source) -> None:
    books = wired(entry(Source.WIRE))
    estimate = entry(source, tokens=replace(TOKENS, output=500))

    assert books.weigh(estimate, OWN) is Weight.KNOWN
    assert books.weigh(entry(source, tokens=Tokens(input=1)), OWN) is Weight.BYPASSED


def test_sessions_that_are_one_for_the_client_are_weighed_together() -> None:
    books = wired(entry(Source.WIRE, session_id="before /clear"))
    told = entry(Source.TRANSCRIPT)

    assert books.weigh(told, ["session", "before /clear"]) is Weight.KNOWN


def test_another_sessions_wire_is_no_excuse() -> None:
    books = wired(entry(Source.WIRE, session_id="other"))

    assert books.weigh(entry(Source.TRANSCRIPT), OWN) is Weight.BYPASSED


def test_what_was_spent_outside_and_what_the_wire_itself_tells_stay_apart() -> None:
    books = wired()

    assert books.weigh(entry(Source.TRANSCRIPT, state=State.OUTSIDE), OWN) is Weight.APART
    assert books.weigh(entry(Source.WIRE), OWN) is Weight.APART


def test_a_request_that_may_have_been_made_is_known_to_the_wire_if_it_was() -> None:
    guess = entry(Source.TELEMETRY, state=State.UNKNOWN, tokens=None)

    assert wired().weigh(guess, OWN) is Weight.KNOWN
    named = replace(guess, request_id="req_9")
    assert wired(ids=("req_9",)).weigh(named, OWN) is Weight.KNOWN
    # Of another process on the same session: no proof that something went round the guard.
    assert wired().weigh(named, OWN) is Weight.APART
