"""The client's requests that wait for their one response.

Ids are compared as the agent compares them (`envelope.id_key`). A client that uses an id twice at
the same time gets one response for each, in the order in which it asked.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from acp_bridge.protocol.envelope import IdKey

_IRREGULAR_KEPT = 256


@dataclass(slots=True)
class OpenRequest:
    """A forwarded request.

    Attributes:
        raw_id: the id as the client wrote it.
        raw_session_id: the session it belongs to, as the client wrote it; empty if none.
        cwd: the working directory that it names.
        answered: the bridge answered in the agent's place; the agent's own answer is dropped.
    """

    raw_id: bytes
    method: str
    raw_session_id: bytes = b""
    cwd: str | None = None
    answered: bool = False


class OpenRequests:
    """First in, first out for each id."""

    def __init__(self) -> None:
        self._by_key: dict[IdKey, deque[OpenRequest]] = {}
        self._irregular: deque[IdKey] = deque(maxlen=_IRREGULAR_KEPT)
        self.methods: Counter[str] = Counter()

    def add(self, key: IdKey, request: OpenRequest) -> None:
        """Note a request that was forwarded."""
        self._by_key.setdefault(key, deque()).append(request)
        self.methods[request.method] += 1

    def add_irregular(self, key: IdKey) -> None:
        """Note a malformed request: nobody must answer it, but somebody may."""
        self._irregular.append(key)

    def take(self, key: IdKey) -> OpenRequest | None:
        """The oldest request with this id, which is then no longer open."""
        waiting = self._by_key.get(key)
        if not waiting:
            return None
        request = waiting.popleft()
        if not waiting:
            del self._by_key[key]
        self._forget(request)
        return request

    def take_irregular(self, key: IdKey) -> bool:
        """Whether a malformed request had this id; it is then forgotten."""
        if key not in self._irregular:
            return False
        self._irregular.remove(key)
        return True

    def drain(self) -> Iterator[OpenRequest]:
        """Take every request, oldest id first."""
        for waiting in list(self._by_key.values()):
            yield from waiting
        self._by_key.clear()
        self.methods.clear()

    def with_method(self, method: str) -> list[OpenRequest]:
        """The unanswered requests with a method."""
        if not self.methods[method]:
            return []
        every = (request for waiting in self._by_key.values() for request in waiting)
        return [one for one in every if one.method == method and not one.answered]

    def __len__(self) -> int:
        return sum(map(len, self._by_key.values()))

    def _forget(self, request: OpenRequest) -> None:
        self.methods[request.method] -= 1
        if not self.methods[request.method]:
            del self.methods[request.method]
