"""Where the data files that come with the package are."""

from pathlib import Path

from acp_bridge.errors import ConfigurationError


def shipped_file(name: str) -> Path:
    """The path of a file of ``config/``.

    An installed wheel holds the folder inside the package; a checkout has it beside the package.

    Args:
        name: the file's name, for example ``credential-channels.toml``.

    Raises:
        ConfigurationError: the installation lacks the file.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "config", package.parent / "config"):
        candidate = folder / name
        if candidate.is_file():
            return candidate
    raise ConfigurationError(
        f"the data file {name} is missing from this installation",
        hint="Install acp-billing-bridge again.",
    )
