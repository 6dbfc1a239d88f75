"""A closed world for the real Claude Code: endpoint, scratch home, and a proxy that leads nowhere.

    async with embedded_endpoint([say("Hi.")]) as world:
        environ = world.environment("api-key")
        settings = load_settings(environ=environ)
        async with Bridge(settings, environ=environ, cwd=world.home.project) as bridge:
            ...
        assert {seen.credential.credential_class for seen in world.endpoint.seen} == {"api_key"}
        assert world.left_for == set()

No account, no network beyond loopback, no credential that is anybody's. Code that is not async, a
pytest fixture among it, uses `running_embedded_endpoint`.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from acp_bridge.loopback.endpoint import EmbeddedEndpoint
from acp_bridge.loopback.scratch import (
    FAKE_API_KEY,
    FAKE_ENDPOINT_TOKEN,
    FAKE_SECRETS,
    ScratchHome,
    make_scratch_home,
    scratch_environment,
)
from acp_bridge.loopback.script import Script, Step
from acp_bridge.loopback.sink import ProxySink
from acp_bridge.modes import BillingMode


@dataclass(frozen=True, slots=True)
class OfflineWorld:
    """What `embedded_endpoint` opens.

    Attributes:
        endpoint: the model provider; `seen` tells what each request authenticated with.
        sink: the only way out, which leads nowhere and remembers who tried.
        home: the scratch home, with a fake claude.ai login unless it was asked for without.
    """

    endpoint: EmbeddedEndpoint
    sink: ProxySink
    home: ScratchHome

    @property
    def left_for(self) -> set[str]:
        """What the sink was asked to reach: empty, or the login's profile at Anthropic."""
        return {refused.target for refused in self.sink.refused}

    def environment(self, mode: BillingMode | str = BillingMode.SUBSCRIPTION) -> dict[str, str]:
        """The whole environment of a bridge, or of a command that starts one, in a billing mode.

        Of the process's own environment only ``PATH`` and ``LANG`` are in it.

        Raises:
            ValueError: the text names no billing mode.
        """
        chosen = BillingMode.parse(mode)
        settings = {
            "MODE": chosen.value,
            "CONFIG": os.devnull,
            "STATE_DIR": str(self.home.path / "state"),
            **self._payer(chosen),
        }
        return {
            **scratch_environment(self.home, sink_url=self.sink.url),
            **{f"ACP_BRIDGE_{name}": value for name, value in settings.items()},
        }

    def _payer(self, mode: BillingMode) -> dict[str, str]:
        match mode:
            case BillingMode.API_KEY:
                return {"API_KEY": FAKE_API_KEY, "UPSTREAM_URL": self.endpoint.url}
            case BillingMode.SUBSCRIPTION:
                return {"UPSTREAM_URL": self.endpoint.url}
            case BillingMode.ENDPOINT:
                return {"ENDPOINT_URL": self.endpoint.url, "ENDPOINT_TOKEN": FAKE_ENDPOINT_TOKEN}


@asynccontextmanager
async def embedded_endpoint(
    script: Script = (),
    *,
    folder: Path | None = None,
    login: bool = True,
    title: Step | None = None,
    suggestion: Step | None = None,
) -> AsyncIterator[OfflineWorld]:
    """Open a closed world for the length of the block (asyncio and trio).

    Args:
        script: what the model answers, one step per request of the agent loop; see
            `acp_bridge.loopback.script`.
        folder: where the scratch home is made; default a temporary folder that goes with the block.
        login: store a fake claude.ai login.
        title: the answer to requests for a session's title.
        suggestion: the answer to requests for a suggestion of the next prompt.
    """
    async with AsyncExitStack() as stack:
        if folder is None:
            made = tempfile.TemporaryDirectory(prefix="acp-bridge-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made))
        home = make_scratch_home(folder / "home", login=login)
        endpoint = await stack.enter_async_context(
            EmbeddedEndpoint(script, title=title, suggestion=suggestion, known=FAKE_SECRETS)
        )
        sink = await stack.enter_async_context(ProxySink())
        yield OfflineWorld(endpoint, sink, home)


@contextmanager
def running_embedded_endpoint(
    script: Script = (),
    *,
    folder: Path | None = None,
    login: bool = True,
    title: Step | None = None,
    suggestion: Step | None = None,
) -> Iterator[OfflineWorld]:
    """Open the world of `embedded_endpoint` in another thread, for the length of the block.

    What it has seen can be read from here; its ``wait_for`` is of the other thread's event loop.
    """
    opened = embedded_endpoint(
        script, folder=folder, login=login, title=title, suggestion=suggestion
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(opened) as world,
    ):
        yield world
