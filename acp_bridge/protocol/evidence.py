"""The evidence rules: what each signal says about who pays, for each mode.

The table is data; `judge` only looks it up. A signal that is not in the table is a note: unknown
things are reported as unknown, never guessed. When a newer version of the agent makes a row wrong,
the row and its test change together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from acp_bridge.modes import BillingMode, CredentialClass


class EvidenceKind(StrEnum):
    """How much a piece of evidence is worth: said beforehand, said by the agent, seen."""

    DECLARED = "declared"
    SELF_REPORTED = "self_reported"
    ON_THE_WIRE = "on_the_wire"


class Source(StrEnum):
    """Where a signal comes from."""

    AUTH_STATUS = "auth_status"
    WIRE = "wire"
    TELEMETRY = "telemetry"
    RAW_INIT = "raw_init"
    RATE_LIMIT = "rate_limit"


class Verdict(StrEnum):
    """What a signal means for the mode."""

    AGREES = "agrees"
    CONTRADICTION = "contradiction"
    NOTHING = "nothing"
    NOTE = "note"
    NOT_LOGGED_IN = "not_logged_in"


PLACEHOLDER = "placeholder"
"""The wire signal for a request that carries the run's own placeholder credential."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One observation.

    Attributes:
        source: where it comes from.
        value: what it says: a status kind, a credential class, a kind of rate limit.
    """

    source: Source
    value: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A signal with its time and verdict, as `status --json` shows it."""

    kind: EvidenceKind
    source: Source
    at: float
    value: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Context:
    """What the bridge knows about the run beside the signal.

    Attributes:
        oauth_token_in_env: the run uses ``CLAUDE_CODE_OAUTH_TOKEN``.
        login_stored: a claude.ai login is stored; None if that cannot be known.
        api_key_seen: the wire or telemetry showed an API key in this run.
        endpoint_uses_api_key: the endpoint's credential is an API key (``ENDPOINT_API_KEY``).
        gateway_is_ours: a reported gateway is the endpoint that this run was given.
    """

    oauth_token_in_env: bool = False
    login_stored: bool | None = None
    api_key_seen: bool = False
    endpoint_uses_api_key: bool = False
    gateway_is_ours: bool = False


Rule = Verdict | Callable[[Context], Verdict]


def _key_beside_a_login(context: Context) -> Verdict:
    # 2.1.316 reports `api_key` for a claude.ai login with a stored Console key while OAuth is on
    # the wire; with no such login, the Console key is what pays. Not known counts as no login.
    if context.api_key_seen or not context.login_stored:
        return Verdict.CONTRADICTION
    return Verdict.NOTE


def _no_login(context: Context) -> Verdict:
    # A setup token reports `none` although the plan pays.
    return Verdict.NOTHING if context.oauth_token_in_env else Verdict.NOT_LOGGED_IN


def _key_of_the_endpoint(context: Context) -> Verdict:
    return Verdict.AGREES if context.endpoint_uses_api_key else Verdict.CONTRADICTION


def _our_gateway(context: Context) -> Verdict:
    return Verdict.AGREES if context.gateway_is_ours else Verdict.CONTRADICTION


@dataclass(frozen=True, slots=True)
class Row:
    """What one signal means in the modes A, B and C."""

    signal: Signal
    api_key: Rule
    subscription: Rule
    endpoint: Rule

    def rule(self, mode: BillingMode) -> Rule:
        """The rule of one mode."""
        match mode:
            case BillingMode.API_KEY:
                return self.api_key
            case BillingMode.SUBSCRIPTION:
                return self.subscription
            case BillingMode.ENDPOINT:
                return self.endpoint


_AGREES, _CONTRADICTION = Verdict.AGREES, Verdict.CONTRADICTION
_NOTHING, _NOTE = Verdict.NOTHING, Verdict.NOTE


def _status(value: str) -> Signal:
    return Signal(Source.AUTH_STATUS, value)


def _wire(value: str) -> Signal:
    return Signal(Source.WIRE, value)


# Telemetry and the raw init message have no row: FACTS has them contradict the wire, so they are
# notes. Rate-limit headers name the meter that Anthropic charged: `unified` is the plan's.
EVIDENCE_TABLE: tuple[Row, ...] = (
    Row(_status("account"), _CONTRADICTION, _AGREES, _CONTRADICTION),
    Row(_status("api_key"), _AGREES, _key_beside_a_login, _key_of_the_endpoint),
    Row(_status("none"), _NOTHING, _no_login, _NOTHING),
    Row(_status("gateway"), _CONTRADICTION, _CONTRADICTION, _our_gateway),
    Row(_status("external"), _CONTRADICTION, _CONTRADICTION, _our_gateway),
    Row(_wire(PLACEHOLDER), _AGREES, _CONTRADICTION, _AGREES),
    Row(_wire(CredentialClass.API_KEY), _CONTRADICTION, _CONTRADICTION, _CONTRADICTION),
    Row(_wire(CredentialClass.SUBSCRIPTION_OAUTH), _CONTRADICTION, _AGREES, _CONTRADICTION),
    Row(_wire(CredentialClass.ENDPOINT_CREDENTIAL), _CONTRADICTION, _CONTRADICTION, _CONTRADICTION),
    Row(_wire(CredentialClass.CLOUD), _CONTRADICTION, _CONTRADICTION, _CONTRADICTION),
    Row(_wire(CredentialClass.NONE), _CONTRADICTION, _CONTRADICTION, _CONTRADICTION),
    Row(_wire(CredentialClass.UNKNOWN), _CONTRADICTION, _CONTRADICTION, _CONTRADICTION),
    Row(Signal(Source.RATE_LIMIT, "unified"), _CONTRADICTION, _AGREES, _NOTE),
    Row(Signal(Source.RATE_LIMIT, "api"), _AGREES, _CONTRADICTION, _NOTE),
)


def judge(
    mode: BillingMode,
    signal: Signal,
    context: Context,
    table: tuple[Row, ...] = EVIDENCE_TABLE,
) -> Verdict:
    """What a signal means for a mode; a signal without a row is a note."""
    rule = next((row.rule(mode) for row in table if row.signal == signal), Verdict.NOTE)
    return rule if isinstance(rule, Verdict) else rule(context)


_KINDS: Mapping[Source, EvidenceKind] = {
    Source.AUTH_STATUS: EvidenceKind.SELF_REPORTED,
    Source.RAW_INIT: EvidenceKind.SELF_REPORTED,
    Source.TELEMETRY: EvidenceKind.SELF_REPORTED,
    Source.WIRE: EvidenceKind.ON_THE_WIRE,
    Source.RATE_LIMIT: EvidenceKind.ON_THE_WIRE,
}


def weigh(mode: BillingMode, signal: Signal, context: Context, at: float) -> Evidence:
    """Judge a signal and make the record of it."""
    verdict = judge(mode, signal, context)
    return Evidence(_KINDS[signal.source], signal.source, at, signal.value, verdict)
