"""The mode lock: which ACP messages may not reach the agent in which mode.

The table is the rule; `decide` looks it up and `ModeLock` applies it to what the agent would read.
Requests that open a session are rewritten (`session_options`), all others pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from acp_bridge.errors import Reason
from acp_bridge.modes import BillingMode
from acp_bridge.protocol import json_text, names
from acp_bridge.protocol.answers import shown
from acp_bridge.protocol.decisions import ClientDecision, Interceptor, Refuse, Rewrite
from acp_bridge.protocol.envelope import Envelope
from acp_bridge.protocol.facts import RemovedFromMessage
from acp_bridge.protocol.session_options import SessionPolicy, rewrite_params


class Outcome(Enum):
    """What the lock does with a message."""

    PASS = auto()
    REFUSE = auto()
    REWRITE = auto()


@dataclass(frozen=True, slots=True)
class LockRow:
    """One row of the table.

    Attributes:
        method: the ACP method.
        argument: the ``methodId`` for ``authenticate``; None matches every other one.
        outcome: what happens, by mode.
        why: what the message would do, continuing "…, because it would".
        hint: what to do instead, by mode; `_START_AGAIN` where nothing else is said.
    """

    method: str
    argument: str | None
    outcome: Mapping[BillingMode, Outcome]
    why: str = ""
    hint: Mapping[BillingMode, str] | None = None


_A, _B, _C = BillingMode.API_KEY, BillingMode.SUBSCRIPTION, BillingMode.ENDPOINT


def _in_each(a: Outcome, b: Outcome, c: Outcome) -> Mapping[BillingMode, Outcome]:
    return {_A: a, _B: b, _C: c}


_ONLY_B = _in_each(Outcome.REFUSE, Outcome.PASS, Outcome.REFUSE)
_NEVER = _in_each(Outcome.REFUSE, Outcome.REFUSE, Outcome.REFUSE)
_REWRITTEN = _in_each(Outcome.REWRITE, Outcome.REWRITE, Outcome.REWRITE)

_USE_A = "Start the bridge with ACP_BRIDGE_MODE=api-key to be billed on an API key."
_USE_B = "Start the bridge with ACP_BRIDGE_MODE=subscription to use a claude.ai login."
_USE_C = (
    "Start the bridge with ACP_BRIDGE_MODE=endpoint and ACP_BRIDGE_ENDPOINT_URL to use an endpoint."
)
_KEY_IS_SET = "This mode needs no sign-in: the API key comes from the bridge's own settings."
_ENDPOINT_IS_SET = "The endpoint comes from the bridge's own settings; change them and restart."
_LOG_OUT_YOURSELF = "Run `claude auth logout` in a terminal if you mean to sign this machine out."

_SIGN_IN = "sign in to a claude.ai plan, which this mode does not use"
_TO_CONSOLE = "make Anthropic Console, an API key, the payer"
_TO_GATEWAY = "send model requests and their credential to a gateway"
_TO_PROVIDER = "change the provider that is paid for model requests"

LOCK_TABLE: tuple[LockRow, ...] = (
    LockRow(names.AUTHENTICATE, "claude-ai-login", _ONLY_B, _SIGN_IN, {_A: _USE_B, _C: _USE_B}),
    LockRow(names.AUTHENTICATE, "claude-login", _ONLY_B, _SIGN_IN, {_A: _USE_B, _C: _USE_B}),
    LockRow(
        names.AUTHENTICATE,
        "console-login",
        _NEVER,
        _TO_CONSOLE,
        {_A: _KEY_IS_SET, _B: _USE_A, _C: _USE_A},
    ),
    LockRow(
        names.AUTHENTICATE,
        "gateway",
        _NEVER,
        _TO_GATEWAY,
        {_A: _USE_C, _B: _USE_C, _C: _ENDPOINT_IS_SET},
    ),
    LockRow(
        names.AUTHENTICATE,
        "gateway-bedrock",
        _NEVER,
        "send model requests to a Bedrock gateway, paid by a cloud account",
        {_A: _USE_C, _B: _USE_C, _C: _ENDPOINT_IS_SET},
    ),
    LockRow(names.AUTHENTICATE, None, _NEVER, "sign in by a way that the bridge does not know"),
    LockRow(
        names.LOGOUT,
        None,
        _ONLY_B,
        "delete a login on this machine that this mode does not use",
        {_A: _LOG_OUT_YOURSELF, _C: _LOG_OUT_YOURSELF},
    ),
    LockRow(
        names.PROVIDERS_SET,
        None,
        _NEVER,
        _TO_PROVIDER,
        {_A: _USE_C, _B: _USE_C, _C: _ENDPOINT_IS_SET},
    ),
    LockRow(names.PROVIDERS_DISABLE, None, _NEVER, _TO_PROVIDER),
    LockRow(names.SESSION_NEW, None, _REWRITTEN),
    LockRow(names.SESSION_LOAD, None, _REWRITTEN),
    LockRow(names.SESSION_RESUME, None, _REWRITTEN),
    LockRow(names.SESSION_FORK, None, _REWRITTEN),
)

_START_AGAIN = "The mode is fixed for this run: change ACP_BRIDGE_MODE and start the agent again."


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the table says about one message.

    Attributes:
        sentence: for a refusal, what the user reads.
        hint: for a refusal, what the user can do.
    """

    outcome: Outcome
    sentence: str = ""
    hint: str = ""


_PASSES = Ruling(Outcome.PASS)


def decide(
    method: str,
    argument: str | None,
    mode: BillingMode,
    table: tuple[LockRow, ...] = LOCK_TABLE,
) -> Ruling:
    """Look a message up: the row with its argument, else the method's general row, else pass."""
    rows = [row for row in table if row.method == method]
    row = next((r for r in rows if r.argument is not None and r.argument == argument), None)
    row = row or next((r for r in rows if r.argument is None), None)
    if row is None:
        return _PASSES
    outcome = row.outcome[mode]
    if outcome is not Outcome.REFUSE:
        return Ruling(outcome)
    named = f"`{method}`" + (f" with `{shown(argument)}`" if argument is not None else "")
    sentence = (
        f"This run is locked to {mode.value} mode, and {named} is refused"
        f" because it would {row.why}."
    )
    return Ruling(outcome, sentence, (row.hint or {}).get(mode, _START_AGAIN))


def sign_in_is_refused(mode: BillingMode, method_id: str | None) -> bool:
    """Whether a sign-in method may not be offered in a mode."""
    return decide(names.AUTHENTICATE, method_id, mode).outcome is Outcome.REFUSE


class ModeLock(Interceptor):
    """Applies the table to what the client sends.

    Args:
        mode: the mode of the run.
        policy: what may not come in through the options of a session.
        table: the rule; tests pass one that lacks a row.
    """

    def __init__(
        self,
        mode: BillingMode,
        policy: SessionPolicy,
        table: tuple[LockRow, ...] = LOCK_TABLE,
    ) -> None:
        self._mode = mode
        self._policy = policy
        self._table = table
        self.client_methods = frozenset(row.method for row in table)

    def client_message(self, message: Envelope, now: float) -> ClientDecision:
        """Refuse, rewrite or pass, by the table."""
        del now
        method = str(message.method)
        argument = _method_id(message) if method == names.AUTHENTICATE else None
        ruling = decide(method, argument, self._mode, self._table)
        match ruling.outcome:
            case Outcome.PASS:
                return None
            case Outcome.REWRITE:
                return self._rewrite(message, method)
            case Outcome.REFUSE:
                return Refuse(
                    names.Code.MODE_LOCKED,
                    Reason.MODE_LOCKED,
                    ruling.sentence,
                    ruling.hint,
                    channel=f"acp:{method}",
                )

    def _rewrite(self, message: Envelope, method: str) -> ClientDecision:
        rewritten = rewrite_params(bytes(message.params), self._policy)
        if rewritten is None:
            return None
        removed = rewritten.removed
        facts = (RemovedFromMessage(method, removed),) if removed else ()
        return Rewrite("params", rewritten.params, facts)


def _method_id(message: Envelope) -> str | None:
    params = bytes(message.params)
    found = json_text.members(params) if params else None
    return json_text.string((found or {}).get("methodId"))
