"""Structured logs to stderr or a file; never to stdout, which belongs to the protocol.

structlog is imported when the first line is logged: a run that has nothing to say does not pay for
it while the agent is being started.
"""

import logging
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from acp_bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class Log:
    """Where a run's events go: an event name and its fields."""

    def __init__(
        self, level: str = "WARNING", *, file: Path | None = None, as_json: bool = False
    ) -> None:
        self._level = logging.getLevelNamesMapping()[level]
        self._file = file
        self._as_json = as_json
        if file is not None:
            self._open_file(file).close()

    @classmethod
    def of(cls, level: str, file: Path | None, log_format: Literal["text", "json"]) -> "Log":
        """The log that the settings describe."""
        return cls(level, file=file, as_json=log_format == "json")

    def debug(self, event: str, **fields: Any) -> None:
        """Say what only a developer of the bridge wants to know."""
        self._say(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Say what happened."""
        self._say(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Say what the user should look at."""
        self._say(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Say what went wrong."""
        self._say(logging.ERROR, event, fields)

    def _say(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if level >= self._level:
            _logger(self._level, self._file, self._as_json).log(level, event, **fields)

    @staticmethod
    def _open_file(path: Path) -> TextIO:
        try:
            return path.open("a", encoding="utf-8")
        except OSError as exc:
            raise ConfigurationError(
                f"cannot write the log file {path}: {exc.strerror}",
                hint="name another in ACP_BRIDGE_LOG_FILE, or leave it out to log to stderr",
            ) from exc


@cache
def _logger(level: int, file: Path | None, as_json: bool) -> "FilteringBoundLogger":  # noqa: FBT001 - cache key
    import structlog  # noqa: PLC0415 - see the module's docstring

    output = sys.stderr if file is None else Log._open_file(file)  # noqa: SLF001 - same module
    renderer: structlog.typing.Processor
    if as_json:
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=file is None and output.isatty())
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(output),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return logger
