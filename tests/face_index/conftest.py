"""Fixtures of the tests of face_index."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from runner.cli import main
from tests.cli.conftest import Ended
from tests.face_index.application import Application, install
from tests.plugins.database import DatabaseTemplate, NewDatabase
from tests.rekognition.portraits import Face, photo
from tests.rekognition.remote import Remote


@pytest.fixture
def application(
    database_template: DatabaseTemplate, new_database: NewDatabase
) -> Iterator[Application]:
    """A database of the test's own with the task and no pictures."""
    found = Application(new_database(template=database_template("faces", install)).url)
    found.all("select backfill.set_rate('rekognition', 1000)")
    yield found
    found.close()


class Album:
    """A folder of pictures that rows name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def put(self, name: str, content: bytes) -> str:
        """A file; what a row names it by."""
        (self.folder / name).write_bytes(content)
        return name

    def photo(self, name: str, *faces: Face, ground: int = 0) -> str:
        """A drawn photograph of these faces."""
        return self.put(f"{name}.jpg", photo(*faces, ground=ground))


@pytest.fixture
def album(tmp_path: Path) -> Album:
    """See `Album`."""
    return Album(tmp_path / "album")


class Run(Protocol):
    """Calls `backfill run face_index` in this process, for the pictures of the album."""

    def __call__(self, *arguments: str) -> Ended: ...


@pytest.fixture
def run(
    application: Application,
    album: Album,
    rekognition: Remote,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """See `Run`. Nothing but the tests' own service is ever called."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], (root.level, logging.getLogger("runner").level)
    monkeypatch.setenv("DATABASE_URL", application.url)

    def call(*arguments: str) -> Ended:
        capsys.readouterr()
        given = ["run", "face_index", "--base-url", str(album.folder), "--yes", "--delay", "0"]
        code = main([*given, *arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    yield call
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    logging.getLogger("runner").setLevel(levels[1])
