"""Becoming the prepared command, for the forms that hand the terminal over: ``exec``, ``--cli``."""

import contextlib
from collections.abc import Sequence
from typing import NoReturn

from acp_bridge.agent.terminal import replace_process
from acp_bridge.cli.banner import show_banner
from acp_bridge.errors import BridgeError
from acp_bridge.policy.surface import Surface
from acp_bridge.run.bucket import bucket_in_force
from acp_bridge.run.preparation import Preparation
from acp_bridge.run.record import RunRecord


def become(argv: Sequence[str], preparation: Preparation) -> NoReturn:
    """Record the run, show the banner and replace this process by a command.

    The run's directory stays for as long as the command runs; the next start takes off the disk
    what the command needed.

    Raises:
        AgentError: the command cannot be started; the run is over then.
    """
    record = RunRecord.of(preparation)
    settings = preparation.settings
    # Which surface a command is, only the command knows.
    in_force = bucket_in_force(
        settings, settings.config_file, preparation.started_at, surface=Surface.UNKNOWN
    )
    record.expect(in_force)
    record.declare(preparation.plan.credential_class.value, "launch plan")
    with contextlib.suppress(OSError):
        preparation.directory.write_status(record.document())
    show_banner(preparation, f"{record.bucket} (policy {in_force.policy_version})")
    preparation.directory.outlive_exec()
    try:
        replace_process(argv, preparation.environment)
    except BridgeError:
        preparation.directory.close()
        raise
