"""The direction from agent to client: forwarded as it comes, watched where somebody asked to."""

from collections.abc import Callable

from acp_bridge.modes import AgentKind
from acp_bridge.protocol import answers, names, sessions, too_long
from acp_bridge.protocol.conversation import Conversation
from acp_bridge.protocol.decisions import Contradiction, Drop, Interceptor, Note, Rewrite
from acp_bridge.protocol.envelope import (
    UNSET,
    Envelope,
    Other,
    has_valid_id,
    id_key,
    read,
    read_object,
    read_together,
    with_member,
)
from acp_bridge.protocol.facts import LineTooLong, Side, StrayResponse, TurnEnd
from acp_bridge.protocol.framing import Lines, Piece, TooLong
from acp_bridge.protocol.initialize import identify
from acp_bridge.protocol.names import Code
from acp_bridge.protocol.open_requests import OpenRequest
from acp_bridge.protocol.outbox import Outbox


class FromAgent:
    """Takes the agent's lines one after the other.

    Args:
        conversation: the shared state.
        release: lets what the client stream holds be tried again, now that the agent spoke.
    """

    def __init__(
        self, conversation: Conversation, release: Callable[[float, Outbox], None]
    ) -> None:
        self._conversation = conversation
        self._release = release
        self._strays = 0

    def take(self, piece: Piece, now: float, out: Outbox) -> None:
        """Deal with one piece of the stream."""
        match piece:
            case TooLong():
                self._too_long(piece, out)
            case Lines() if not self._pass_together(piece, out):
                for line in piece.each():
                    self._line(line, now, out)
            case bytes():
                self._line(piece, now, out)

    def _pass_together(self, lines: Lines, out: Outbox) -> bool:
        """Forward lines of which nobody has to see one; False if somebody has."""
        messages = read_together(lines.data)
        if messages is None:
            return False
        methods = {message.method for message in messages}
        if UNSET in methods:
            return False
        for method in methods & self._conversation.on_agent.keys():
            marks = self._conversation.agent_marks.get(str(method))
            if marks is None or any(mark in lines.data for mark in marks):
                return False
        out.to_client(lines.data)
        return True

    def _line(self, piece: bytes, now: float, out: Outbox) -> None:
        message = read(piece)
        if not isinstance(message, Envelope):
            if message is Other.UNPARSEABLE:
                self._conversation.count_unparseable(Side.AGENT, out)
            out.to_client(piece)
        elif message.method is not UNSET:
            watchers = self._conversation.on_agent.get(message.method)
            if watchers is None:
                out.to_client(piece)
            else:
                self._show_to(watchers, piece, message, now, out)
        elif has_valid_id(message):
            self._response(piece, message, now, out)
        else:
            out.to_client(piece)

    def _show_to(
        self,
        watchers: tuple[Interceptor, ...],
        line: bytes,
        message: Envelope,
        now: float,
        out: Outbox,
    ) -> None:
        decisions = [watcher.agent_message(message, now) for watcher in watchers]
        if not any(isinstance(decision, Drop) for decision in decisions):
            out.to_client(line)
        for decision in decisions:
            match decision:
                case Contradiction() as found:
                    out.record(*found.facts)
                    self._conversation.contradict(found, out)
                case Note(facts) | Drop(facts):
                    out.record(*facts)
                case None:
                    pass
        self._release(now, out)

    def _response(self, line: bytes, message: Envelope, now: float, out: Outbox) -> None:
        key = id_key(message.raw_id)
        request = self._conversation.open.take(key)
        if request is None:
            # With id null and unasked for, it reports a line that the agent could not use.
            if key is None or self._conversation.open.take_irregular(key):
                out.to_client(line)
            else:
                self._strays += 1
                out.record(StrayResponse(self._strays))
        elif not request.answered:
            line, message = self._edited(request, line, message, now, out)
            out.to_client(line)
            self._note(request, message, now, out)

    def _edited(
        self, request: OpenRequest, line: bytes, message: Envelope, now: float, out: Outbox
    ) -> tuple[bytes, Envelope]:
        for watcher in self._conversation.on_response.get(request.method, ()):
            match watcher.agent_response(request, message, now):
                case Rewrite(member, value, facts):
                    line = with_member(line, member, value)
                    message = read_object(line)
                    out.record(*facts)
                case Note(facts):
                    out.record(*facts)
                case None:
                    pass
        return line, message

    def _note(self, request: OpenRequest, message: Envelope, now: float, out: Outbox) -> None:
        result = bytes(message.result)
        if request.method == names.SESSION_PROMPT:
            end = TurnEnd.ANSWERED if result else TurnEnd.FAILED
            self._conversation.end_turn(request, end, out, result)
        elif request.method in names.SESSION_OPENING:
            opened = sessions.session_opened(request, message)
            if opened is not None:
                out.record(opened)
        elif request.method in names.SESSION_CLOSING:
            closed = sessions.session_closed(request, message)
            if closed is not None:
                out.record(closed)
        elif request.method == names.INITIALIZE and result:
            identified = identify(result, self._conversation.forced_kind)
            out.record(identified)
            if identified.kind is AgentKind.OTHER:
                self._conversation.step_aside()
                self._release(now, out)

    def _too_long(self, piece: TooLong, out: Outbox) -> None:
        limit = self._conversation.limits[Side.AGENT]
        out.record(LineTooLong(Side.AGENT, limit))
        remains = too_long.identify(piece.head)
        failed = too_long.refusal(limit, "agent", Code.INTERNAL_ERROR)
        if remains.was is too_long.Was.REQUEST:
            instead = answers.plain_error(remains.raw_id, failed.code, failed.sentence)
            self._conversation.to_agent(instead, out)
        elif remains.was is too_long.Was.RESPONSE:
            request = self._conversation.open.take(id_key(remains.raw_id))
            if request is not None and not request.answered:
                self._conversation.refuse_line(request.raw_id, failed, request.method, out)
                self._conversation.end_turn(request, TurnEnd.FAILED, out)
