"""Faces that somebody has to look at."""

from __future__ import annotations

import psycopg
import pytest

from tests.face_index.application import ANN, BEN, Application
from tests.face_index.conftest import Album, Run
from tests.rekognition.portraits import Face
from tests.rekognition.remote import Remote


def test_who_is_named_later_is_linked_to_all_faces_of_theirs(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """One name is enough for a whole album, whichever picture was compared first; it is free."""
    pictures = [application.add(album.photo(f"ada{n}", Face(1, n))) for n in range(4)]
    other = application.add(album.photo("other", Face(2)))
    theirs = application.add(album.photo("theirs", Face(1, 9)), BEN)
    assert run().code == 0
    calls = rekognition.state()["calls"]
    application.link(pictures[2], application.person("Ada"))
    assert application.one("select backfill.assign_alike(%s)", ANN) == 3
    assert [application.shown(one) for one in pictures] == [["Ada"]] * 4
    assert application.shown(other) == application.shown(theirs) == [None]
    assert application.one("select backfill.assign_alike()") == 0
    assert application.one("select count(*) from faces where auto_assigned") == 3
    assert rekognition.state()["calls"] == calls
    assert application.checks() == []


def test_a_person_is_linked_once_a_picture(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Of two faces that are as much like the same person neither is linked."""
    known = application.add(album.photo("known", Face(1)))
    both = application.add(album.photo("both", Face(1, 1), Face(1, 2)))
    assert run().code == 0
    application.link(known, application.person("Ada"))
    assert application.one("select backfill.assign_alike(%s)", ANN) == 0
    assert application.shown(both) == [None, None]


def test_who_was_taken_from_a_face_is_not_proposed_again(
    application: Application, album: Album, run: Run
) -> None:
    """Neither as a suggestion nor by its likeness."""
    known = application.add(album.photo("known", Face(1)))
    run()
    application.link(known, application.person("Ada"))
    application.add(album.photo("new", Face(1, 1)))
    run()
    application.all("update face_person_links set deleted = true where assigned_by = 'system'")
    application.all("update faces set needs_assignment = true where auto_assigned")
    assert application.one("select suggestions from backfill.faces_to_review") == []
    assert application.one("select backfill.assign_alike()") == 0


def test_a_face_that_is_skipped_is_asked_for_no_more(
    application: Application, album: Album, run: Run
) -> None:
    """It stays without a person."""
    application.add(album.photo("one", Face(1)))
    run()
    face = application.one("select face from backfill.faces_to_review")
    application.all("select backfill.skip_face(%s)", face)
    assert application.one("select count(*) from backfill.faces_to_review") == 0


def test_operators_answer_without_any_right_on_the_applications_tables(
    application: Application, album: Album, run: Run
) -> None:
    """They name a face or leave it, the audit has both, and the tables stay out of their reach."""
    application.add(album.photo("one", Face(1)))
    application.add(album.photo("two", Face(2)))
    run()
    person = application.person("Ada")
    waiting = application.all("select face from backfill.faces_to_review")
    first, second = (row["face"] for row in waiting)
    application.all("set role backfill_operator")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.all("select backfill.skip_face(%s)", second)
    application.all("select backfill.name_face(%s, %s)", str(first), str(person))
    application.all("select backfill.leave_face(%s)", str(second))
    application.all("set role backfill_runner")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.all("select backfill.leave_face(%s)", str(first))
    application.all("reset role")
    assert application.one("select count(*) from backfill.faces_to_review") == 0
    linked = "select person_group_id from face_person_links where face_id = %s"
    assert str(application.one(linked, first)) == person
    said = "select string_agg(action, ' ' order by id) from backfill.event where action ~ '_face$'"
    assert application.one(said) == "name_face leave_face"
