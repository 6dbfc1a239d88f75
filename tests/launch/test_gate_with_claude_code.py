"""The launch gate before the real Claude Code, with what it is there to hold off."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from acp_bridge.launch.credentials import Credential, api_key, endpoint_credential
from acp_bridge.launch.launcher import write_launcher
from acp_bridge.launch.plan import make_plan
from acp_bridge.launch.settings_files import Folders, survey
from acp_bridge.loopback.scratch import FAKE_API_KEY, FAKE_ENDPOINT_TOKEN
from acp_bridge.loopback.script import say, use
from acp_bridge.modes import BillingMode, CredentialClass
from tests.launch.standin import CHANNELS, write_settings
from tests.support.offline import Offline, offline
from tests.support.real import CLAUDE, Finished, run_claude

pytestmark = pytest.mark.agent

LEAKED_KEY = "sk-ant-api03-FAKE-leaked"
LEAK = {
    "ANTHROPIC_API_KEY": LEAKED_KEY,
    "ANTHROPIC_AUTH_TOKEN": "FAKE-leaked-bearer",
    "ANTHROPIC_CUSTOM_HEADERS": "x-leaked: 1",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
    "CLAUDE_CODE_USE_BEDROCK": "1",
    "CLAUDE_CODE_SIMPLE": "1",
}
CREDENTIALS: Mapping[BillingMode, Credential | None] = {
    BillingMode.API_KEY: api_key(FAKE_API_KEY, source="a test"),
    BillingMode.SUBSCRIPTION: None,
    BillingMode.ENDPOINT: endpoint_credential(token=FAKE_ENDPOINT_TOKEN),
}
CLASSES = {
    BillingMode.API_KEY: (CredentialClass.API_KEY, "demo api key"),
    BillingMode.SUBSCRIPTION: (CredentialClass.SUBSCRIPTION_OAUTH, "demo login"),
    BillingMode.ENDPOINT: (CredentialClass.ENDPOINT_CREDENTIAL, "demo endpoint token"),
}
# Claude Code looks up the stored login's profile at every start of mode B.
REACHED_FOR = {BillingMode.SUBSCRIPTION: {"api.anthropic.com:443"}}


async def run(
    world: Offline, mode: BillingMode, *arguments: str, injected: Mapping[str, str] | None = None
) -> Finished:
    """Run Claude Code behind the gate; what is injected comes after the plan was made."""
    inherited = {**world.env, "ANTHROPIC_API_KEY": LEAKED_KEY}
    cwd = world.home.project
    plan = make_plan(
        CHANNELS,
        mode=mode,
        inherited=inherited,
        credential=CREDENTIALS[mode],
        upstream=world.endpoint.url,
        files=survey(CHANNELS, Folders.of(CHANNELS, inherited), cwd),
    )
    launcher = write_launcher(plan, world.home.path / "a run's folder", claude=CLAUDE)
    environ = {**launcher.environment, **(injected or {})}
    return await run_claude(*arguments, env=environ, cwd=cwd, argv=(str(launcher.executable),))


def credentials_seen(world: Offline) -> set[tuple[CredentialClass, str | None]]:
    return {
        (seen.credential.credential_class, seen.credential.label) for seen in world.endpoint.seen
    }


@pytest.mark.parametrize("mode", BillingMode)
async def test_leaks_from_everywhere_at_once_never_reach_the_wire(
    tmp_path: Path, mode: BillingMode
) -> None:
    leaking = {"env": LEAK, "apiKeyHelper": f"echo {LEAKED_KEY}"}
    async with offline(tmp_path, login=True) as world:
        project = world.home.project / ".claude"
        write_settings(world.home.config / "settings.json", leaking)
        write_settings(project / "settings.json", leaking)
        write_settings(project / "settings.local.json", leaking)
        given = ("--settings", json.dumps(leaking), "--managed-settings", json.dumps(leaking))
        done = await run(world, mode, *given, "-p", "hello", injected=LEAK)

    assert (done.status, done.stderr) == (0, "")
    assert credentials_seen(world) == {CLASSES[mode]}
    assert "x-leaked" not in world.endpoint.seen[0].header_names
    assert world.left_for == REACHED_FOR.get(mode, set())


async def test_settings_that_do_not_load_would_take_the_pins_with_them(tmp_path: Path) -> None:
    pins = {"apiKeyHelper": "", "env": {"ANTHROPIC_API_KEY": ""}}
    async with offline(tmp_path, login=True) as world:
        key = {"env": {"ANTHROPIC_API_KEY": FAKE_API_KEY}}
        write_settings(world.home.project / ".claude" / "settings.json", key)
        cwd, env = world.home.project, world.env
        spoilt = json.dumps({**pins, "model": 5})
        await run_claude("--settings", spoilt, "-p", "hello", env=env, cwd=cwd)
        without_the_gate = [seen.credential.label for seen in world.endpoint.seen]
        done = await run(world, BillingMode.SUBSCRIPTION, "--settings", spoilt, "-p", "hello")
        labels = [seen.credential.label for seen in world.endpoint.seen]

    assert set(without_the_gate) == {"demo api key"}
    assert set(labels[len(without_the_gate) :]) == {"demo login"}
    assert "does not load the settings" in done.stderr


async def test_settings_that_load_take_effect(tmp_path: Path) -> None:
    async with offline(tmp_path, login=True) as world:
        chosen = json.dumps({"model": "claude-haiku-4-5"})
        await run(world, BillingMode.SUBSCRIPTION, "--settings", chosen, "-p", "hello")

    assert {seen.model for seen in world.main_requests} == {"claude-haiku-4-5"}


@pytest.mark.parametrize("mode", BillingMode)
async def test_a_nested_call_from_the_shell_stays_in_the_mode(
    tmp_path: Path, mode: BillingMode
) -> None:
    command = (
        f"export ANTHROPIC_API_KEY={LEAKED_KEY} CLAUDE_CODE_USE_BEDROCK=1; claude -p nested > said"
    )
    script = [use("Bash", command=command, description="Ask again"), say("Nested."), say("Done.")]
    async with offline(tmp_path, script, login=True) as world:
        start_up = (
            f"export ANTHROPIC_API_KEY={LEAKED_KEY}\n"
            "claude() { echo function; }\nalias claude='echo alias'\nshopt -s expand_aliases\n"
        )
        (world.home.path / ".bashrc").write_text(start_up)
        shell = {"SHELL": "/bin/bash"}
        await run(world, mode, "--allowedTools", "Bash", "-p", "go", injected=shell)
        said = (world.home.project / "said").read_text()

    assert said == "Nested.\n"
    assert "nested" in {seen.prompt for seen in world.main_requests}
    assert credentials_seen(world) == {CLASSES[mode]}


@pytest.mark.parametrize("mode", BillingMode)
async def test_commands_that_know_no_settings_option_still_run(
    tmp_path: Path, mode: BillingMode
) -> None:
    async with offline(tmp_path, login=True) as world:
        status = await run(world, mode, "auth", "status", "--json")
        listed = await run(world, mode, "mcp", "list")

    methods = {
        BillingMode.API_KEY: "api_key",
        BillingMode.SUBSCRIPTION: "claude.ai",
        BillingMode.ENDPOINT: "oauth_token",
    }
    assert json.loads(status.stdout)["authMethod"] == methods[mode]
    assert listed.status == 0
    assert world.endpoint.seen == []


async def test_a_profile_does_not_outrank_the_stored_login(tmp_path: Path) -> None:
    profile = {
        "authentication": {
            "type": "oidc_federation",
            "identity_token_file": "/absent",
            "federation_rule_id": "FAKE",
            "organization_id": "FAKE",
        }
    }
    async with offline(tmp_path, login=True) as world:
        profiles = world.home.path / ".config" / "anthropic" / "configs"
        write_settings(profiles / "default.json", profile)
        await run(world, BillingMode.SUBSCRIPTION, "-p", "hello")

    assert credentials_seen(world) == {CLASSES[BillingMode.SUBSCRIPTION]}
