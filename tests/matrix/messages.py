"""ACP messages of a client that would change the payer."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.matrix.kinds import PLANTED_KEY, PLANTED_TOKEN
from tests.matrix.payers import Payer
from tests.matrix.stage import Running
from tests.support.acp import AcpError

MODE_LOCKED = -32010
CREDENTIAL_CONTRADICTION = -32012
MODES = (Payer.KEY, Payer.LOGIN, Payer.ENDPOINT)


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the client.

    Attributes:
        name: what the table shows.
        method: the ACP method.
        params: its params; ``{url}`` is the attacker's endpoint.
        leaks: whether the next turn leaks when the plain adapter got it.
    """

    name: str
    method: str
    params: Mapping[str, Any]
    leaks: bool

    def __str__(self) -> str:
        return self.name

    async def say(self, running: Running) -> None:
        """Send it.

        Raises:
            AcpError: it was refused.
        """
        text = json.dumps(self.params).replace("{url}", running.stage.attacker.url)
        await running.client.request(self.method, json.loads(text))

    async def try_to_say(self, running: Running) -> None:
        """Send it, whatever the answer."""
        with suppress(AcpError):
            await self.say(running)


def _gateway(method: str) -> Message:
    gateway = {"baseUrl": "{url}", "headers": {"Authorization": f"Bearer {PLANTED_TOKEN}"}}
    params = {"methodId": method, "_meta": {"gateway": gateway}}
    return Message(f"authenticate {method}", "authenticate", params, leaks=True)


PROVIDER = {"providerId": "main", "baseUrl": "{url}", "headers": {"x-api-key": PLANTED_KEY}}
REFUSED = (
    Message("providers/set", "providers/set", {**PROVIDER, "apiType": "anthropic"}, leaks=True),
    Message("providers/disable", "providers/disable", {"providerId": "main"}, leaks=False),
    _gateway("gateway"),
    _gateway("gateway-bedrock"),
    Message(
        "authenticate console-login", "authenticate", {"methodId": "console-login"}, leaks=False
    ),
    Message("authenticate unknown", "authenticate", {"methodId": "a-way-of-tomorrow"}, leaks=False),
)
GATEWAY = next(message for message in REFUSED if message.name == "authenticate gateway")
