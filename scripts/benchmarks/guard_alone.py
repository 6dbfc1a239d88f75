"""The wire guard alone, in mode api-key, with an observer that only counts. Prints its port.

python guard_alone.py UPSTREAM_URL TOKEN PLACEHOLDER
"""

import sys

import anyio

from acp_bridge.loopback.bound import bind_loopback
from acp_bridge.loopback.guard import RequestFacts, WireGuard
from acp_bridge.loopback.message import HeaderPairs
from acp_bridge.loopback.upstream import Upstream
from acp_bridge.modes import BillingMode
from acp_bridge.policy.judgement import Judge, with_credential


class Counted:
    """Counts bytes, as an exchange and as an observer."""

    def __init__(self) -> None:
        self.total = 0

    def request(self, facts: RequestFacts) -> "Counted":
        """Watch an exchange."""
        self.total += len(facts.body)
        return self

    def response(self, status: int, headers: HeaderPairs) -> None:
        """Ignore a head."""

    def chunk(self, data: bytes) -> None:
        """Count a chunk."""
        self.total += len(data)

    def end(self, *, complete: bool) -> None:
        """Ignore an end."""


async def attach(headers: HeaderPairs) -> HeaderPairs:
    """Attach a key that is none."""
    return with_credential(headers, [("x-api-key", "sk-ant-api03-FAKE")])


async def main(upstream: str, token: str, placeholder: str) -> None:
    """Serve until killed."""
    listening = bind_loopback()
    async with WireGuard(
        listening,
        token,
        judge=Judge(BillingMode.API_KEY, placeholder),
        upstream=Upstream(upstream),
        attach=attach,
        observer=Counted(),
    ):
        print(listening.getsockname()[1], flush=True)
        await anyio.sleep_forever()


anyio.run(main, *sys.argv[1:])
