"""The shipped channels file, against a second list written from what was observed."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.channels import CHANNELS_FILE, Channels, load_channels, parse_channels
from acp_bridge.launch.shipped import shipped_file
from acp_bridge.modes import BillingMode
from tests.launch.facts import (
    DEMANDS,
    FILES,
    FIXED_BY_ADMINISTRATOR,
    HARMLESS,
    LAUNCH_FORMS,
    MANAGED_KEYS,
    MESSAGE_FIELDS,
    MOVED,
    NOT_FIXED_BY_ADMINISTRATOR,
    SETTINGS_KEYS,
    STORED,
    TELEMETRY,
    UNLISTED,
    TelemetryDemand,
)

CHANNELS = load_channels()
TEXT = shipped_file(CHANNELS_FILE).read_text()


def differences(channels: Channels) -> list[str]:
    """Where a set of channels differs from what was observed."""
    rows = {row.name: row for row in channels.variables if not row.is_pattern}
    found = sorted(rows.keys() ^ DEMANDS.keys())
    for name in rows.keys() & DEMANDS.keys():
        row, demand = rows[name], DEMANDS[name]
        actions = tuple(row.environment[mode].value for mode in BillingMode)
        message = "remove" if row.removed_from_messages else "keep"
        if (actions, row.settings.value, message) != (
            demand.actions,
            demand.settings,
            demand.message,
        ):
            found.append(name)
    for name, beginning in UNLISTED.items():
        caught = channels.variable(name)
        if caught is None or not caught.name.startswith(beginning):
            found.append(name)
    keys = {
        item.key: tuple(mode for mode in BillingMode if mode in item.contradicts)
        for item in channels.settings_keys
        if item.pin == ""
    }
    found += sorted(
        key for key in keys.keys() | SETTINGS_KEYS if keys.get(key) != SETTINGS_KEYS.get(key)
    )
    found += sorted({move.name for move in channels.moved} ^ set(MOVED))
    found += sorted({rule.key for rule in channels.managed_rules} ^ set(MANAGED_KEYS))
    found += sorted({source.name for source in channels.sources} ^ set(FILES))
    stored = {item.key: tuple(sorted(item.contradicts)) for item in channels.stored}
    found += sorted(key for key in {*stored, *STORED} if stored.get(key) != STORED.get(key))
    found += sorted({item.field for item in channels.message_fields} ^ set(MESSAGE_FIELDS))
    forms = {(form.mode, form.form) for form in channels.launch_forms}
    found += sorted(str(form) for form in forms ^ set(LAUNCH_FORMS))
    telemetry = {
        row.name: TelemetryDemand(
            row.part, **{case.value: value for case, value in row.pins.items()}, project=row.project
        )
        for row in channels.telemetry.variables
    }
    if list(telemetry.items()) != list(TELEMETRY.items()):
        found.append("telemetry")
    return found


def test_the_file_holds_what_was_observed_and_nothing_else() -> None:
    assert differences(CHANNELS) == []


@pytest.mark.parametrize(
    "field",
    [
        "variables",
        "moved",
        "settings_keys",
        "managed_rules",
        "sources",
        "stored",
        "message_fields",
        "launch_forms",
    ],
)
def test_taking_out_any_one_row_is_noticed(field: str) -> None:
    rows = getattr(CHANNELS, field)
    for place, row in enumerate(rows):
        without = replace(CHANNELS, **{field: rows[:place] + rows[place + 1 :]})
        assert differences(without), row


def test_taking_out_any_one_telemetry_variable_is_noticed() -> None:
    rows = CHANNELS.telemetry.variables
    for place, row in enumerate(rows):
        telemetry = replace(CHANNELS.telemetry, variables=rows[:place] + rows[place + 1 :])
        assert differences(replace(CHANNELS, telemetry=telemetry)), row


def test_an_administrators_telemetry_is_known_by_its_names() -> None:
    fixes = re.compile(CHANNELS.telemetry.managed)
    assert [name for name in FIXED_BY_ADMINISTRATOR if not fixes.match(name)] == []
    assert [name for name in NOT_FIXED_BY_ADMINISTRATOR if fixes.match(name)] == []


@pytest.mark.parametrize("name", HARMLESS)
def test_a_name_that_moves_no_payer_is_left_alone(name: str) -> None:
    assert CHANNELS.variable(name) is None


@pytest.mark.parametrize("mode", BillingMode)
def test_a_message_may_not_set_what_moves_the_payer(mode: BillingMode) -> None:
    refused = {name for name in DEMANDS if CHANNELS.is_environment_channel(name, mode)}
    assert refused == {name for name, demand in DEMANDS.items() if demand.message == "remove"}
    assert all(CHANNELS.is_environment_channel(name, mode) for name in UNLISTED)
    assert not any(CHANNELS.is_environment_channel(name, mode) for name in HARMLESS)


def test_the_code_knows_no_variable_names_of_its_own() -> None:
    folder = Path(shipped_file.__code__.co_filename).parent
    code = "\n".join(path.read_text() for path in folder.glob("*.py"))
    written = set(re.findall(r'"(_?(?:ANTHROPIC|CLAUDE|AWS|NODE|OTEL|BETA|ENABLE)_[A-Z_]+)"', code))
    assert written == set()
    assert not [
        name for name in ('"HOME"', '"PATH"', '"NO_PROXY"', '"HTTPS_PROXY"') if name in code
    ]


def test_every_row_says_why_and_how_it_is_known() -> None:
    rows = [
        *((row.why, row.seen) for row in CHANNELS.variables),
        *((row.why, row.seen) for row in CHANNELS.moved),
        *((row.why, row.seen) for row in CHANNELS.settings_keys),
        *((row.why, row.seen) for row in CHANNELS.managed_rules),
        *((row.why, row.seen) for row in CHANNELS.telemetry.variables),
    ]
    assert all(re.fullmatch(r"(ran|read)( \d+\.\d+\.\d+)?", seen) for _, seen in rows)
    assert all(why.endswith(".") for why, _ in rows)


def test_a_mode_has_only_its_own_forms_of_credential() -> None:
    with pytest.raises(
        ConfigurationError, match="mode api-key has no credential of the form headers"
    ):
        CHANNELS.launch_form(BillingMode.API_KEY, "headers")


def _replaced(old: str, new: str) -> Callable[[], str]:
    assert old in TEXT
    return lambda: TEXT.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            _replaced('kind = "credential"', 'kind = "gift"'),
            r"line \d+, variables\.kind: 'gift' is none",
        ),
        (
            _replaced('settings = "set"', 'settings = "maybe"'),
            r"line \d+, variables\.settings: 'maybe'",
        ),
        (
            _replaced('message = "remove"', "message = 3"),
            r"line \d+, variables\.message: must be a text",
        ),
        (
            _replaced('subscription = "remove"', 'subscription = "burn"'),
            r"variables\.environment\.subscription",
        ),
        (
            _replaced('names = ["ANTHROPIC_AUTH_TOKEN"]', 'names = ["ANTHROPIC_API_KEY"]'),
            r"listed twice",
        ),
        (
            _replaced("pattern = 'ACP_BRIDGE_'", "pattern = '('"),
            r"variables\.pattern: is not a regular",
        ),
        (_replaced("schema_version = 1", "schema_version = 2"), r"schema_version: must be 1"),
        (_replaced("[roles]", "[rolls]"), r"roles: must be a table"),
        (_replaced("refuse = true", 'refuse = "yes"'), r"managed\.refuse: must be true or false"),
        (_replaced('managed = ["api-key", ', 'managed = ["free", '), r"settings\.managed"),
        (_replaced('field = "apiProvider"\n', ""), r"trial\.field: is missing"),
        (_replaced('part = "switch"', "part = 1"), r"line \d+, telemetry\.part: must be a text"),
        (_replaced('off = "none"', 'off = ""'), r"line \d+, telemetry\.off: must be a text"),
        (_replaced("protocols = [", "prot = ["), r"telemetry_rules\.protocols: is missing"),
        (
            _replaced("CLAUDE_CODE_OAUTH_TOKEN = ", "ANTHROPIC_API_KEY = "),
            r"mode subscription does not set",
        ),
        (lambda: TEXT + "\n[[", r"is not valid TOML"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_line_and_key(
    text: Callable[[], str], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        parse_channels(text())
    assert CHANNELS_FILE in caught.value.message
    assert caught.value.hint


def test_the_line_in_an_error_is_that_of_the_row() -> None:
    line = TEXT.splitlines().index('names = ["NO_PROXY", "no_proxy"]')
    lines = TEXT.splitlines()
    lines[line + 1] = 'kind = "gift"'
    with pytest.raises(ConfigurationError, match=rf"line {line}, variables\.kind"):
        parse_channels("\n".join(lines))


def test_another_file_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT)
    assert load_channels(tmp_path / "mine.toml") == CHANNELS
    with pytest.raises(ConfigurationError, match=r"absent\.toml cannot be read"):
        load_channels(tmp_path / "absent.toml")


def test_a_data_file_that_is_not_shipped_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml is missing from this installation"):
        shipped_file("absent.toml")
