"""`acp-bridge explain`: its document, its page, and which configuration it answers for."""

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acp_bridge.cli import main
from acp_bridge.launch.shipped import shipped_file
from acp_bridge.modes import CredentialClass, Plan
from acp_bridge.policy.billing_rules import POLICY_FILE
from acp_bridge.policy.surface import Surface
from tests.bridge.process import bridge_environment
from tests.cli.usage_command import Said, assert_wrong

Explain = Callable[..., Said]

PAGE = """\
agent-sdk with subscription_oauth, plan max-20x, on 2026-11-26

bucket        plan_limits: the usage limits of the claude.ai plan
rule          plan-limits-programmatic, in force as far back as is known
source        Anthropic support article 15036540, Use the Claude Agent SDK with your Claude plan:
              the changes are paused; 2026-06-15; https://support.claude.com/en/articles/15036540
used up       extra_usage: if extra usage is switched on
              stops: otherwise, until the plan's limits reset
would change  if `programmatic-credit` (paused since 2026-06-15) came into force, agent-sdk with
              subscription_oauth on max-20x would be charged to programmatic_credit (200 USD a
              month, no rollover), then extra_usage if extra usage is switched on
              if the provider moved the session to extra usage, agent-sdk with subscription_oauth
              would be charged to extra_usage
              if a request used fast-mode, long-context or model-outside-plan, agent-sdk with
              subscription_oauth would be charged to extra_usage
caveat        This is what acp-bridge expects by its rules; the provider has the final word.
policy        2026-11-26
"""
START = """\
schema_version = 1
extends = "shipped"
[[rules]]
id = "programmatic-credit"
history = [{ from = 2027-01-01, status = "in_force" }]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "config.toml"
    path.parent.mkdir()
    path.touch()
    return path


@pytest.fixture
def explain(
    tmp_path: Path,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Explain:
    """Run the command in this process, with a configuration of the test's own."""
    for name in [name for name in os.environ if name.startswith("ACP_BRIDGE_")]:
        monkeypatch.delenv(name)
    for name, value in bridge_environment(tmp_path, config=str(config)).items():
        monkeypatch.setenv(name, value)

    def explain(*arguments: str) -> Said:
        status = main(["explain", *arguments])
        return Said(status, *capsys.readouterr())

    return explain


def page(said: Said) -> str:
    """The page with its lines joined, for looking for words."""
    assert (said.status, said.stderr) == (0, "")
    assert all(len(line) <= 100 for line in said.stdout.splitlines())
    return " ".join(said.stdout.split())


def test_the_page_answers_for_the_running_configuration(explain: Explain) -> None:
    said = explain("--plan", "max-20x", "--date", "2026-11-26")
    assert (said.status, said.stdout, said.stderr) == (0, PAGE, "")


def test_the_document_says_the_same(explain: Explain) -> None:
    document = explain("--plan", "max-20x", "--date", "2026-11-26", "--json").document
    change = document["would_change"].pop(0)
    assert (change["rule"], change["status"], change["bucket"]) == (
        "programmatic-credit",
        "paused",
        "programmatic_credit",
    )
    assert change["sentence"] in " ".join(PAGE.split())
    assert change["then"] == [
        {"to": "extra_usage", "when": "if extra usage is switched on"},
        {"to": "stops", "when": "otherwise, until the next month's credit"},
    ]
    assert [one["rule"] for one in document.pop("would_change")] == [
        "extra-usage-seen",
        "extra-usage-direct",
    ]
    assert document == {
        "schema_version": 1,
        "asked": {
            "credential_class": "subscription_oauth",
            "surface": "agent-sdk",
            "plan": "max-20x",
            "date": "2026-11-26",
        },
        "bucket": "plan_limits",
        "bucket_means": "the usage limits of the claude.ai plan",
        "rule": "plan-limits-programmatic",
        "status": "in_force",
        "since": None,
        "source": {
            "title": "Anthropic support article 15036540, Use the Claude Agent SDK with your Claude"
            " plan: the changes are paused",
            "date": "2026-06-15",
            "url": "https://support.claude.com/en/articles/15036540",
        },
        "then": [
            {"to": "extra_usage", "when": "if extra usage is switched on"},
            {"to": "stops", "when": "otherwise, until the plan's limits reset"},
        ],
        "pool": {
            "usd": "200",
            "bucket": "programmatic_credit",
            "window": "month",
            "rolls_over": False,
            "in_force": False,
            "status": "paused",
            "rule": "programmatic-credit",
        },
        "notes": [],
        "caveat": "This is what acp-bridge expects by its rules; the provider has the final word.",
        "policy": {"version": "2026-11-26", "older_than": None},
    }


@pytest.mark.parametrize(
    ("settings", "credential", "bucket"),
    [
        ("", "subscription_oauth", "plan_limits"),
        ('mode = "A"\n', "api_key", "api"),
        (
            'mode = "C"\nendpoint_url = "https://e.example"\nendpoint_no_auth = true\n',
            "endpoint_credential",
            "endpoint",
        ),
    ],
)
def test_without_flags_it_asks_about_the_bridge_in_its_mode_today(
    explain: Explain, config: Path, settings: str, credential: str, bucket: str
) -> None:
    config.write_text(settings + 'plan = "pro"\n')
    earliest = datetime.now(tz=UTC).astimezone().date()
    document = explain("--json").document
    asked = document["asked"]
    assert (asked["credential_class"], asked["surface"]) == (credential, "agent-sdk")
    assert (asked["plan"], document["bucket"]) == ("pro", bucket)
    assert earliest <= date.fromisoformat(asked["date"]) <= earliest + timedelta(days=1)


@pytest.mark.parametrize("credential", CredentialClass)
def test_every_surface_can_be_asked_about_with_every_credential_class(
    explain: Explain, credential: CredentialClass
) -> None:
    for surface in Surface:
        flags = ("--credential", credential, "--surface", surface, "--date", "2026-11-26")
        document: Any = explain(*flags, "--json").document
        assert document["asked"]["credential_class"] == credential
        assert document["asked"]["surface"] == surface
        assert (document["rule"] is None) == (credential in ("none", "unknown"))
        assert "the provider has the final word" in document["caveat"]
        shown = page(explain(*flags))
        assert f"bucket {document['bucket']}: {document['bucket_means']}" in shown
        assert f"rule {document['rule'] or 'none'}" in shown
        assert all(note in shown for note in document["notes"])


def test_words_are_known_with_a_dash_and_with_an_underscore(explain: Explain) -> None:
    flags = ("--credential", "Subscription-OAuth", "--surface", "github_actions", "--json")
    asked = explain(*flags).document["asked"]
    assert (asked["credential_class"], asked["surface"]) == ("subscription_oauth", "github-actions")


@pytest.mark.parametrize("surface", Surface)
def test_a_surface_that_the_bridge_never_runs_is_said_to_be_one(
    explain: Explain, surface: Surface
) -> None:
    foreign = surface in ("github-actions", "chat", "cowork", "third-party")
    assert ("acp-bridge never runs this surface" in page(explain("--surface", surface))) == foreign


def test_an_unknown_plan_is_said_to_be_unknown_where_it_matters(explain: Explain) -> None:
    shown = page(explain())
    assert "subscription_oauth, plan not known, on" in shown
    assert "--plan or ACP_BRIDGE_PLAN says it" in shown
    shown = page(explain("--credential", "api_key"))
    assert "plan not known" not in shown
    assert "ACP_BRIDGE_PLAN" not in shown


@pytest.mark.parametrize("plan", Plan)
def test_a_plan_without_a_known_credit_is_said_to_have_none(explain: Explain, plan: Plan) -> None:
    flags = ("--plan", plan, "--date", "2026-11-26")
    unclear = plan in (Plan.TEAM, Plan.ENTERPRISE)
    assert ("and how much, is not known here" in page(explain(*flags))) == unclear
    assert (explain(*flags, "--json").document["pool"] is None) == unclear


def test_the_pool_is_the_subscriptions_alone(explain: Explain) -> None:
    flags = ("--plan", "pro", "--credential", "api_key", "--date", "2026-11-26", "--json")
    assert explain(*flags).document["pool"] is None


def test_an_announced_rule_is_shown_with_its_status_of_that_day(explain: Explain) -> None:
    shown = page(explain("--plan", "pro", "--date", "2026-05-20"))
    assert "`programmatic-credit` (announced since 2026-05-14, for 2026-06-15) came into" in shown
    assert "programmatic-credit" not in page(explain("--plan", "pro", "--date", "2026-05-13"))


def test_a_hypothetical_start_is_a_file_beside_the_configuration(
    explain: Explain, config: Path
) -> None:
    config.with_name(POLICY_FILE).write_text(START)
    started = explain("--plan", "max-5x", "--date", "2027-01-01")
    assert "bucket        programmatic_credit: the plan's monthly credit" in started.stdout
    assert "\n              100 USD a month, no rollover\n" in started.stdout
    assert "programmatic-credit, in force since 2027-01-01" in page(started)
    assert "source the user's own billing-policy.toml used up extra_usage" in page(started)
    assert "policy 2026-11-26+user-" in page(started)
    chat = page(explain("--plan", "max-5x", "--date", "2027-01-01", "--surface", "chat"))
    assert "bucket plan_limits" in chat
    assert "USD a month" not in chat
    eve = page(explain("--plan", "max-5x", "--date", "2026-12-31"))
    assert "bucket plan_limits" in eve
    undecided = page(explain("--date", "2027-01-01"))
    assert "bucket unknown" in undecided
    assert "rule none would change" in undecided
    assert "source" not in undecided


def test_a_policy_of_ones_own_that_is_older_is_said_to_be_older(
    explain: Explain, config: Path
) -> None:
    text = shipped_file(POLICY_FILE).read_text(encoding="utf-8")
    own = text.replace('version = "2026-11-26"', 'version = "2026-07-01"')
    config.with_name(POLICY_FILE).write_text(own)
    said = explain()
    assert "of 2026-07-01 is older than the one that came with acp-bridge" in page(said)
    document = json.loads(explain("--json").stdout)
    assert document["policy"] == {"version": "2026-07-01", "older_than": "2026-11-26"}


def test_a_wrong_policy_of_ones_own_is_one_line(explain: Explain, config: Path) -> None:
    own = config.with_name(POLICY_FILE)
    own.write_text(START.replace("in_force", "on"))
    assert_wrong(explain(), str(own), "line 5", "rules.history[0].status", "'on'")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--credential", "cash"), ("--credential: 'cash'", "subscription_oauth")),
        (("--surface", "fax"), ("--surface: 'fax'", "github-actions")),
        (("--date", "tomorrow"), ("--date 'tomorrow'", "2026-06-15")),
        (("--plan", "free"), ("--plan", "'pro'")),
    ],
)
def test_a_word_that_is_not_known_is_told_which_are(
    explain: Explain, flags: tuple[str, str], words: tuple[str, str]
) -> None:
    assert_wrong(explain(*flags), *words)
