import pytest

from acp_bridge.policy.surface import Surface, surface_of


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        ("claude-cli/2.1.316 (external, sdk-ts, agent-sdk/0.3.316)", Surface.AGENT_SDK),
        ("claude-cli/2.1.316 (external, sdk-cli)", Surface.PRINT),
        ("claude-cli/2.1.316 (external, cli)", Surface.TERMINAL),
        ("claude-cli/2.1.316 (external, claude-code-github-action)", Surface.GITHUB_ACTIONS),
        ("claude-cli/2.1.316 (external, local-agent)", Surface.COWORK),
        ("claude-cli/2.1.316 (external, not-yet-known)", Surface.UNKNOWN),
        ("claude-cli/2.1.316", Surface.UNKNOWN),
        ("anthropic-sdk-python/1.0", Surface.THIRD_PARTY),
        ("", Surface.UNKNOWN),
        (None, Surface.UNKNOWN),
    ],
)
def test_the_user_agent_names_the_surface(user_agent: str | None, expected: Surface) -> None:
    assert surface_of(user_agent) is expected
