"""What stands between the client and Claude Code: nothing, a stripped variable, the bridge."""

import re
import sys
from dataclasses import replace
from pathlib import Path

from acp_bridge.launch.channels import CHANNELS_FILE
from acp_bridge.launch.shipped import shipped_file
from acp_bridge.proving.stage import Program
from acp_bridge.proving.subject import BRIDGE
from tests.support import layers as layers_script
from tests.support.real import ADAPTER_ARGV

THROUGH_THE_BRIDGE = BRIDGE
"""With the wire guard in modes A and C, as is the default."""
WITH_THE_GUARD = replace(BRIDGE, env=(("ACP_BRIDGE_GUARD", "enforce"),))
"""The same in mode B, where the user asks for it."""
ALONE = Program(ADAPTER_ARGV)
STRIPPED = Program(ADAPTER_ARGV, strips=("ANTHROPIC_API_KEY",))


def bridge_with_layers(*layers: str) -> Program:
    """The bridge with only these layers on: ``gate``, ``lock``, ``evidence``, ``guard``."""
    argv = (sys.executable, str(layers_script.__file__), "--layers", ",".join(layers))
    return Program(argv, is_bridge=True, is_told_both_ways="gate" not in layers)


def channels_without(rows: tuple[str, ...], folder: Path) -> str:
    """The path of a copy of the channels file that lacks the tables with these pieces."""
    text = shipped_file(CHANNELS_FILE).read_text(encoding="utf-8")
    tables = re.split(r"(?m)^(?=\[)", text)
    wanted = [table for table in tables if not any(row in table for row in rows)]
    assert len(tables) - len(wanted) == len(rows), "each piece is in one table"
    copy = folder / CHANNELS_FILE
    copy.write_text("".join(wanted), encoding="utf-8")
    return str(copy)
