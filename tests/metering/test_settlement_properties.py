"""A ledger, a transcript and processes that come and go: everything is counted once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.metering.readings import NOTHING, Reading, Spent, add, totals_of
from acp_bridge.metering.settlement import Books, Settlement, settle_end, settle_opening
from acp_bridge.metering.usage import Source, State, Tokens, UsageEntry, total
from tests.metering.totals import NOW, SESSION


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
        entries = self.of(State.LIVE, State.SETTLED)
        return tokens_of(totals_of(entry for entry in entries if entry.run_id == run_id))


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
    """Whatever names the models answer under: then it is in all what was spent."""
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

    for run_id, spent in expected.items():
        counted = world.spent_by(run_id)
        assert total(counted.values()) == total(spent.values())
        if not names:
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

    counted = Reading(SESSION, totals_of(world.ledger.values()))
    assert counted.size <= Reading(SESSION, truth).size
    if not names:
        assert Reading(SESSION, truth).covers(counted.models)
