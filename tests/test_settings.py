"""Settings: flag over environment over file over default, and one line for every mistake."""

from pathlib import Path

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.modes import BillingMode, Guard, OnViolation
from acp_bridge.settings import Settings, load_settings

ENDPOINT = {"ACP_BRIDGE_MODE": "C", "ACP_BRIDGE_ENDPOINT_URL": "https://models.example"}
SECRET = "sk-ant-api03-FAKE-never-shown"


def refusal(flags: dict[str, str] | None = None, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(flags, env or {})
    assert caught.value.exit_status == 2
    assert caught.value.hint
    text = f"{caught.value.message} | {caught.value.hint}"
    assert "\n" not in text
    return text


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def with_file(config: Path, text: str, **env: str) -> dict[str, str]:
    config.write_text(text)
    return {"ACP_BRIDGE_CONFIG": str(config), **env}


def test_without_any_setting_the_subscription_pays_and_violations_block() -> None:
    settings = load_settings({}, {})
    assert settings.mode is BillingMode.SUBSCRIPTION
    assert settings.is_default("mode")
    assert settings.on_violation is OnViolation.BLOCK
    assert settings.wire_guard is Guard.OFF
    assert settings.max_line_bytes == 256 * 1024 * 1024


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("A", BillingMode.API_KEY),
        ("b", BillingMode.SUBSCRIPTION),
        ("api-key", BillingMode.API_KEY),
        (" Subscription ", BillingMode.SUBSCRIPTION),
    ],
)
def test_a_mode_has_a_name_and_a_letter(text: str, mode: BillingMode) -> None:
    assert load_settings({"mode": text}, {}).mode is mode


def test_a_flag_wins_over_the_environment_and_that_over_the_file(config: Path) -> None:
    text = 'mode = "A"\nstatus_wait_seconds = 1\nmax_line_bytes = 2048\n'
    env = with_file(
        config, text, ACP_BRIDGE_STATUS_WAIT_SECONDS="2", ACP_BRIDGE_MAX_LINE_BYTES="4096"
    )
    settings = load_settings({"max_line_bytes": "8192"}, env)
    assert settings.mode is BillingMode.API_KEY
    assert settings.status_wait_seconds == 2
    assert settings.max_line_bytes == 8192
    assert settings.origin("mode") == f"mode in {config}"
    assert settings.origin("status_wait_seconds") == "ACP_BRIDGE_STATUS_WAIT_SECONDS"
    assert settings.origin("max_line_bytes") == "--max-line-bytes"
    assert settings.origin("guard") == "the default"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_settings({}, {"ACP_BRIDGE_MODE": ""}).is_default("mode")


def test_the_agent_is_a_command_line() -> None:
    settings = load_settings({}, {"ACP_BRIDGE_AGENT": "node '/a b/index.js' --flag"})
    assert settings.agent == ("node", "/a b/index.js", "--flag")


def test_a_dotenv_file_in_the_working_directory_is_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ACP_BRIDGE_MODE=api-key\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings({}, {}).mode is BillingMode.SUBSCRIPTION


def test_subscription_with_an_endpoint_url_names_both_origins(config: Path) -> None:
    env = with_file(config, 'mode = "B"\n', ACP_BRIDGE_ENDPOINT_URL="https://models.example")
    text = refusal(env=env)
    assert str(config) in text
    assert "ACP_BRIDGE_ENDPOINT_URL" in text


def test_a_mode_that_uses_no_key_refuses_a_key_without_showing_it() -> None:
    text = refusal(env={"ACP_BRIDGE_API_KEY": SECRET})
    assert "ACP_BRIDGE_API_KEY" in text
    assert SECRET not in text


def test_two_sources_for_one_key_are_refused() -> None:
    env = {
        "ACP_BRIDGE_MODE": "A",
        "ACP_BRIDGE_API_KEY": SECRET,
        "ACP_BRIDGE_API_KEY_COMMAND": "pass show key",
    }
    assert "two sources" in refusal(env=env)


def test_mode_c_needs_a_url_and_a_credential() -> None:
    assert "no endpoint" in refusal(env={"ACP_BRIDGE_MODE": "C"})
    assert "no credential" in refusal(env=ENDPOINT)
    for variable, value in (
        ("ACP_BRIDGE_ENDPOINT_TOKEN", "t"),
        ("ACP_BRIDGE_ENDPOINT_API_KEY", "k"),
        ("ACP_BRIDGE_ENDPOINT_HEADERS", '{"X-Key": "v"}'),
        ("ACP_BRIDGE_ENDPOINT_NO_AUTH", "1"),
    ):
        assert load_settings({}, {**ENDPOINT, variable: value}).mode is BillingMode.ENDPOINT


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example",
        "models.example",
        "ftp://models.example",
        "https://u:p@models.example",
    ],
)
def test_an_endpoint_that_would_expose_its_credential_is_refused(url: str) -> None:
    env = {
        "ACP_BRIDGE_MODE": "C",
        "ACP_BRIDGE_ENDPOINT_URL": url,
        "ACP_BRIDGE_ENDPOINT_TOKEN": SECRET,
    }
    text = refusal(env=env)
    assert "ACP_BRIDGE_ENDPOINT_URL" in text
    assert SECRET not in text


@pytest.mark.parametrize(
    "url", ["https://api.anthropic.com", "http://127.0.0.1:9", "http://[::1]:9"]
)
def test_the_upstream_may_be_anthropic_or_loopback(url: str) -> None:
    assert load_settings({}, {"ACP_BRIDGE_UPSTREAM_URL": url}).upstream_url == url


@pytest.mark.parametrize(
    "url",
    ["https://gateway.example", "http://api.anthropic.com", "https://api.anthropic.com.example"],
)
def test_any_other_upstream_is_refused(url: str) -> None:
    assert "ACP_BRIDGE_UPSTREAM_URL" in refusal(env={"ACP_BRIDGE_UPSTREAM_URL": url})


def test_an_unknown_key_in_the_file_is_named_with_the_nearest_known_one(config: Path) -> None:
    text = refusal(env=with_file(config, 'mdoe = "A"\n'))
    assert "'mdoe'" in text
    assert str(config) in text
    assert "did you mean mode?" in text


def test_a_mistyped_variable_is_an_error_because_it_would_decide_who_pays() -> None:
    assert "did you mean ACP_BRIDGE_MODE?" in refusal(env={"ACP_BRIDGE_MDOE": "api-key"})


@pytest.mark.parametrize("text", ["mode = ", "mode = [", "\xff"])
def test_a_broken_file_is_one_line(config: Path, text: str) -> None:
    config.write_bytes(text.encode("latin-1"))
    assert str(config) in refusal(env={"ACP_BRIDGE_CONFIG": str(config)})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    assert "does not exist" in refusal(env={"ACP_BRIDGE_CONFIG": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MODE", "max"),
        ("AGENT_KIND", "codex"),
        ("GUARD", "maybe"),
        ("ON_VIOLATION", "ignore"),
        ("MAX_LINE_BYTES", "much"),
        ("MAX_LINE_BYTES", "1"),
        ("STATUS_WAIT_SECONDS", "-1"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("ENDPOINT_HEADERS", "{"),
        ("ENDPOINT_HEADERS", "[]"),
        ("AGENT", "node 'unfinished"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(variable: str, value: str) -> None:
    assert f"ACP_BRIDGE_{variable}" in refusal(env={f"ACP_BRIDGE_{variable}": value})


def test_settings_never_show_a_secret() -> None:
    env = {
        **ENDPOINT,
        "ACP_BRIDGE_ENDPOINT_TOKEN": SECRET,
        "ACP_BRIDGE_ENDPOINT_HEADERS": f'{{"X-Key": "{SECRET}"}}',
    }
    settings = load_settings({}, env)
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.model_dump())


def test_a_run_cannot_change_its_mode() -> None:
    settings = load_settings({}, {})
    with pytest.raises(ValueError, match="frozen"):
        settings.mode = BillingMode.API_KEY  # type: ignore[misc]


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("environment", "guard"),
    [
        ({"MODE": "A"}, Guard.ENFORCE),
        ({"MODE": "B"}, Guard.OFF),
        (
            {"MODE": "C", "ENDPOINT_URL": "https://e.example", "ENDPOINT_NO_AUTH": "1"},
            Guard.ENFORCE,
        ),
        ({"MODE": "A", "GUARD": "off"}, Guard.OFF),
        ({"MODE": "B", "GUARD": "observe"}, Guard.OBSERVE),
    ],
)
def test_the_wire_guard_looks_at_a_login_only_where_the_user_asked_for_it(
    environment: dict[str, str], guard: Guard
) -> None:
    settings = load_settings(environ={f"ACP_BRIDGE_{name}": of for name, of in environment.items()})
    assert settings.wire_guard is guard


PRICED = """
mode = "A"
[endpoint.prices."my-model"]
input = "2.00"
[[budget]]
name = "month"
"""


def test_the_tables_of_the_file_are_no_settings_and_are_kept_as_written(config: Path) -> None:
    settings = load_settings({}, with_file(config, PRICED))
    assert settings.mode is BillingMode.API_KEY
    assert settings.tables == {
        "endpoint": {"prices": {"my-model": {"input": "2.00"}}},
        "budget": [{"name": "month"}],
    }
    assert settings.model_copy().tables == settings.tables
    assert not {"endpoint", "budget"} & set(Settings.model_fields)
    assert settings.is_default("endpoint")


def test_without_a_table_there_are_none(config: Path) -> None:
    assert load_settings({}, {}).tables == {}
    assert load_settings({}, with_file(config, 'mode = "A"\n')).tables == {}


@pytest.mark.parametrize("mode", ["A", "B", "C"])
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[endpoint]\nurl = "https://models.example"\n', "'url'"),
        ('[endpoint.price."m"]\ninput = "1"\n', "'price'"),
        ('[endpoint.prices."m"]\ninput = 1.5\n', "input of [endpoint.prices.'m']"),
        ('[endpoint.prices."m"]\ninptu = "1"\n', "'inptu'"),
        ('endpoint = "https://models.example"\n', "endpoint"),
    ],
)
def test_a_wrong_price_of_the_endpoint_is_told_in_every_mode(
    config: Path, mode: str, text: str, named: str
) -> None:
    told = refusal(env=with_file(config, text, ACP_BRIDGE_MODE=mode))
    assert named in told
    assert str(config) in told


def test_a_mistyped_table_is_named_with_the_nearest_one(config: Path) -> None:
    assert "did you mean budget?" in refusal(env=with_file(config, "[[budgets]]\n"))


@pytest.mark.parametrize("name", ["ENDPOINT", "BUDGET"])
def test_a_table_has_no_variable(name: str) -> None:
    assert f"unknown setting ACP_BRIDGE_{name}" in refusal(env={f"ACP_BRIDGE_{name}": "{}"})
