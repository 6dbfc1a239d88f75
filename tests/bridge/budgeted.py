"""Real bridges with budgets, before an endpoint whose every answer costs the same."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from acp_bridge.loopback.asked import Asked
from acp_bridge.loopback.endpoint import EmbeddedEndpoint
from acp_bridge.loopback.scratch import (
    FAKE_API_KEY,
    FAKE_SECRETS,
    make_scratch_home,
    scratch_environment,
)
from acp_bridge.loopback.script import Answer, Script, Step, Usage
from acp_bridge.loopback.sink import ProxySink
from acp_bridge.metering.usage import Tokens
from tests.bridge.process import BRIDGE
from tests.metering.numbered import tokens_of
from tests.support.acp import AcpClient, acp_client
from tests.support.offline import Offline

BUDGET_EXHAUSTED = -32011


class EvenEndpoint(EmbeddedEndpoint):
    """Every answer costs the same, titles and suggestions included."""

    def __init__(self, script: Script, usage: Usage, known: Mapping[str, str]) -> None:
        super().__init__(script, known=known)
        self._usage = usage

    def _step(self, asked: Asked) -> Step:
        step = super()._step(asked)
        return replace(step, usage=self._usage) if isinstance(step, Answer) else step


@dataclass(frozen=True, slots=True)
class BudgetedWorld:
    """An endpoint, a home, a configuration file and the environment of a bridge."""

    offline: Offline
    config: Path
    state: Path
    env: Mapping[str, str]

    @property
    def answered(self) -> list[Tokens]:
        """What each request that a model answered cost, as the endpoint scripted it."""
        return [tokens_of(one.usage) for one in self.offline.endpoint.seen if one.usage]

    @asynccontextmanager
    async def bridge(self, **settings: str) -> AsyncIterator[AcpClient]:
        """A bridge; further settings are named as in the environment, without the prefix."""
        more = {f"ACP_BRIDGE_{name}": value for name, value in settings.items()}
        env = {**self.env, **more}
        async with acp_client(BRIDGE, env=env, cwd=self.offline.home.project) as client:
            await client.initialize()
            yield client

    async def open(self, client: AcpClient) -> str:
        """A new session."""
        return await client.new_session(self.offline.home.project)


@asynccontextmanager
async def budgeted_world(
    tmp_path: Path,
    budgets: str,
    script: Script = (),
    *,
    usage: Usage | None = None,
    mode: str = "A",
) -> AsyncIterator[BudgetedWorld]:
    """Open a world whose bridges have these budgets.

    Args:
        tmp_path: where everything is.
        budgets: ``[[budget]]`` tables.
        script: what the endpoint answers.
        usage: what each answer costs.
        mode: A with the guard, or B without.
    """
    home = make_scratch_home(tmp_path / "home", login=mode == "B")
    config = tmp_path / "config.toml"
    config.write_text(budgets)
    endpoint = EvenEndpoint(script, usage or Usage(), known=FAKE_SECRETS)
    async with endpoint, ProxySink() as sink:
        env = scratch_environment(home, sink_url=sink.url)
        settings = {
            "MODE": mode,
            "UPSTREAM_URL": endpoint.url,
            "CONFIG": str(config),
            "STATE_DIR": str(tmp_path / "state"),
            "SUGGESTIONS": "off",
            **({"API_KEY": FAKE_API_KEY} if mode == "A" else {}),
        }
        env |= {f"ACP_BRIDGE_{name}": value for name, value in settings.items()}
        yield BudgetedWorld(Offline(endpoint, sink, home, env), config, tmp_path / "state", env)
