"""The stored sign-ins that a run must not find, as the launch gate looks for them."""

from acp_bridge.launch.plan import LaunchPlan
from acp_bridge.launch.settings_files import Folders, source_paths


def sign_ins_to_look_for(plan: LaunchPlan) -> list[dict[str, str]]:
    """The rows for `acp_bridge.launch.gate_logins.stored_payer`.

    They matter where a stored login is to pay: every other launch is host-managed, and Claude Code
    looks at none.
    """
    if not plan.uses_stored_login:
        return []
    folders = Folders.of(plan.channels, plan.inherited)
    return [
        {
            "path": str(path),
            "key": row.key,
            "sentence": f"a {row.name} is stored in {path} and would pay in mode"
            f" {plan.mode.value}; {row.fix}",
        }
        for row in plan.channels.stored
        if plan.mode in row.contradicts
        for path in source_paths(row.path, folders, None)
    ]
