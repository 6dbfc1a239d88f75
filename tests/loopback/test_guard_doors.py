"""Who gets in, and what the guard says to whoever does not."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from acp_bridge.modes import BillingMode, CredentialClass
from acp_bridge.policy.judgement import RefusalReason, Refused
from tests.loopback.guard_rig import (
    AS_KEY,
    BODY,
    HELD,
    KEY,
    LOGIN,
    SECRETS,
    TOKEN,
    RawUpstream,
    rig,
)

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/messages",
        "/",
        f"/{TOKEN}x/v1/messages",
        f"/{TOKEN[:-1]}/v1/messages",
        f"//{TOKEN}/v1/messages",
        f"/x/{TOKEN}/v1/messages",
        f"/{TOKEN.upper()}/v1/messages",
        "/%46AKE0token/v1/messages",
        f"http://127.0.0.1/{TOKEN}/v1/messages",
        f"*/{TOKEN}/v1/messages",
    ],
)
def test_without_the_token_where_it_belongs_there_is_nothing(run: Run, path: str) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            answer = await this.ask(path, AS_KEY)
        assert answer.startswith(b"HTTP/1.1 404")
        assert answer.endswith(b"\r\n\r\n")
        assert (upstream.requests, this.seen, this.guard.turned_away) == ([], [], 1)

    run(scenario)


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("evil.example", ()),
        ("127.0.0.1", ()),
        ("127.0.0.1:1", ()),
        ("localhost.evil.example", ()),
        (None, (b"Origin: https://evil.example",)),
        (None, (b"Origin: null",)),
        (None, (b"origin:",)),
    ],
)
def test_by_another_name_or_from_a_web_page_nobody_gets_in(
    run: Run, host: str | None, headers: tuple[bytes, ...]
) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            answer = await this.ask(f"/{TOKEN}/v1/messages", AS_KEY, *headers, host=host)
        assert answer.startswith(b"HTTP/1.1 403")
        assert answer.endswith(b"\r\n\r\n")
        assert (upstream.requests, this.seen, this.guard.turned_away) == ([], [], 1)

    run(scenario)


def test_localhost_is_a_name_for_it_too(run: Run) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            answer = await this.ask(f"/{TOKEN}/v1/messages", AS_KEY, host=f"localhost:{this.port}")
        assert answer.endswith(b"\r\n\r\nok")

    run(scenario)


@pytest.mark.parametrize(
    ("mode", "headers", "presented"),
    [
        (BillingMode.API_KEY, LOGIN, CredentialClass.SUBSCRIPTION_OAUTH),
        (BillingMode.API_KEY, (f"x-api-key: {KEY}".encode(),), CredentialClass.API_KEY),
        (BillingMode.ENDPOINT, LOGIN, CredentialClass.SUBSCRIPTION_OAUTH),
        (BillingMode.ENDPOINT, (), CredentialClass.NONE),
        (BillingMode.SUBSCRIPTION, (f"x-api-key: {KEY}".encode(),), CredentialClass.API_KEY),
        (BillingMode.SUBSCRIPTION, (AS_KEY, *LOGIN), CredentialClass.UNKNOWN),
    ],
)
def test_a_wrong_credential_gets_the_answer_that_ends_the_turn_and_nothing_goes_upstream(
    run: Run, mode: BillingMode, headers: tuple[bytes, ...], presented: CredentialClass
) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url, mode=mode) as this:
            answer = await this.ask(f"/{TOKEN}/v1/messages?beta=true", *headers)
        head, _, body = answer.partition(b"\r\n\r\n")
        document = json.loads(body)
        (seen,) = this.seen
        assert head.startswith(b"HTTP/1.1 402")
        assert b"\r\nx-should-retry: false\r\n" in head + b"\r\n"
        assert (document["type"], document["error"]["type"]) == ("error", "billing_error")
        assert mode.value in document["error"]["message"]
        assert upstream.requests == []
        assert (seen.facts.verdict.presented, seen.ends, seen.heads) == (presented, [False], [])
        assert not [secret for secret in SECRETS if secret in f"{answer!r} {seen.facts}"]

    run(scenario)


@pytest.mark.parametrize(
    "path", ["/v1/files", "//v1/messages", "/v1/%6dessages", "/v1/../v1/models"]
)
def test_with_the_placeholder_other_paths_are_refused_in_words(run: Run, path: str) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            answer = await this.ask(f"/{TOKEN}{path}", AS_KEY)
        verdict = this.seen[0].facts.verdict
        assert answer.startswith(b"HTTP/1.1 403")
        assert b"content-type: text/plain" in answer
        assert b"model requests only" in answer
        assert upstream.requests == []
        assert isinstance(verdict, Refused)
        assert verdict.reason is RefusalReason.PATH_NOT_SERVED

    run(scenario)


@pytest.mark.parametrize("path", [f"/{TOKEN}", f"/{TOKEN}/"])
def test_whether_the_api_is_there_is_answered_here(run: Run, path: str) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            answer = await this.ask(path, AS_KEY, method="HEAD", body=b"")
        assert answer.startswith(b"HTTP/1.1 200")
        assert upstream.requests == []

    run(scenario)


def test_the_observer_is_shown_the_request_and_its_printed_form_has_no_secret(run: Run) -> None:
    async def scenario() -> None:
        async with RawUpstream() as upstream, rig(upstream.url) as this:
            await this.ask(
                f"/{TOKEN}/v1/messages?beta=true",
                AS_KEY,
                b"User-Agent: claude-cli/2.1.316 (external, sdk-ts, agent-sdk/0.3.316)",
                b"X-Claude-Code-Session-Id: s1",
                b"x-claude-code-agent-id: a1",
            )
        facts = this.seen[0].facts
        assert (facts.method, facts.target) == ("POST", "/v1/messages?beta=true")
        assert ("x-claude-code-session-id", "s1") in facts.headers
        assert (facts.body, facts.passed) == (BODY, True)
        assert HELD not in repr(facts)

    run(scenario)
