"""What both directions of a relay share: open requests, refusals, contradictions, who is gone.

Everything that answers in the agent's place goes through here, so that there is one place where a
client request can get its response from the bridge.
"""

from collections.abc import Collection, Sequence

from acp_bridge.errors import Reason
from acp_bridge.modes import AgentKind, BillingMode, OnViolation
from acp_bridge.protocol import answers, names, sessions
from acp_bridge.protocol.commands import CloseAgentInput
from acp_bridge.protocol.decisions import Contradiction, Interceptor, Refuse, interested, marks
from acp_bridge.protocol.envelope import Envelope, has_valid_id
from acp_bridge.protocol.facts import (
    Contradicted,
    PromptEnded,
    Refused,
    Side,
    TurnEnd,
    Unparseable,
)
from acp_bridge.protocol.names import Code
from acp_bridge.protocol.open_requests import OpenRequest, OpenRequests
from acp_bridge.protocol.outbox import Outbox


class Conversation:
    """The state of one client with one agent.

    Args:
        mode: named in every answer.
        interceptors: all of them; those for Claude adapters can step aside.
        on_violation: whether a contradiction stops spending.
        agent_kind: the agent's kind if the user set it.
        limits: longest line taken from each side, in bytes.

    Attributes:
        open: the client's requests that the agent has not answered.
        contradiction: how to refuse requests that would spend; None while nothing contradicts.
        agent_line_open: the agent's last line was forwarded without a terminator.
        on_client: interceptors by client method; so `on_agent` and `on_response`.
        agent_marks: what tells the agent's messages that matter, by method.
        looked_at: client methods for which a notification, too, needs a decision.
    """

    def __init__(
        self,
        mode: BillingMode,
        interceptors: Sequence[Interceptor],
        on_violation: OnViolation,
        agent_kind: AgentKind | None,
        limits: dict[Side, int],
    ) -> None:
        self.forced_kind = agent_kind
        self.limits = limits
        self.open = OpenRequests()
        self.contradiction: Refuse | None = None
        self.agent_line_open = False
        self._mode = mode
        self._on_violation = on_violation
        self._unparseable = {Side.CLIENT: 0, Side.AGENT: 0}
        self._agent_detail: str | None = None
        self._agent_input_closed = False
        self._interceptors = tuple(interceptors)
        self._use(self._interceptors)
        if agent_kind is AgentKind.OTHER:
            self.step_aside()

    @property
    def agent_is_gone(self) -> bool:
        """Whether the agent has ended."""
        return self._agent_detail is not None

    def agent_ended(self, detail: str) -> None:
        """Note that the agent has ended, and how."""
        self._agent_detail = detail

    def step_aside(self) -> None:
        """The agent is no Claude adapter: leave its messages to it."""
        self._use([one for one in self._interceptors if not one.claude_only])

    def to_agent(self, line: bytes, out: Outbox) -> None:
        """Send a line to the agent, if it still reads."""
        if self._agent_detail is None and not self._agent_input_closed:
            out.to_agent(line)

    def to_client(self, answer: bytes, out: Outbox) -> None:
        """Send a line of the bridge's own; the agent's last one may lack its LF."""
        out.to_client(b"\n" + answer if self.agent_line_open else answer)
        self.agent_line_open = False

    def close_agent_input(self, out: Outbox) -> None:
        """Let the driver close the agent's input, once."""
        if self._agent_detail is None and not self._agent_input_closed:
            self._agent_input_closed = True
            out.add(CloseAgentInput())

    def refuse(self, message: Envelope, refused: Refuse, out: Outbox) -> None:
        """Answer a request in the agent's place; a notification is only recorded."""
        method = str(message.method)
        if message.raw_id:
            raw_id = message.raw_id if has_valid_id(message) else answers.NULL_ID
            self.to_client(self._refusal(raw_id, refused, method), out)
        out.record(Refused(method, refused.code, refused.reason, refused.sentence, refused.channel))

    def refuse_line(self, raw_id: bytes, refused: Refuse, method: str | None, out: Outbox) -> None:
        """Answer a line that is known by its id alone, or not even that."""
        self.to_client(self._refusal(raw_id, refused, method), out)
        out.record(Refused(method, refused.code, refused.reason, refused.sentence))

    def answer_for_the_dead(self, raw_id: bytes, out: Outbox) -> None:
        """Answer a request that the agent can answer no more."""
        sentence = f"The agent ended before it answered: {self._agent_detail}."
        hint = "Start the agent again; its last words are in the bridge's log."
        died = Refuse(Code.INTERNAL_ERROR, Reason.AGENT_EXITED, sentence, hint)
        self.to_client(self._refusal(raw_id, died, None), out)

    def contradict(self, found: Contradiction, out: Outbox) -> None:
        """Stop spending: running turns are cancelled and answered, later prompts refused."""
        blocked = self._on_violation is OnViolation.BLOCK
        cancelled: tuple[str, ...] = ()
        if blocked:
            self.contradiction = Refuse(
                Code.CREDENTIAL_CONTRADICTION,
                found.reason,
                found.sentence,
                found.hint,
                found.channel,
            )
            cancelled = self._stop_turns(self.contradiction, None, out)
        out.record(Contradicted(found.reason, found.sentence, blocked, cancelled))

    def stop_turns(self, refused: Refuse, session_ids: Collection[str] | None, out: Outbox) -> None:
        """End running turns with a refusal; later prompts are judged anew.

        Args:
            refused: their answer.
            session_ids: of these sessions; None for all.
            out: where commands go.
        """
        if self._stop_turns(refused, session_ids, out):
            method = names.SESSION_PROMPT
            fact = Refused(method, refused.code, refused.reason, refused.sentence, refused.channel)
            out.record(fact)

    def end_turn(
        self, request: OpenRequest, end: TurnEnd, out: Outbox, result: bytes = b""
    ) -> None:
        """Record the end of a prompt turn; other requests have none."""
        if request.method == names.SESSION_PROMPT:
            out.record(PromptEnded(sessions.session_text(request), end, result))

    def count_unparseable(self, side: Side, out: Outbox) -> None:
        """Record a line that is no JSON."""
        self._unparseable[side] += 1
        out.record(Unparseable(side, self._unparseable[side]))

    def _stop_turns(
        self, refused: Refuse, session_ids: Collection[str] | None, out: Outbox
    ) -> tuple[str, ...]:
        stopped = [
            one
            for one in self.open.with_method(names.SESSION_PROMPT)
            if session_ids is None or sessions.session_text(one) in session_ids
        ]
        for raw_session_id in dict.fromkeys(one.raw_session_id for one in stopped):
            if raw_session_id:
                self.to_agent(answers.cancel(raw_session_id), out)
        for request in stopped:
            request.answered = True
            self.to_client(self._refusal(request.raw_id, refused, request.method), out)
            self.end_turn(request, TurnEnd.STOPPED, out)
        return tuple(dict.fromkeys(filter(None, map(sessions.session_text, stopped))))

    def _refusal(self, raw_id: bytes, refused: Refuse, method: str | None) -> bytes:
        return answers.refusal(
            raw_id,
            refused.code,
            refused.sentence,
            reason=refused.reason,
            mode=self._mode,
            hint=refused.hint,
            method=method,
            channel=refused.channel,
        )

    def _use(self, interceptors: Sequence[Interceptor]) -> None:
        self.on_client = interested(interceptors, "client_methods")
        self.looked_at = names.BRIDGE_METHODS | names.SPENDING | self.on_client.keys()
        self.on_agent = interested(interceptors, "agent_methods")
        self.agent_marks = marks(self.on_agent)
        self.on_response = interested(interceptors, "answers_to")
