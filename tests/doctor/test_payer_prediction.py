"""Who would pay without the bridge, predicted for the whole leak matrix.

The matrix holds a session of the real Claude Code for each of these cases and asserts what its
endpoints saw (`tests.matrix.test_planted_leaks`, all of them with ``--full``): `Case.alone`. Here
the same plants are only looked at.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acp_bridge.inspect.machine import Looked, look
from acp_bridge.inspect.payer import Payer as Predicted
from acp_bridge.inspect.payer import payer_of
from acp_bridge.launch.channels import load_channels
from acp_bridge.loopback.scratch import FAKE_OAUTH_TOKEN, make_scratch_home, scratch_environment
from acp_bridge.modes import CredentialClass
from acp_bridge.proving.cases import FULL, Case
from acp_bridge.proving.kinds import Bait, plant
from acp_bridge.proving.payers import KNOWN, Payer
from acp_bridge.proving.scopes import Scope, place
from acp_bridge.proving.sightings import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

CHANNELS = load_channels()
ENDPOINT = "http://127.0.0.1:9"
ON_THE_MACHINE = (
    Scope.ENVIRONMENT,
    Scope.USER,
    Scope.GLOBAL,
    Scope.PROJECT,
    Scope.LOCAL,
    Scope.STORED,
)
"""What a client sends over ACP is nowhere to be seen before it comes."""
CASES = [case for case in FULL if case.scope in ON_THE_MACHINE]
LABELS = {secret: label for label, secret in KNOWN.items()}


def looked_at(tmp_path: Path, payer: Payer, case: Case | None) -> Looked:
    """A scratch home with a stored login, the payer's own way of paying, and the plant."""
    home = make_scratch_home(tmp_path / "home")
    bait = Bait(
        url="http://127.0.0.1:8",
        proxy="http://127.0.0.1:7",
        socket=tmp_path / "socket",
        folder=tmp_path,
        claude=Path("/bin/true"),
    )
    env: dict[str, str] = {
        **scratch_environment(home, sink_url="http://127.0.0.1:6"),
        **{name: of.replace("{url}", ENDPOINT) for name, of in payer.terms.native.items()},
    }
    if case is not None:
        placed = place(case.scope, plant(case.kind, bait), home=home, project=home.project)
        env.update(placed.env)
    return look(CHANNELS, env, home.project, managed=tmp_path / "none")


def outcome(predicted: Predicted, looked: Looked, payer: Payer) -> Outcome:
    """What endpoints would see of a session with that payer."""
    if predicted.credential_class is CredentialClass.NONE:
        return Outcome.NO_ANSWER
    own_class, own_label = payer.terms.credential
    is_own = (predicted.credential_class, label(predicted, looked)) == (
        own_class if payer is not Payer.ENDPOINT_KEY else CredentialClass.API_KEY,
        own_label,
    )
    is_there = predicted.destination == ENDPOINT and predicted.route is None
    return Outcome.HELD if is_own and is_there else Outcome.LEAKED


def label(predicted: Predicted, looked: Looked) -> str:
    """The name of the secret that the prediction is about."""
    if predicted.channel == "stored login":
        return LABELS[FAKE_OAUTH_TOKEN]
    layers: Mapping[str, Mapping[str, str]] = {
        layer.origin: layer.env for layer in looked.machine.layers
    }
    return LABELS.get(layers.get(predicted.origin, {}).get(predicted.channel, ""), "")


def test_most_of_the_matrix_is_on_the_machine() -> None:
    assert len(CASES) > 300


@pytest.mark.parametrize("payer", Payer)
def test_what_was_meant_to_pay_is_predicted_on_a_clean_machine(
    tmp_path: Path, payer: Payer
) -> None:
    looked = looked_at(tmp_path, payer, None)
    predicted = payer_of(looked.machine)
    assert outcome(predicted, looked, payer) is Outcome.HELD, predicted
    assert (looked.broken, looked.hints) == ([], [])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_plant_does_what_the_prediction_says(tmp_path: Path, case: Case) -> None:
    expected, why = case.alone
    looked = looked_at(tmp_path, case.payer, case)
    predicted = payer_of(looked.machine)
    assert outcome(predicted, looked, case.payer) is expected, f"{why}; {predicted}"
