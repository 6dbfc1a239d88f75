"""A made-up year of usage: a million entries as a busy team's ledger would hold them.

The same seed gives the same entries, so that a ledger and Claude Code transcripts of them can be
compared.
"""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from acp_bridge.ledger.records import RunRow, SessionRow, SpentRow
from acp_bridge.metering.usage import AskedBy, CostKind, Source, State, Tokens, UsageEntry
from acp_bridge.modes import BillingMode, Bucket, CredentialClass, Guard
from acp_bridge.policy.surface import Surface

START = datetime(2026, 1, 1, tzinfo=UTC)
SESSIONS = 20_000
MODELS = ("claude-opus-4-1", "claude-sonnet-4-5", "claude-sonnet-4")
TITLE_MODEL = "claude-haiku-4-5"
PROJECTS = tuple(f"/home/dev/src/project-{number:02}" for number in range(12))
PAYERS = (
    (BillingMode.API_KEY, CredentialClass.API_KEY, Bucket.API, CostKind.BILLED_ESTIMATE),
    (
        BillingMode.SUBSCRIPTION,
        CredentialClass.SUBSCRIPTION_OAUTH,
        Bucket.PLAN_LIMITS,
        CostKind.LIST_PRICE_EQUIVALENT,
    ),
    (
        BillingMode.ENDPOINT,
        CredentialClass.ENDPOINT_CREDENTIAL,
        Bucket.ENDPOINT,
        CostKind.UNKNOWN,
    ),
)
TEXT = "The change keeps the reader apart from the writer, so that neither waits. " * 8


def sessions(count: int) -> Iterator[tuple[RunRow, SessionRow, list[SpentRow]]]:
    """Sessions in the order of time; `count` entries altogether, at work on 250 days."""
    chance = random.Random(20260101)  # noqa: S311 - nothing secret is made of it
    for number in range(SESSIONS):
        day = number * 250 // SESSIONS
        begin = START + timedelta(days=day // 5 * 7 + day % 5, hours=7 + chance.random() * 11)
        size = count * (number + 1) // SESSIONS - count * number // SESSIONS
        yield _session(chance, number, begin, size)


def _session(
    chance: random.Random, number: int, begin: datetime, size: int
) -> tuple[RunRow, SessionRow, list[SpentRow]]:
    mode, credential_class, bucket, cost_kind = chance.choices(PAYERS, (25, 60, 15))[0]
    run_id = f"{begin:%Y%m%d-%H%M%S}-{number:06x}"
    session_id = f"{chance.getrandbits(32):08x}-0000-4000-8000-{number:012x}"
    project, model = chance.choice(PROJECTS), chance.choice(MODELS)
    run = RunRow(
        run_id=run_id,
        mode=mode,
        credential_class=credential_class,
        bucket=bucket,
        guard=Guard.OFF,
        guarantees="enforced",
        started_at=begin,
        ended_at=begin + timedelta(hours=1),
        cwd=project,
    )
    session = SessionRow(
        run_id=run_id,
        session_id=session_id,
        opened_at=begin,
        ended_at=begin + timedelta(hours=1),
        settled_at=begin + timedelta(hours=1),
        cwd=project,
        model=model,
    )
    spent = [
        SpentRow(
            entry=entry,
            mode=mode,
            credential_class=credential_class,
            bucket=bucket,
            surface=Surface.AGENT_SDK,
            cost_kind=cost_kind,
            project=project,
            policy_version="2026-11-26",
        )
        for entry in _entries(chance, run_id, session_id, model, begin, size)
    ]
    return run, session, spent


def _entries(  # noqa: PLR0913, PLR0917 - the words of a session
    chance: random.Random, run_id: str, session_id: str, model: str, begin: datetime, size: int
) -> Iterator[UsageEntry]:
    agents = [f"a{chance.getrandbits(64):016x}" for _ in range(2)]
    at = begin
    for number in range(size):
        at += timedelta(seconds=chance.expovariate(1 / 25))
        asked_by = AskedBy.TITLE if number == 0 else _asked_by(chance)
        source, state = _witness(chance)
        tokens = Tokens(
            input=chance.randrange(4, 3000),
            output=chance.randrange(10, 2500),
            cache_read=chance.randrange(0, 120_000),
            cache_write_5m=chance.randrange(0, 6000),
            cache_write_1h=chance.choice((0, 0, 0, 2000)),
        )
        is_unknown = state is State.UNKNOWN
        name = f"{session_id}-{number}"
        yield UsageEntry(
            key=f"req_{name}",
            run_id=run_id,
            session_id=session_id,
            at=at,
            source=source,
            state=state,
            asked_by=asked_by,
            model=TITLE_MODEL if asked_by is AskedBy.TITLE else model,
            tokens=None if is_unknown else tokens,
            cost_micros=None if is_unknown else tokens.total * 2,
            turn=1 + number // 8,
            agent_id=agents[number * 2 // size] if asked_by is AskedBy.SUBAGENT else None,
            request_id=f"req_{name}",
            duration_ms=chance.randrange(400, 30_000),
            ttft_ms=chance.randrange(200, 3000),
        )


def _asked_by(chance: random.Random) -> AskedBy:
    asked = {
        AskedBy.MAIN: 60,
        AskedBy.SUBAGENT: 22,
        AskedBy.SUGGESTION: 14,
        AskedBy.COMPACTION: 2,
        AskedBy.RETRY: 2,
    }
    return chance.choices(tuple(asked), tuple(asked.values()))[0]


def _witness(chance: random.Random) -> tuple[Source, State]:
    drawn = chance.random()
    if drawn < 0.02:  # noqa: PLR2004 - the share that FACTS of metering lead one to expect
        return Source.AGENT_RESULT, State.UNKNOWN
    if drawn < 0.06:  # noqa: PLR2004 - as above
        return Source.TRANSCRIPT, State.SETTLED
    return Source.TELEMETRY, State.LIVE


def write_transcripts(home: Path, count: int) -> int:
    """The same entries as transcripts below ``.claude/projects``; the bytes that were written."""
    written = 0
    for _, session, spent in sessions(count):
        folder = home / ".claude" / "projects" / str(session.cwd).replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        lines = [_transcript_line(row) for row in spent]
        written += (folder / f"{session.session_id}.jsonl").write_text("".join(lines), "utf-8")
    return written


def _transcript_line(row: SpentRow) -> str:
    entry, tokens = row.entry, row.entry.tokens or Tokens()
    usage = {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "service_tier": "standard",
    }
    message = {
        "id": f"msg_{entry.key}",
        "type": "message",
        "role": "assistant",
        "model": entry.model,
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "usage": usage,
    }
    line = {
        "type": "assistant",
        "uuid": entry.key,
        "sessionId": entry.session_id,
        "cwd": row.project,
        "version": "2.1.330",
        "userType": "external",
        "isSidechain": entry.agent_id is not None,
        "timestamp": entry.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestId": entry.request_id,
        "message": message,
    }
    # Compact, as Claude Code writes it: ccusage passes over lines with blanks between the members.
    return json.dumps(line, separators=(",", ":")) + "\n"
