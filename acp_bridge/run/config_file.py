"""Reading the user's configuration file as text, and replacing it at once or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from acp_bridge.errors import ConfigurationError

_HINT = "make it and its directory writable, or name another file in ACP_BRIDGE_CONFIG"


def read_config(path: Path) -> str:
    """The file's text, its line ends as they are; empty if it is not there.

    Raises:
        ConfigurationError: it cannot be read, or is no file.
    """
    if path.exists() and not path.is_file():
        raise ConfigurationError(
            f"{path} is no ordinary file", hint="name another in ACP_BRIDGE_CONFIG"
        )
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            f"cannot read the configuration file {path}: {reason}", hint=_HINT
        ) from exc


def replace_config(path: Path, old: str, new: str, check: Callable[[Path], object]) -> None:
    """Put a new text in place of the file's, and keep its mode; it is 0600 if it is new.

    The text is written beside it and checked there first. Whatever fails, the file is as it was.

    Args:
        path: the file; where it is a symbolic link, what it leads to is replaced.
        old: the text that the new one was made from.
        new: the new text.
        check: given the path of what was written; raises what is wrong with it.

    Raises:
        ConfigurationError: it cannot be written, was changed meanwhile, or is wrong; the message of
            the check then names the file as it would be.
    """
    target = path.resolve()
    try:
        content = new.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise ConfigurationError(
            "what is to be written is not UTF-8", hint="a configuration file holds Unicode text"
        ) from exc
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    beside = Path(name)
    try:
        with open(number, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(content)
            file.flush()
            os.fsync(number)
            if target.exists():
                os.fchmod(number, target.stat().st_mode & 0o7777)
        _checked(check, beside, path)
        if read_config(path) != old:
            raise ConfigurationError(
                f"{path} was changed by another program meanwhile", hint="try again"
            )
        beside.replace(target)
        _sync(target.parent)
    except OSError as exc:
        raise _unwritable(path, exc) from exc
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _checked(check: Callable[[Path], object], beside: Path, path: Path) -> None:
    try:
        check(beside)
    except ConfigurationError as error:
        message = error.message.replace(str(beside), f"{path} as it would be")
        raise ConfigurationError(message, hint=error.hint) from None


def _sync(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _unwritable(path: Path, exc: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot write the configuration file {path}: {exc.strerror}", hint=_HINT
    )
