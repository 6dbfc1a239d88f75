"""The price list that comes with the package, from its file to a table."""

from pathlib import Path

import msgspec

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.shipped import shipped_file
from acp_bridge.metering.prices import PRICES_FILE, PriceTable


def load_prices(path: Path | None = None) -> PriceTable:
    """Read the price list; without a path, the one that comes with the package.

    Raises:
        ConfigurationError: the file is missing or wrong; the message names the place.
    """
    source = shipped_file(PRICES_FILE) if path is None else path
    try:
        document = msgspec.json.decode(source.read_bytes())
    except OSError as exc:
        raise ConfigurationError(
            f"{source} cannot be read", hint="Check the file and its permissions."
        ) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            f"{source.name} is not valid JSON: {exc}", hint="Mend the file or install again."
        ) from exc
    return PriceTable.parse(document, origin=source.name)
