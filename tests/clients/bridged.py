"""The bridge as a client from elsewhere starts it: command, environment, and who had to pay."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from acp_bridge.loopback.scratch import FAKE_API_KEY, FAKE_ENDPOINT_TOKEN
from acp_bridge.modes import BillingMode, CredentialClass
from acp_bridge.settings import PREFIX
from tests.support.offline import Offline

Json = dict[str, Any]

BRIDGE = str(Path(sys.prefix) / "bin" / "acp-bridge")
EXAMPLE_ARGV = (sys.executable, str(Path(__file__).with_name("example_agent.py")))
STATUS_SECONDS = 20.0

PAID_WITH: Mapping[BillingMode, CredentialClass] = {
    BillingMode.API_KEY: CredentialClass.API_KEY,
    BillingMode.SUBSCRIPTION: CredentialClass.SUBSCRIPTION_OAUTH,
    BillingMode.ENDPOINT: CredentialClass.ENDPOINT_CREDENTIAL,
}
# Claude Code asks for the login's profile at each start, and for nothing where the host manages it.
_WAYS_OUT: Mapping[BillingMode, frozenset[str]] = {
    BillingMode.API_KEY: frozenset(),
    BillingMode.SUBSCRIPTION: frozenset({"api.anthropic.com:443"}),
    BillingMode.ENDPOINT: frozenset(),
}


def bridge_environment(world: Offline, mode: BillingMode) -> dict[str, str]:
    """A client's environment: the mode's settings, and beside them the credential of another mode.

    Without the bridge that other one would pay, so a client that was not bridged is found out.
    """
    match mode:
        case BillingMode.API_KEY:
            settings = {"API_KEY": FAKE_API_KEY, "UPSTREAM_URL": world.endpoint.url}
            stray = {"ANTHROPIC_AUTH_TOKEN": FAKE_ENDPOINT_TOKEN}
        case BillingMode.SUBSCRIPTION:
            settings = {"UPSTREAM_URL": world.endpoint.url}
            stray = {"ANTHROPIC_API_KEY": FAKE_API_KEY}
        case BillingMode.ENDPOINT:
            settings = {"ENDPOINT_URL": world.endpoint.url, "ENDPOINT_TOKEN": FAKE_ENDPOINT_TOKEN}
            stray = {"ANTHROPIC_API_KEY": FAKE_API_KEY}
    settings["MODE"] = mode.value
    named = {PREFIX + name: value for name, value in settings.items()}
    return {**outer_environment(world), **stray, **named}


def outer_environment(world: Offline) -> dict[str, str]:
    """A client's environment without mode or credential, where no ``claude`` is installed."""
    settings = {"STATE_DIR": str(world.home.path / "state"), "CONFIG": os.devnull}
    named = {PREFIX + name: value for name, value in settings.items()}
    return {**world.env, "PATH": os.defpath, **named}


def take_card(messages: list[Json]) -> Json | None:
    """Take what the bridge says of itself out of the ``initialize`` result, the first there is.

    It is the one documented edit of what an agent that is not Claude Code says.
    """
    initialized = next(message["result"] for message in messages if "result" in message)
    card: Json | None = initialized.get("_meta", {}).pop("acp_bridge", None)
    if not initialized.get("_meta", True):
        del initialized["_meta"]
    return card


def anywhere(value: Any, folder: Path) -> Any:
    """A JSON value with that folder written as ``<folder>``, to compare runs in two places."""
    return json.loads(json.dumps(value).replace(str(folder), "<folder>"))


def assert_only_the_mode_paid(world: Offline, mode: BillingMode) -> None:
    """Every request carried the mode's credential, and nothing else left the machine."""
    assert {seen.credential.credential_class for seen in world.endpoint.seen} == {PAID_WITH[mode]}
    assert world.left_for <= _WAYS_OUT[mode]


async def finished_runs(env: Mapping[str, str]) -> list[Json]:
    """What ``acp-bridge status --json`` says of the runs, each of which has ended in good order."""
    with anyio.fail_after(STATUS_SECONDS):
        done = await anyio.run_process([BRIDGE, "status", "--json"], env=dict(env))
    runs: list[Json] = json.loads(done.stdout)["bridges"]
    assert [run["alive"] for run in runs] == [False] * len(runs)
    assert all(run["ended_at"] for run in runs)
    assert [run["violations"] for run in runs] == [[]] * len(runs)
    return runs
