"""Settlement: what a run spent and nobody saw, and what something else spent, each counted once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.metering.readings import NOTHING, Reading, Spent, add, totals_of
from acp_bridge.metering.settlement import (
    Books,
    Settlement,
    lines_since,
    settle_end,
    settle_opening,
    unknown_entries,
)
from acp_bridge.metering.untold import Untold
from acp_bridge.metering.usage import AskedBy, Source, State, Tokens, UsageEntry, total

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SESSION = "a-session"


def reading(**models: int) -> Reading:
    """Totals with that much input, and ten micro-dollars a token."""
    return Reading(SESSION, {m: Spent(Tokens(input=n), n * 10) for m, n in models.items()})


def books(opened_with: Reading | None, recorded: Reading | None = None, *known: Reading) -> Books:
    return Books(
        run_id="run",
        session_id=SESSION,
        opened_with=opened_with,
        recorded=recorded.models if recorded else {},
        known=known,
    )


def inputs(entries: Sequence[UsageEntry], state: State) -> dict[str | None, int]:
    return {e.model: e.tokens.input for e in entries if e.state is state and e.tokens}


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


# A model that answered under another name than it was asked for by: telemetry, and so what is
# recorded, names the one; raw results and transcripts name the other.


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


# A ledger, a transcript and processes that come and go.


@dataclass(frozen=True, slots=True)
class Request:
    model: str
    tokens: Tokens
    seen: bool


def spending(requests: Sequence[Request]) -> dict[str, Spent]:
    found: dict[str, Spent] = {}
    for one in requests:
        found[one.model] = found.get(one.model, NOTHING) + Spent(one.tokens)
    return found


@dataclass(slots=True)
class World:
    """One session's transcript, and the ledger of all bridges.

    Attributes:
        names: the name by which telemetry tells a model, where it is not the one asked for.
    """

    lines: list[Reading] = field(default_factory=list)
    ledger: dict[str, UsageEntry] = field(default_factory=dict)
    known: list[Reading] = field(default_factory=list)
    ever_known: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    unsettled: list["Run"] = field(default_factory=list)

    def last(self) -> Reading:
        return self.lines[-1] if self.lines else Reading(SESSION)

    def keep(self, done: Settlement) -> None:
        self.known += done.accounted
        for entry in done.entries:
            self.ledger.setdefault(entry.key, entry)

    def write(self, base: Reading, requests: Sequence[Request]) -> None:
        self.lines.append(Reading(SESSION, add(base.models, spending(requests))))

    def of(self, *states: State) -> list[UsageEntry]:
        return [entry for entry in self.ledger.values() if entry.state in states]

    def spent_by(self, run_id: str) -> dict[str, Tokens]:
        """What the ledger holds of a run, by the name asked for."""
        asked = {answered: asked for asked, answered in self.names.items()}
        entries = self.of(State.LIVE, State.SETTLED)
        return tokens_of(
            totals_of(
                replace(entry, model=asked.get(entry.model or "", entry.model))
                for entry in entries
                if entry.run_id == run_id
            )
        )


def tokens_of(totals: dict[str, Spent]) -> dict[str, Tokens]:
    return {model: spent.tokens for model, spent in totals.items() if spent.tokens}


@dataclass(slots=True)
class Run:
    """A bridge that has the session open."""

    run_id: str
    world: World
    base: Reading = field(default_factory=lambda: Reading(SESSION))
    recorded: dict[str, Spent] = field(default_factory=dict)
    ended: bool = False
    offset: int = 0
    last_result: Reading | None = None

    def open(self) -> None:
        found = settle_opening(
            self.books(), self.world.lines, at=NOW, ever_known=self.world.ever_known
        )
        self.world.keep(found)
        self.world.ever_known = True
        self.base = self.world.last()
        self.offset = len(self.world.lines)
        self.world.unsettled.append(self)

    def spend(self, requests: Sequence[Request]) -> None:
        for number, one in enumerate(requests):
            if one.seen:
                entry = UsageEntry(
                    key=f"{self.run_id}:{number}",
                    run_id=self.run_id,
                    session_id=SESSION,
                    at=NOW,
                    source=Source.TELEMETRY,
                    state=State.LIVE,
                    model=self.world.names.get(one.model, one.model),
                    tokens=one.tokens,
                )
                self.world.ledger[entry.key] = entry
        self.recorded = totals_of(
            entry for entry in self.world.of(State.LIVE) if entry.run_id == self.run_id
        )

    def settle(self) -> None:
        self.ended = True
        self.world.unsettled = [run for run in self.world.unsettled if run is not self]
        lines = self.world.lines
        before, written = lines[: self.offset], lines[self.offset :]
        self.world.keep(settle_end(self.books(), written, at=NOW, before=before))
        self.recorded = totals_of(
            e
            for e in self.world.ledger.values()
            if e.run_id == self.run_id and e.state is not State.OUTSIDE
        )

    def books(self) -> Books:
        others = [other for other in self.world.unsettled if other is not self]
        return Books(
            run_id=self.run_id,
            session_id=SESSION,
            opened_with=self.base,
            recorded=self.recorded,
            last_result=self.last_result,
            known=self.world.known,
            others_open=any(not other.ended for other in others),
            others_ended=[
                (o.base.models, add(o.base.models, o.recorded)) for o in others if o.ended
            ],
        )


counts = st.integers(0, 500)
requests = st.lists(
    st.builds(
        Request,
        st.sampled_from(["opus", "haiku"]),
        st.builds(Tokens, st.integers(1, 500), counts, counts, counts, counts),
        st.booleans(),
    ),
    max_size=4,
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["run", "killed", "killed after a result", "outside", "both"]),
        requests,
        requests,
    ),
    max_size=6,
)
Steps = list[tuple[str, list[Request], list[Request]]]
names = st.dictionaries(
    st.sampled_from(["opus", "haiku"]),
    st.sampled_from(["opus", "haiku", "opus-20261001", "anybody", ""]),
)


@given(steps, names)
def test_the_ledger_holds_what_was_spent_but_for_what_no_source_saw(
    steps: Steps, names: dict[str, str]
) -> None:
    """Whatever names the models answer under; one new name at most can be told from the others."""
    world = World(names=names)
    expected: dict[str, dict[str, Tokens]] = {}
    outside: dict[str, Spent] = {}
    for number, (kind, asked, also) in enumerate(steps):
        if kind == "outside":
            if world.ever_known:
                outside = add(outside, spending(asked))
            world.write(world.last(), asked)
            continue
        run, other = Run(f"run {number}", world), Run(f"other {number}", world)
        run.open()
        run.spend(asked)
        if kind == "both":
            other.open()
            other.spend(also)
            world.write(other.base, also)
            other.settle()
            expected[other.run_id] = tokens_of(spending(also))
        if kind == "killed after a result":
            run.last_result = Reading(SESSION, add(run.base.models, spending(asked)))
            expected[run.run_id] = tokens_of(spending(asked))
        elif kind == "killed":
            expected[run.run_id] = tokens_of(spending([one for one in asked if one.seen]))
        else:
            world.write(run.base, asked)
            expected[run.run_id] = tokens_of(spending(asked))
        run.settle()
        before = dict(world.ledger)
        run.settle()  # twice adds nothing
        assert world.ledger == before
    last = Run("last", world)
    last.open()

    can_be_told = len(names) <= 1 and not {*names.values()} & {"opus", "haiku"}
    for run_id, spent in expected.items():
        counted = world.spent_by(run_id)
        assert total(counted.values()) == total(spent.values())
        if can_be_told:
            assert counted == spent
    if any(kind == "both" for kind, _, _ in steps):  # then a line may be taken for another's heir
        found = Reading(SESSION, totals_of(world.of(State.OUTSIDE)))
        assert found.size <= Reading(SESSION, outside).size
    else:
        assert tokens_of(totals_of(world.of(State.OUTSIDE))) == tokens_of(outside)


@given(st.lists(st.tuples(requests, st.booleans()), min_size=2, max_size=4), st.randoms(), names)
def test_processes_side_by_side_are_never_counted_twice(
    processes: list[tuple[list[Request], bool]], order: object, names: dict[str, str]
) -> None:
    """Bridges (True) and others, all on one session at once, that end and settle in any order."""
    world, runs = World(names=names), []
    truth: dict[str, Spent] = {}
    for number, (asked, bridge) in enumerate(processes):
        truth = add(truth, spending(asked))
        run = Run(f"run {number}", world)
        if bridge:
            run.open()
            run.spend(asked)
            runs.append(run)
        world.write(run.base, asked)
    for run in runs:
        run.ended = True
    order.shuffle(runs)  # type: ignore[attr-defined]
    for run in runs:
        run.settle()

    counted = totals_of(world.ledger.values())
    assert Reading(SESSION, truth).holds(counted)
    if not names:
        assert Reading(SESSION, truth).covers(counted)
