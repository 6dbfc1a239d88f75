"""Making one script of the launch gate's modules and the sealed plan."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from acp_bridge.launch import gate, gate_arguments, gate_telemetry

PARTS = (gate_arguments, gate_telemetry, gate)
"""The gate's modules. Each uses names of those before it; no two have one name for two things."""

_FUTURE = "from __future__ import annotations"


def gate_source(sealed: Mapping[str, Any]) -> str:
    """The text of a script that runs on the standard library alone."""
    plan = json.dumps(sealed, sort_keys=True)
    sources = [_FUTURE, *(_without_own_imports(part) for part in PARTS)]
    return "\n".join(sources) + f"\n\nsys.exit(main({plan!r}, sys.argv[1], sys.argv[2:]))\n"


def _without_own_imports(module: ModuleType) -> str:
    """A module's source without what the other parts and the first line bring."""
    path = Path(str(module.__file__))
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.parse(text).body:
        package = node.module if isinstance(node, ast.ImportFrom) else None
        if package is not None and package.split(".")[0] in ("acp_bridge", "__future__"):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (
                (node.end_lineno or node.lineno) - node.lineno + 1
            )
    return "\n".join(lines)
