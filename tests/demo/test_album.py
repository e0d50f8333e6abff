"""What the demo's albums promise, and what face_index finds in them."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from PIL import Image

from runner.cli import demo_faces
from runner.cli.demo_running import quoted, run
from runner.demo import album
from runner.errors import BackfillError, UsageError
from tests.plugins.database import Database

SHOWN = """
    select a.storage_url, p.name, f.needs_assignment
      from public.faces f
      join public.assets a on a.id = f.asset_id
      left join public.face_person_links l on l.face_id = f.id and not l.deleted
      left join public.person_groups p on p.id = l.person_group_id
     order by a.storage_url"""


def counts(connection: psycopg.Connection[Any]) -> tuple[int, ...]:
    """Users, pictures and people."""
    row = connection.execute(
        "select (select count(*) from public.users), (select count(*) from public.assets),"
        " (select count(*) from public.person_groups)"
    ).fetchone()
    assert row is not None
    return tuple(row)


def test_albums_are_filled_once(database: Database, tmp_path: Path) -> None:
    """Tables and files are filled; a second call neither adds a row nor writes a file again."""
    connection = database.connect()
    assert album.load(connection, tmp_path / "albums") == len(album.SHOTS)
    assert counts(connection) == (2, len(album.SHOTS), 1)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert len(files) == len(album.SHOTS)
    album.load(connection, tmp_path / "albums")
    assert counts(database.connect()) == (2, len(album.SHOTS), 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")} == files


def test_rows_name_their_files(database: Database, tmp_path: Path) -> None:
    """Every row's address is a picture below the folder."""
    connection = database.connect()
    album.load(connection, tmp_path)
    for (url,) in connection.execute("select storage_url from public.assets").fetchall():
        with Image.open(tmp_path / url) as image:
            image.load()
            assert min(image.size) >= 200


def test_sunglasses_are_on_the_face() -> None:
    """The sunglasses darken the portrait above the middle, and nothing else of it."""
    plain, worn = (
        np.asarray(Image.open(io.BytesIO(shot.render())).convert("L"), dtype=int)
        for shot in album.SHOTS
        if shot.name in ("portrait", "sunglasses")
    )
    rows, _ = np.nonzero(plain - worn > 40)
    assert 0.005 < len(rows) / plain.size < 0.03
    assert rows.max() < len(plain) / 2


def test_tables_of_others_are_left_alone(database: Database, tmp_path: Path) -> None:
    """Where one of the tables is not the demo's, nothing is created, filled or written."""
    connection = database.connect(autocommit=True)
    connection.execute("create table public.assets (id uuid primary key)")
    with pytest.raises(UsageError, match=r"not the demo's.*another database"):
        album.load(connection, tmp_path / "albums")
    found = connection.execute("select to_regclass('public.users'), count(*) from public.assets")
    assert found.fetchone() == (None, 0)
    assert not (tmp_path / "albums").exists()


def test_a_folder_that_cannot_be_written_is_told(database: Database, tmp_path: Path) -> None:
    """An error of the disk is one line that names the file."""
    (tmp_path / "albums").write_text("a file is in the way")
    with pytest.raises(BackfillError, match=r"can't write .*ann/portrait\.jpg: not a directory"):
        album.load(database.connect(), tmp_path / "albums")


def test_commands_are_shown_as_a_shell_takes_them() -> None:
    """A word with quotes or blanks is shown so that a shell reads the same word."""
    for word in ("url = 'ann/portrait.jpg'", "/Application Support/x", "it's $HOME", "plain"):
        assert shlex.split(quoted(word)) == [word]
    assert quoted("url = 'a'") == '''"url = 'a'"'''


@pytest.fixture
def embedded_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo's albums are written."""
    monkeypatch.setenv("BACKFILL_EMBEDDED_DIR", str(tmp_path / "embedded"))
    return tmp_path / "embedded"


@pytest.mark.slow
def test_faces_are_found_and_named(
    database: Database, embedded_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One face is named; the command that is shown next finds her, and leaves two for review."""
    pytest.importorskip("dlib", reason="needs pip install 'pgbackfill[faces-local]'")
    find, review = demo_faces.prepare(database.url)
    printed = capfd.readouterr().out
    assert "Ann says that this is Eileen" in printed
    connection = database.connect(autocommit=True)
    assert connection.execute(SHOWN).fetchall() == [("ann/portrait.jpg", "Eileen", False)]
    assert run(database.url, *find[1:], "--delay", "0") == 0
    assert connection.execute(SHOWN).fetchall() == [
        ("ann/close-up.jpg", "Eileen", False),
        ("ann/evening.jpg", "Eileen", False),
        ("ann/mirrored.jpg", "Eileen", False),
        ("ann/portrait.jpg", "Eileen", False),
        ("ann/sunglasses.jpg", None, True),
        ("ben/visitor.jpg", None, True),
    ]
    reasons = connection.execute("select reason from backfill.faces_to_review order by url")
    suggested, unknown = (reason for (reason,) in reasons)
    assert "like a known person, less than 95 %" in suggested
    assert unknown == "like no known face"
    assert review[:2] == ["faces", "review"]
    capfd.readouterr()
    demo_faces.prepare(database.url)
    assert "nothing to do" in capfd.readouterr().out


@pytest.mark.usefixtures("embedded_folder")
def test_without_dlib_the_demo_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where dlib is missing nothing is run, and it is said what to install."""
    monkeypatch.setattr(demo_faces, "find_spec", lambda _name: None)
    assert demo_faces.prepare(database.url) == ()
    printed = capfd.readouterr().out
    assert "dlib is missing (pip install 'pgbackfill[faces-local]')" in printed
    assert "Amazon Rekognition" in printed
    found = database.connect().execute("select count(*) from backfill.run")
    assert found.fetchone() == (0,)


def test_a_dlib_that_does_not_work_is_no_failure_of_the_demo(
    database: Database,
    embedded_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Where dlib can't be imported the run says why, and the demo goes on."""
    broken = embedded_folder.parent / "broken"
    broken.mkdir()
    for name in demo_faces.NEEDS:
        (broken / f"{name}.py").write_text("raise ImportError('no AVX')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    monkeypatch.setattr(demo_faces, "find_spec", lambda name: name)
    assert demo_faces.prepare(database.url) == ()
    captured = capfd.readouterr()
    assert "no AVX" in captured.err
    assert "it can't be tried here (this ended with 2)" in captured.out
