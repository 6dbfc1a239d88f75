"""Reads one answer of the Messages API from its raw bytes, as they pass.

    reader = AnswerReader(endpoint, status, headers)
    reader.feed(chunk)                     # a copy of what goes downstream, in any chunks
    seen = reader.finish(complete=True)    # or False: aborted; what was known by then

Fuzz invariant: whatever the bytes, nothing is raised, memory is bounded by `Bounds`, and any
chunking gives the same result (of bytes that are corrupt in their encoding: the same tokens).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from acp_bridge.metering.wire_answer import AnswerSoFar, SeenAnswer
from acp_bridge.metering.wire_coding import Decoding
from acp_bridge.metering.wire_request import Endpoint
from acp_bridge.metering.wire_sse import EventData
from acp_bridge.metering.wire_usage import Unread, UnreadError, name_in

_MIB = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 4096
_EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is read at most, in bytes; an answer that has more of it is `Unread.TOO_LONG`.

    Attributes:
        event: of one line of a stream, and of the data of one event.
        body: of a JSON body, which is kept until it is whole.
        unfolded: of what a compressed body unfolds to.
    """

    event: int = 4 * _MIB
    body: int = 64 * _MIB
    unfolded: int = 512 * _MIB


BOUNDS = Bounds()


class AnswerReader:
    """An incremental reader of one answer.

    Args:
        endpoint: what was asked; answers of `Endpoint.OTHER` are not read.
        status: the HTTP status.
        headers: of the answer: names (any case) and values.
        bounds: what is read at most.

    Attributes:
        request_id: the header ``request-id``; None if there is none that looks like an id.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        status: int,
        headers: Iterable[tuple[str, str]],
        bounds: Bounds = BOUNDS,
    ) -> None:
        pairs = [(name.lower(), value) for name, value in headers]
        self._endpoint = endpoint
        self._status = status
        self._bounds = bounds
        self.request_id = next((name_in(v.strip()) for n, v in pairs if n == "request-id"), None)
        types = [value for name, value in pairs if name == "content-type"]
        self._is_stream = bool(types) and types[0].strip().lower().startswith(_EVENT_STREAM)
        encodings = [value for name, value in pairs if name == "content-encoding"]
        self._decoding = Decoding(encodings, most=bounds.unfolded)
        self._plain_stream = self._is_stream and self._decoding.is_identity
        self._so_far = AnswerSoFar()
        self._events = EventData(self._so_far.event, most=bounds.event)
        self._body = bytearray()
        self._read = False
        self._unread: Unread | None = None
        self._seen: SeenAnswer | None = None

    @property
    def content_begun(self) -> bool:
        """Whether the first piece of content of a stream has passed: the first token."""
        return self._events.content_begun

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes of the body; never raises."""
        if self._unread or self._seen or self._endpoint is Endpoint.OTHER:
            return
        self._read = self._read or bool(chunk)
        try:
            if self._plain_stream:
                self._events.feed(chunk)
            else:
                for piece in self._decoding.feed(chunk):
                    self._take(piece)
        except UnreadError as error:
            self._stop(error)

    def finish(self, *, complete: bool) -> SeenAnswer:
        """All that is known of the answer; further calls return the same.

        Args:
            complete: the body came to its end; False if either side broke it off.
        """
        if self._seen is None:
            try:
                if self._unread is None:
                    self._read_rest(complete=complete)
            except UnreadError as error:
                self._stop(error)
            judged_by_transport = self._unread or not self._read
            self._seen = self._so_far.result(
                status=self._status,
                request_id=self.request_id,
                complete=complete if judged_by_transport else self._so_far.stopped,
                unread=self._unread,
            )
        return self._seen

    def _take(self, piece: bytes) -> None:
        if self._is_stream:
            self._events.feed(piece)
            return
        if len(self._body) + len(piece) > self._bounds.body:
            raise UnreadError(Unread.TOO_LONG)
        self._body += piece

    def _read_rest(self, *, complete: bool) -> None:
        if self._is_stream:
            self._so_far.left_open(self._events.finish())
            return
        body = bytes(self._body)
        self._body.clear()
        is_object = body[:_HEAD_BYTES].lstrip(_BOM + b" \t\r\n").startswith(b"{")
        if not is_object and b"data:" in body:
            # A stream without the content type of one; Claude Code does not look at that.
            self._events.feed(body)
            self._so_far.left_open(self._events.finish())
        elif body.strip():
            is_count = self._endpoint is Endpoint.COUNT_TOKENS
            self._so_far.body(body.removeprefix(_BOM), is_count=is_count, complete=complete)

    def _stop(self, error: UnreadError) -> None:
        self._unread = error.why
        self._body.clear()
