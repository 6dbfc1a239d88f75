"""What the wire guard's requests mean for a run: counts, evidence, contradictions, exchanges."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from acp_bridge.errors import Reason
from acp_bridge.loopback.guard import RequestFacts
from acp_bridge.loopback.message import HeaderPairs
from acp_bridge.metering.usage import Tokens
from acp_bridge.metering.wire_exchange import AnswerBegan, WireExchange
from acp_bridge.modes import BillingMode, CredentialClass
from acp_bridge.policy.judgement import Judge
from acp_bridge.protocol.decisions import Contradiction
from acp_bridge.protocol.evidence import Evidence
from acp_bridge.run.wire import Tell, WireWatch

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HELD = "FAKE-placeholder"
OURS = (("x-api-key", HELD),)
THEIRS = (("x-api-key", "FAKE-other"),)
LOGIN = (("authorization", "Bearer sk-ant-oat01-FAKE"), ("anthropic-beta", "oauth-2025-04-20"))
PLAN = ("anthropic-ratelimit-unified-status", "allowed")
API = ("anthropic-ratelimit-requests-limit", "50")
OVERAGE = ("anthropic-ratelimit-unified-overage-in-use", "true")
JSON = ("content-type", "application/json")
MESSAGE = b'{"type": "message", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 2}}'


@dataclass
class Told:
    """A watch of a mode, and all that it told."""

    mode: BillingMode
    counts: list[tuple[CredentialClass, CredentialClass | None]] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    found: list[Contradiction] = field(default_factory=list)
    metered: list[AnswerBegan | WireExchange] = field(default_factory=list)

    def __post_init__(self) -> None:
        tell = Tell(
            count=lambda *classes: self.counts.append(classes),
            evidence=self.evidence.append,
            found=self.found.append,
            meter=self.metered.append,
        )
        is_login = self.mode is BillingMode.SUBSCRIPTION
        self.judge = Judge(self.mode, None if is_login else HELD)
        self.watch = WireWatch("run", self.mode, CredentialClass.API_KEY, tell, lambda: NOON)

    def ask(
        self,
        headers: HeaderPairs,
        *answer: tuple[str, str],
        target: str = "/v1/messages",
        passed: bool = True,
    ) -> None:
        """A request, answered with a message if it went on."""
        method = "HEAD" if target == "/" else "POST"
        verdict = self.judge(method, target, headers)
        facts = RequestFacts(method, target, verdict, passed, headers, b"{}")
        exchange = self.watch.request(facts)
        if passed:
            exchange.response(200, (JSON, ("request-id", "req_1"), *answer))
            exchange.chunk(MESSAGE)
        exchange.end(complete=passed, sent=passed)

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        return [(one.value, one.verdict.value) for one in self.evidence]


def test_the_placeholder_is_evidence_once_and_counted_each_time() -> None:
    told = Told(BillingMode.API_KEY)
    told.ask(OURS)
    told.ask(OURS)

    assert told.verdicts == [("placeholder", "agrees")]
    assert told.counts == [(CredentialClass.API_KEY, CredentialClass.API_KEY)] * 2
    assert told.found == []


def test_another_credential_is_a_contradiction_each_time_and_goes_nowhere() -> None:
    told = Told(BillingMode.API_KEY)
    told.ask(LOGIN, passed=False)
    told.ask(LOGIN, passed=False)

    assert told.verdicts == [("subscription_oauth", "contradiction")]
    assert told.counts == [(CredentialClass.SUBSCRIPTION_OAUTH, None)] * 2
    first, second = told.found
    assert first == second
    assert first.reason is Reason.CREDENTIAL_CONTRADICTION
    assert first.channel == "wire:subscription_oauth"
    assert first.sentence.startswith("Billing mode api-key takes only the API key")
    assert first.sentence.endswith("; it was not sent.")
    assert told.metered == []


def test_what_a_guard_that_observes_let_through_went_on_as_it_came() -> None:
    told = Told(BillingMode.SUBSCRIPTION)
    told.ask(THEIRS)

    assert told.counts == [(CredentialClass.API_KEY, CredentialClass.API_KEY)]
    assert told.found[0].sentence.endswith("; the guard only observes, so it was sent.")
    assert len(told.metered) == 2


def test_a_question_that_no_model_answers_is_no_evidence_of_a_payer() -> None:
    told = Told(BillingMode.SUBSCRIPTION)
    told.ask((), target="/")

    assert (told.counts, told.evidence, told.found) == ([], [], [])


@pytest.mark.parametrize(
    ("mode", "headers", "limits", "verdicts"),
    [
        (BillingMode.API_KEY, OURS, API, [("api", "agrees")]),
        (BillingMode.API_KEY, OURS, PLAN, [("unified", "contradiction")]),
        (BillingMode.SUBSCRIPTION, LOGIN, PLAN, [("unified", "agrees")]),
        (BillingMode.SUBSCRIPTION, LOGIN, API, [("api", "contradiction")]),
        (BillingMode.SUBSCRIPTION, LOGIN, OVERAGE, [("overage", "note"), ("unified", "agrees")]),
        (BillingMode.ENDPOINT, OURS, API, [("api", "note")]),
    ],
)
def test_whose_limits_an_answer_counted_against_is_evidence(
    mode: BillingMode,
    headers: HeaderPairs,
    limits: tuple[str, str],
    verdicts: list[tuple[str, str]],
) -> None:
    told = Told(mode)
    told.ask(headers, limits)
    told.ask(headers, limits)

    assert told.verdicts[1:] == verdicts
    contradicted = any(verdict == "contradiction" for _, verdict in verdicts)
    assert len(told.found) == contradicted


def test_an_exchange_is_told_when_its_answer_begins_and_when_it_has_ended() -> None:
    told = Told(BillingMode.API_KEY)
    told.ask(OURS)

    began, ended = told.metered
    assert began == AnswerBegan("req_1")
    assert isinstance(ended, WireExchange)
    assert (ended.number, ended.began_at) == (1, NOON)
    assert ended.answer is not None
    assert ended.answer.tokens == Tokens(input=3, output=2)
