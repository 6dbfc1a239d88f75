"""What ``acp-bridge demo`` does in each mode."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio

from acp_bridge.bridge import Bridge
from acp_bridge.cli.headless import hold, show_usage
from acp_bridge.errors import ConfigurationError
from acp_bridge.log import Log
from acp_bridge.loopback.endpoint import EmbeddedEndpoint
from acp_bridge.loopback.scratch import (
    FAKE_API_KEY,
    FAKE_ENDPOINT_TOKEN,
    make_scratch_home,
    scratch_environment,
)
from acp_bridge.loopback.script import say
from acp_bridge.loopback.sink import ProxySink
from acp_bridge.modes import BillingMode
from acp_bridge.settings import PREFIX, load_settings
from acp_bridge.signals import unless_signalled
from acp_bridge.standard_error import write_stderr

PROMPT = "Say hello to the one who pays."
ANSWER = "Hello! This answer came from the embedded endpoint on loopback; nobody was billed."
OF_THE_USER = frozenset(
    {"agent", "claude", "status_wait_seconds", "log_level", "log_file", "log_format"}
)
"""Settings that the demo takes from the user; it brings mode, credential and endpoint itself."""


def demonstrate(
    modes: Sequence[BillingMode], flags: Mapping[str, str], agent: Sequence[str] | None
) -> int:
    """Run one real turn in each mode.

    Returns:
        0 if every model request carried the credential class of its mode and nothing else left;
        128 + N after signal N.

    Raises:
        BridgeError: a run could not be started or failed.
    """
    unused = next((name for name in flags if name not in OF_THE_USER), None)
    if unused is not None:
        raise ConfigurationError(
            f"demo does not use --{unused.replace('_', '-')}: it brings its own",
            hint="leave it out; name the modes to show as in: acp-bridge demo subscription",
        )

    async def show_all() -> int:
        return max([await _show(mode, flags, agent) for mode in modes])

    return anyio.run(unless_signalled, show_all)


async def _show(mode: BillingMode, flags: Mapping[str, str], agent: Sequence[str] | None) -> int:
    with tempfile.TemporaryDirectory(prefix="acp-bridge-demo-") as folder:
        async with EmbeddedEndpoint(script=lambda _: say(ANSWER)) as endpoint, ProxySink() as sink:
            home = make_scratch_home(Path(folder) / "home")
            environ = {
                **scratch_environment(home, sink_url=sink.url),
                # The leak that this program is about: a key in the environment of every mode.
                "ANTHROPIC_API_KEY": FAKE_API_KEY,
                **_settings_of_the_user(),
                **_mode_settings(mode, endpoint.url),
                PREFIX + "STATE_DIR": str(Path(folder) / "state"),
                PREFIX + "CONFIG": os.devnull,
            }
            settings = load_settings(flags, environ)
            write_stderr(f"\n=== mode {mode} ({mode.letter})\n> {PROMPT}\n")
            bridge = Bridge(
                settings, agent=agent, environ=environ, cwd=home.project, log=Log.of(settings)
            )
            async with bridge:
                status = await hold(bridge, PROMPT, cwd=home.project)
                expected = bridge.status["expected_credential_class"]
            seen = [str(request.credential.credential_class) for request in endpoint.seen]
            classes = ", ".join(f"{seen.count(name)} x {name}" for name in sorted(set(seen)))
            write_stderr(f"endpoint    saw {classes or 'nothing'}\n")
            write_stderr(f"elsewhere   {_describe_refused(sink)}\n")
            show_usage(bridge)
    held = bool(seen) and set(seen) <= {expected, "none"}
    write_stderr("result      " + ("the mode held\n" if held else "THE MODE DID NOT HOLD\n"))
    return status if held else 1


def _settings_of_the_user() -> dict[str, str]:
    names = (PREFIX + name.upper() for name in OF_THE_USER)
    return {name: os.environ[name] for name in names if name in os.environ}


def _mode_settings(mode: BillingMode, url: str) -> dict[str, str]:
    settings = {PREFIX + "MODE": mode.value}
    if mode is BillingMode.ENDPOINT:
        return {
            **settings,
            PREFIX + "ENDPOINT_URL": url,
            PREFIX + "ENDPOINT_TOKEN": FAKE_ENDPOINT_TOKEN,
        }
    return {**settings, PREFIX + "UPSTREAM_URL": url}


def _describe_refused(sink: ProxySink) -> str:
    if not sink.refused:
        return "nothing was sent"
    targets = sorted({str(request.target) for request in sink.refused})
    return f"refused, not sent: {', '.join(targets)}"
