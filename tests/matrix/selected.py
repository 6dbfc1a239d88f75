"""What an ordinary test run tries: more than a quick proof, and less than everything.

`FAST` is each kind and each place with each payer for whom they matter, where kinds that differ by
a name only take turns. ``ACP_TEST_PROFILE=full`` runs all of `FULL`.
"""

from collections.abc import Iterator

from acp_bridge.proving.cases import FROM_A_CLIENT, FULL, MODES, OPENINGS, RESTRICTIONS, Case
from acp_bridge.proving.kinds import Kind
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.scopes import Scope
from acp_bridge.proving.selection import first_that_leaks
from tests.matrix.extent import FULL_PROFILE

_OF_A_PROCESS = (Scope.ENVIRONMENT, Scope.USER, Scope.GLOBAL)
_STRONGEST = (Kind.API_KEY, Kind.BASE_URL, Kind.AUTH_TOKEN, Kind.PROXY, Kind.HEADERS_ADD)
# Kinds that differ by a name only take turns with the payers.
_ALIKE = (
    (Kind.BEDROCK, Kind.VERTEX, Kind.FOUNDRY),
    (Kind.ANTHROPIC_AWS, Kind.GOOGLE_CLOUD, Kind.MANTLE),
    (Kind.PROXY, Kind.LOWER_PROXY, Kind.ALL_PROXY),
    (Kind.HOST_CREDENTIALS_FILE, Kind.HOST_AUTH_VARIABLE, Kind.HOST_MANAGED),
)


def _fast() -> Iterator[Case]:
    for turn, payer in enumerate(MODES):
        passed_over = {kinds[i] for kinds in _ALIKE for i in range(3) if i != turn}
        for place, kind in enumerate(kind for kind in Kind if kind not in passed_over):
            yield from first_that_leaks(kind, payer, place + turn)
        for place, scope in enumerate(_OF_A_PROCESS):
            yield Case(_STRONGEST[(2 * turn + place) % len(_STRONGEST)], scope, payer)
        yield Case(Kind.BASE_URL, FROM_A_CLIENT[turn], payer, OPENINGS[turn])
    yield Case(Kind.API_KEY, Scope.ENVIRONMENT, Payer.LOGIN)
    for scope in (*RESTRICTIONS, Scope.META_SOURCES):
        yield Case(Kind.API_KEY, scope, Payer.LOGIN)
    for payer in (*MODES, Payer.SETUP_TOKEN):
        yield Case(Kind.GATEWAY_SIGN_IN, Scope.STORED, payer)
    yield Case(Kind.CONSOLE_LOGIN, Scope.STORED, Payer.LOGIN)
    yield Case(Kind.PROGRAM, Scope.ENVIRONMENT, Payer.LOGIN)
    yield Case(Kind.PROGRAM, Scope.META_PROGRAM, Payer.LOGIN)
    yield Case(Kind.API_KEY, Scope.USER, Payer.SETUP_TOKEN)
    yield Case(Kind.BASE_URL, Scope.ENVIRONMENT, Payer.ENDPOINT_KEY)


FAST = tuple(dict.fromkeys(_fast()))
CASES = FULL if FULL_PROFILE else FAST
