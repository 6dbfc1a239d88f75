"""Becoming the prepared command, for the forms that hand the terminal over: ``exec``, ``--cli``."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from acp_bridge.agent.beside import stand_beside
from acp_bridge.agent.terminal import find_program, replace_process
from acp_bridge.agent.versions import claude_version
from acp_bridge.cli.banner import show_banner, show_unguarded
from acp_bridge.companion import Companion
from acp_bridge.errors import BridgeError
from acp_bridge.log import Log
from acp_bridge.modes import OnOverage
from acp_bridge.own_process import hide_from_others
from acp_bridge.policy.surface import Surface
from acp_bridge.run.bucket import bucket_in_force
from acp_bridge.run.counted import CountedBy, has_budgets
from acp_bridge.run.record import RunRecord
from acp_bridge.run.start import Prepared
from acp_bridge.run.started import pools_of


def become(argv: Sequence[str], prepared: Prepared, surface: Surface) -> NoReturn:
    """Record the run, show the banner and replace this process by a command.

    What meters and guards the command is a companion process; the run's directory stays for as long
    as either lives. Where there is nothing to meter (another kind of agent, a sign-in) there is
    none, and the next start takes off the disk what the command needed.

    Args:
        argv: the command line.
        prepared: the run.
        surface: what kind of program the command is.

    Raises:
        AgentError: the command cannot be started; the run is over then.
        BridgeError: its companion does not let it start.
    """
    preparation = prepared.preparation
    try:
        log = Log.of(preparation.settings)
        by = _counted_by(prepared, surface)
        record, in_force = by.record, by.in_force
        with contextlib.suppress(OSError):
            preparation.directory.write_status(record.document())
        find_program(argv, preparation.environment)
        show_banner(preparation, f"{record.bucket} (policy {in_force.policy_version})")
        is_metered = prepared.telemetry is not None or prepared.guard is not None
        if is_metered:
            if by.guard is None:
                blocks = preparation.settings.on_overage is OnOverage.BLOCK
                show_unguarded(budgets=has_budgets(by), overage=blocks)
            _accompany(by, log)
        preparation.directory.outlive_exec()
        replace_process(argv, preparation.environment)
    except BridgeError:
        preparation.directory.close()
        raise


def _counted_by(prepared: Prepared, surface: Surface) -> CountedBy:
    preparation = prepared.preparation
    settings, record = preparation.settings, RunRecord.of(preparation)
    in_force = bucket_in_force(
        settings, settings.config_file, preparation.started_at, surface=surface
    )
    record.expect(in_force)
    record.declare(preparation.plan.credential_class.value, "launch plan")
    record.claude_version = claude_version(preparation.own_claude or preparation.claude)
    return CountedBy(
        preparation=preparation,
        record=record,
        in_force=in_force,
        telemetry=prepared.telemetry,
        guard=prepared.guard,
        pools=pools_of(settings, in_force),
        surface=surface,
    )


def _accompany(by: CountedBy, log: Log) -> None:
    """Let a companion stand beside this process; the credential stays with it."""
    companion = Companion(by, str(Path.cwd()), log)
    hide_from_others()
    stand_beside(companion.accompany)
    for address in (by.telemetry, by.guard):
        if address is not None:
            address.close()
