"""The streams of a client that lives in the bridge's own process."""

from typing import TYPE_CHECKING

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from anyio.streams.stapled import StapledObjectStream

if TYPE_CHECKING:
    from anyio.abc import ObjectStream

_BUFFERED_CHUNKS = 16

_End = MemoryObjectReceiveStream[bytes] | MemoryObjectSendStream[bytes]


class MemoryClient:
    """A client's byte stream in memory.

    Attributes:
        stream: what the client speaks on.
        receive: where the client's bytes come from.
        send: where bytes to the client go.
    """

    def __init__(self) -> None:
        to_bridge, from_client = anyio.create_memory_object_stream[bytes](_BUFFERED_CHUNKS)
        to_client, from_bridge = anyio.create_memory_object_stream[bytes](_BUFFERED_CHUNKS)
        self.stream: ObjectStream[bytes] = StapledObjectStream(to_bridge, from_bridge)
        self.receive = from_client
        self.send = to_client
        self._callers: tuple[_End, ...] = (to_bridge, from_bridge)

    def leave(self) -> None:
        """Close the client's own ends; may be repeated."""
        for end in self._callers:
            end.close()

    def close(self) -> None:
        """Close the bridge's ends; may be repeated."""
        self.receive.close()
        self.send.close()
