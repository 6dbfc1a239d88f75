"""Making one script of the launch gate's modules and the sealed plan."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from acp_bridge.launch import gate, gate_arguments, gate_logins, gate_telemetry

PARTS = (gate_arguments, gate_logins, gate_telemetry, gate)
"""The gate's modules. Each uses names of those before it; no two have one name for two things."""

_FUTURE = "from __future__ import annotations"
_OWN_IMPORTS = ("from acp_bridge.", "from __future__ ")


def gate_source(sealed: Mapping[str, Any]) -> str:
    """The text of a script that runs on the standard library alone."""
    plan = json.dumps(sealed, sort_keys=True)
    sources = [_FUTURE, *(_without_own_imports(part) for part in PARTS)]
    return "\n".join(sources) + f"\n\nsys.exit(main({plan!r}, sys.argv[1], sys.argv[2:]))\n"


def _without_own_imports(module: ModuleType) -> str:
    """A module's source without what the other parts and the first line bring.

    Told by how ruff formats an import, since parsing three modules takes 5 ms of every start.
    """
    lines = Path(str(module.__file__)).read_text(encoding="utf-8").splitlines()
    kept = []
    within = False
    for line in lines:
        begins = line.startswith(_OWN_IMPORTS)
        if not (begins or within):
            kept.append(line)
        within = line.endswith("(") if begins else within and line != ")"
    return "\n".join(kept)
