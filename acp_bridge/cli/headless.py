"""One conversation without an editor: what ``ask`` and ``demo`` share."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from acp_bridge.bridge import Bridge
from acp_bridge.cli.conversation import Conversation
from acp_bridge.errors import BridgeError
from acp_bridge.log import Log
from acp_bridge.settings import Settings


def ask(  # noqa: PLR0913 - the options of the command
    settings: Settings,
    prompt: str,
    *,
    agent: Sequence[str] | None = None,
    cwd: Path,
    model: str | None = None,
    approve: bool = False,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Ask, print the answer on stdout, then mode and evidence on stderr.

    Returns:
        0 if the turn ended normally, 1 if the model stopped for another reason.

    Raises:
        BridgeError: the run could not be started, or the prompt was refused or failed.
    """

    async def conversation() -> int:
        bridge = Bridge(
            settings,
            agent=agent,
            environ=environ,
            cwd=cwd,
            log=Log.of(settings.log_level, settings.log_file, settings.log_format),
        )
        async with bridge:
            return await hold(bridge, prompt, cwd=cwd, model=model, approve=approve)

    return anyio.run(conversation)


async def hold(
    bridge: Bridge, prompt: str, *, cwd: Path, model: str | None = None, approve: bool = False
) -> int:
    """Hold the conversation on a bridge that was entered; returns the exit status."""
    talk = Conversation(bridge.stream, on_text=_print, approve=approve)
    failed: BridgeError | None = None
    result: dict[str, Any] = {}
    async with anyio.create_task_group() as tasks:
        try:
            await talk.start(tasks)
            result = await talk.prompt(prompt, cwd=str(cwd), model=model)
        except BridgeError as error:
            failed = error
        tasks.cancel_scope.cancel()
    sys.stdout.write("\n")
    sys.stdout.flush()
    for title in talk.declined:
        sys.stderr.write(f"declined: {title} (grant permissions with --approve)\n")
    sys.stderr.write(mode_and_evidence(bridge.status))
    if failed is not None:
        raise failed
    return 0 if result.get("stopReason") == "end_turn" else 1


def mode_and_evidence(status: Mapping[str, Any]) -> str:
    """The lines that end every headless run: who was meant to pay, and what says so."""
    lines = [
        f"mode        {status['mode']} ({status['mode_letter']})",
        f"guarantees  {status['guarantees']}; wire guard {status['guard']}",
        f"expected    {status['expected_credential_class']}, charged to {status['bucket']}",
    ]
    lines += [
        f"evidence    {item['kind']}: {item['value']} ({item['source']}), {item['verdict']}"
        for item in status["evidence"]
    ]
    lines += [f"VIOLATION   {item['reason']}: {item['detail']}" for item in status["violations"]]
    if status["removed"]:
        names = [f"{item['channel']} ({item['origin']})" for item in status["removed"]]
        lines.append(f"removed     {', '.join(dict.fromkeys(names))}")
    return "\n".join(lines) + "\n"


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
