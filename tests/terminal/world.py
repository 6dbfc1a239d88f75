"""A closed world for programs that have a terminal, or pipes, to themselves."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acp_bridge.loopback.asked import RequestKind
from acp_bridge.loopback.scratch import (
    FAKE_API_KEY,
    FAKE_ENDPOINT_TOKEN,
    FAKE_SECRETS,
    ScratchHome,
    make_scratch_home,
    scratch_environment,
)
from acp_bridge.loopback.script import Script
from acp_bridge.loopback.threaded import (
    RunningEndpoint,
    RunningSink,
    running_endpoint,
    running_sink,
)
from tests.bridge.process import BRIDGE, SECONDS, run_bridge
from tests.support.real import CLAUDE

CLASSES = {
    "api-key": "api_key",
    "subscription": "subscription_oauth",
    "endpoint": "endpoint_credential",
}
EXEC = [*BRIDGE, "exec", "--", str(CLAUDE)]
TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)


@dataclass(frozen=True)
class World:
    """Endpoint, sink and scratch home, and what the bridge has to say of them."""

    endpoint: RunningEndpoint
    sink: RunningSink
    home: ScratchHome
    env: dict[str, str]

    @property
    def project(self) -> Path:
        """Where sessions work."""
        return self.home.project

    def in_mode(self, mode: str, **settings: str) -> dict[str, str]:
        """The environment of a bridge in this mode, with a key that must not pay in B and C."""
        env = {**self.env, "ACP_BRIDGE_MODE": mode, "ANTHROPIC_API_KEY": FAKE_API_KEY}
        if mode == "endpoint":
            env["ACP_BRIDGE_ENDPOINT_URL"] = self.endpoint.url
            env["ACP_BRIDGE_ENDPOINT_TOKEN"] = FAKE_ENDPOINT_TOKEN
        else:
            env["ACP_BRIDGE_UPSTREAM_URL"] = self.endpoint.url
        return {**env, **{f"ACP_BRIDGE_{name.upper()}": value for name, value in settings.items()}}

    def trust_the_project(self) -> None:
        """As if the user had answered Claude Code's question."""
        path = self.home.config / ".claude.json"
        known = json.loads(path.read_text())
        known["projects"] = {str(self.project): {"hasTrustDialogAccepted": True}}
        path.write_text(json.dumps(known))

    @property
    def paid_with(self) -> set[str]:
        """The credential classes of the model requests."""
        return {str(seen.credential.credential_class) for seen in self.endpoint.seen}

    @property
    def main_requests(self) -> int:
        """How often the agent loop asked."""
        return sum(seen.kind is RequestKind.MAIN for seen in self.endpoint.seen)

    def tokens(self) -> dict[str, int]:
        """What the endpoint's answers said was used."""
        used = [seen.usage for seen in self.endpoint.seen if seen.usage is not None]
        return {name: sum(getattr(usage, name) for usage in used) for name in TOKENS}

    def run(self) -> Any:
        """The one run's status."""
        (run,) = self.ask("status")["bridges"]
        return run

    def ended_run(self) -> Any:
        """The same, once it is over."""
        wait_until(lambda: not self.run()["alive"])
        return self.run()

    def usage(self) -> dict[str, int]:
        """What the ledger holds."""
        totals = self.ask("usage")["totals"]
        return {name: totals[name] for name in TOKENS}

    def ask(self, command: str, *arguments: str) -> Any:
        """A document of the bridge's."""
        done = run_bridge(command, "--json", *arguments, env=self.env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextmanager
def closed_world(tmp_path: Path, script: Script = ()) -> Iterator[World]:
    """A world in which nothing leaves the machine."""
    home = make_scratch_home(tmp_path / "home")
    with running_endpoint(script, known=FAKE_SECRETS) as endpoint, running_sink() as sink:
        env: Mapping[str, str] = scratch_environment(home, sink_url=sink.url)
        own = {"ACP_BRIDGE_STATE_DIR": str(tmp_path / "state"), "ACP_BRIDGE_CONFIG": "/dev/null"}
        yield World(endpoint, sink, home, {**env, **own})


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again until the condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
