from dataclasses import dataclass

import pytest

from acp_bridge.modes import BillingMode, CredentialClass
from acp_bridge.protocol.evidence import (
    EVIDENCE_TABLE,
    Context,
    Evidence,
    EvidenceKind,
    Row,
    Signal,
    Source,
    Verdict,
    judge,
    weigh,
)
from tests.protocol.playbook import A, B, C

AGREES, CONTRADICTS = Verdict.AGREES, Verdict.CONTRADICTION
NOTHING, NOTE, NOT_LOGGED_IN = Verdict.NOTHING, Verdict.NOTE, Verdict.NOT_LOGGED_IN

STATUS, WIRE, LIMIT = Source.AUTH_STATUS, Source.WIRE, Source.RATE_LIMIT
PLAIN = Context(login_stored=True)


@dataclass(frozen=True)
class Expected:
    """A cell row of the design: verdicts in A, B and C, in a context."""

    source: Source
    value: str
    verdicts: tuple[Verdict, Verdict, Verdict]
    context: Context = PLAIN


NEVER = (CONTRADICTS, CONTRADICTS, CONTRADICTS)
TABLE = (
    Expected(STATUS, "account", (CONTRADICTS, AGREES, CONTRADICTS)),
    Expected(STATUS, "api_key", (AGREES, NOTE, CONTRADICTS)),
    Expected(STATUS, "api_key", (AGREES, CONTRADICTS, CONTRADICTS), Context(login_stored=False)),
    Expected(STATUS, "api_key", (AGREES, CONTRADICTS, CONTRADICTS), Context(login_stored=None)),
    Expected(
        STATUS,
        "api_key",
        (AGREES, CONTRADICTS, CONTRADICTS),
        Context(login_stored=True, api_key_seen=True),
    ),
    Expected(
        STATUS,
        "api_key",
        (AGREES, NOTE, AGREES),
        Context(login_stored=True, endpoint_uses_api_key=True),
    ),
    Expected(STATUS, "none", (NOTHING, NOT_LOGGED_IN, NOTHING)),
    Expected(STATUS, "none", (NOTHING, NOTHING, NOTHING), Context(oauth_token_in_env=True)),
    Expected(STATUS, "gateway", NEVER),
    Expected(STATUS, "gateway", (CONTRADICTS, CONTRADICTS, AGREES), Context(gateway_is_ours=True)),
    Expected(STATUS, "external", NEVER),
    Expected(STATUS, "external", (CONTRADICTS, CONTRADICTS, AGREES), Context(gateway_is_ours=True)),
    Expected(WIRE, "placeholder", (AGREES, CONTRADICTS, AGREES)),
    Expected(WIRE, "api_key", NEVER),
    Expected(WIRE, "subscription_oauth", (CONTRADICTS, AGREES, CONTRADICTS)),
    Expected(WIRE, "endpoint_credential", NEVER),
    Expected(WIRE, "cloud", NEVER),
    Expected(WIRE, "none", NEVER),
    Expected(WIRE, "unknown", NEVER),
    Expected(LIMIT, "unified", (CONTRADICTS, AGREES, NOTE)),
    Expected(LIMIT, "api", (AGREES, CONTRADICTS, NOTE)),
)


def check(rows: list[Expected], table: tuple[Row, ...]) -> None:
    for row in rows:
        signal = Signal(row.source, row.value)
        for mode, verdict in zip((A, B, C), row.verdicts, strict=True):
            assert judge(mode, signal, row.context, table) is verdict, (mode, row)


def test_every_signal_means_what_the_design_says() -> None:
    check(list(TABLE), EVIDENCE_TABLE)


def test_no_row_of_the_table_is_without_a_test() -> None:
    assert [row.signal for row in EVIDENCE_TABLE] == list(
        dict.fromkeys(Signal(row.source, row.value) for row in TABLE)
    )


@pytest.mark.parametrize("at", range(len(EVIDENCE_TABLE)))
def test_each_row_of_the_table_is_needed(at: int) -> None:
    signal = EVIDENCE_TABLE[at].signal
    rows = [row for row in TABLE if Signal(row.source, row.value) == signal]
    with pytest.raises(AssertionError):
        check(rows, EVIDENCE_TABLE[:at] + EVIDENCE_TABLE[at + 1 :])


def test_every_credential_class_has_a_row_for_the_wire() -> None:
    on_the_wire = {row.signal.value for row in EVIDENCE_TABLE if row.signal.source is WIRE}
    assert on_the_wire == {*(one.value for one in CredentialClass), "placeholder"}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (STATUS, "sponsor"),
        (Source.TELEMETRY, "ANTHROPIC_API_KEY"),
        (Source.RAW_INIT, "/login managed key"),
        (LIMIT, "?"),
    ],
)
def test_what_has_no_row_is_a_note(source: Source, value: str) -> None:
    for mode in BillingMode:
        assert judge(mode, Signal(source, value), PLAIN) is NOTE


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (STATUS, EvidenceKind.SELF_REPORTED),
        (Source.TELEMETRY, EvidenceKind.SELF_REPORTED),
        (Source.RAW_INIT, EvidenceKind.SELF_REPORTED),
        (WIRE, EvidenceKind.ON_THE_WIRE),
        (LIMIT, EvidenceKind.ON_THE_WIRE),
    ],
)
def test_a_record_says_how_much_the_signal_is_worth(source: Source, kind: EvidenceKind) -> None:
    assert weigh(B, Signal(source, "x"), PLAIN, 3.5) == Evidence(
        kind, source, 3.5, "x", judge(B, Signal(source, "x"), PLAIN)
    )
