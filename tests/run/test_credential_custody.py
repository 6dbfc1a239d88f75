"""The credential that stays in the bridge: read when needed, once, and once more on a 401."""

import anyio
import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.credentials import Credential, Source, api_key
from acp_bridge.loopback.message import HeaderPairs
from acp_bridge.run.custody import Custody

CAME = (("x-api-key", "placeholder"), ("accept", "*/*"))


def keys(*values: str, renewable: bool = True) -> tuple[Source, list[str]]:
    """A source that gives one key after the other, and what it gave so far."""
    given: list[str] = []
    left = iter(values)

    def read() -> Credential:
        given.append(next(left))
        return api_key(given[-1], source="a test")

    return Source("api_key", read, renewable=renewable), given


def sent(headers: HeaderPairs) -> str:
    return dict(headers)["x-api-key"]


async def test_the_source_is_read_for_the_first_request_and_not_again() -> None:
    source, given = keys("FAKE-1", "FAKE-2")
    custody = Custody(source)
    assert given == []

    assert [sent(await custody.attach(CAME)) for _ in range(3)] == ["FAKE-1"] * 3
    assert given == ["FAKE-1"]


async def test_requests_that_were_refused_together_renew_it_once() -> None:
    source, given = keys("FAKE-1", "FAKE-2")
    custody = Custody(source)
    refused = [await custody.attach(CAME) for _ in range(4)]
    renewed: list[bool] = []

    async def renew(headers: HeaderPairs) -> None:
        renewed.append(await custody.renew(headers))

    async with anyio.create_task_group() as tasks:
        for headers in refused:
            tasks.start_soon(renew, headers)

    assert renewed == [True] * 4
    assert given == ["FAKE-1", "FAKE-2"]
    assert sent(await custody.attach(CAME)) == "FAKE-2"


async def test_a_source_that_gives_the_same_key_again_has_not_renewed_it() -> None:
    source, _ = keys("FAKE-1", "FAKE-1")
    custody = Custody(source)

    assert not await custody.renew(await custody.attach(CAME))


async def test_a_key_that_was_given_by_value_cannot_be_renewed() -> None:
    source, given = keys("FAKE-1", renewable=False)
    custody = Custody(source)

    assert not await custody.renew(await custody.attach(CAME))
    assert given == ["FAKE-1"]


async def test_a_mode_without_a_credential_of_the_bridges_attaches_none() -> None:
    with pytest.raises(ConfigurationError):
        await Custody(None).attach(CAME)
