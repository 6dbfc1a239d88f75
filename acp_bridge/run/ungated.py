"""The environment of an agent without a launch gate: of another kind, or in tests of other layers.

An agent of another kind gets what the bridge was started with. In a test of the wire guard alone
the agent is told to send its requests there, and what to pay with; nothing is scrubbed or pinned.
"""

from collections.abc import Mapping

from acp_bridge.launch.channel_rows import Kind, Pinned
from acp_bridge.launch.plan import LaunchPlan
from acp_bridge.settings import PREFIX

_RECEIVER = "$telemetry"


def without_own(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without the bridge's own settings."""
    return {name: value for name, value in environ.items() if not name.startswith(PREFIX)}


def ungated(plan: LaunchPlan, environ: Mapping[str, str], *, guarded: bool) -> dict[str, str]:
    """The environment with which the agent is started.

    Args:
        plan: the launch plan.
        environ: the environment that the bridge was started with.
        guarded: whether the plan's upstream is a wire guard.
    """
    if not guarded:
        return without_own(environ)
    return {**without_own(environ), **_told_to_the_agent(plan), **_telemetry(plan)}


def _told_to_the_agent(plan: LaunchPlan) -> dict[str, str]:
    """Where to, and with what; not the switch that makes Claude Code ignore everything else."""
    rows = {name: plan.channels.variable(name) for name in plan.sets}
    hosts = {name for name, row in rows.items() if row is not None and row.kind is Kind.HOST}
    return {name: value for name, value in plan.sets.items() if name not in hosts}


def _telemetry(plan: LaunchPlan) -> dict[str, str]:
    if plan.telemetry_url is None:
        return {}
    telemetry = plan.channels.telemetry
    receiver = plan.telemetry_url + telemetry.path
    pins = {
        row.name: row.pins[case]
        for case in (Pinned.ALONE, Pinned.OFF)
        for row in telemetry.variables
        if case in row.pins
    }
    return {name: receiver if pin == _RECEIVER else pin for name, pin in pins.items()}
