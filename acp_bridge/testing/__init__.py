"""For the tests of programs that embed `acp_bridge.bridge.Bridge` or start ``acp-bridge``.

Two stand-ins, for two questions:

* Does my program get along with the bridge? `ScriptedAgent` is an ACP agent that does as a script
  says, in memory or as a process, with no Claude Code and no model behind it.
* Who would have paid? `embedded_endpoint` is a model provider on loopback with a scratch home and
  fake credentials, against which the real adapter and the real Claude Code run, offline.

The words of their scripts are here, too: what the scripted agent does is written with classes
(`Chunk`, `Pause`, …), what the embedded endpoint answers with functions (`say`, `use`, …).
"""

from acp_bridge.loopback.asked import Asked, RequestKind
from acp_bridge.loopback.script import Usage, cut, fail, say, slow, stall, use
from acp_bridge.loopback.seen import SeenRequest
from acp_bridge.testing.offline import OfflineWorld, embedded_endpoint, running_embedded_endpoint
from acp_bridge.testing.script import Script, ScriptError, read_script
from acp_bridge.testing.scripted import ScriptedAgent, release
from acp_bridge.testing.serving import ECHO, RECEIVED, RELEASE
from acp_bridge.testing.steps import (
    AskPermission,
    Chunk,
    Crash,
    End,
    Fail,
    Hang,
    Notify,
    Pause,
    Step,
    Turn,
    TurnUsage,
    Update,
    Write,
)

__all__ = [
    "ECHO",
    "RECEIVED",
    "RELEASE",
    "AskPermission",
    "Asked",
    "Chunk",
    "Crash",
    "End",
    "Fail",
    "Hang",
    "Notify",
    "OfflineWorld",
    "Pause",
    "RequestKind",
    "Script",
    "ScriptError",
    "ScriptedAgent",
    "SeenRequest",
    "Step",
    "Turn",
    "TurnUsage",
    "Update",
    "Usage",
    "Write",
    "cut",
    "embedded_endpoint",
    "fail",
    "read_script",
    "release",
    "running_embedded_endpoint",
    "say",
    "slow",
    "stall",
    "use",
]
