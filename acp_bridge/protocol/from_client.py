"""The direction from client to agent: judged, and in order even while a prompt has to wait."""

from collections import deque
from collections.abc import Iterable

from acp_bridge.errors import Reason
from acp_bridge.protocol import answers, names, sessions, too_long
from acp_bridge.protocol.commands import Ask
from acp_bridge.protocol.conversation import Conversation
from acp_bridge.protocol.decisions import Hold, Note, Refuse, Rewrite
from acp_bridge.protocol.envelope import (
    UNSET,
    Envelope,
    Kind,
    Other,
    has_valid_id,
    id_key,
    kind_of,
    read,
    read_object,
    read_together,
    with_member,
)
from acp_bridge.protocol.facts import Fact, LineTooLong, PromptStarted, Side
from acp_bridge.protocol.framing import Lines, Piece, TooLong
from acp_bridge.protocol.names import Code
from acp_bridge.protocol.outbox import Outbox


class FromClient:
    """Takes the client's lines one after the other.

    Attributes:
        held: lines that wait, the first of them for a decision.
        deadline: when the first of them has waited long enough.
        ended: the client will write no more.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._asked: dict[int, bytes] = {}
        self._asks = 0
        self.held: deque[Piece] = deque()
        self.deadline: float | None = None
        self.ended = False

    def take(self, pieces: Iterable[Piece], now: float, out: Outbox) -> None:
        """Deal with lines in order, from where one has to be held on only keep them."""
        for piece in pieces:
            if self.held:
                self.held.append(piece)
            elif not isinstance(piece, Lines):
                if not self._piece(piece, now, out):
                    self.held.append(piece)
            elif not self._pass_together(piece, out):
                self.take(piece.each(), now, out)

    def release(self, now: float, out: Outbox) -> None:
        """Try again what is held."""
        if self.held:
            self.deadline = None
            pieces, self.held = self.held, deque()
            self.take(pieces, now, out)
        if self.ended and not self.held:
            self._conversation.close_agent_input(out)

    def answered(self, number: int) -> bytes:
        """The id of an `Ask`, which is then no longer open.

        Raises:
            KeyError: nothing with this number waits for an answer.
        """
        return self._asked.pop(number)

    def _pass_together(self, lines: Lines, out: Outbox) -> bool:
        """Forward lines of which none needs a decision; False if one does."""
        messages = read_together(lines.data)
        if messages is None or not all(map(self._needs_no_decision, messages)):
            return False
        self._conversation.to_agent(lines.data, out)
        return True

    def _piece(self, piece: bytes | TooLong, now: float, out: Outbox) -> bool:
        """Deal with one line; False if it has to be held."""
        if isinstance(piece, TooLong):
            self._too_long(piece, out)
            return True
        message = read(piece)
        match message:
            case Envelope():
                if self._needs_no_decision(message):
                    self._conversation.to_agent(piece, out)
                    return True
                return self._object(piece, message, now, out)
            case Other.UNPARSEABLE:
                self._conversation.count_unparseable(Side.CLIENT, out)
                self._conversation.refuse_line(answers.NULL_ID, _UNPARSEABLE, None, out)
            case Other.BATCH:
                self._conversation.refuse_line(answers.NULL_ID, _BATCH, None, out)
            case _:
                self._conversation.to_agent(piece, out)
        return True

    def _needs_no_decision(self, message: Envelope) -> bool:
        """Whether it is a response, or a notification that nobody looks at."""
        method = message.method
        return method is UNSET or not (message.id or method in self._conversation.looked_at)

    def _object(self, line: bytes, message: Envelope, now: float, out: Outbox) -> bool:
        method = str(message.method)
        if method in names.BRIDGE_METHODS:
            self._ask(method, message, out)
        elif self._conversation.agent_is_gone:
            if has_valid_id(message):
                self._conversation.answer_for_the_dead(message.raw_id, out)
        elif self._conversation.contradiction is not None and method in names.SPENDING:
            self._conversation.refuse(message, self._conversation.contradiction, out)
        else:
            return self._intercept(line, message, now, out)
        return True

    def _intercept(self, line: bytes, message: Envelope, now: float, out: Outbox) -> bool:
        facts: list[Fact] = []
        for interceptor in self._conversation.on_client.get(str(message.method), ()):
            match interceptor.client_message(message, now):
                case Refuse() as refused:
                    out.record(*facts)
                    self._conversation.refuse(message, refused, out)
                    return True
                case Hold(until):
                    out.record(*facts)  # whoever noted them does not note them again
                    self.deadline = until
                    return False
                case Rewrite(member, value, noted):
                    line = with_member(line, member, value)
                    message = read_object(line)
                    facts += noted
                case Note(noted):
                    facts += noted
                case None:
                    pass
        out.record(*facts)
        self._hand_over(line, message, out)
        return True

    def _hand_over(self, line: bytes, message: Envelope, out: Outbox) -> None:
        """Forward a request or notification, and remember what has to be answered."""
        open_requests = self._conversation.open
        if kind_of(message) is Kind.REQUEST:
            request = sessions.open_request(message)
            open_requests.add(id_key(message.raw_id), request)
            if request.method == names.SESSION_PROMPT:
                out.record(PromptStarted(sessions.session_text(request)))
        elif has_valid_id(message):
            open_requests.add_irregular(id_key(message.raw_id))
        self._conversation.to_agent(line, out)

    def _ask(self, method: str, message: Envelope, out: Outbox) -> None:
        if not has_valid_id(message):
            return
        self._asks += 1
        self._asked[self._asks] = message.raw_id
        out.add(Ask(self._asks, method, bytes(message.params)))

    def _too_long(self, piece: TooLong, out: Outbox) -> None:
        limit = self._conversation.limits[Side.CLIENT]
        out.record(LineTooLong(Side.CLIENT, limit))
        remains = too_long.identify(piece.head)
        refused = too_long.refusal(limit, "client", Code.INVALID_REQUEST)
        if remains.was is too_long.Was.RESPONSE:
            instead = answers.plain_error(remains.raw_id, refused.code, refused.sentence)
            self._conversation.to_agent(instead, out)
        asked = remains.was is too_long.Was.REQUEST
        raw_id = remains.raw_id if asked else answers.NULL_ID
        self._conversation.refuse_line(raw_id, refused, None, out)


_UNPARSEABLE = Refuse(
    Code.PARSE_ERROR,
    Reason.UNPARSEABLE,
    "The line is not JSON, so the bridge cannot tell what it would do and did not pass it on.",
    "Send one JSON-RPC object on each line, in UTF-8.",
)
_BATCH = Refuse(
    Code.INVALID_REQUEST,
    Reason.BATCH_NOT_SUPPORTED,
    "ACP has no JSON-RPC batches, and this one was not passed on.",
    "Send each message on a line of its own.",
)
