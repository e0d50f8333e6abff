"""What `backfill faces review` promises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from runner.errors import ExitCode
from tests.cli.conftest import Backfill
from tests.face_index.application import ANN, BEN, Application, install
from tests.pages.test_duplicates_page import parse
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase
from tests.plugins.picture_host import PictureHost
from tests.rekognition.portraits import Face, photo

BOX = {"Left": 0.25, "Top": 0.2, "Width": 0.4, "Height": 0.5}


class People(Application):
    """Adds faces as face_index leaves them."""

    def face(
        self, asset: str, name: str, user: str = ANN, reason: str = "like nobody known"
    ) -> str:
        """A face in a picture that nobody is linked to; its key."""
        key = self.one(
            "insert into faces (user_id, asset_id, rekognition_face_id, bounding_box, confidence)"
            " values (%s, %s, %s, %s, 0.998) returning id::text",
            user, asset, name, Jsonb(BOX),
        )  # fmt: skip
        self.all(
            "insert into backfill.face_state (face, asset, searched, decision, reason, decided_at)"
            " values (%s, %s, true, 'suggest', %s, now())",
            key, asset, reason,
        )  # fmt: skip
        return str(key)

    def alike(self, face: str, other: str, similarity: float) -> None:
        """A face is like another one of the same user, given by its name."""
        self.all("insert into backfill.face_match values (%s, %s, %s)", face, other, similarity)

    def assign(self, face: str, person: str) -> None:
        """A person says whom a face shows."""
        self.all("select backfill.assign_face(%s, %s)", face, person)


@pytest.fixture
def people(database_template: DatabaseTemplate, new_database: NewDatabase) -> Iterator[People]:
    """A database with face_index and no pictures."""
    found = People(new_database(template=database_template("faces", install)).url)
    yield found
    found.close()


@pytest.fixture
def on(backfill: Backfill, people: People, monkeypatch: pytest.MonkeyPatch) -> Backfill:
    """The command line on that database."""
    monkeypatch.setenv("DATABASE_URL", people.url)
    return backfill


@pytest.fixture
def family(people: People) -> dict[str, str]:
    """Keys of what a user has: a face like Rosa and Sam, one like nobody, and who is known."""
    keys = {name: people.add(f"{name}.jpg?token=hush") for name in ("rosa", "sam", "new", "odd")}
    keys |= {f"person {name}": people.person(name) for name in ("Rosa", "Sam")}
    for name in ("rosa", "sam"):
        known = people.face(keys[name], name)
        people.assign(known, keys[f"person {name.title()}"])
    keys["new face"] = people.face(keys["new"], "new", reason="two people are as like it")
    keys["odd face"] = people.face(keys["odd"], "odd")
    people.alike(keys["new face"], "rosa", 94.5)
    people.alike(keys["new face"], "sam", 93.25)
    return keys


def test_table_says_who_it_may_be(on: Backfill, family: dict[str, str]) -> None:
    """Without --html faces are listed with the likeliest person and why nobody was linked."""
    ended = on("faces", "review")
    assert ended.code == ExitCode.DONE
    _, first, second = ended.out.splitlines()
    for words in (ANN, family["new face"], "Rosa     94.5", family["person Rosa"],
                  "two people are as like it"):  # fmt: skip
        assert words in first
    assert family["odd face"] in second
    assert "Rosa" not in second
    assert "2 faces of 1 user" in ended.err


def test_json_has_all_suggestions(on: Backfill, family: dict[str, str]) -> None:
    """--json has every suggestion with its known face, and addresses without their query."""
    found = on("faces", "review", "--json").json
    assert (found["counts"], found["user"]) == ({"faces": 2, "users": 1}, None)
    first, second = found["faces"]
    assert first["face"] == family["new face"]
    assert first["url"] == "new.jpg"
    assert [(s["name"], s["similarity"], s["url"]) for s in first["suggestions"]] == [
        ("Rosa", 94.5, "rosa.jpg"), ("Sam", 93.25, "sam.jpg"),
    ]  # fmt: skip
    assert second["suggestions"] == []


def test_user_and_limit(on: Backfill, people: People, family: dict[str, str]) -> None:
    """--user-id shows one user's faces, --limit so many, and what is left out is told."""
    bens = people.face(people.add("ben.jpg", BEN), "ben", BEN)
    found = on("faces", "review", "--json", "--user-id", BEN.upper()).json
    assert [face["face"] for face in found["faces"]] == [bens]
    ended = on("faces", "review", "--limit", "2")
    assert len(ended.out.splitlines()) == 3
    assert "2 of 3 faces of 2 users; more: --limit" in ended.err
    nobody = on("faces", "review", "--user-id", "nobody")
    assert (nobody.code, nobody.out) == (ExitCode.DONE, "")
    assert "no face of user nobody waits for a name" in nobody.err
    assert on("faces", "review", "--user-id", "' or 1=1").code == ExitCode.USAGE


def test_page_shows_both_faces(
    on: Backfill, family: dict[str, str], tmp_path: Path, picture_host: PictureHost
) -> None:
    """The page has each face beside the known ones; what can't be had says why; all else is there.

    A picture is asked for once, however many faces of it are shown.
    """
    for number, name in enumerate(("rosa", "sam", "new")):
        picture_host.add(f"/{name}.jpg", photo(Face(number + 1)))
    file = tmp_path / "faces.html"
    ended = on("faces", "review", "--html", str(file), "--base-url", picture_host.url)
    assert ended.code == ExitCode.DONE, ended.err
    assert re.search(r"faces.html: 2 faces, [0-9.]+ kB, 1 picture not to be had", ended.out)
    parsed = parse(file.read_text())
    assert len(parsed.all("image")) == len(parsed.all("use")) == 3
    text = " ".join(parsed.text.split())
    for words in (f"User {ANN}: 2 faces", "Perhaps Rosa", "Sam 93.2 % alike", "HTTP 404",
                  "2 faces of 1 user to name"):  # fmt: skip
        assert words in text
    assert "hush" not in file.read_text()
    asked = sorted(request.target.partition("?")[0] for request in picture_host.requests)
    assert asked == ["/new.jpg", "/odd.jpg", "/rosa.jpg", "/sam.jpg"]


def test_statements_of_the_page_work(
    on: Backfill, people: People, family: dict[str, str], tmp_path: Path
) -> None:
    """A statement copied from the page links the face or skips it, so that it waits no more."""
    file = tmp_path / "faces.html"
    assert on("faces", "review", "--html", str(file)).code == ExitCode.DONE
    answers = re.findall(
        r"select backfill\.\w+\([^;]*\);", " ".join(parse(file.read_text()).text.split())
    )
    assign = next(a for a in answers if family["new face"] in a and family["person Sam"] in a)
    skip = next(a for a in answers if "leave_face" in a and family["odd face"] in a)
    people.all(assign)
    people.all(skip)
    assert people.shown(family["new"]) == ["Sam"]
    assert on("faces", "review", "--json").json["faces"] == []
    assert on("faces", "review", "--html", str(file)).code == ExitCode.DONE
    assert "No face waits for a name" in file.read_text()


def test_options_of_the_last_run_hold(
    on: Backfill, people: People, family: dict[str, str], tmp_path: Path
) -> None:
    """Pictures are looked for where the last run did, unless another place is given."""
    album = tmp_path / "album"
    album.mkdir()
    for name in ("rosa", "sam", "new", "odd"):
        (album / f"{name}.jpg").write_bytes(photo(Face(1)))
    start = "select backfill.start('face_index', %s, p_source => 'cli')"
    people.all(start, Jsonb({"base_url": str(album)}))
    file = tmp_path / "faces.html"
    assert "not to be had" not in on("faces", "review", "--html", str(file)).out
    other = on("faces", "review", "--html", str(file), "--base-url", str(tmp_path)).out
    assert "4 pictures not to be had" in other


def test_page_has_so_many_faces_at_most(
    on: Backfill, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is cut to what a browser can show, and says so."""
    monkeypatch.setattr("runner.cli.faces_page.MOST_CARDS", 2)
    asset = people.add("a.jpg")
    for name in ("a", "b", "c"):
        people.face(asset, name)
    file = tmp_path / "faces.html"
    assert "2 faces" in on("faces", "review", "--html", str(file), "--limit", "10000").out
    text = " ".join(parse(file.read_text()).text.split())
    assert "3 faces of 1 user to name. Shown are 2" in text


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--base-url", "x"), "--base-url is for --html"),
        (("--allow", "10.0.0.0/8"), "--allow is for --html"),
        (("--html", "missing/faces.html"), "there is no folder missing"),
        (("--html", "f.html", "--base-url", "missing"), "neither an http(s) URL nor"),
        (("--html", "f.html", "--allow", "10.0.0.1/8"), "10.0.0.0/8 is the network"),
        (("--limit", "0"), "1<=x<=10000"),
    ],
)
def test_what_cant_be_used_is_told(
    on: Backfill, arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    """An option that can't be used ends with a line that says why, and no file is written."""
    ended = on("faces", "review", *arguments)
    assert ended.code == ExitCode.USAGE
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert list(tmp_path.glob("*.html")) == []


def test_task_has_to_be_installed(backfill: Backfill, installed: Database) -> None:
    """Where face_index is not installed the error says what to run."""
    ended = backfill.use(installed)("faces", "review")
    assert ended.code == ExitCode.USAGE
    assert "run: backfill migrate face_index" in ended.err


def test_hostile_rows_are_shown(on: Backfill, people: People, tmp_path: Path) -> None:
    """Whatever an application stored as name, box or address, there is a table and a page."""
    nasty: Any = "<script>alert(1)</script>\x1b[31m"
    person = people.person(nasty)
    known = people.face(people.add("javascript:alert(1)"), "known")
    people.assign(known, person)
    face = people.face(people.add("http://[::1"), "new", reason=nasty)
    people.alike(face, "known", 88)
    people.all("update faces set bounding_box = '[1e400]', confidence = null")
    assert "\x1b" not in on("faces", "review").out
    file = tmp_path / "faces.html"
    assert on("faces", "review", "--html", str(file)).code == ExitCode.DONE
    parsed = parse(file.read_text())
    assert parsed.all("script") == []
    assert all(a["href"].startswith("#") for a in parsed.all("a"))
