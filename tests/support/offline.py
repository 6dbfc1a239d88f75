"""All that the real agent needs to run offline: endpoint, proxy sink, home, environment."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.endpoint import EmbeddedEndpoint
from acp_bridge.loopback.scratch import (
    FAKE_SECRETS,
    ScratchHome,
    make_scratch_home,
    scratch_environment,
)
from acp_bridge.loopback.script import Script
from acp_bridge.loopback.seen import SeenRequest
from acp_bridge.loopback.sink import ProxySink


@dataclass(frozen=True, slots=True)
class Offline:
    """A closed world for one test.

    Attributes:
        endpoint: the model provider.
        sink: the only way out, which leads nowhere.
        home: the scratch home.
        env: the environment in which the agent keeps to all three; no credential is in it.
    """

    endpoint: EmbeddedEndpoint
    sink: ProxySink
    home: ScratchHome
    env: Mapping[str, str]

    @property
    def main_requests(self) -> list[SeenRequest]:
        """The agent loop's model requests so far, subagents included."""
        return [seen for seen in self.endpoint.seen if seen.kind is RequestKind.MAIN]

    @property
    def left_for(self) -> set[str]:
        """What the sink was asked to reach."""
        return {refused.target for refused in self.sink.refused}


@asynccontextmanager
async def offline(
    tmp_path: Path,
    script: Script = (),
    *,
    login: bool = False,
    known: Mapping[str, str] = FAKE_SECRETS,
) -> AsyncIterator[Offline]:
    """Open an `Offline` world under a directory of the test.

    Args:
        tmp_path: where the home is made.
        script: what the endpoint answers.
        login: store the fake claude.ai login.
        known: label to secret, for the endpoint's record.
    """
    home = make_scratch_home(tmp_path / "home", login=login)
    async with EmbeddedEndpoint(script, known=known) as endpoint, ProxySink() as sink:
        env = scratch_environment(home, sink_url=sink.url)
        yield Offline(endpoint, sink, home, {**env, "ANTHROPIC_BASE_URL": endpoint.url})
