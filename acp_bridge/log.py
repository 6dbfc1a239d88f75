"""Structured logs to stderr or a file; never to stdout, which belongs to the protocol.

Credentials are taken out of every line, and whoever logs never waits for the line to be written.
structlog is imported when the first line is logged: a run that has nothing to say does not pay for
it while the agent is being started.
"""

import logging
import os
import sys
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acp_bridge.errors import ConfigurationError
from acp_bridge.log_output import LogOutput
from acp_bridge.redaction import redact
from acp_bridge.standard_error import write_stderr

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

    from acp_bridge.settings import Settings


class Log:
    """Where a run's events go: an event name and its fields.

    Args:
        level: the lowest level that is written: ``DEBUG``, ``INFO``, ``WARNING``, ``ERROR``.
        file: a file to append to (made 0600); default stderr.
        as_json: one JSON object a line, instead of text for people.
        secrets: strings that are taken out, beside everything that looks like a credential.

    Raises:
        ConfigurationError: the file cannot be written.
    """

    def __init__(
        self,
        level: str = "WARNING",
        *,
        file: Path | None = None,
        as_json: bool = False,
        secrets: Iterable[str] = (),
    ) -> None:
        self._level = logging.getLevelNamesMapping()[level]
        self._output = _output(file)
        self._to_stderr = file is None
        self._as_json = as_json
        self._secrets = tuple(secrets)
        self._logger: FilteringBoundLogger | None = None

    @classmethod
    def of(cls, settings: "Settings") -> "Log":
        """The log that the settings describe.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        return cls(
            settings.log_level,
            file=settings.log_file,
            as_json=settings.log_format == "json",
            secrets=settings.secrets(),
        )

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
            self._logger = self._logger or self._make_logger()
            self._logger.log(level, event, **fields)

    def _make_logger(self) -> "FilteringBoundLogger":
        import structlog  # noqa: PLC0415 - see the module's docstring

        renderer: Processor
        if self._as_json:
            renderer = structlog.processors.JSONRenderer()
        else:
            is_terminal = self._to_stderr and sys.stderr is not None and sys.stderr.isatty()
            renderer = structlog.dev.ConsoleRenderer(colors=is_terminal)
        logger: FilteringBoundLogger = structlog.wrap_logger(
            structlog.WriteLogger(self._output),  # type: ignore[arg-type]  # it writes
            processors=[
                self._redact_fields,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                renderer,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(self._level),
        )
        return logger

    def _redact_fields(self, _logger: Any, _method: str, fields: Any) -> Any:
        """Take credentials out of the values, before quoting could break them up."""
        return {
            name: redact(value, self._secrets) if isinstance(value, str) else value
            for name, value in fields.items()
        }


@cache
def _output(file: Path | None) -> LogOutput:
    """One output, with one thread, for each place that this process logs to."""
    if file is None:
        return LogOutput(write_stderr)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise ConfigurationError(
            f"cannot write the log file {file}: {exc.strerror}",
            hint="name another in ACP_BRIDGE_LOG_FILE, or leave it out to log to stderr",
        ) from exc
    return LogOutput(partial(_append, descriptor))


def _append(descriptor: int, text: str) -> None:
    rest = redact(text).encode(errors="backslashreplace")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
