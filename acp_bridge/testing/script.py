"""The script of a scripted agent as one JSON document, and how it is read."""

from pathlib import Path

import msgspec

from acp_bridge.testing.steps import Step


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All that a scripted agent is told.

    Attributes:
        turns: the steps of each turn, taken one turn per prompt in order of arrival. A prompt after
            the last gets one default chunk.
        at_start: done when ``initialize`` has been answered; updates go to no session.
        name: what the agent calls itself (``agentInfo.name``).
        version: ``agentInfo.version``.
        stubborn: does not end when its input ends, nor on SIGTERM.
    """

    turns: tuple[tuple[Step, ...], ...] = ()
    at_start: tuple[Step, ...] = ()
    name: str = "scripted-agent"
    version: str = "1.0.0"
    stubborn: bool = False

    def to_json(self) -> str:
        """The document, as `read_script` reads it."""
        return msgspec.json.encode(self).decode()


class ScriptError(ValueError):
    """A script that cannot be read; the text says where and why."""


def read_script(text: str) -> Script:
    """Read a script from JSON, or from the file of that name if the text is no JSON object.

    Raises:
        ScriptError: it is not the JSON of a script, or the file cannot be read.
    """
    try:
        document = text if text.lstrip().startswith("{") else Path(text).read_text("utf-8")
        return msgspec.json.decode(document, type=Script)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ScriptError(f"no script for the agent: {error}") from error
