"""ACP messages of a client that would change the payer."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from acp_bridge.proving.client import AcpError
from acp_bridge.proving.kinds import PLANTED_KEY, PLANTED_TOKEN
from acp_bridge.proving.payers import Payer
from acp_bridge.proving.sightings import ANSWERED, Outcome
from acp_bridge.proving.stage import Running

MODE_LOCKED = -32010
CREDENTIAL_CONTRADICTION = -32012


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
    params: Mapping[str, Any] = field(hash=False)
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


@dataclass(frozen=True, slots=True)
class Said:
    """A message under a payer: what a `acp_bridge.proving.cases.Case` is for a plant.

    Attributes:
        message: what the client says.
        payer: who is meant to pay.
    """

    message: Message
    payer: Payer

    def __str__(self) -> str:
        return f"{self.message}, {self.payer}"

    @property
    def channel(self) -> str:
        """The name of the channel."""
        return self.message.name

    @property
    def where(self) -> str:
        """The place in words."""
        return "ACP message"

    @property
    def held_by(self) -> frozenset[Outcome]:
        """The outcomes with which the bridge has held the mode."""
        return ANSWERED


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

LEAKING = tuple(message for message in REFUSED if message.leaks)
"""Those after which a turn is paid by another without the bridge."""
