"""``acp-bridge doctor``: what could decide who pays here, and whether a running bridge holds."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acp_bridge.cli.arguments import Arguments
    from acp_bridge.inspect.doctor import Agent, WithBridge
    from acp_bridge.inspect.machine import Looked
    from acp_bridge.launch.channels import Channels
    from acp_bridge.modes import BillingMode
    from acp_bridge.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own options; the mode that findings are about is ``--mode``."""
    parser.add_argument(
        "--session",
        action="store_true",
        help="check the bridges that run, from their evidence, in place of the machine",
    )
    parser.add_argument("--run", metavar="RUN_ID", dest="run_id", help="with --session: this one")
    parser.add_argument("--json", action="store_true", help="print the document, not the page")


def run(arguments: "Arguments") -> int:
    """Look, and print what was found.

    Returns:
        0 if nothing but the mode's own payer could pay, 1 with findings, 2 if something is broken.

    Raises:
        ConfigurationError: a setting is wrong, or the run that was asked for is not recorded.
    """
    from acp_bridge.settings import load_settings  # noqa: PLC0415 - heavy

    options = arguments.options
    settings = load_settings(arguments.flags)
    if options.session:
        return _sessions(settings, options.run_id, as_json=options.json)
    from acp_bridge.inspect.doctor import diagnosis, exit_status, render  # noqa: PLC0415
    from acp_bridge.inspect.machine import look  # noqa: PLC0415
    from acp_bridge.launch.channels import load_channels  # noqa: PLC0415
    from acp_bridge.modes import BillingMode  # noqa: PLC0415

    channels = load_channels()
    looked = look(channels, _environment(), Path.cwd())
    bridged = {mode: _bridged(settings, mode, channels, looked) for mode in BillingMode}
    document = diagnosis(settings, channels, looked, _agent(settings), bridged)
    sys.stdout.write(json.dumps(document, indent=2) + "\n" if options.json else render(document))
    return exit_status(document)


def _environment() -> dict[str, str]:
    """What Claude Code would be started with from here."""
    from acp_bridge.settings import PREFIX  # noqa: PLC0415 - heavy

    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


def _bridged(
    settings: "Settings", mode: "BillingMode", channels: "Channels", looked: "Looked"
) -> "WithBridge":
    """The launch plan that the bridge would make in a mode, as far as who pays."""
    from acp_bridge.errors import BridgeError  # noqa: PLC0415
    from acp_bridge.inspect.doctor import WithBridge, cannot_start  # noqa: PLC0415
    from acp_bridge.launch.gate_logins import stored_payer  # noqa: PLC0415
    from acp_bridge.launch.managed import contradictions, resolve_managed_settings  # noqa: PLC0415
    from acp_bridge.launch.plan import make_plan  # noqa: PLC0415
    from acp_bridge.launch.settings_files import Folders, survey  # noqa: PLC0415
    from acp_bridge.launch.stored_sign_ins import sign_ins_to_look_for  # noqa: PLC0415
    from acp_bridge.run.credential import RunCredential  # noqa: PLC0415
    from acp_bridge.settings import ANTHROPIC_API  # noqa: PLC0415

    environ = dict(looked.machine.layers[0].env)
    chosen = settings.model_copy(update={"mode": mode})
    folders = Folders.of(channels, environ)
    try:
        inherited = environ.get(channels.roles["api_key"])
        # As with a guard: the source is named, and not read.
        credential = RunCredential.of(chosen, inherited, guarded=True)
        plan = make_plan(
            channels,
            mode=mode,
            inherited=environ,
            credential=credential.given,
            upstream=chosen.endpoint_url if mode.letter == "C" else ANTHROPIC_API,
            files=survey(channels, folders, Path.cwd()),
        )
        managed = resolve_managed_settings(channels, cached=folders.config / "remote-settings.json")
    except BridgeError as error:
        return cannot_start(error)
    found = tuple(contradictions(channels, managed, mode, planned=plan.sets))
    if found:
        return WithBridge(None, f"managed settings contradict it: {found[0]}", found)
    stored = stored_payer(sign_ins_to_look_for(plan))
    if stored is not None:
        return WithBridge(None, stored)
    if plan.form == "login" and looked.machine.login is None and sys.platform != "darwin":
        return WithBridge(
            None, "no claude.ai login is stored (acp-bridge exec -- claude auth login)"
        )
    return WithBridge(plan.credential_class)


def _proven() -> tuple[str, str]:
    """The versions that this one is proven with, as they are pinned."""
    from acp_bridge.agent.versions import pinned_versions  # noqa: PLC0415
    from acp_bridge.launch.shipped import shipped_file  # noqa: PLC0415

    return pinned_versions(shipped_file("agent/package.json").parent)


def _agent(settings: "Settings") -> "Agent":
    import platformdirs  # noqa: PLC0415 - with its command

    from acp_bridge.agent.find import find_agent  # noqa: PLC0415
    from acp_bridge.agent.versions import claude_version  # noqa: PLC0415
    from acp_bridge.errors import AgentError  # noqa: PLC0415
    from acp_bridge.inspect.doctor import Agent  # noqa: PLC0415

    try:
        found = find_agent(
            settings.agent,
            prefix=Path(sys.prefix),
            data_dir=platformdirs.user_data_path("acp-bridge"),
            path=os.environ.get("PATH", os.defpath),
        )
    except AgentError as error:
        return Agent(None, None, _proven(), f"{error.message} ({error.hint})")
    claude = settings.claude or found.claude
    return Agent(found.version, claude_version(claude), _proven())


def _sessions(settings: "Settings", run_id: str | None, *, as_json: bool) -> int:
    from acp_bridge.inspect.doctor import CLEAN, FINDINGS, session_findings  # noqa: PLC0415
    from acp_bridge.inspect.status import status_document  # noqa: PLC0415

    runs = status_document(settings.state_dir, run_id)["bridges"]
    looked_at = [run for run in runs if run["alive"] or run_id is not None]
    found = session_findings(looked_at, _proven())
    if as_json:
        document = {
            "schema_version": 1,
            "runs": [run["run_id"] for run in looked_at],
            "findings": found,
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        lines = found or [f"nothing found ({len(looked_at)} running)"]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return FINDINGS if found else CLEAN
