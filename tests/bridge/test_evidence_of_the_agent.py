"""What the agent says of its credential, weighed against the mode, over the process boundary."""

from pathlib import Path

import pytest

from tests.bridge.process import bridge_process, stand_in

CLAUDE = {"agent_kind": "claude", "claude": "/bin/true"}
MODES = {
    "api-key": {"api_key": "sk-ant-api03-FAKE-0000"},
    "subscription": {},
    "endpoint": {"endpoint_url": "http://127.0.0.1:9", "endpoint_token": "FAKE-token"},
}
CONTRADICTIONS = [
    ("api-key", "account"),
    ("api-key", "gateway"),
    ("api-key", "external"),
    ("subscription", "api_key"),
    ("subscription", "gateway"),
    ("subscription", "external"),
    ("endpoint", "account"),
    ("endpoint", "api_key"),
    ("endpoint", "gateway"),
    ("endpoint", "external"),
]
AGREEMENTS = [
    ("api-key", "api_key"),
    ("api-key", "none"),
    ("subscription", "account"),
    ("endpoint", "none"),
]


def agent(log: Path, *said: str) -> tuple[str, ...]:
    return stand_in("--name", "claude-agent-acp", "--log", str(log), *said)


@pytest.mark.parametrize(("mode", "kind"), CONTRADICTIONS)
async def test_a_contradiction_refuses_the_prompt_with_32012(
    tmp_path: Path, mode: str, kind: str
) -> None:
    log = tmp_path / "log"
    settings = {**CLAUDE, "mode": mode, **MODES[mode]}
    async with bridge_process(tmp_path, settings, agent=agent(log, f"status:{kind}")) as bridge:
        session = await bridge.session()
        error = await bridge.error(await bridge.send_prompt(session, "text:spent"))
        (run,) = (await bridge.request("_acp_bridge/status", {}))["bridges"]

    assert error["code"] == -32012
    said = error["data"]["acp_bridge"]
    assert (said["reason"], said["mode"]) == ("credential_contradiction", mode)
    assert said["channel"] == f"auth_status:{kind}"
    assert said["hint"]
    assert b"spent" not in log.with_suffix(".in").read_bytes()
    assert run["violations"][0]["reason"] == "credential_contradiction"
    assert run["evidence"][-1]["verdict"] == "contradiction"


@pytest.mark.parametrize(("mode", "kind"), AGREEMENTS)
async def test_what_agrees_lets_the_prompt_pass(tmp_path: Path, mode: str, kind: str) -> None:
    settings = {**CLAUDE, "mode": mode, **MODES[mode]}
    said = agent(tmp_path / "log", f"status:{kind}")
    async with bridge_process(tmp_path, settings, agent=said) as bridge:
        session = await bridge.session()
        response = await bridge.response(await bridge.send_prompt(session, "text:fine"))
        (run,) = (await bridge.request("_acp_bridge/status", {}))["bridges"]
    assert response["result"] == {"stopReason": "end_turn"}
    assert run["violations"] == []


async def test_a_contradiction_during_a_turn_cancels_it_and_answers_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bridge_process(tmp_path, CLAUDE, agent=agent(log, "status:account")) as bridge:
        session = await bridge.session()
        running = await bridge.send_prompt(session, "text:begun status:gateway wait")
        assert (await bridge.error(running))["code"] == -32012
        later = await bridge.send_prompt(session, "text:more")
        assert (await bridge.error(later))["code"] == -32012
        bridge.close_stdin()
        await bridge.exit_status()

    cancel = b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":"session-1"}}\n'
    assert cancel in log.with_suffix(".in").read_bytes()
    answers = [message for message in bridge.messages if message.get("id") == running]
    assert len(answers) == 1


async def test_on_violation_warn_lets_the_prompt_pass_and_records_it(tmp_path: Path) -> None:
    said = agent(tmp_path / "log", "status:gateway")
    async with bridge_process(tmp_path, {**CLAUDE, "on_violation": "warn"}, agent=said) as bridge:
        session = await bridge.session()
        response = await bridge.response(await bridge.send_prompt(session, "text:told"))
        (run,) = (await bridge.request("_acp_bridge/status", {}))["bridges"]
        await bridge.wait_for_stderr("violation")
    assert response["result"] == {"stopReason": "end_turn"}
    assert [item["reason"] for item in run["violations"]] == ["credential_contradiction"]


async def test_silence_is_noted_and_the_prompt_passes(tmp_path: Path) -> None:
    said = agent(tmp_path / "log")
    async with bridge_process(
        tmp_path, {**CLAUDE, "status_wait_seconds": "0.3"}, agent=said
    ) as bridge:
        session = await bridge.session()
        response = await bridge.response(await bridge.send_prompt(session, "text:late"))
        (run,) = (await bridge.request("_acp_bridge/status", {}))["bridges"]
    assert response["result"] == {"stopReason": "end_turn"}
    noted = run["evidence"][-1]
    assert (noted["value"], noted["verdict"]) == ("silent for 0.3 s", "note")
