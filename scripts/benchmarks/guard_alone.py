"""The wire guard alone, in mode api-key, with a run's metering. Prints its port.

python guard_alone.py UPSTREAM_URL TOKEN PLACEHOLDER
"""

import sys
from datetime import UTC, datetime

import anyio

from acp_bridge.loopback.bound import bind_loopback
from acp_bridge.loopback.guard import Observer, WireGuard
from acp_bridge.loopback.message import HeaderPairs
from acp_bridge.loopback.upstream import Upstream
from acp_bridge.modes import BillingMode, CredentialClass
from acp_bridge.policy.judgement import Judge, with_credential
from acp_bridge.run.wire import Tell, WireWatch


def metering() -> Observer:
    """The observer of a run: reads each request and answer, and hands on what it saw."""
    seen: list[object] = []

    def count(_: CredentialClass, __: CredentialClass | None) -> None:
        pass

    def tell(what: object) -> None:
        seen[:] = [what]

    return WireWatch(
        "run",
        BillingMode.API_KEY,
        CredentialClass.API_KEY,
        Tell(count, tell, tell, tell),
        lambda: datetime.now(UTC),
    )


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
        observer=metering(),
    ):
        print(listening.getsockname()[1], flush=True)
        await anyio.sleep_forever()


anyio.run(main, *sys.argv[1:])
