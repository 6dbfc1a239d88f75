"""The book of what each witness tells: sums, totals, news, and bounds."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_bridge.metering.reconciling import Figures, Statement, WitnessBook
from acp_bridge.metering.usage import Source, Tokens

WIRE, ACP = Source.WIRE, Source.ACP
SOME, MORE = Tokens(1, 2, 3, 4, 5), Tokens(10, 20, 30, 40, 50)


def test_what_a_witness_tells_is_added_up() -> None:
    book = WitnessBook()
    book.tell(WIRE, "s", "opus", SOME, cost_micros=7)
    book.tell(WIRE, "s", "opus", MORE, requests=2, cost_micros=8)
    assert book.changed() == [Statement(WIRE, "s", "opus", Figures(SOME + MORE, 3, 15))]


def test_a_total_takes_the_place_of_all_that_was_told_before() -> None:
    book = WitnessBook()
    book.tell(WIRE, "s", "opus", MORE, cost_micros=8)
    book.total(WIRE, "s", "opus", SOME)
    assert book.changed() == [Statement(WIRE, "s", "opus", Figures(SOME, None, None))]
    book.tell(WIRE, "s", "opus", MORE)
    assert book.changed() == [Statement(WIRE, "s", "opus", Figures(SOME + MORE, 1, None))]


def test_what_is_not_told_leaves_a_sum_as_it_is_and_is_not_zero() -> None:
    book = WitnessBook()
    book.tell(ACP, "s", "opus", SOME, requests=None)
    assert book.changed()[0].figures == Figures(SOME, None, None)
    book.tell(ACP, "s", "opus", SOME, requests=2, cost_micros=9)
    book.tell(ACP, "s", "opus", SOME, requests=None)
    assert book.changed()[0].figures == Figures(SOME + SOME + SOME, 2, 9)


def test_witnesses_sessions_and_models_are_kept_apart() -> None:
    book = WitnessBook()
    places = [(source, of, model) for source in (WIRE, ACP) for of in "ab" for model in "mn"]
    for place in places:
        book.tell(*place, SOME)
    assert book.changed() == [Statement(*place, Figures(SOME, 1)) for place in places]


def test_a_session_or_a_model_without_a_name_is_kept_under_the_empty_one() -> None:
    book = WitnessBook()
    book.tell(ACP, None, None, SOME)
    book.tell(ACP, "", "", SOME)
    assert book.changed() == [Statement(ACP, "", "", Figures(SOME + SOME, 2))]


def test_news_are_told_once_and_what_says_the_same_again_is_none() -> None:
    book = WitnessBook()
    assert book.changed() == []
    book.total(ACP, "s", "opus", Tokens())
    assert book.changed() == [Statement(ACP, "s", "opus", Figures())]
    assert book.changed() == []
    book.total(ACP, "s", "opus", Tokens())
    assert book.changed() == []
    book.total(ACP, "s", "opus", Tokens(), requests=0)
    assert book.changed() == [Statement(ACP, "s", "opus", Figures(Tokens(), 0))]


def test_the_session_told_of_longest_ago_makes_room_for_a_new_one() -> None:
    book = WitnessBook(most_sessions=2)
    for session_id in ("a", "b", "a", "c"):
        book.tell(WIRE, session_id, "opus", SOME)
    assert [one.session_id for one in book.changed()] == ["a", "c"]
    assert book.lost == 1
    book.tell(WIRE, "a", "opus", SOME)
    book.tell(WIRE, "b", "opus", SOME)
    assert book.changed() == [
        Statement(WIRE, "a", "opus", Figures(SOME + SOME + SOME, 3)),
        Statement(WIRE, "b", "opus", Figures(SOME, 1)),
    ]
    assert book.lost == 2


def test_a_session_has_room_for_so_many_figures_and_those_it_has_go_on_growing() -> None:
    book = WitnessBook(most_figures=2)
    for model in ("opus", "haiku", "made-up-1", "opus"):
        book.tell(WIRE, "s", model, SOME)
    book.total(WIRE, "s", "made-up-2", SOME)
    assert [(one.model, one.figures.requests) for one in book.changed()] == [
        ("opus", 2),
        ("haiku", 1),
    ]
    assert book.lost == 2


@pytest.mark.parametrize("names_of", ["session", "model"])
def test_its_memory_does_not_grow_with_the_names_it_is_told(names_of: str) -> None:
    book = WitnessBook(most_sessions=10, most_figures=10)
    for number in range(1000):
        name = f"{names_of}-{number}"
        place = (name, "opus") if names_of == "session" else ("s", name)
        book.tell(WIRE, *place, SOME)
    assert len(book.changed()) == 10
    assert sum(map(len, book._sessions.values())) == 10
    assert book.lost == 990


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that a witness says; ``news`` asks what has changed."""

    source: Source
    session_id: str | None
    model: str | None
    tokens: Tokens
    requests: int | None
    cost_micros: int | None
    is_total: bool
    news: bool

    @property
    def place(self) -> tuple[Source, str, str]:
        return self.source, self.session_id or "", self.model or ""


COUNT = st.integers(0, 1000)
SAID = st.builds(
    Said,
    st.sampled_from(Source),
    st.sampled_from(["a", "b", "c", None]),
    st.sampled_from(["opus", "haiku", None]),
    st.builds(Tokens, COUNT, COUNT, COUNT, COUNT, COUNT),
    st.none() | COUNT,
    st.none() | COUNT,
    is_total=st.booleans(),
    news=st.booleans(),
)


def say(book: WitnessBook, said: Said) -> None:
    tell = book.total if said.is_total else book.tell
    tell(
        said.source,
        said.session_id,
        said.model,
        said.tokens,
        requests=said.requests,
        cost_micros=said.cost_micros,
    )


def recounted(history: list[Said]) -> dict[tuple[Source, str, str], Figures]:
    """What the book must say, each place by itself and from its last total on."""
    found = {}
    for place in {said.place for said in history}:
        own = [said for said in history if said.place == place]
        first = max((number for number, said in enumerate(own) if said.is_total), default=0)
        own = own[first:]
        requests = [said.requests for said in own if said.requests is not None]
        costs = [said.cost_micros for said in own if said.cost_micros is not None]
        counts = zip(*(said.tokens.counts for said in own), strict=True)
        found[place] = Figures(
            Tokens(*map(sum, counts)),
            sum(requests) if requests else None,
            sum(costs) if costs else None,
        )
    return found


@given(st.lists(SAID, max_size=40))
def test_whoever_takes_the_news_whenever_he_likes_knows_what_each_witness_said(
    history: list[Said],
) -> None:
    book = WitnessBook()
    known: dict[tuple[Source, str, str], Figures] = {}
    for said in [*history, None]:
        if said is not None:
            say(book, said)
        if said is None or said.news:
            news = book.changed()
            assert len({one[:3] for one in news}) == len(news)
            known |= {one[:3]: one.figures for one in news}
    assert known == recounted(history)
    assert book.lost == 0


@given(st.lists(SAID, max_size=60), st.integers(1, 3), st.integers(1, 4))
def test_within_its_bounds_it_says_of_what_it_holds_what_it_was_told_since_it_holds_it(
    history: list[Said], most_sessions: int, most_figures: int
) -> None:
    book = WitnessBook(most_sessions=most_sessions, most_figures=most_figures)
    for said in history:
        say(book, said)
        assert len(book._sessions) <= most_sessions
        assert all(len(of) <= most_figures for of in book._sessions.values())
    news = book.changed()
    assert len(news) <= most_sessions * most_figures
    if not book.lost:
        assert {one[:3]: one.figures for one in news} == recounted(history)


@given(st.lists(SAID, max_size=20))
def test_the_order_in_which_sums_are_told_does_not_matter(history: list[Said]) -> None:
    sums = [replace(said, is_total=False) for said in history]
    one, other = WitnessBook(), WitnessBook()
    for said in sums:
        say(one, said)
    for said in reversed(sums):
        say(other, said)
    assert set(one.changed()) == set(other.changed())
