"""``exec -- claude`` in a real terminal: as if Claude Code had been started itself."""

from pathlib import Path

import pytest

from acp_bridge.loopback.script import Answer, Text
from acp_bridge.loopback.seen import Outcome
from tests.terminal.tmux import terminal
from tests.terminal.world import CLASSES, EXEC, closed_world, wait_until

pytestmark = pytest.mark.agent

PROMPT = "shift+tab to cycle"
"""What Claude Code shows when it waits for a prompt."""
ASKS_ABOUT_THE_KEY = "Do you want to use this API key?"


@pytest.mark.parametrize("mode", ["api-key", "subscription"])
def test_a_session_is_typed_interrupted_resized_and_ended(tmp_path: Path, mode: str) -> None:
    stalls = Answer((Text("This goes on and on."),), stall_after=5)
    with closed_world(tmp_path, [Answer((Text("The first answer."),)), stalls]) as world:
        world.trust_the_project()
        env = world.in_mode(mode)
        with terminal(tmp_path, EXEC, env, world.project) as tty:
            screen = tty.wait_for(PROMPT, ASKS_ABOUT_THE_KEY)
            assert ASKS_ABOUT_THE_KEY not in screen
            assert ("API Usage Billing" if mode == "api-key" else "Claude Max") in screen

            tty.type("hello")
            tty.press("Enter")
            tty.wait_for("The first answer.")

            tty.resize(60, 20)
            ruler = "─" * 60
            wait_until(lambda: ruler in tty.screen.splitlines())

            tty.type("go on")
            tty.press("Enter")
            tty.wait_for("esc to interrupt")
            wait_until(lambda: world.main_requests == 2)
            tty.press("C-c")
            wait_until(lambda: Outcome.CLIENT_LEFT in [s.outcome for s in world.endpoint.seen])
            wait_until(lambda: "esc to interrupt" not in tty.screen)

            tty.press("C-u")  # a prompt that had shown nothing yet is given back to the user
            tty.press("C-c")
            tty.wait_for("again to exit")
            tty.press("C-c")
            tty.wait_for("[ended with 0]")
        assert world.paid_with == {CLASSES[mode]}
        run = world.ended_run()
        assert (run["mode"], run["violations"]) == (mode, [])
        assert [session["cwd"] for session in run["sessions"]] == [str(world.project)]
        assert world.usage()["input_tokens"] > 0


def test_an_endpoint_asks_nothing_and_gets_its_own_credential(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world:
        world.trust_the_project()
        with terminal(tmp_path, EXEC, world.in_mode("endpoint"), world.project) as tty:
            screen = tty.wait_for(PROMPT, ASKS_ABOUT_THE_KEY)
            assert ASKS_ABOUT_THE_KEY not in screen
            assert "Claude Max" not in screen
            tty.type("hello")
            tty.press("Enter")
            tty.wait_for("Hello from the embedded endpoint.")
            tty.interrupt_until_it_ends()
        assert world.paid_with == {CLASSES["endpoint"]}
        run = world.ended_run()
        assert (run["mode"], run["violations"]) == ("endpoint", [])


def test_in_mode_b_signing_in_again_offers_the_subscription_alone(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world:
        world.trust_the_project()
        with terminal(tmp_path, EXEC, world.in_mode("subscription"), world.project) as tty:
            tty.wait_for(PROMPT)
            tty.type("/login")
            tty.wait_for("/login")
            tty.press("Enter")
            screen = tty.wait_for("Login method pre-selected", "Select login method")
            assert "Subscription Plan" in screen
            assert "Console" not in screen


def test_it_is_suspended_and_comes_back_like_any_job(tmp_path: Path) -> None:
    with closed_world(tmp_path) as world:
        world.trust_the_project()
        env = {**world.in_mode("api-key"), "PS1": "ready> "}
        with terminal(tmp_path, ["bash", "--norc", "-i"], env, world.project) as tty:
            tty.wait_for("ready>")
            tty.type(" ".join(EXEC))
            tty.press("Enter")
            tty.wait_for(PROMPT)
            tty.press("C-z")
            tty.wait_for("Stopped")
            tty.type("clear; jobs; fg")
            tty.press("Enter")
            tty.wait_for(PROMPT)
            tty.type("hello")
            tty.press("Enter")
            tty.wait_for("Hello from the embedded endpoint.")
            tty.press("C-d")
            tty.press("C-d")
            tty.wait_for("--resume")
        assert world.paid_with == {"api_key"}
