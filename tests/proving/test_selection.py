"""What a quick proof tries, and what a full one does."""

from collections import Counter

import pytest

from acp_bridge.modes import BillingMode
from acp_bridge.proving.cases import FULL, Case
from acp_bridge.proving.kinds import Kind
from acp_bridge.proving.messages import LEAKING
from acp_bridge.proving.scopes import Scope
from acp_bridge.proving.selection import Profile, select
from acp_bridge.proving.shell import Deed, FromTheShell
from acp_bridge.proving.sightings import Outcome
from acp_bridge.proving.trial import Trial

EVERY_MODE = tuple(BillingMode)
QUICK = select(Profile.QUICK, EVERY_MODE)


def from_the_shell(trials: tuple[Trial, ...]) -> list[FromTheShell]:
    return [trial for trial in trials if isinstance(trial, FromTheShell)]


def plants(trials: tuple[Trial, ...]) -> list[Case]:
    return [trial for trial in trials if isinstance(trial, Case)]


def test_quick_has_every_kind_of_channel_and_every_message_that_moves_the_payer() -> None:
    assert {case.kind for case in plants(QUICK)} == set(Kind)
    assert {trial.channel for trial in QUICK} >= {message.name for message in LEAKING}


def test_quick_is_one_case_a_kind_but_for_the_places_of_a_process_and_a_session_opened_again() -> (
    None
):
    counted = Counter(
        case.kind
        for case in plants(QUICK)
        if case.scope.is_of_a_session and case.opening == "session/new"
    )
    assert set(counted.values()) == {1}
    assert {case.scope for case in plants(QUICK)} > {Scope.ENVIRONMENT, Scope.USER, Scope.GLOBAL}
    assert any(case.opening != "session/new" for case in plants(QUICK))


def test_a_case_of_quick_does_something_without_the_bridge_and_leaks_if_its_kind_ever_does() -> (
    None
):
    leaking = {case.kind for case in FULL if case.alone[0] is Outcome.LEAKED}
    for case in plants(QUICK):
        expected = Outcome.LEAKED if case.kind in leaking else Outcome.NO_ANSWER
        assert case.alone[0] is expected, case


def test_quick_speaks_of_every_mode() -> None:
    assert {trial.payer.terms.mode for trial in QUICK} == set(BillingMode)


@pytest.mark.parametrize("mode", BillingMode)
def test_one_mode_gets_every_kind_that_does_something_in_it_and_no_other_mode_anything(
    mode: BillingMode,
) -> None:
    trials = select(Profile.QUICK, [mode])
    assert {trial.payer.terms.mode for trial in trials} == {mode}
    does = {
        case.kind
        for case in FULL
        if case.payer.terms.mode is mode and case.alone[0] is not Outcome.HELD
    }
    assert {case.kind for case in plants(trials)} == does
    assert {trial.channel for trial in trials} >= {message.name for message in LEAKING}


def test_full_is_everything() -> None:
    full = select(Profile.FULL, EVERY_MODE)
    assert set(plants(full)) == set(FULL)
    said = len(LEAKING) * len(BillingMode)
    assert len(full) == len(set(FULL)) + said + len(from_the_shell(full))
    assert set(QUICK) <= set(full)


A, B, C = BillingMode


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize(
    ("guarded", "tried"),
    [
        ([A, C], {(Deed.OTHER_KEY, A), (Deed.SEARCH, A), (Deed.OTHER_KEY, C), (Deed.SEARCH, C)}),
        ([B], {(Deed.OTHER_KEY, B)}),
        ([], set()),
    ],
)
def test_what_only_the_guard_holds_is_tried_once_in_each_mode_that_it_guards(
    profile: Profile, guarded: list[BillingMode], tried: set[tuple[Deed, BillingMode]]
) -> None:
    trials = from_the_shell(select(profile, EVERY_MODE, guarded=guarded))
    assert {(trial.deed, trial.payer.terms.mode) for trial in trials} == tried
    assert len(trials) == len(tried)


def test_no_mode_is_guarded_that_is_not_asked_for() -> None:
    trials = from_the_shell(select(Profile.QUICK, [A]))
    assert {trial.payer.terms.mode for trial in trials} == {A}


def test_only_is_a_part_of_a_channels_name_in_any_case() -> None:
    named = {trial.channel for trial in select(Profile.QUICK, EVERY_MODE, ["_PROXY", "Gateway"])}
    assert named == {
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "CLAUDE_CODE_USE_GATEWAY",
        "Cloud gateway sign-in",
        "authenticate gateway",
        "authenticate gateway-bedrock",
    }
    assert select(Profile.FULL, EVERY_MODE, ["no such channel"]) == ()


def test_no_case_is_tried_twice() -> None:
    for profile in Profile:
        trials = select(profile, EVERY_MODE)
        assert len(trials) == len(set(trials))
