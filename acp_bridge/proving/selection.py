"""Which cases a proof tries.

*Quick* is one case a kind: every kind of channel once, in a place where it moves the payer (or, if
it never does, stops the session) without the bridge; modes and places take turns. Then the places
that belong to a process, and a session that is opened again, once each. *Full* is every kind in
every place in every mode. Both have what only the wire guard holds, once in each mode in which it
is in ``enforce``.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import TypeVar

from acp_bridge.modes import BillingMode
from acp_bridge.proving.cases import FULL, MODES, Case
from acp_bridge.proving.kinds import Kind
from acp_bridge.proving.messages import LEAKING, Said
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.scopes import Scope
from acp_bridge.proving.shell import Deed, FromTheShell
from acp_bridge.proving.sightings import Outcome
from acp_bridge.proving.trial import Trial


class Profile(StrEnum):
    """How much is tried."""

    QUICK = "quick"
    FULL = "full"


IN_TURN = (
    Scope.PROJECT,
    Scope.META_ENV,
    Scope.LOCAL,
    Scope.META_SETTINGS,
    Scope.META_FLAG,
    Scope.META_SETTINGS_PATH,
)
"""Places in which sessions of one process can differ, so that a case costs no start of its own."""

_OF_A_PROCESS = (
    (Kind.API_KEY, Scope.ENVIRONMENT),
    (Kind.BASE_URL, Scope.USER),
    (Kind.AUTH_TOKEN, Scope.GLOBAL),
    (Kind.PROGRAM, Scope.ENVIRONMENT),
)
_T = TypeVar("_T")
_EVERYTHING = frozenset(FULL)
_FIRST = (Payer.LOGIN, Payer.ENDPOINT, Payer.KEY)

GUARDED = frozenset({BillingMode.API_KEY, BillingMode.ENDPOINT})
"""The modes in which the wire guard is in ``enforce`` unless the user asks for something else."""
_IN_CUSTODY = GUARDED
"""The modes whose credential the guard attaches; a login is where Claude Code itself stores it."""


def select(
    profile: Profile,
    modes: Iterable[BillingMode],
    only: Sequence[str] = (),
    *,
    guarded: Collection[BillingMode] = GUARDED,
    is_told_only: bool = False,
) -> tuple[Trial, ...]:
    """The cases of a proof, by mode.

    Args:
        profile: how much.
        modes: the billing modes to prove.
        only: parts of channel names, in any case; a channel is tried if one of them is in its name.
            None given means every channel.
        guarded: the modes in which the wire guard is in ``enforce``.
        is_told_only: see `acp_bridge.proving.shell.FromTheShell`.
    """
    wanted = frozenset(modes)
    payers = [payer for payer in _FIRST if payer.terms.mode in wanted]
    planted = _quick(payers) if profile is Profile.QUICK else _full(wanted)
    found = (*planted, *_from_the_shell(wanted & frozenset(guarded), is_told_only=is_told_only))
    parts = [part.lower() for part in only]
    named = (
        trial
        for trial in dict.fromkeys(found)
        if not parts or any(part in trial.channel.lower() for part in parts)
    )
    return tuple(sorted(named, key=lambda trial: list(Payer).index(trial.payer)))


def _full(modes: frozenset[BillingMode]) -> Iterator[Trial]:
    yield from (case for case in FULL if case.payer.terms.mode in modes)
    yield from (
        Said(message, payer) for payer in MODES for message in LEAKING if payer.terms.mode in modes
    )


def _from_the_shell(modes: frozenset[BillingMode], *, is_told_only: bool) -> Iterator[Trial]:
    """What only the wire guard holds."""
    for payer in MODES:
        mode = payer.terms.mode
        if mode in modes:
            yield FromTheShell(Deed.OTHER_KEY, payer, is_told_only)
        if mode in modes & _IN_CUSTODY:
            yield FromTheShell(Deed.SEARCH, payer, is_told_only)


def _quick(payers: Sequence[Payer]) -> Iterator[Trial]:
    for turn, kind in enumerate(Kind):
        cases = [
            case for payer in _from(payers, turn) for case in first_that_leaks(kind, payer, turn)
        ]
        yield from sorted(cases, key=_does_not_leak)[:1]
    for turn, (kind, scope) in enumerate(_OF_A_PROCESS):
        yield Case(kind, scope, _from(payers, turn)[0])
    for kind in (Kind.GATEWAY_SIGN_IN, Kind.CONSOLE_LOGIN):
        stored = (Case(kind, Scope.STORED, payer) for payer in payers)
        yield from [case for case in stored if case.alone[0] is not Outcome.HELD][:1]
    yield Case(Kind.BASE_URL, Scope.META_ENV, payers[0], "session/resume")
    for turn, message in enumerate(LEAKING):
        yield Said(message, _from(payers, turn)[0])


def first_that_leaks(kind: Kind, payer: Payer, start: int) -> list[Case]:
    """A case of a kind, in the first place of `IN_TURN` in which it does anything; or none.

    Args:
        kind: what is planted.
        payer: who is meant to pay.
        start: the number of the place to begin with, however large.
    """
    cases = (Case(kind, scope, payer) for scope in _from(IN_TURN, start))
    return [case for case in cases if case in _EVERYTHING and case.alone[0] is not Outcome.HELD][:1]


def _does_not_leak(case: Case) -> bool:
    return case.alone[0] is not Outcome.LEAKED


def _from(items: Sequence[_T], start: int) -> list[_T]:
    """The items in turn, beginning with a later one."""
    first = start % len(items)
    return [*items[first:], *items[:first]]
