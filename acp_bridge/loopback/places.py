"""How many connections are served at once, and which of them makes room for another.

Whoever opens many connections and says nothing, or says it slowly, must not keep out who asks. So
a connection that is waiting for a request gives up its place when it is wanted: first those that
never brought a request that was let in, then those that are idle; of either the one that has waited
longest. A connection on which a request is being answered keeps its place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketStream


@dataclass(eq=False)
class _Place:
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    waiting: bool = False
    proven: bool = False


class Places:
    """The places of a listener's connections.

    Args:
        most: how many there are.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # In the order in which they began to wait, or to be served.
        self._taken: dict[SocketStream, _Place] = {}
        self._changed = anyio.Event()

    async def room(self) -> None:
        """Wait until a place is free; a connection that is waiting for a request makes room."""
        while len(self._taken) >= self._most:
            self.make_room()
            self._changed = anyio.Event()
            await self._changed.wait()

    def make_room(self) -> None:
        """Close the connection that can be spared best, if there is one."""
        spare = [p for p in self._taken.values() if p.waiting and not p.scope.cancel_called]
        leaving = any(place.scope.cancel_called for place in self._taken.values())
        if spare and not leaving:
            min(spare, key=lambda place: place.proven).scope.cancel()

    def take(self, stream: SocketStream) -> anyio.CancelScope:
        """Give a connection a place; it is served within the scope, and then leaves."""
        place = self._taken[stream] = _Place()
        return place.scope

    def leave(self, stream: SocketStream) -> None:
        """Give a place back."""
        del self._taken[stream]
        self._changed.set()

    @contextmanager
    def waiting(self, stream: SocketStream) -> Iterator[None]:
        """Within the block the connection can be spared."""
        place = self._taken[stream] = self._taken.pop(stream)
        place.waiting = True
        self._changed.set()
        try:
            yield
        finally:
            place.waiting = False

    def prove(self, stream: SocketStream) -> None:
        """A request was let in on the connection."""
        self._taken[stream].proven = True
