"""Replacing the configuration file: at once or not at all, and what it is stays what it is."""

import os
from pathlib import Path
from stat import S_ISDIR

import pytest

from acp_bridge.errors import ConfigurationError
from acp_bridge.run.config_file import read_config, replace_config

OLD, NEW = "mode = 'A'\r\n", "mode = 'B'\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "of mine" / "config.toml"
    path.parent.mkdir()
    path.write_bytes(OLD.encode())
    path.chmod(0o640)
    return path


def right(_: Path) -> None:
    """Nothing is wrong with what was written."""


def alone(path: Path) -> bool:
    return [one.name for one in path.parent.iterdir()] == [path.name]


def test_the_text_keeps_its_line_ends_and_a_missing_file_is_empty(path: Path) -> None:
    assert read_config(path) == OLD
    assert read_config(path.with_name("missing.toml")) == ""


def test_a_replaced_file_keeps_its_mode(path: Path) -> None:
    replace_config(path, OLD, NEW, right)
    assert path.read_bytes() == NEW.encode()
    assert path.stat().st_mode & 0o7777 == 0o640
    assert alone(path)


def test_a_new_file_and_its_directory_are_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    replace_config(path, "", NEW, right)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o7777 == 0o700


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    replace_config(link, OLD, NEW, right)
    assert link.readlink() == path
    assert path.read_bytes() == NEW.encode()
    assert alone(path)


def test_a_reader_has_the_old_file_or_the_new_one(path: Path) -> None:
    with path.open() as reader:
        replace_config(path, OLD, NEW, right)
        assert reader.read() == OLD.replace("\r", "")


def test_what_is_wrong_is_told_of_the_file_and_changes_nothing(path: Path) -> None:
    def wrong(beside: Path) -> None:
        assert beside.read_bytes() == NEW.encode()
        assert beside.parent == path.parent
        assert beside.stat().st_mode & 0o7777 == 0o640
        raise ConfigurationError(f"mode in {beside} is wrong", hint="mend it")

    with pytest.raises(ConfigurationError) as caught:
        replace_config(path, OLD, NEW, wrong)
    assert caught.value.message == f"mode in {path} as it would be is wrong"
    assert caught.value.hint == "mend it"
    assert path.read_bytes() == OLD.encode()
    assert alone(path)


def test_a_file_that_was_changed_meanwhile_is_left_as_it_is(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="meanwhile") as caught:
        replace_config(path, OLD, NEW, lambda _: path.write_text("mode = 'C'"))
    assert caught.value.hint == "try again"
    assert path.read_text() == "mode = 'C'"
    assert alone(path)


def test_what_cannot_be_put_in_place_leaves_nothing_beside(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(28, os.strerror(28), number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match=r"cannot write .*config.toml: No space left"):
        replace_config(path, OLD, NEW, right)
    assert path.read_bytes() == OLD.encode()
    assert alone(path)


def test_the_file_is_on_the_disk_before_it_takes_the_others_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, str]] = []

    def fsync(number: int) -> None:
        synced.append((S_ISDIR(os.fstat(number).st_mode), path.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    replace_config(path, OLD, NEW, right)
    old, new = (text.replace("\r", "") for text in (OLD, NEW))
    assert synced == [(False, old), (True, new)]


def test_a_directory_in_the_way_is_told(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot write") as caught:
        replace_config(path / "config.toml", "", NEW, right)
    assert "ACP_BRIDGE_CONFIG" in caught.value.hint


@pytest.mark.parametrize("kind", ["folder", "device"])
def test_what_is_no_ordinary_file_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path if kind == "folder" else Path(os.devnull)
    with pytest.raises(ConfigurationError, match="no ordinary file"):
        read_config(path)


def test_text_that_is_not_utf_8_is_neither_read_nor_written(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        replace_config(path, OLD, os.fsdecode(b"# caf\xe9"), right)
    assert alone(path)
    path.write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_config(path)
