"""What each witness says, kept side by side: sums that grow, and totals that are told anew.

Nothing here decides what counts. A witness is a `Source`; what it tells of a session and model is
added up, or replaced where it tells totals, and is never mixed with what another one tells.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from acp_bridge.metering.usage import Source, Tokens

MOST_SESSIONS = 1000
"""Sessions that a book holds."""

MOST_FIGURES = 200
"""Figures that a book holds of one session: five witnesses, and forty models."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one witness says of one session and model.

    Attributes:
        tokens: in all.
        requests: API requests in it; None if it told the number of none of them.
        cost_micros: millionths of a US dollar; None if it told no cost.
    """

    tokens: Tokens = field(default_factory=Tokens)
    requests: int | None = None
    cost_micros: int | None = None

    def __add__(self, other: "Figures") -> "Figures":
        """Both together; what one of them does not tell leaves the other's as it is."""
        return Figures(
            self.tokens + other.tokens,
            _sum(self.requests, other.requests),
            _sum(self.cost_micros, other.cost_micros),
        )


class Statement(NamedTuple):
    """What a witness says by now; session and model are empty where it named none."""

    source: Source
    session_id: str
    model: str
    figures: Figures


class WitnessBook:
    """What the witnesses of one run have told, within bounds of memory.

    Where too many sessions are told of, the one that was told of longest ago is dropped; should it
    be told of again, it begins anew.

    Args:
        most_sessions: how many sessions it holds.
        most_figures: how many witnesses times models of each.

    Attributes:
        lost: how often something was given up: a session that was dropped, or a figure of one more
            model than a session may have.
    """

    def __init__(
        self, *, most_sessions: int = MOST_SESSIONS, most_figures: int = MOST_FIGURES
    ) -> None:
        self.lost = 0
        self._most_sessions = most_sessions
        self._most_figures = most_figures
        self._sessions: OrderedDict[str, dict[tuple[Source, str], Figures]] = OrderedDict()
        self._changed: dict[tuple[str, Source, str], None] = {}

    def tell(  # noqa: PLR0913 - who, of what, and what: each has its place
        self,
        source: Source,
        session_id: str | None,
        model: str | None,
        tokens: Tokens,
        *,
        requests: int | None = 1,
        cost_micros: int | None = None,
    ) -> None:
        """A witness tells of something further: it is added.

        Args:
            source: the witness.
            session_id: Claude Code's session; None if it named none.
            model: None if it named none.
            tokens: of what it tells.
            requests: API requests in it; None if it does not tell.
            cost_micros: millionths of a US dollar; None if it does not tell.
        """
        told = self._told_of(session_id or "").get((source, model or ""))
        further = Figures(tokens, requests, cost_micros)
        self._put(source, session_id, model, further if told is None else told + further)

    def total(  # noqa: PLR0913 - as above
        self,
        source: Source,
        session_id: str | None,
        model: str | None,
        tokens: Tokens,
        *,
        requests: int | None = None,
        cost_micros: int | None = None,
    ) -> None:
        """A witness tells a total: it takes the place of whatever it told before.

        Args:
            source: the witness.
            session_id: Claude Code's session; None if it named none.
            model: None if it named none.
            tokens: all of this run, without what the session had before.
            requests: API requests in it; None if it does not tell.
            cost_micros: millionths of a US dollar; None if it does not tell.
        """
        self._put(source, session_id, model, Figures(tokens, requests, cost_micros))

    def changed(self) -> list[Statement]:
        """What has changed since this was last asked, in the order of its first change."""
        found = [
            Statement(source, session_id, model, self._sessions[session_id][source, model])
            for session_id, source, model in self._changed
        ]
        self._changed.clear()
        return found

    def _told_of(self, session_id: str) -> dict[tuple[Source, str], Figures]:
        return self._sessions.get(session_id, {})

    def _put(
        self, source: Source, session_id: str | None, model: str | None, figures: Figures
    ) -> None:
        session_id, model = session_id or "", model or ""
        of_session = self._sessions.setdefault(session_id, {})
        self._sessions.move_to_end(session_id)
        if len(self._sessions) > self._most_sessions:
            self._drop_oldest()
        present = of_session.get((source, model))
        if present == figures:
            return
        if present is None and len(of_session) >= self._most_figures:
            self.lost += 1
            return
        of_session[source, model] = figures
        self._changed[session_id, source, model] = None

    def _drop_oldest(self) -> None:
        session_id, of_session = self._sessions.popitem(last=False)
        for source, model in of_session:
            self._changed.pop((session_id, source, model), None)
        self.lost += 1


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other
