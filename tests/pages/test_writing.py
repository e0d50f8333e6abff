"""A page is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.errors import BackfillError, UsageError
from runner.pages.writing import check_target, write_page


def test_page_replaces_the_file_and_keeps_its_rights(tmp_path: Path) -> None:
    """An existing page is replaced, with its permissions as they were and nothing left beside."""
    path = tmp_path / "page.html"
    path.write_text("old")
    path.chmod(0o640)
    check_target(path)
    with path.open() as reader:
        assert write_page(path, "né") == len("né".encode())
        assert reader.read() == "old"  # whoever has it open is left in peace
    assert path.read_text(encoding="utf-8") == "né"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_new_page_has_the_usual_rights(tmp_path: Path) -> None:
    """A new page is as readable as any other new file of the user's."""
    path, other = tmp_path / "page.html", tmp_path / "other"
    write_page(path, "new")
    other.write_text("")
    assert path.stat().st_mode == other.stat().st_mode


def test_failed_write_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full, the page of before is still there, and nothing beside it."""
    path = tmp_path / "page.html"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackfillError, match=r"page\.html: No space left on device"):
        write_page(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_link_is_written_through(tmp_path: Path) -> None:
    """A symbolic link stays one; the file that it names gets the page."""
    (tmp_path / "real.html").write_text("old")
    (tmp_path / "link.html").symlink_to("real.html")
    write_page(tmp_path / "link.html", "new")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "real.html").read_text() == "new"


@pytest.mark.parametrize(
    "name, words",
    [(".", "it is a folder"), ("no/such.html", "there is no folder"), ("pipe", "no regular file")],
)
def test_place_that_cant_be_written_is_told_before(tmp_path: Path, name: str, words: str) -> None:
    """A folder, a device or a missing folder is refused before any work is done."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=words):
        check_target(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_rights_is_told_before(tmp_path: Path) -> None:
    """So is a folder that nothing can be created in."""
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="no right to create files"):
        check_target(tmp_path / "page.html")
