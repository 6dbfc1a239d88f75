"""Custody: the run's real credential stays in the bridge, and the wire guard attaches it."""

import anyio
import anyio.to_thread

from acp_bridge.errors import ConfigurationError
from acp_bridge.launch.credentials import Source, as_headers
from acp_bridge.loopback.message import HeaderPairs
from acp_bridge.policy.judgement import with_credential


class Custody:
    """Holds the credential of a run once it is needed.

    Args:
        source: where it is read from; None in a mode whose credential is not the bridge's.
    """

    def __init__(self, source: Source | None) -> None:
        self._source = source
        self._held: HeaderPairs | None = None
        self._reading = anyio.Lock()

    async def attach(self, headers: HeaderPairs) -> HeaderPairs:
        """The headers with the credential in the place of what was presented.

        Raises:
            ConfigurationError: the source does not give one.
        """
        async with self._reading:
            if self._held is None:
                self._held = await self._read()
        return with_credential(headers, self._held)

    async def renew(self, refused: HeaderPairs) -> bool:
        """Read the source again, as the provider did not take what was attached.

        Args:
            refused: the headers that were sent.

        Returns:
            Whether `attach` now gives something else: another request may have renewed it before.

        Raises:
            ConfigurationError: the source does not give one.
        """
        async with self._reading:
            renewable = self._source is not None and self._source.renewable
            if renewable and self._held is not None and _holds(refused, self._held):
                self._held = await self._read()
            return self._held is not None and not _holds(refused, self._held)

    async def _read(self) -> HeaderPairs:
        if self._source is None:
            raise ConfigurationError(
                "this mode has no credential to attach", hint="this is a defect; please report it"
            )
        read = self._source.read
        return as_headers(await anyio.to_thread.run_sync(read, abandon_on_cancel=True))


def _holds(headers: HeaderPairs, credential: HeaderPairs) -> bool:
    there = set(headers)
    return all(pair in there for pair in credential)
