"""The machine's own time zone, with its changes between summer and winter time."""

from datetime import UTC, datetime, timedelta, tzinfo


class LocalZone(tzinfo):
    """The zone that the operating system is set to.

    ``datetime.astimezone()`` gives the offset of one moment only; a report over a year needs all.
    """

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """The offset at a moment of local time."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:
        """Unknown: nobody asks."""
        del moment
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        """The zone's name at a moment, as the operating system calls it."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, moment: datetime) -> datetime:
        """Local time of a moment whose fields are UTC."""
        seconds = moment.replace(tzinfo=UTC).timestamp()
        return datetime.fromtimestamp(seconds).replace(tzinfo=self)  # noqa: DTZ006 - local is meant
