"""What an attempt says in words: what was seen first, bounded, and nothing that is a secret."""

from dataclasses import replace

import pytest

from acp_bridge.proving.kinds import PLANTED_KEY
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.proof import LONGEST_DETAIL, MOST_NAMED, attempt_of, failed_attempt
from acp_bridge.proving.sightings import Outcome, Sighting

NOTHING = Sighting(
    payer=Payer.LOGIN, endpoint=(), attacker=(), trap=(), left_for=frozenset(), text="Hello."
)


def test_an_answer_and_no_leak_is_held_without_a_word() -> None:
    attempt = attempt_of(NOTHING)
    assert (attempt.outcome, attempt.detail) == (Outcome.HELD, "")


def test_a_leak_is_one_also_if_the_turn_was_answered() -> None:
    attempt = attempt_of(replace(NOTHING, trap=("api.anthropic.com:443",)))
    assert attempt.outcome is Outcome.LEAKED
    assert attempt.detail == "the other proxy was asked for api.anthropic.com:443"


def test_of_many_leaks_a_few_are_named_and_the_others_counted() -> None:
    attempt = attempt_of(replace(NOTHING, left_for=frozenset(f"host{n}:443" for n in range(9))))
    assert attempt.detail.count("host") == MOST_NAMED
    assert attempt.detail.endswith(f"; and {9 - MOST_NAMED} more")


def test_a_turn_that_the_bridge_ended_because_of_a_credential_is_refused_in_its_words() -> None:
    ended = replace(NOTHING, text=None, error=-32012, said="this came with another API key")
    attempt = attempt_of(ended)
    assert attempt.outcome is Outcome.REFUSED
    assert attempt.detail == "error -32012: this came with another API key"
    assert attempt_of(replace(ended, trap=("elsewhere:443",))).outcome is Outcome.LEAKED


def test_a_credential_that_the_agents_shell_found_is_a_leak_and_each_place_is_named() -> None:
    attempt = attempt_of(replace(NOTHING, found=("its variable KEY", "the arguments of node")))
    assert attempt.outcome is Outcome.LEAKED
    assert attempt.detail == (
        "the agent's shell found the credential in its variable KEY; "
        "the agent's shell found the credential in the arguments of node"
    )


@pytest.mark.parametrize("error", [-32010, -32603, None])
def test_no_answer_says_how_the_turn_ended(error: int | None) -> None:
    attempt = attempt_of(replace(NOTHING, text=None, error=error, said="not logged in"))
    assert attempt.outcome is Outcome.NO_ANSWER
    assert attempt.detail == ("not logged in" if error is None else f"error {error}: not logged in")


def test_what_a_program_said_is_one_bounded_line_without_secrets_or_escapes() -> None:
    said = f"\x1b[2Jfirst\nkey {PLANTED_KEY}\n" + "x" * 9 * LONGEST_DETAIL + "\nhint: last"
    attempt = failed_attempt(TimeoutError(said))
    assert attempt.outcome is Outcome.NO_ANSWER
    assert attempt.detail.isprintable()
    assert attempt.detail.startswith("[2Jfirst key sk-ant-api03-[redacted]")
    assert attempt.detail.endswith("hint: last")
    assert len(attempt.detail) <= LONGEST_DETAIL
    assert failed_attempt(TimeoutError()).detail == "nothing within the time"
