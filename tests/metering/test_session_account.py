"""What the agent's own totals tell of a session beyond what is recorded, under whatever names."""

from acp_bridge.metering.agent_results import AgentResult, TurnUsage
from acp_bridge.metering.readings import Reading
from acp_bridge.metering.session_account import SessionAccount, Told
from acp_bridge.metering.usage import Source, State, Tokens, UsageEntry
from tests.metering.totals import NOW, SESSION, reading


def account(base: Reading, **recorded: int) -> SessionAccount:
    found = SessionAccount(SESSION, "client", base)
    found.record(
        [
            UsageEntry(
                key=model,
                run_id="run",
                session_id=SESSION,
                at=NOW,
                source=Source.ACP,
                state=State.LIVE,
                model=None if model == "nobody" else model,
                tokens=Tokens(input=tokens),
                cost_micros=tokens * 10,
            )
            for model, tokens in recorded.items()
        ]
    )
    return found


def told(by: SessionAccount, result: Reading) -> list[Told]:
    by.hear(AgentResult(result, None))
    return by.tell(TurnUsage(None, {}), 1)


def test_the_agents_totals_tell_what_came_since_the_base_and_is_not_recorded() -> None:
    (one,) = told(account(reading(opus=1000), opus=20), reading(opus=1050))

    assert (one.source, one.model, one.tokens) == (Source.AGENT_RESULT, "opus", Tokens(input=30))
    assert one.cost_micros == 300


def test_what_is_recorded_under_the_name_that_answered_is_not_told_again() -> None:
    assert told(account(reading(opus=1000), anybody=50), reading(opus=1050)) == []


def test_what_is_recorded_without_a_model_is_not_told_again() -> None:
    (one,) = told(account(reading(), nobody=50), reading(opus=70))

    assert (one.model, one.tokens) == ("opus", Tokens(input=20))


def test_what_the_next_result_tells_has_another_mark() -> None:
    told_to = account(reading())
    marks = [told(told_to, reading(opus=n))[0].mark for n in (10, 20)]

    assert len({*marks}) == len(marks)
