"""A proof can fail: with a protection taken out it says so, channel by channel, and exits 1."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from acp_bridge.cli.proving import Asked, show_proof
from acp_bridge.proving.cases import Case
from acp_bridge.proving.kinds import Kind
from acp_bridge.proving.messages import LEAKING, Said
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.scopes import Scope
from acp_bridge.proving.selection import Profile
from acp_bridge.proving.shell import Deed, FromTheShell
from acp_bridge.proving.stage import Program
from acp_bridge.proving.trial import Trial
from acp_bridge.settings import load_settings
from tests.documents import assert_proof
from tests.matrix.extent import FULL_PROFILE
from tests.matrix.programs import bridge_with_layers, channels_without

pytestmark = pytest.mark.agent

WRONG_TYPE = Case(Kind.WRONG_TYPE, Scope.META_FLAG, Payer.LOGIN)
HELPER = Case(Kind.HELPER, Scope.PROJECT, Payer.LOGIN)
PROVIDER = Said(LEAKING[0], Payer.LOGIN)
FROM_THE_SHELL = [
    FromTheShell(deed, payer) for payer in (Payer.KEY, Payer.ENDPOINT) for deed in Deed
]
if not FULL_PROFILE:
    FROM_THE_SHELL = [FROM_THE_SHELL[0], FROM_THE_SHELL[-1]]
HELD_ALL_THE_SAME = Case(Kind.BASE_URL, Scope.META_ENV, Payer.LOGIN)


def asked(*trials: Trial, bridge: Program, as_json: bool = True) -> Asked:
    settings = load_settings({}, {"ACP_BRIDGE_CONFIG": "/dev/null"})
    return Asked(settings, Profile.QUICK, trials, as_json=as_json, bridge=bridge)


TAKEN_OUT = [
    pytest.param(("lock", "evidence"), WRONG_TYPE, id="without the launch gate"),
    pytest.param(("gate", "evidence"), PROVIDER, id="without the mode lock"),
]


@pytest.mark.parametrize(("layers", "lets_through"), TAKEN_OUT if FULL_PROFILE else TAKEN_OUT[1:])
def test_a_layer_taken_out_is_a_channel_not_held(
    capsys: pytest.CaptureFixture[str], layers: tuple[str, ...], lets_through: Trial
) -> None:
    bridge = bridge_with_layers(*layers)
    status = show_proof(asked(lets_through, HELD_ALL_THE_SAME, bridge=bridge))

    proof = json.loads(capsys.readouterr().out)
    assert_proof(proof)
    assert status == 1
    assert proof["held"] is False
    assert [case["held"] for case in proof["cases"]] == [False, True]
    assert proof["cases"][0]["with"] == "leaked"
    assert proof["totals"] == {"planted": 2, "leak_without": 2, "held": 1, "not_held": 1}


@pytest.mark.parametrize(
    ("layers", "status", "outcomes"),
    [
        (("gate", "lock", "evidence"), 1, {"leaked"}),
        (("gate", "lock", "evidence", "guard"), 0, {"refused", "held"}),
    ],
    ids=["without the wire guard", "with it"],
)
def test_what_the_agents_shell_may_try_is_held_by_the_wire_guard_alone(
    capsys: pytest.CaptureFixture[str],
    layers: tuple[str, ...],
    status: int,
    outcomes: set[str],
) -> None:
    shown = asked(*FROM_THE_SHELL, bridge=bridge_with_layers(*layers))
    assert show_proof(shown) == status

    proof = json.loads(capsys.readouterr().out)
    assert_proof(proof)
    cases = proof["cases"]
    assert len(cases) == len(FROM_THE_SHELL)
    assert {case["without"] for case in cases} == {"leaked"}
    assert {case["with"] for case in cases} == outcomes, [case["detail"] for case in cases]
    assert {case["held"] for case in cases} == {status == 0}
    assert proof["held"] is (status == 0)


@pytest.mark.full
def test_a_row_taken_out_of_the_channels_file_is_a_channel_not_held(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    whole = bridge_with_layers("gate", "lock", "evidence")
    channels = channels_without(('key = "apiKeyHelper"',), tmp_path)
    lacking = replace(whole, argv=(*whole.argv, "--channels", channels))
    status = show_proof(asked(HELPER, bridge=lacking, as_json=False))

    shown = capsys.readouterr()
    assert status == 1
    assert shown.out.splitlines()[1].endswith("leaked   leaked  NOT HELD")
    assert "NOT HELD  apiKeyHelper in project settings, subscription: with: " in shown.out
    assert shown.out.endswith("1 channel planted, 1 leak without the bridge, 0 of 1 held\n")
    assert "1/1 NOT HELD: apiKeyHelper" in shown.err
    assert "sk-ant-api03-FAKE" not in shown.out + shown.err


@pytest.mark.full
def test_a_bridge_that_does_not_start_holds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    dead = Program((sys.executable, "-c", "raise SystemExit('no bridge here')"), is_bridge=True)
    status = show_proof(asked(HELPER, HELD_ALL_THE_SAME, bridge=dead))

    proof = json.loads(capsys.readouterr().out)
    assert_proof(proof)
    assert status == 1
    assert [case["with"] for case in proof["cases"]] == ["no_answer", "no_answer"]
    assert "no bridge here" in proof["cases"][0]["detail"]
    assert proof["totals"]["held"] == 0
