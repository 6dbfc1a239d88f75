"""What a client is left with when the agent that it configured is not there."""

from pathlib import Path

import acp
import pytest

from tests.clients.bridged import BRIDGE, outer_environment
from tests.clients.sdk_client import SdkClient, connect
from tests.support.offline import offline


async def test_the_client_sees_a_closed_connection_and_the_log_says_why(tmp_path: Path) -> None:
    async with offline(tmp_path) as world:
        argv, log = (BRIDGE, "--", "no-such-agent"), tmp_path / "stderr"
        env, cwd = outer_environment(world), world.home.project
        async with connect(SdkClient(), argv, env=env, cwd=cwd, log=log) as connected:
            with pytest.raises(ConnectionError):
                await connected.agent.initialize(acp.PROTOCOL_VERSION)

    assert connected.returncode == 4
    error, hint = connected.stderr.splitlines()
    assert error == "error: the agent no-such-agent was not found or is not executable"
    assert hint.startswith("hint: ")
