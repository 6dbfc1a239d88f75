"""Lets prompts through only where the budgets admit them.

Whoever counts is asked outside of the relay core, which does no I/O: the prompt is held until the
answer has come. A turn that a budget ended within fails in the agent's words; the client is told
in the bridge's, as for a prompt that was not admitted at all.
"""

from collections.abc import Callable

import msgspec

from acp_bridge.modes import BillingMode
from acp_bridge.protocol import answers, names, sessions
from acp_bridge.protocol.decisions import ClientDecision, Hold, Interceptor, Refuse, Rewrite
from acp_bridge.protocol.envelope import Envelope
from acp_bridge.protocol.open_requests import OpenRequest

LOOK_AGAIN_SECONDS = 30.0
"""How long a held prompt waits until it is looked at again without having been called."""

Answered = Callable[[Refuse | None], None]
Ask = Callable[[str | None, str, Answered], None]


class BudgetGate(Interceptor):
    """Holds each prompt until the budgets have been asked.

    Args:
        mode: named in answers.
        ask: starts to ask for a session of the client (None if unknown) and a method, and returns
            at once; what it is given is called with the refusal, or with None where the prompt may
            go on. Then the relay is to judge anew what it holds.
        stopped: takes the refusal that ended a session's running turn; None if there was none.
    """

    client_methods = names.SPENDING
    answers_to = frozenset({names.SESSION_PROMPT})
    claude_only = False

    def __init__(
        self, mode: BillingMode, ask: Ask, stopped: Callable[[str | None], Refuse | None]
    ) -> None:
        self._mode = mode
        self._ask = ask
        self._stopped = stopped
        self._asked: _Question | None = None

    def client_message(self, message: Envelope, now: float) -> ClientDecision:
        """Ask for a prompt, hold it, and give the answer."""
        question = self._asked
        if question is None or question.message != (message.raw_id, message.method):
            question = self._asked = _Question((message.raw_id, str(message.method)))
            self._ask(sessions.session_of(message), str(message.method), question.answered)
        if question.is_open:
            return Hold(now + LOOK_AGAIN_SECONDS)
        self._asked = None
        return question.answer

    def agent_response(self, request: OpenRequest, message: Envelope, now: float) -> Rewrite | None:
        """Say of a turn that failed because of a budget that it did."""
        del now
        refused = self._stopped(sessions.session_text(request))
        if refused is None or not bytes(message.error):
            return None
        error = answers.refusal_error(
            refused.code,
            refused.sentence,
            reason=refused.reason,
            mode=self._mode,
            hint=refused.hint,
            method=request.method,
            channel=refused.channel,
        )
        return Rewrite("error", msgspec.json.encode(error))


class _Question:
    """What was asked for one message."""

    def __init__(self, message: tuple[bytes, str]) -> None:
        self.message = message
        self.is_open = True
        self.answer: Refuse | None = None

    def answered(self, refused: Refuse | None) -> None:
        self.answer = refused
        self.is_open = False
