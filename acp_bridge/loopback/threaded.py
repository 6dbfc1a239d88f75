"""The embedded endpoint and the proxy sink for code that is not async: each in a thread."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from anyio.from_thread import BlockingPortal, start_blocking_portal

from acp_bridge.loopback.endpoint import EmbeddedEndpoint
from acp_bridge.loopback.script import Script, Step
from acp_bridge.loopback.seen import SeenRequest
from acp_bridge.loopback.sink import ProxySink, RefusedRequest


class RunningEndpoint:
    """An `EmbeddedEndpoint` in another thread; `running_endpoint` makes one."""

    def __init__(self, endpoint: EmbeddedEndpoint, portal: BlockingPortal) -> None:
        self._endpoint = endpoint
        self._portal = portal

    @property
    def url(self) -> str:
        """What to put into ``ANTHROPIC_BASE_URL``."""
        return self._endpoint.url

    @property
    def seen(self) -> list[SeenRequest]:
        """Every request so far, in order of arrival."""
        return self._endpoint.seen

    def wait_for(self, predicate: Callable[[SeenRequest], bool], seconds: float) -> SeenRequest:
        """The first request, past or to come, that the predicate accepts.

        Raises:
            TimeoutError: none came in time.
        """
        return self._portal.call(self._endpoint.wait_for, predicate, seconds)


class RunningSink:
    """A `ProxySink` in another thread; `running_sink` makes one."""

    def __init__(self, sink: ProxySink, portal: BlockingPortal) -> None:
        self._sink = sink
        self._portal = portal

    @property
    def url(self) -> str:
        """What to put into ``HTTPS_PROXY`` and the like."""
        return self._sink.url

    @property
    def refused(self) -> list[RefusedRequest]:
        """Everything that was asked of it so far."""
        return self._sink.refused

    def wait_for(
        self, predicate: Callable[[RefusedRequest], bool], seconds: float
    ) -> RefusedRequest:
        """The first refused request, past or to come, that the predicate accepts.

        Raises:
            TimeoutError: none came in time.
        """
        return self._portal.call(self._sink.wait_for, predicate, seconds)


@contextmanager
def running_endpoint(
    script: Script = (),
    *,
    title: Step | None = None,
    suggestion: Step | None = None,
    known: Mapping[str, str] | None = None,
) -> Iterator[RunningEndpoint]:
    """Run an `EmbeddedEndpoint` for the length of the block; the arguments are its own."""
    with start_blocking_portal() as portal:
        endpoint = EmbeddedEndpoint(script, title=title, suggestion=suggestion, known=known)
        with portal.wrap_async_context_manager(endpoint):
            yield RunningEndpoint(endpoint, portal)


@contextmanager
def running_sink() -> Iterator[RunningSink]:
    """Run a `ProxySink` for the length of the block."""
    with start_blocking_portal() as portal:
        sink = ProxySink()
        with portal.wrap_async_context_manager(sink):
            yield RunningSink(sink, portal)
