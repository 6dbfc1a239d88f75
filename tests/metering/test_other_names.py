"""A model that answered under another name than it was asked for by is counted once.

Telemetry, and so what is recorded, names the one that answered; raw results and transcripts name
the one that was asked for.
"""

from dataclasses import replace

from acp_bridge.metering.readings import UNNAMED, Reading, Spent, totals_of
from acp_bridge.metering.settlement import Settlement, settle_end, settle_opening
from acp_bridge.metering.usage import Source, State, Tokens, UsageEntry
from tests.metering.totals import NOW, SESSION, books, inputs, reading


def test_a_model_that_answered_under_another_name_is_not_counted_again() -> None:
    renamed = books(reading(), reading(**{"opus-20261001": 100}))

    done = settle_end(renamed, [reading(opus=100)], at=NOW)

    assert (done.entries, done.own) == ([], reading(opus=100))


def test_what_is_missing_of_it_is_settled_under_the_name_asked_for_and_costs_the_difference() -> (
    None
):
    renamed = books(reading(), reading(**{"opus-20261001": 70, "haiku": 5}))

    (entry,) = settle_end(renamed, [reading(opus=100, haiku=5)], at=NOW).entries

    assert (entry.model, entry.tokens, entry.cost_micros) == ("opus", Tokens(input=30), 300)


def test_a_session_that_is_opened_again_goes_on_from_the_name_asked_for() -> None:
    again = books(reading(opus=1000), reading(anybody=20))

    done = settle_end(again, [reading(opus=1050)], at=NOW)

    assert inputs(done.entries, State.SETTLED) == {"opus": 30}
    assert inputs(done.entries, State.OUTSIDE) == {}


def test_a_model_may_answer_as_another_one_that_is_asked_for_too() -> None:
    renamed = books(reading(), reading(opus=60, haiku=45))

    assert settle_end(renamed, [reading(opus=100, haiku=5)], at=NOW).entries == []


def test_of_several_other_names_each_is_held_against_the_model_that_it_fits_best() -> None:
    renamed = books(reading(), reading(one=90, another=30, third=20))

    done = settle_end(renamed, [reading(opus=100, haiku=20, sonnet=45)], at=NOW)

    assert inputs(done.entries, State.SETTLED) == {"opus": 10, "sonnet": 15}


def test_a_name_is_held_against_the_smallest_model_that_holds_it() -> None:
    renamed = books(reading(), reading(one=20))

    done = settle_end(renamed, [reading(opus=100, haiku=20)], at=NOW)

    assert inputs(done.entries, State.SETTLED) == {"opus": 100}


def test_a_name_may_stand_for_several_models() -> None:
    renamed = books(reading(), reading(gateway=110))

    done = settle_end(renamed, [reading(opus=100, haiku=20)], at=NOW)

    assert sum(inputs(done.entries, State.SETTLED).values()) == 10


def test_what_something_else_spent_on_a_model_that_this_run_never_asked_for_is_outside() -> None:
    known, ours, theirs = reading(opus=100), reading(opus=140), reading(opus=140, fable=40)
    renamed = replace(books(known, reading(anybody=40), known), known=[known])

    ended = settle_end(renamed, [ours], at=NOW)
    opened = settle_opening(
        replace(renamed, known=[known, ours]), [known, ours, theirs], at=NOW, ever_known=True
    )

    assert ended.entries == []
    assert inputs(opened.entries, State.OUTSIDE) == {"fable": 40}


def test_the_line_that_names_the_models_as_this_run_does_is_rather_its_own() -> None:
    theirs, ours = reading(opus=100, fable=22), reading(opus=125)

    done = settle_end(books(reading(opus=100), reading(opus=20)), [theirs, ours], at=NOW)

    assert done.own == ours
    assert inputs(done.entries, State.SETTLED) == {"opus": 5}


def test_a_line_that_goes_on_from_the_own_one_is_not_taken_for_it() -> None:
    ours, theirs = reading(opus=20), reading(opus=20, haiku=40)

    done = settle_end(books(reading(), reading(haiku=20)), [ours, theirs], at=NOW)

    assert (done.own, done.entries) == (ours, [])


def test_a_line_that_lacks_what_the_session_began_with_is_not_the_own_one() -> None:
    renamed = books(reading(opus=100), reading(anybody=20))

    assert settle_end(renamed, [reading(haiku=130)], at=NOW).own is None


def test_a_line_that_holds_less_than_the_agent_said_is_not_the_own_one() -> None:
    killed = replace(books(reading(opus=100), reading(anybody=20)), last_result=reading(opus=150))

    done = settle_end(killed, [reading(opus=130)], at=NOW)

    assert done.own is None
    assert inputs(done.entries, State.SETTLED) == {"opus": 30}
    assert inputs(done.entries, State.OUTSIDE) == {"opus": 30}


def test_the_line_of_a_run_that_is_not_settled_is_left_to_it_whatever_its_models_are_called() -> (
    None
):
    theirs = reading(anybody=60)
    mine = replace(books(reading()), others_ended=[(reading().models, theirs.models)])

    assert settle_end(mine, [reading(opus=60)], at=NOW) == Settlement([], [])


def test_what_is_settled_later_in_the_same_run_is_another_entry() -> None:
    first, second = reading(opus=100), reading(opus=130)
    keys = [
        settle_end(books(base, reading(one=recorded)), [line], at=NOW).entries[0].key
        for base, recorded, line in ((reading(), 90, first), (first, 20, second))
    ]

    assert len({*keys}) == len(keys)


def test_a_killed_process_is_settled_by_its_word_also_under_another_name() -> None:
    killed = replace(
        books(reading(opus=100), reading(anybody=20)), last_result=reading(opus=120, haiku=7)
    )

    done = settle_end(killed, [], at=NOW)

    assert inputs(done.entries, State.SETTLED) == {"haiku": 7}


def test_cache_writes_under_another_name_are_set_right_where_they_are_recorded() -> None:
    whole = Reading(SESSION, {"opus": Spent(Tokens(cache_write_5m=30, cache_write_1h=70), 900)})
    known = Reading(SESSION, {"anybody": Spent(Tokens(cache_write_5m=100), 500)})

    (entry,) = settle_end(books(reading(), known), [whole], at=NOW).entries

    assert (entry.model, entry.cost_micros) == ("anybody", 400)
    assert entry.tokens == Tokens(cache_write_5m=-70, cache_write_1h=70)


def test_cache_writes_that_were_recorded_without_a_model_are_set_right_without_one() -> None:
    whole = Reading(SESSION, {"opus": Spent(Tokens(cache_write_1h=70))})
    known = Reading(SESSION, {UNNAMED: Spent(Tokens(cache_write_5m=70))})

    (entry,) = settle_end(books(reading(), known), [whole], at=NOW).entries

    assert (entry.model, entry.cost_micros) == (None, None)
    assert entry.tokens == Tokens(cache_write_5m=-70, cache_write_1h=70)


def test_what_was_recorded_without_a_model_is_not_counted_again() -> None:
    unnamed = UsageEntry(
        key="one",
        run_id="run",
        session_id=SESSION,
        at=NOW,
        source=Source.ACP,
        state=State.LIVE,
        tokens=Tokens(input=80),
    )
    recorded = Reading(SESSION, totals_of([unnamed]))

    done = settle_end(books(reading(), recorded), [reading(opus=100)], at=NOW)

    assert inputs(done.entries, State.SETTLED) == {"opus": 20}
