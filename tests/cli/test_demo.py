"""``demo``: a real turn in each mode, with nothing but what it brings itself."""

from pathlib import Path

import pytest

from tests.bridge.process import bridge_environment, run_bridge

pytestmark = pytest.mark.agent

MODES = {
    "api-key": ("A", "api_key"),
    "subscription": ("B", "subscription_oauth"),
    "endpoint": ("C", "endpoint_credential"),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_demo_shows_a_mode_that_holds(tmp_path: Path, mode: str) -> None:
    letter, credential_class = MODES[mode]
    env = {**bridge_environment(tmp_path), "TMPDIR": str(tmp_path)}
    done = run_bridge("demo", mode, env=env)
    assert done.returncode == 0, done.stderr
    assert "nobody was billed" in done.stdout
    assert done.stdout.count("\n") == 1
    assert f"=== mode {mode} ({letter})\n" in done.stderr
    assert f"x {credential_class}\n" in done.stderr
    assert "result      the mode held\n" in done.stderr
    assert "sk-ant" not in done.stderr
    # It leaves nothing behind, in the user's places or in the temporary folder.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    assert list((tmp_path / "home").iterdir()) == []


def test_an_error_inside_the_demo_is_one_line_and_a_hint(tmp_path: Path) -> None:
    done = run_bridge("demo", "B", "--agent", "false", env=bridge_environment(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-2].startswith("error: ")
    assert done.stderr.splitlines()[-1].startswith("hint: ")
