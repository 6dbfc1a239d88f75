"""What the channels file has to hold, written down a second time from what was observed.

The tests compare; a row that is taken out or changed on one side alone makes one of them fail.
"""
# ruff: noqa: SIM905 — names in paragraphs are easier to compare with the notes than lists

from dataclasses import dataclass

from acp_bridge.modes import BillingMode

A, B, C = BillingMode.API_KEY, BillingMode.SUBSCRIPTION, BillingMode.ENDPOINT


@dataclass(frozen=True, slots=True)
class Demand:
    """What the modes have to do with a variable."""

    actions: tuple[str, str, str]
    settings: str
    message: str = "remove"

    def action(self, mode: BillingMode) -> str:
        return self.actions[list(BillingMode).index(mode)]


def _same(action: str, settings: str, message: str = "remove") -> Demand:
    return Demand((action, action, action), settings, message)


_TAKEN_AWAY = """
CLAUDE_API_KEY CLAUDE_CODE_OAUTH_REFRESH_TOKEN CLAUDE_CODE_OAUTH_SCOPES CLAUDE_CODE_OAUTH_CLIENT_ID
CLAUDE_CODE_SESSIONS_OAUTH_TOKEN CLAUDE_CODE_SESSION_ACCESS_TOKEN CLAUDE_BRIDGE_OAUTH_TOKEN
CLAUDE_CODE_HFI_BEARER_TOKEN CLAUDE_CODE_GATEWAY_TOKEN CLAUDE_TRUSTED_DEVICE_TOKEN
AWS_BEARER_TOKEN_BEDROCK ANTHROPIC_FOUNDRY_API_KEY ANTHROPIC_FOUNDRY_AUTH_TOKEN
ANTHROPIC_AWS_API_KEY CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR CLAUDE_SESSION_INGRESS_TOKEN_FILE
CLAUDE_CODE_GATEWAY_TOKEN_FILE_DESCRIPTOR CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR
CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR

CLAUDE_CODE_HOST_AUTH_ENV_VAR CLAUDE_CODE_HOST_CREDS_FILE CLAUDE_CODE_HOST_GATEWAY_LINEAGE
CLAUDE_CODE_SDK_HAS_HOST_AUTH_REFRESH CLAUDE_CODE_HOST_AUTH_REFRESH_TIMEOUT_MS

ANTHROPIC_PROFILE ANTHROPIC_FEDERATION_RULE_ID ANTHROPIC_ORGANIZATION_ID ANTHROPIC_SCOPE
ANTHROPIC_SERVICE_ACCOUNT_ID ANTHROPIC_WORKSPACE_ID ANTHROPIC_IDENTITY_TOKEN
ANTHROPIC_IDENTITY_TOKEN_FILE CLAUDE_CODE_FEDERATION_CACHE_DIR

CLAUDE_CODE_USE_BEDROCK CLAUDE_CODE_USE_VERTEX CLAUDE_CODE_USE_FOUNDRY CLAUDE_CODE_USE_MANTLE
CLAUDE_CODE_USE_ANTHROPIC_AWS CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD CLAUDE_CODE_USE_GATEWAY
CLAUDE_CODE_SKIP_BEDROCK_AUTH CLAUDE_CODE_SKIP_VERTEX_AUTH CLAUDE_CODE_SKIP_FOUNDRY_AUTH
CLAUDE_CODE_SKIP_ANTHROPIC_AWS_AUTH CLAUDE_CODE_SKIP_ANTHROPIC_GOOGLE_CLOUD_AUTH
CLAUDE_CODE_SKIP_MANTLE_AUTH CLAUDE_CODE_SIMPLE

ANTHROPIC_UNIX_SOCKET ANTHROPIC_API_HOST CLAUDE_CODE_API_BASE_URL ANTHROPIC_BEDROCK_BASE_URL
ANTHROPIC_VERTEX_BASE_URL ANTHROPIC_FOUNDRY_BASE_URL ANTHROPIC_AWS_BASE_URL
ANTHROPIC_GOOGLE_CLOUD_BASE_URL ANTHROPIC_BEDROCK_MANTLE_BASE_URL ANTHROPIC_FOUNDRY_RESOURCE
ANTHROPIC_VERTEX_PROJECT_ID CLOUD_ML_REGION CLAUDE_CODE_CUSTOM_OAUTH_URL
CLAUDE_LOCAL_OAUTH_API_BASE CLAUDE_LOCAL_OAUTH_APPS_BASE CLAUDE_LOCAL_OAUTH_CONSOLE_BASE
USE_LOCAL_OAUTH USE_STAGING_OAUTH CLAUDE_BRIDGE_BASE_URL CLAUDE_BRIDGE_SESSION_INGRESS_URL
CLAUDE_REMOTE_TOOLS_BRIDGE_URL CLAUDE_CODE_GB_BASE_URL

CLAUDE_CODE_MANAGED_SETTINGS_PATH CLAUDE_CODE_REMOTE_SETTINGS_PATH
CLAUDE_CODE_DISABLE_ADMIN_ENV_UNION CLAUDE_CODE_MOCK_REMOTE_SETTINGS
""".split()

_USERS_OWN = """
ANTHROPIC_BETAS CLAUDE_CODE_EXTRA_BODY CLAUDE_CODE_EXTRA_METADATA
HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
CLAUDE_CODE_HTTP_PROXY CLAUDE_CODE_HTTPS_PROXY CLAUDE_CODE_PROXY_URL
CLAUDE_CODE_ENABLE_PROXY_AUTH_HELPER NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED
CLAUDE_CODE_CERT_STORE CLAUDE_CODE_CLIENT_CERT CLAUDE_CODE_CLIENT_KEY
CLAUDE_CODE_CLIENT_KEY_PASSPHRASE
""".split()

_USERS_OWN_IF_NAMED = """
SSL_CERT_FILE SSL_CERT_DIR NODE_OPTIONS NODE_PATH BUN_OPTIONS BUN_INSPECT_PRELOAD LD_PRELOAD
LD_AUDIT LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES DYLD_LIBRARY_PATH DYLD_FRAMEWORK_PATH
CLAUDE_CODE_PROCESS_WRAPPER
""".split()

_USERS_STATE = "HOME CLAUDE_CONFIG_DIR CLAUDE_SECURESTORAGE_CONFIG_DIR XDG_CONFIG_HOME".split()

_KEPT = """
ANTHROPIC_MODEL ANTHROPIC_DEFAULT_MODEL ANTHROPIC_DEFAULT_FABLE_MODEL ANTHROPIC_DEFAULT_OPUS_MODEL
ANTHROPIC_DEFAULT_SONNET_MODEL ANTHROPIC_DEFAULT_HAIKU_MODEL ANTHROPIC_SMALL_FAST_MODEL
CLAUDE_CODE_SUBAGENT_MODEL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE
AWS_REGION GOOGLE_APPLICATION_CREDENTIALS GOOGLE_CLOUD_PROJECT
""".split()

_PLANNED = """
CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST ANTHROPIC_CONFIG_DIR ANTHROPIC_BASE_URL
_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL NO_PROXY no_proxy CLAUDE_CODE_EXECUTABLE CLAUDE_ENV_FILE
CLAUDE_CODE_DISABLE_AGENT_VIEW PATH
""".split()

DEMANDS: dict[str, Demand] = {
    "ANTHROPIC_API_KEY": Demand(("set", "remove", "set"), "set"),
    "ANTHROPIC_AUTH_TOKEN": Demand(("set", "remove", "set"), "set"),
    "ANTHROPIC_CUSTOM_HEADERS": Demand(("remove", "remove", "set"), "set"),
    "CLAUDE_CODE_OAUTH_TOKEN": Demand(("remove", "set", "remove"), "set"),
    "CLAUDE_AGENT_ACP_PROTOCOL": _same("set", "none"),
    "CLAUDECODE": _same("remove", "none"),
    **dict.fromkeys(_TAKEN_AWAY, _same("remove", "blank")),
    **dict.fromkeys(_USERS_OWN, _same("pin", "own")),
    **dict.fromkeys(_USERS_OWN_IF_NAMED, _same("pin", "own-if-named")),
    **dict.fromkeys(_USERS_STATE, _same("pin", "none")),
    **dict.fromkeys(_KEPT, _same("keep", "none", "keep")),
    **dict.fromkeys(_PLANNED, _same("set", "set")),
}
"""Every variable by name."""

UNLISTED = {
    "ANTHROPIC_NEXT_API_KEY": "ANTHROPIC_",
    "ANTHROPIC_NEXT_AUTH_TOKEN": "ANTHROPIC_",
    "ANTHROPIC_NEXT_BASE_URL": "ANTHROPIC_",
    "ANTHROPIC_NEXT_UNIX_SOCKET": "ANTHROPIC_",
    "ANTHROPIC_NEXT_IDENTITY_TOKEN_FILE": "ANTHROPIC_",
    "ANTHROPIC_NEXT_CUSTOM_HEADERS": "ANTHROPIC_",
    "CLAUDE_NEXT_OAUTH_TOKEN": "CLAUDE_\\w*(",
    "CLAUDE_CODE_NEXT_API_KEY_FILE_DESCRIPTOR": "CLAUDE_\\w*(",
    "CLAUDE_CODE_USE_NEXT_CLOUD": "CLAUDE_CODE_USE_",
    "CLAUDE_CODE_SKIP_NEXT_CLOUD_AUTH": "CLAUDE_CODE_SKIP_",
    "CLAUDE_LOCAL_OAUTH_NEXT": "CLAUDE_LOCAL_OAUTH_",
    "ACP_BRIDGE_API_KEY": "ACP_BRIDGE_",
}
"""A name that no row lists → how the pattern that has to catch it begins."""

HARMLESS = (
    "CLAUDE_CODE_USE_POWERSHELL_TOOL",
    "CLAUDE_CODE_SKIP_PROMPT_HISTORY",
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
    "MY_OWN_API_KEY",
    "OPENAI_API_KEY",
    "LANG",
)
"""Names that no rule may catch."""

SETTINGS_KEYS = {
    "apiKeyHelper": (A, B, C),
    "proxyAuthHelper": (),
    "awsAuthRefresh": (),
    "awsCredentialExport": (),
    "gcpAuthRefresh": (),
}
"""A settings key that is pinned blank → the modes that it contradicts when managed."""

MOVED = ("ALL_PROXY", "all_proxy")
MANAGED_KEYS = ("policyHelper", "policyHelpers", "forceLoginMethod", "allowedProviders")
FILES = (
    "user settings",
    "global configuration",
    "project settings",
    "local settings",
    "profile",
    "organisation settings",
    "stored login",
)
STORED = {"enterpriseGateway": (B,), "primaryApiKey": (B,)}
"""A stored sign-in's key → the modes in which it would pay."""
MESSAGE_FIELDS = (
    "_meta.claudeCode.options.env",
    "_meta.claudeCode.options.settings",
    "_meta.claudeCode.options.managedSettings",
    "_meta.claudeCode.options.extraArgs.settings",
    "_meta.claudeCode.options.extraArgs.managed-settings",
)
LAUNCH_FORMS = (
    (A, "api_key"),
    (A, "bearer"),
    (B, "login"),
    (B, "oauth_token"),
    (C, "bearer"),
    (C, "api_key"),
    (C, "headers"),
    (C, "no_auth"),
)


@dataclass(frozen=True, slots=True)
class TelemetryDemand:
    """What the gate has to know of a telemetry variable."""

    part: str
    off: str | None = None
    alone: str | None = None
    tapped: str | None = None
    project: str | None = None


_CONTENT = """
OTEL_EXPORTER_OTLP_HEADERS OTEL_EXPORTER_OTLP_LOGS_HEADERS OTEL_LOG_USER_PROMPTS
OTEL_LOG_ASSISTANT_RESPONSES OTEL_LOG_TOOL_CONTENT OTEL_LOG_TOOL_DETAILS OTEL_LOG_RAW_API_BODIES
""".split()

_CLIENT_CERTIFICATES = """
OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY
OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE OTEL_EXPORTER_OTLP_CLIENT_KEY
CLAUDE_CODE_CLIENT_CERT CLAUDE_CODE_CLIENT_KEY
""".split()

TELEMETRY = {
    "CLAUDE_CODE_ENABLE_TELEMETRY": TelemetryDemand("switch", off="yEs"),
    "OTEL_LOGS_EXPORTER": TelemetryDemand("exporter", alone="otlp", project="none"),
    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": TelemetryDemand("protocol", alone="http/json"),
    "OTEL_EXPORTER_OTLP_PROTOCOL": TelemetryDemand("protocol"),
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": TelemetryDemand(
        "endpoint", alone="$telemetry", tapped="$telemetry"
    ),
    "OTEL_EXPORTER_OTLP_ENDPOINT": TelemetryDemand("base"),
    "OTEL_LOGS_EXPORT_INTERVAL": TelemetryDemand("interval", alone="200"),
    "OTEL_METRICS_EXPORTER": TelemetryDemand("other", off="none", project="none"),
    "OTEL_TRACES_EXPORTER": TelemetryDemand("other", off="none", project="none"),
    **dict.fromkeys(_CONTENT, TelemetryDemand("content", off="")),
    "OTEL_METRICS_INCLUDE_SESSION_ID": TelemetryDemand("content", off="true"),
    "ENABLE_BETA_TRACING_DETAILED": TelemetryDemand("elsewhere"),
    "BETA_TRACING_ENDPOINT": TelemetryDemand("elsewhere"),
    **dict.fromkeys(_CLIENT_CERTIFICATES, TelemetryDemand("client_certificate")),
    "NODE_TLS_REJECT_UNAUTHORIZED": TelemetryDemand("unverified"),
    "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE": TelemetryDemand("certificate"),
    "OTEL_EXPORTER_OTLP_CERTIFICATE": TelemetryDemand("certificate"),
    "NODE_EXTRA_CA_CERTS": TelemetryDemand("certificate"),
    **dict.fromkeys(
        ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"), TelemetryDemand("proxy")
    ),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), TelemetryDemand("no_proxy")),
}
"""Every telemetry variable by name; within a part, in the order of precedence."""

FIXED_BY_ADMINISTRATOR = (
    *(name for name in TELEMETRY if name.startswith("OTEL_")),
    "CLAUDE_CODE_ENABLE_TELEMETRY",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA",
    "ENABLE_ENHANCED_TELEMETRY_BETA",
    "ENABLE_BETA_TRACING_DETAILED",
    "BETA_TRACING_ENDPOINT",
    "ANT_OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_NEXT_THING",
)
"""Names with which managed settings fix the telemetry."""

NOT_FIXED_BY_ADMINISTRATOR = ("DISABLE_TELEMETRY", "HTTPS_PROXY", "ENABLE_TOOL_SEARCH")
