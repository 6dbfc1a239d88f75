"""The stored sign-ins that a run must not find, as the launch gate looks for them."""

import sys
from typing import Any

from acp_bridge.launch.plan import LaunchPlan
from acp_bridge.launch.settings_files import Folders, source_paths

LOGINS = "{logins}/.credentials.json"


def sign_ins_to_look_for(plan: LaunchPlan) -> list[dict[str, Any]]:
    """The rows for `acp_bridge.launch.gate_logins.stored_payer`.

    They matter where a stored login is to pay: every other launch is host-managed, and Claude Code
    looks at none. One that yields to a login needs that it can be seen whether there is one: on
    macOS the keychain knows.
    """
    if not plan.uses_stored_login:
        return []
    folders = Folders.of(plan.channels, plan.inherited)
    (logins,) = source_paths(LOGINS, folders, None)
    rows = []
    for row in plan.channels.stored:
        if plan.mode not in row.contradicts or (row.yields_to and sys.platform == "darwin"):
            continue
        (path,) = source_paths(row.path, folders, None)
        login = None
        if row.yields_to:
            login = {"path": str(logins), "key": row.yields_to[0], "scope": row.yields_to[1]}
        sentence = (
            f"a {row.name} is stored in {path} and would pay in mode {plan.mode.value}; {row.fix}"
        )
        rows.append({"path": str(path), "key": row.key, "login": login, "sentence": sentence})
    return rows
