"""Times as other programs write them, as aware UTC. What cannot be read is None."""

from datetime import UTC, datetime


def from_iso(text: str | None) -> datetime | None:
    """ISO 8601; a time without a zone is UTC."""
    try:
        found = datetime.fromisoformat(text or "")
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def from_seconds(seconds: float | None) -> datetime | None:
    """Seconds since the epoch."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
