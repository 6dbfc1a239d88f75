"""What endpoints, proxies, the client and the agent's shell saw of one turn: whether it held."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from acp_bridge.loopback.seen import SeenRequest
from acp_bridge.modes import CredentialClass
from acp_bridge.protocol.names import Code
from acp_bridge.proving.payers import Payer

_NOT_A_MODEL_REQUEST = ("HEAD", "/")


class Outcome(StrEnum):
    """What became of a turn."""

    HELD = "held"
    """Answered, and only the mode's own credential was seen, only where it belongs."""
    LEAKED = "leaked"
    """Another credential was seen, or anything at all at another place."""
    REFUSED = "refused"
    """Nothing leaked, and the bridge ended the turn, or did not start, because of a credential."""
    NO_ANSWER = "no_answer"
    """Nothing leaked, and nothing was answered."""


ANSWERED = frozenset({Outcome.HELD})
"""The outcomes with which the bridge has held a mode in which nothing keeps the user from work."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Everything seen of one turn.

    Attributes:
        payer: who was meant to pay.
        endpoint: requests at the mode's destination.
        attacker: requests at the attacker's endpoint.
        trap: what the attacker's proxy and socket were asked for.
        left_for: what the user's own proxy was asked to reach.
        text: the answer; None without one.
        error: the code of the error that the turn ended with.
        said: the error's sentence.
        found: where the agent's own shell found the mode's credential, in words.
        trap_is_the_users: the attacker's proxy stands for one that the user chose.
        refused_to_start: the bridge did not start in its mode.
    """

    payer: Payer
    endpoint: tuple[SeenRequest, ...]
    attacker: tuple[SeenRequest, ...]
    trap: tuple[str, ...]
    left_for: frozenset[str]
    text: str | None = None
    error: int | None = None
    said: str = ""
    found: tuple[str, ...] = ()
    trap_is_the_users: bool = False
    refused_to_start: bool = False

    @property
    def leaks(self) -> list[str]:
        """What should not have been seen, in words and without values."""
        terms = self.payer.terms
        found = [
            f"the endpoint saw {_named(request)}"
            for request in self.endpoint
            if (request.method, request.target) != _NOT_A_MODEL_REQUEST
            and _credential(request) != terms.credential
        ]
        found += [f"the attacker saw {_named(request)}" for request in self.attacker]
        allowed = self._asked_of_the_users_proxy()
        found += [f"the other proxy was asked for {it}" for it in self.trap if it not in allowed]
        found += [f"something left for {it}" for it in sorted(self.left_for - terms.lookup)]
        found += [f"the agent's shell found the credential in {place}" for place in self.found]
        return found

    def _asked_of_the_users_proxy(self) -> frozenset[str]:
        return self.payer.terms.lookup if self.trap_is_the_users else frozenset()

    @property
    def outcome(self) -> Outcome:
        """What became of the turn."""
        if self.leaks:
            return Outcome.LEAKED
        if self.text:
            return Outcome.HELD
        refused = self.refused_to_start or self.error == Code.CREDENTIAL_CONTRADICTION
        return Outcome.REFUSED if refused else Outcome.NO_ANSWER

    def __str__(self) -> str:
        seen = "; ".join(unique(self.leaks)) or "no leak"
        end = self.text or f"error {self.error}: {self.said}"
        paid = len(self.endpoint)
        return f"{self.outcome}: {seen}; {paid} requests at the endpoint; the turn ended with {end}"


def unique(items: Iterable[str]) -> list[str]:
    """The items without repetitions, in order."""
    return list(dict.fromkeys(items))


def _credential(request: SeenRequest) -> tuple[CredentialClass, str | None]:
    return request.credential.credential_class, request.credential.label


def _named(request: SeenRequest) -> str:
    credential_class, label = _credential(request)
    both = ", in both headers" if request.credential.both_headers else ""
    return f"{request.method} {request.target.split('?')[0]} with {label or credential_class}{both}"
