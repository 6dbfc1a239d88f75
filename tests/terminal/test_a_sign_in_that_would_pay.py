"""``exec`` beside a stored sign-in that Claude Code would pay with: nothing is sent, to anybody."""

from pathlib import Path

import pytest

from acp_bridge.loopback.script import Script
from acp_bridge.loopback.threaded import running_endpoint
from acp_bridge.proving.kinds import Bait, Kind, plant
from acp_bridge.proving.scopes import Scope, place
from tests.bridge.process import run_bridge
from tests.support.real import CLAUDE
from tests.terminal.world import closed_world

pytestmark = pytest.mark.agent
REFUSED = 3
NOTHING: Script = ()


@pytest.mark.parametrize("kind", [Kind.GATEWAY_SIGN_IN, Kind.CONSOLE_LOGIN])
def test_in_mode_b_the_command_does_not_start_and_signing_out_does(
    tmp_path: Path, kind: Kind
) -> None:
    with closed_world(tmp_path) as world, running_endpoint(NOTHING) as elsewhere:
        bait = Bait(elsewhere.url, "", tmp_path / "socket", tmp_path, CLAUDE)
        place(Scope.STORED, plant(kind, bait), home=world.home, project=world.project)
        env = world.in_mode("subscription")

        done = run_bridge("exec", "--", str(CLAUDE), "-p", "hello", env=env)
        assert done.returncode == REFUSED
        assert done.stderr.startswith(f"error: a {kind} is stored in {world.home.config}")
        by_name = {**env, "PATH": f"{CLAUDE.parent}:{env['PATH']}"}
        script = run_bridge("exec", "--", "sh", "-c", "claude -p hello", env=by_name)
        assert script.returncode == REFUSED
        assert f"launch gate: a {kind} is stored in" in script.stderr
        assert [*world.endpoint.seen, *elsewhere.seen] == []

        done = run_bridge("exec", "--", str(CLAUDE), "auth", "logout", env=env)
        assert done.returncode == 0, done.stderr
        done = run_bridge("exec", "--", str(CLAUDE), "-p", "hello", env=env)
        assert "is stored in" not in done.stderr
        assert "Not logged in" in done.stdout
        assert world.endpoint.seen == []


def test_mode_c_is_not_disturbed(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world, running_endpoint(NOTHING) as elsewhere:
        bait = Bait(elsewhere.url, "", tmp_path / "socket", tmp_path, CLAUDE)
        made = plant(Kind.GATEWAY_SIGN_IN, bait)
        place(Scope.STORED, made, home=world.home, project=world.project)
        done = run_bridge("exec", "--", str(CLAUDE), "-p", "hello", env=world.in_mode("endpoint"))
        assert done.returncode == 0, done.stderr
        assert world.paid_with == {"endpoint_credential"}
        assert elsewhere.seen == []
