"""One conversation without an editor: what ``ask`` and ``demo`` share."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from acp_bridge.bridge import Bridge
from acp_bridge.cli.banner import show_bucket_change
from acp_bridge.cli.conversation import AgentEndedError, Conversation
from acp_bridge.errors import BridgeError
from acp_bridge.inspect.status import wire_in_words
from acp_bridge.inspect.usage import render
from acp_bridge.log import Log
from acp_bridge.settings import Settings
from acp_bridge.signals import unless_signalled
from acp_bridge.standard_error import write_stderr
from acp_bridge.supervisor import exit_status


def ask(  # noqa: PLR0913 - the options of the command
    settings: Settings,
    prompt: str,
    *,
    agent: Sequence[str] | None = None,
    cwd: Path,
    model: str | None = None,
    approve: bool = False,
) -> int:
    """Ask, print the answer on stdout, then mode and evidence on stderr.

    Returns:
        0 if the turn ended normally, 1 if the model stopped for another reason, the agent's own
        status if it ended, 128 + N after signal N.

    Raises:
        BridgeError: the run could not be started, or the prompt was refused or failed.
    """

    async def conversation() -> int:
        async with Bridge(
            settings,
            agent=agent,
            cwd=cwd,
            log=Log.of(settings),
            on_bucket_change=show_bucket_change,
        ) as bridge:
            status = await hold(bridge, prompt, cwd=cwd, model=model, approve=approve)
        show_usage(bridge)
        return status

    return anyio.run(unless_signalled, conversation)


async def hold(
    bridge: Bridge, prompt: str, *, cwd: Path, model: str | None = None, approve: bool = False
) -> int:
    """Hold the conversation on a bridge that was entered; returns the exit status.

    Raises:
        BridgeError: the prompt was refused or failed.
        BrokenPipeError: nobody reads the answer any more.
    """
    failed: BridgeError | None = None
    result: dict[str, Any] = {}
    async with anyio.create_task_group() as tasks:
        answer = _Answer(tasks.cancel_scope.cancel)
        talk = Conversation(bridge.stream, on_text=answer.print, approve=approve)
        try:
            await talk.start(tasks)
            result = await talk.prompt(prompt, cwd=str(cwd), model=model)
        except BridgeError as error:
            failed = error
        tasks.cancel_scope.cancel()
    answer.end()
    for title in talk.declined:
        write_stderr(f"declined: {_one_line(title)} (grant permissions with --approve)\n")
    write_stderr(mode_and_evidence(bridge.status))
    if isinstance(failed, AgentEndedError):
        failed.exit_status = exit_status(await bridge.wait()) or failed.exit_status
    if failed is not None:
        raise failed
    return 0 if result.get("stopReason") == "end_turn" else 1


class _Answer:
    """The answer on stdout.

    Args:
        stop: called when nobody reads it.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._last = ""
        self._broken: BrokenPipeError | None = None

    def print(self, text: str) -> None:
        """Show a piece at once."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError as error:
            self._broken = error
            self._stop()
        self._last = text or self._last

    def end(self) -> None:
        """Finish the line; tell if somebody stopped reading."""
        if self._broken is None and self._last and not self._last.endswith("\n"):
            self.print("\n")
        if self._broken is not None:
            raise self._broken


def show_usage(bridge: Bridge) -> None:
    """Write the table of what was used; the bridge has been left, so it is settled."""
    write_stderr("\n" + render(bridge.usage))


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
    if status["wire"]["presented"]:
        lines.append(f"wire        {wire_in_words(status['wire'])}")
    lines += [f"VIOLATION   {item['reason']}: {item['detail']}" for item in status["violations"]]
    if status["removed"]:
        names = [f"{item['channel']} ({item['origin']})" for item in status["removed"]]
        lines.append(f"removed     {', '.join(dict.fromkeys(names))}")
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    """An agent's text without what would move the cursor."""
    return "".join(char if char.isprintable() else " " for char in text)
