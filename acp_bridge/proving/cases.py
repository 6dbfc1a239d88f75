"""The table: every kind in every scope for every payer, and what each does without the bridge.

A case leaks without the bridge unless a rule below says otherwise, with the reason; the tests of
the leak matrix assert that too, so a mark cannot outlive its truth.

`FULL` is everything; `acp_bridge.proving.selection` says what a proof takes of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from acp_bridge.proving.kinds import Kind
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.scopes import Scope
from acp_bridge.proving.sightings import ANSWERED, Outcome

A, B, C = Payer.KEY, Payer.LOGIN, Payer.ENDPOINT


@dataclass(frozen=True, slots=True)
class Case:
    """One plant.

    Attributes:
        kind: what is planted.
        scope: where.
        payer: who is meant to pay.
        opening: the method that opens the session.
    """

    kind: Kind
    scope: Scope
    payer: Payer
    opening: str = "session/new"

    def __str__(self) -> str:
        return f"{self.plant}, {self.payer}"

    @property
    def plant(self) -> str:
        """The plant in words, without the payer."""
        return f"{self.kind} in {self.where}"

    @property
    def channel(self) -> str:
        """The name of the channel."""
        return self.kind.value

    @property
    def where(self) -> str:
        """The place in words, with the opening if it is not the usual one."""
        return self.scope if self.opening == "session/new" else f"{self.scope}, {self.opening}"

    @property
    def alone(self) -> tuple[Outcome, str]:
        """What happens without the bridge, and why if it does not leak."""
        for rule in _RULES:
            if rule.speaks_of(self):
                return rule.outcome, rule.why
        return Outcome.LEAKED, ""

    @property
    def held_by(self) -> frozenset[Outcome]:
        """The outcomes with which the bridge has held the mode."""
        beside_the_login = self.scope is Scope.STORED and self.payer is B
        return frozenset({Outcome.REFUSED}) if beside_the_login else ANSWERED

    @property
    def proxy_is_the_users(self) -> bool:
        """Whether the planted proxy is one that the user chose: it may carry what the mode asks."""
        return self.kind in _PROXIES and self.scope in _THE_USERS

    @property
    def has_the_one_variable(self) -> bool:
        """Whether the plant has the variable that launchers strip: ANTHROPIC_API_KEY."""
        return self.scope is Scope.ENVIRONMENT and self.kind in _WITH_A_KEY

    @property
    def can_be_stripped(self) -> bool:
        """Whether a launcher may strip it: where a key is meant to pay, that would be the payer."""
        return self.payer not in _WITH_A_KEY_OF_THEIR_OWN


@dataclass(frozen=True, slots=True)
class _Rule:
    """Cases that do not leak without the bridge. Empty sets stand for all."""

    kinds: frozenset[Kind]
    why: str
    scopes: frozenset[Scope] = frozenset(Scope)
    payers: frozenset[Payer] = frozenset(Payer)
    outcome: Outcome = Outcome.HELD

    def speaks_of(self, case: Case) -> bool:
        return case.kind in self.kinds and case.scope in self.scopes and case.payer in self.payers


_PROXIES = frozenset({Kind.PROXY, Kind.LOWER_PROXY, Kind.ALL_PROXY})
_THE_USERS = frozenset({Scope.ENVIRONMENT, Scope.USER, Scope.GLOBAL})
_OF_THE_PROJECT = frozenset({Scope.PROJECT, Scope.LOCAL, Scope.META_SOURCES})
RESTRICTIONS = (Scope.META_MANAGED, Scope.META_MANAGED_FLAG)
"""Places from which Claude Code takes restrictions and no payer."""
_IN_THE_ENVIRONMENT = frozenset({Scope.ENVIRONMENT, Scope.META_ENV})
_FOLDERS = frozenset({Kind.CONFIG_FOLDER, Kind.LOGIN_FOLDER})
_PROFILES = frozenset({Kind.FEDERATION, Kind.PROFILE_FOLDER})
_WITH_A_KEY = frozenset({Kind.API_KEY, Kind.HOST_MANAGED, Kind.HOST_CREDENTIALS_FILE})
_WITH_A_KEY_OF_THEIR_OWN = frozenset({Payer.KEY, Payer.ENDPOINT_KEY})
_WITH_A_CREDENTIAL = frozenset({Payer.KEY, Payer.ENDPOINT, Payer.ENDPOINT_KEY})

_RULES = (
    _Rule(
        frozenset({Kind.CONSOLE_LOGIN}),
        "an API key in the environment takes its place",
        payers=frozenset({A}),
    ),
    _Rule(
        frozenset(Kind) - {Kind.WRONG_TYPE},
        "Claude Code takes only restrictions from managedSettings",
        scopes=frozenset(RESTRICTIONS),
    ),
    _Rule(
        frozenset({Kind.PROGRAM}),
        "the adapter takes the program from its own environment",
        scopes=frozenset(Scope) - {Scope.ENVIRONMENT},
    ),
    _Rule(
        frozenset({Kind.OAUTH_TOKEN}),
        "an API key or a bearer outranks it",
        payers=_WITH_A_CREDENTIAL,
    ),
    _Rule(
        frozenset({Kind.OAUTH_TOKEN}),
        "the stored login was read before the project's settings",
        scopes=_OF_THE_PROJECT,
        payers=frozenset({B}),
    ),
    _Rule(
        frozenset({Kind.HEADERS_REPLACE}),
        "ANTHROPIC_AUTH_TOKEN replaces the header",
        payers=frozenset({C}),
    ),
    _Rule(
        frozenset({Kind.UNIX_SOCKET}),
        "Claude Code takes it from the environment only",
        scopes=frozenset(Scope) - _IN_THE_ENVIRONMENT,
    ),
    _Rule(
        frozenset({Kind.UNIX_SOCKET}),
        "with it the stored login is not used",
        payers=frozenset({B}),
        outcome=Outcome.NO_ANSWER,
    ),
    _Rule(_PROFILES, "an API key or a bearer outranks it", payers=_WITH_A_CREDENTIAL),
    _Rule(
        _PROFILES | _FOLDERS | {Kind.SIMPLE},
        "it was read before the project's settings",
        scopes=_OF_THE_PROJECT,
    ),
    _Rule(
        frozenset({Kind.LOGIN_FOLDER}),
        "an API key or a bearer outranks the login there",
        payers=_WITH_A_CREDENTIAL,
    ),
    _Rule(
        frozenset({Kind.SIMPLE}),
        "only stored logins are ignored",
        payers=frozenset(Payer) - {B},
    ),
    _Rule(
        frozenset({Kind.SIMPLE}),
        "the stored login is ignored",
        outcome=Outcome.NO_ANSWER,
    ),
    _Rule(
        frozenset({Kind.HOST_AUTH_VARIABLE}),
        "the stored login is switched off",
        scopes=_IN_THE_ENVIRONMENT,
        payers=frozenset({B}),
        outcome=Outcome.NO_ANSWER,
    ),
    _Rule(frozenset({Kind.HOST_AUTH_VARIABLE}), "Claude Code does not follow it to any variable"),
    _Rule(
        frozenset({Kind.GATEWAY}),
        "the gateway's address is not taken from the project",
        scopes=_OF_THE_PROJECT,
        payers=frozenset({C}),
    ),
)

_SETTINGS = frozenset(Scope) - {Scope.ENVIRONMENT, Scope.GLOBAL, Scope.META_ENV}
FROM_A_CLIENT = (Scope.META_SETTINGS, Scope.META_SETTINGS_PATH, Scope.META_FLAG)
# These scopes differ from others only in how the settings get there, so a few kinds speak for all.
_A_FEW = frozenset({Kind.API_KEY, Kind.BASE_URL, Kind.BEDROCK, Kind.HELPER})
_SOME = _A_FEW | {
    Kind.AUTH_TOKEN,
    Kind.PROXY,
    Kind.OAUTH_TOKEN,
    Kind.CONFIG_FOLDER,
    Kind.OWN_BLANKED,
}
_KINDS_OF = {
    Scope.META_SETTINGS_PATH: _SOME,
    Scope.META_FLAG: _SOME,
    Scope.META_MANAGED: _A_FEW,
    Scope.META_MANAGED_FLAG: _A_FEW,
    Scope.META_SOURCES: _A_FEW,
    Scope.META_PROGRAM: frozenset({Kind.PROGRAM}),
    Scope.STORED: frozenset({Kind.GATEWAY_SIGN_IN, Kind.CONSOLE_LOGIN}),
    Scope.MANAGED: frozenset[Kind](),  # they are the subject of test_managed_settings
}


_SCOPES_OF = {
    Kind.WRONG_TYPE: frozenset({*FROM_A_CLIENT, *RESTRICTIONS, Scope.USER}),
    Kind.HELPER: _SETTINGS,
    # The user may keep state and login elsewhere.
    Kind.CONFIG_FOLDER: frozenset(Scope) - _THE_USERS,
    Kind.LOGIN_FOLDER: frozenset(Scope) - _THE_USERS,
    Kind.GATEWAY_SIGN_IN: frozenset({Scope.STORED}),
    Kind.CONSOLE_LOGIN: frozenset({Scope.STORED}),
}


def _matters(case: Case) -> bool:
    """Whether a combination exists at all."""
    if case.scope not in _SCOPES_OF.get(case.kind, frozenset(Scope)):
        return False
    if case.kind not in _KINDS_OF.get(case.scope, frozenset(Kind)) | {Kind.WRONG_TYPE}:
        return False
    if case.kind is Kind.OWN_BLANKED:
        return case.payer in _WITH_A_CREDENTIAL
    # In the environment of mode B the token is the user's own way of signing in.
    own = case.kind is Kind.OAUTH_TOKEN and case.scope is Scope.ENVIRONMENT
    return not own or case.payer in _WITH_A_CREDENTIAL


OPENINGS = ("session/load", "session/resume", "session/fork")
MODES = (A, B, C)
"""The usual payer of each billing mode."""


def _all() -> Iterator[Case]:
    for payer in MODES:
        cases = (Case(kind, scope, payer) for scope in Scope for kind in Kind)
        yield from (case for case in cases if _matters(case))
        for opening in OPENINGS:
            for scope in (Scope.META_ENV, *FROM_A_CLIENT):
                for kind in (Kind.BASE_URL, Kind.AUTH_TOKEN):
                    yield Case(kind, scope, payer, opening)
    for payer in (Payer.SETUP_TOKEN, Payer.ENDPOINT_KEY):
        yield Case(Kind.GATEWAY_SIGN_IN, Scope.STORED, payer)
        for scope in (Scope.ENVIRONMENT, Scope.USER, Scope.PROJECT, Scope.META_ENV):
            for kind in (Kind.API_KEY, Kind.AUTH_TOKEN, Kind.HEADERS_ADD, Kind.BASE_URL):
                yield Case(kind, scope, payer)


FULL = tuple(_all())
