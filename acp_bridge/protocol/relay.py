"""The relay core: bytes of both directions in, commands out, no I/O and no clock.

Bytes that need no decision leave as they came, in order. A message is read once, as the agent reads
it, and shown to the interceptors that named its method. Invariants: an untouched stream is byte
for byte the same, and each client request gets exactly one response, whatever the agent does.
"""

from collections.abc import Collection, Sequence

from acp_bridge.errors import Reason
from acp_bridge.modes import AgentKind, BillingMode, OnViolation
from acp_bridge.protocol import answers
from acp_bridge.protocol.commands import Command
from acp_bridge.protocol.conversation import Conversation
from acp_bridge.protocol.decisions import Contradiction, Interceptor, Refuse
from acp_bridge.protocol.facts import Side, TurnEnd
from acp_bridge.protocol.framing import LineSplitter
from acp_bridge.protocol.from_agent import FromAgent
from acp_bridge.protocol.from_client import FromClient
from acp_bridge.protocol.names import Code
from acp_bridge.protocol.outbox import Outbox

DEFAULT_MAX_LINE_BYTES = 256 * 1024 * 1024


class RelayCore:
    """One client, one agent, one mode.

    Args:
        mode: the mode of the run, named in every answer.
        interceptors: what looks at messages, in this order.
        on_violation: whether a contradiction stops spending or is only recorded.
        agent_kind: the agent's kind if the user set it; else its ``initialize`` result tells, and
            until then it is taken for a Claude adapter.
        max_client_line_bytes: longest line taken from the client.
        max_agent_line_bytes: longest line taken from the agent.

    Times are seconds on any clock that only goes forward.
    """

    def __init__(  # noqa: PLR0913  (settings of the run, each with a name of its own)
        self,
        mode: BillingMode,
        interceptors: Sequence[Interceptor],
        *,
        on_violation: OnViolation = OnViolation.BLOCK,
        agent_kind: AgentKind | None = None,
        max_client_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
        max_agent_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
    ) -> None:
        limits = {Side.CLIENT: max_client_line_bytes, Side.AGENT: max_agent_line_bytes}
        self._client_lines = LineSplitter(max_client_line_bytes)
        self._agent_lines = LineSplitter(max_agent_line_bytes)
        self._conversation = Conversation(mode, interceptors, on_violation, agent_kind, limits)
        self._from_client = FromClient(self._conversation)
        self._from_agent = FromAgent(self._conversation, self._from_client.release)

    @property
    def holding(self) -> bool:
        """Whether the client stream stands still; the driver should not read it meanwhile."""
        return bool(self._from_client.held)

    @property
    def deadline(self) -> float | None:
        """When `tick` has to be called at the latest; None if nothing waits for time."""
        return self._from_client.deadline

    def receive_from_client(self, data: bytes, now: float) -> list[Command]:
        """Take bytes from the client, cut anywhere."""
        out = Outbox()
        self._from_client.take(self._client_lines.feed(data), now, out)
        return out.commands()

    def receive_from_agent(self, data: bytes, now: float) -> list[Command]:
        """Take bytes from the agent, cut anywhere."""
        out = Outbox()
        for piece in self._agent_lines.feed(data):
            self._from_agent.take(piece, now, out)
        return out.commands()

    def client_closed(self, now: float) -> list[Command]:
        """The client will write no more; what is held still goes its way first."""
        out = Outbox()
        self._from_client.take(self._client_lines.flush(), now, out)
        self._from_client.ended = True
        self._from_client.release(now, out)
        return out.commands()

    def agent_closed(self, detail: str, now: float) -> list[Command]:
        """The agent has ended: every open request is answered.

        Args:
            detail: how it ended, as a clause for the sentence ("it exited with status 1").
            now: the time.
        """
        out = Outbox()
        conversation = self._conversation
        for piece in self._agent_lines.flush():
            self._from_agent.take(piece, now, out)
            conversation.agent_line_open = isinstance(piece, bytes)
        conversation.agent_ended(detail)
        for request in conversation.open.drain():
            if not request.answered:
                conversation.answer_for_the_dead(request.raw_id, out)
                conversation.end_turn(request, TurnEnd.AGENT_EXITED, out)
        self._from_client.release(now, out)
        return out.commands()

    def tick(self, now: float) -> list[Command]:
        """Let time pass: ends a wait that is over."""
        out = Outbox()
        deadline = self._from_client.deadline
        if deadline is not None and now >= deadline:
            self._from_client.release(now, out)
        return out.commands()

    def contradict(
        self,
        reason: Reason,
        sentence: str,
        now: float,
        *,
        hint: str = "See `acp-bridge status` for the evidence, and start the agent again.",
        channel: str | None = None,
    ) -> list[Command]:
        """Stop spending for a reason seen outside ACP (the wire, telemetry).

        Args:
            reason: `Reason.CREDENTIAL_CONTRADICTION` or `Reason.GUARD_BYPASSED`.
            sentence: what the user reads.
            now: the time.
            hint: what the user can do.
            channel: what is suspected, if anything.
        """
        out = Outbox()
        self._conversation.contradict(Contradiction(reason, sentence, hint, channel), out)
        self._from_client.release(now, out)
        return out.commands()

    def resume(self, now: float) -> list[Command]:
        """What a held message waited for outside of ACP may have come: judge it again."""
        out = Outbox()
        self._from_client.release(now, out)
        return out.commands()

    def stop_turns(
        self, refused: Refuse, session_ids: Collection[str] | None, now: float
    ) -> list[Command]:
        """End running turns: each is cancelled, and answered with a refusal.

        Args:
            refused: the answer.
            session_ids: only turns of these sessions of the client; None for all.
            now: the time.
        """
        out = Outbox()
        self._conversation.stop_turns(refused, session_ids, out)
        self._from_client.release(now, out)
        return out.commands()

    def notify(self, method: str, params: bytes) -> list[Command]:
        """Send the client a notification of the bridge's own.

        Args:
            method: an extension's name, which begins with ``_``.
            params: as JSON.
        """
        out = Outbox()
        self._conversation.to_client(answers.notification(method, params), out)
        return out.commands()

    def answer(self, number: int, result: bytes) -> list[Command]:
        """Answer an `Ask`.

        Args:
            number: the ask's number.
            result: the result as JSON.

        Raises:
            KeyError: nothing with this number waits for an answer.
        """
        out = Outbox()
        raw_id = self._from_client.answered(number)
        self._conversation.to_client(answers.result(raw_id, result), out)
        return out.commands()

    def answer_error(self, number: int, code: Code, sentence: str) -> list[Command]:
        """Answer an `Ask` with an error.

        Raises:
            KeyError: nothing with this number waits for an answer.
        """
        out = Outbox()
        raw_id = self._from_client.answered(number)
        self._conversation.to_client(answers.plain_error(raw_id, code, sentence), out)
        return out.commands()
