"""Progress: a line that rewrites itself where it can, and every failure stays to be read."""

import pytest

from acp_bridge.cli.proving import Progress
from acp_bridge.proving.cases import Case
from acp_bridge.proving.kinds import Kind
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.proof import Attempt, Proof
from acp_bridge.proving.scopes import Scope
from acp_bridge.proving.sightings import Outcome

CASE = Case(Kind.API_KEY, Scope.USER, Payer.LOGIN)
LEAKED, HELD = Attempt(Outcome.LEAKED, "what was seen"), Attempt(Outcome.HELD)


def shown(capsys: pytest.CaptureFixture[str], *, is_terminal: bool) -> str:
    progress = Progress(2, is_terminal=is_terminal)
    progress.add(Proof(CASE, LEAKED, HELD))
    progress.add(Proof(CASE, LEAKED, LEAKED))
    progress.end()
    return capsys.readouterr().err


def test_without_a_terminal_each_result_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, is_terminal=False).splitlines() == [
        "1/2 held: ANTHROPIC_API_KEY in user settings, subscription",
        "2/2 NOT HELD: ANTHROPIC_API_KEY in user settings, subscription",
    ]


def test_on_a_terminal_what_is_held_is_written_over_and_what_is_not_stays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert shown(capsys, is_terminal=True) == (
        "\r\x1b[K1/2 held: ANTHROPIC"
        "\r\x1b[K2/2 NOT HELD: ANTHROPIC_API_KEY in user settings, subscription\n"
        "\r\x1b[K"
    )
