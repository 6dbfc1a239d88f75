"""The stdio bridge with layers of enforcement switched off, for tests that look at one alone.

    python tests/support/layers.py --layers gate,lock [--channels FILE] [--anthropic URL]

Settings come from the environment, as always. ``--channels`` reads another channels file than the
one that comes with the package, for tests that take a row out of it. ``--anthropic`` is what counts
as Anthropic's own address, for tests of what holds for that one alone.
"""

import argparse
import contextlib
import sys
from functools import partial
from pathlib import Path
from unittest.mock import patch

from acp_bridge.errors import BridgeError
from acp_bridge.launch.channels import load_channels
from acp_bridge.log import Log
from acp_bridge.modes import Guard
from acp_bridge.own_process import forget_environment, hide_from_others
from acp_bridge.run.preparation import Layers, Surroundings
from acp_bridge.run.start import begin
from acp_bridge.settings import ANTHROPIC_API, load_settings
from acp_bridge.supervisor import serve_stdio


def main() -> int:
    """Serve until one side ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", default="")
    parser.add_argument("--channels", type=Path)
    parser.add_argument("--anthropic", default=ANTHROPIC_API)
    arguments = parser.parse_args()
    on = frozenset(filter(None, arguments.layers.split(",")))
    load = partial(load_channels, arguments.channels)
    # As `acp-bridge run` does: the credential was handed to it in its environment.
    forget_environment()
    hide_from_others()
    try:
        with (
            patch("acp_bridge.run.preparation.load_channels", load),
            patch("acp_bridge.run.preparation.ANTHROPIC_API", arguments.anthropic),
        ):
            layers = Layers(**{layer: layer in on for layer in ("gate", "lock", "evidence")})
            return _serve(layers, Guard.ENFORCE if "guard" in on else Guard.OFF)
    except BridgeError as error:
        sys.stderr.write(f"{error.message}\n{error.hint}\n")
        return error.exit_status


def _serve(layers: Layers, guard: Guard) -> int:
    settings = load_settings({"guard": guard.value})
    begun = begin(settings, Surroundings(layers=layers), agent=None)
    with contextlib.closing(begun.preparation.directory):
        return serve_stdio(
            begun,
            log=Log.of(settings),
            command=(sys.executable, __file__),
            started=lambda _: None,
            layers=layers,
        )


if __name__ == "__main__":
    sys.exit(main())
