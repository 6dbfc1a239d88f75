"""Settlement: what a run spent and nobody saw, and what something else spent, each counted once."""

from dataclasses import replace

from acp_bridge.metering.readings import Reading, Spent
from acp_bridge.metering.settlement import (
    Books,
    Settlement,
    lines_since,
    settle_end,
    settle_opening,
    unknown_entries,
)
from acp_bridge.metering.untold import Untold
from acp_bridge.metering.usage import AskedBy, Source, State, Tokens
from tests.metering.totals import NOW, SESSION, books, inputs, reading


def test_what_was_not_seen_live_is_settled() -> None:
    done = settle_end(books(reading(), reading(opus=70)), [reading(opus=100, haiku=5)], at=NOW)

    assert inputs(done.entries, State.SETTLED) == {"opus": 30, "haiku": 5}
    opus = next(entry for entry in done.entries if entry.model == "opus")
    assert (opus.source, opus.cost_micros, opus.requests) == (Source.TRANSCRIPT, 300, None)


def test_what_the_session_held_when_it_was_opened_is_not_this_runs() -> None:
    done = settle_end(books(reading(opus=1000), reading(opus=20)), [reading(opus=1050)], at=NOW)

    assert inputs(done.entries, State.SETTLED) == {"opus": 30}


def test_without_knowing_what_the_session_held_nothing_is_settled() -> None:
    lines = [reading(opus=1000), reading(opus=1050)]

    assert settle_end(books(None, reading(opus=20)), lines, at=NOW) == Settlement([], [])


def test_the_only_line_of_a_transcript_is_a_whole_session() -> None:
    done = settle_end(books(None, reading(opus=20)), [reading(opus=50)], at=NOW)

    assert inputs(done.entries, State.SETTLED) == {"opus": 30}


def test_what_was_spent_between_two_runs_is_outside() -> None:
    known = reading(opus=100)
    lines = [known, reading(opus=140), reading(opus=145)]

    done = settle_opening(books(None, None, known), lines, at=NOW, ever_known=True)

    outside = [e.tokens.input for e in done.entries if e.tokens and e.state is State.OUTSIDE]
    assert outside == [40, 5]
    assert done.accounted == lines[1:]


def test_a_session_that_no_run_ever_had_is_nobodys_outside_spending() -> None:
    old = reading(opus=9_000)

    done = settle_opening(books(None), [old], at=NOW, ever_known=False)

    assert (done.entries, done.accounted) == ([], [old])


def test_two_runs_that_find_the_same_outside_spending_find_the_same_entry() -> None:
    known, line = reading(opus=100), reading(opus=140)
    found = [
        settle_opening(
            Books(run_id=run, session_id=SESSION, known=[known]), [line], at=NOW, ever_known=True
        )
        for run in ("one", "two")
    ]

    assert found[0].entries[0].key == found[1].entries[0].key


def test_a_line_that_another_run_has_accounted_for_is_not_this_runs() -> None:
    theirs, ours = reading(opus=150), reading(opus=160)
    mine = replace(books(reading(opus=100), reading(opus=40)), known=[theirs])

    done = settle_end(mine, [theirs, ours], at=NOW)

    assert (done.own, done.accounted) == (ours, [ours])
    assert inputs(done.entries, State.SETTLED) == {"opus": 20}


def test_the_line_of_a_second_process_beside_this_runs_is_outside() -> None:
    theirs, ours = reading(opus=130), reading(opus=160)

    done = settle_end(books(reading(opus=100), reading(opus=60)), [theirs, ours], at=NOW)

    assert done.own == ours
    assert inputs(done.entries, State.SETTLED) == {}
    assert inputs(done.entries, State.OUTSIDE) == {"opus": 30}


def test_a_killed_process_is_settled_by_what_it_last_said() -> None:
    killed = Books(
        run_id="run",
        session_id=SESSION,
        opened_with=reading(opus=100),
        recorded=reading(opus=10).models,
        last_result=reading(opus=130),
    )

    done = settle_end(killed, [], at=NOW)

    assert inputs(done.entries, State.SETTLED) == {"opus": 20}
    assert {entry.source for entry in done.entries} == {Source.AGENT_RESULT}


def test_cache_writes_that_were_recorded_without_their_lifetime_are_set_right() -> None:
    whole = Reading(SESSION, {"opus": Spent(Tokens(cache_write_5m=30, cache_write_1h=70))})
    known = Reading(SESSION, {"opus": Spent(Tokens(cache_write_5m=100))})

    (entry,) = settle_end(books(reading(), known), [whole], at=NOW).entries

    assert entry.tokens == Tokens(cache_write_5m=-70, cache_write_1h=70)


def test_a_request_that_nobody_told_is_unknown_and_never_zero() -> None:
    untold = Untold(
        ref="ref",
        at=None,
        query_source="agent:custom",
        model="opus",
        agent_id="a1",
        request_id=None,
        detail="cancelled while it was answered",
    )

    (entry,) = unknown_entries("run", SESSION, [untold], at=NOW, known_ids=frozenset())

    assert (entry.state, entry.tokens, entry.cost_micros) == (State.UNKNOWN, None, None)
    assert (entry.asked_by, entry.agent_id, entry.requests) == (AskedBy.SUBAGENT, "a1", 1)


def test_no_more_of_a_transcript_is_read_than_since_the_opening() -> None:
    taken = []

    def newest_first() -> object:
        for line in (reading(opus=3), reading(opus=2), reading(opus=1), reading()):
            taken.append(line)
            yield line

    assert lines_since(newest_first(), reading(opus=1)) == [reading(opus=2), reading(opus=3)]  # type: ignore[arg-type]
    assert len(taken) == 3
