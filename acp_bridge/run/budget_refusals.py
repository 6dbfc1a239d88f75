"""What a client is told where a budget, or the want of a ledger, lets it go no further."""

from dataclasses import replace

from acp_bridge.errors import Reason
from acp_bridge.policy.budgets import Standing, Stop
from acp_bridge.protocol.decisions import Refuse
from acp_bridge.protocol.names import Code

_HELD_BY_THE_DEAD = (
    "it was reserved by a run that was killed, and nobody saw what that request cost;"
    " `acp-bridge budget` shows it, `acp-bridge budget release` frees it"
)


def refusal(stop: Stop) -> Refuse:
    """What a client is told of a budget that stops it."""
    return _refuse(stop.budget.name, stop.sentence, _sentence(stop.hint))


def ending(standing: Standing) -> Refuse:
    """What a client is told whose turn is ended because its budget is used up."""
    hint = "Raise it, or wait until it resets; `acp-bridge budget` shows how."
    return _refuse(standing.budget.name, standing.sentence, hint)


def held_by_the_dead(stop: Stop) -> Stop:
    """The same, where only runs that were killed hold what is in the way: waiting helps nothing."""
    return replace(stop, waits=False, hint=_HELD_BY_THE_DEAD)


def _refuse(name: str, sentence: str, hint: str) -> Refuse:
    return Refuse(
        Code.BUDGET_EXHAUSTED,
        Reason.BUDGET_EXHAUSTED,
        _sentence(sentence),
        hint,
        channel=f"budget:{name}",
    )


def uncountable(why: str, hint: str) -> Refuse:
    """What a client is told where nothing can be counted, and what hinders it."""
    return Refuse(
        Code.BUDGET_EXHAUSTED,
        Reason.METERING_FAILED,
        f"What is spent cannot be counted: {_plain(why)}.",
        _sentence(hint),
        channel="ledger",
    )


def _sentence(text: str) -> str:
    plain = _plain(text)
    return f"{plain[:1].upper()}{plain[1:]}."


def _plain(text: str) -> str:
    return text.strip().rstrip(".")
