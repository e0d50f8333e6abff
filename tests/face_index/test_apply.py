"""What the database makes of the steps of a picture, whatever users do in between."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from runner.faces import similarity
from tests.face_index.application import ANN, BEN, Application
from tests.face_index.picture import Picture, compared, decision, face, found, match


@pytest.fixture
def picture(application: Application) -> Picture:
    """A picture of Ann."""
    return Picture(application, application.add("a.jpg"))


def state(application: Application, of: str) -> dict[str, Any]:
    """What was decided about a face, and how it is flagged."""
    (row,) = application.all(
        "select s.decision, s.reason, f.needs_assignment, f.auto_assigned, f.deleted,"
        "       (select count(*) from face_person_links l where l.face_id = f.id) as links"
        "  from faces f join backfill.face_state s on s.face = f.id where f.id::text = %s",
        of,
    )
    return row


def test_a_face_is_flagged_by_what_became_of_it(picture: Picture) -> None:
    """Linked: needs nobody, and says by what; not linked: needs somebody. The picture is done."""
    application = picture.application
    person = application.person("Ada")
    known, unknown = picture.do("f1", "f2", people=[person])
    assert state(application, known) == {
        "decision": "assign", "reason": "because", "needs_assignment": False,
        "auto_assigned": True, "deleted": False, "links": 1,
    }  # fmt: skip
    assert state(application, unknown)["needs_assignment"] is True
    assert application.needs(picture.asset) is None
    link = application.one("select to_jsonb(l) from face_person_links l")
    assert (link["confidence"], link["assigned_by"]) == (0.96, "system")
    assert application.checks() == []


def test_the_same_step_twice_writes_once(picture: Picture) -> None:
    """A result that is applied again changes nothing."""
    application = picture.application
    first = found(picture.row, face("f1"), left_out=[{"why": "small"}], to_delete=["d1"])
    application.apply(picture.asset, first)
    application.apply(picture.asset, first)
    assert application.one("select face_count from face_collections") == 1
    person = application.person("Ada")
    last = compared(deleted=["d1"], decisions=[decision(picture.faces["f1"], person)])
    application.apply(picture.asset, last)
    application.apply(picture.asset, last)
    assert application.one("select count(*) from face_person_links") == 1
    assert application.checks() == []


def test_a_picture_ends_when_nothing_is_left_to_delete(picture: Picture) -> None:
    """Faces that the collection should not hold keep the picture in work until they are gone."""
    application = picture.application
    (of,) = picture.find("f1", to_delete=["d1", "d2"])
    picture.decide(decision(of))
    assert picture.row["to_delete"] == ["d1", "d2"]
    application.apply(picture.asset, compared(deleted=["d1"]))
    assert picture.row["to_delete"] == ["d2"]
    application.apply(picture.asset, compared(deleted=["d2"], decisions=[]))
    assert application.needs(picture.asset) is None


@pytest.mark.parametrize("flag", ["deleted", "skipped"])
def test_a_face_that_the_user_takes_out_is_not_linked(picture: Picture, flag: str) -> None:
    """Deleted or skipped while it was compared, it stays as the user left it."""
    application = picture.application
    person = application.person("Ada")
    (of,) = picture.find("f1")
    application.all(f"update faces set {flag} = true")
    picture.decide(decision(of, person))
    assert application.one("select count(*) from face_person_links") == 0
    assert state(application, of)["decision"] == "unknown"
    assert application.needs(picture.asset) is None


def test_a_deleted_face_is_not_compared(picture: Picture) -> None:
    """Nothing is asked about it any more, and the picture ends all the same."""
    application = picture.application
    (of,) = picture.find("f1")
    application.all("update faces set deleted = true")
    assert picture.faces == {}
    picture.decide()
    assert application.needs(picture.asset) is None
    assert "taken out" in state(application, of)["reason"]
    assert application.checks() == []


def test_a_person_that_is_taken_out_is_linked_to_nothing(picture: Picture) -> None:
    """Nor is a person of another user."""
    application = picture.application
    gone, theirs = application.person("Ada"), application.person("Bob", BEN)
    ids = picture.find("f1", "f2")
    application.all("update person_groups set deleted = true where id::text = %s", gone)
    picture.decide(decision(ids[0], gone), decision(ids[1], theirs))
    assert application.one("select count(*) from face_person_links") == 0
    assert {state(application, one)["needs_assignment"] for one in ids} == {True}
    assert application.needs(picture.asset) is None


def test_what_the_user_said_meanwhile_holds(picture: Picture) -> None:
    """A face that was linked by hand, to anybody, or whose link was taken back, is left alone."""
    application = picture.application
    ada, bob = application.person("Ada"), application.person("Bob")
    linked, taken_back = picture.find("f1", "f2")
    application.all("select backfill.assign_face(%s, %s)", linked, bob)
    application.all("select backfill.assign_face(%s, %s)", taken_back, ada)
    application.all("update face_person_links set deleted = true where face_id = %s", taken_back)
    application.all("update faces set needs_assignment = true where id = %s", taken_back)
    picture.decide(decision(linked, ada), decision(taken_back, ada))
    assert application.shown(picture.asset) in (["Bob", None], [None, "Bob"])
    assert state(application, linked)["needs_assignment"] is False
    assert state(application, taken_back)["needs_assignment"] is True
    assert application.one("select count(*) from face_person_links where assigned_by='system'") == 0


def test_a_picture_that_is_gone_is_not_written_to(picture: Picture) -> None:
    """Its result is dropped, and so is that of one whose faces were reset meanwhile."""
    application = picture.application
    other = Picture(application, application.add("b.jpg"))
    (of,) = other.find("f1")
    row = picture.row
    application.all("delete from assets where id::text = %s", picture.asset)
    application.all("select backfill.face_index_reset(%s)", ANN)
    application.apply(picture.asset, found(row, face("f2")))
    other.decide(decision(of, application.person("Ada")))
    assert application.one("select count(*) from faces") == 0
    assert application.one("select count(*) from face_person_links") == 0


def test_engines_never_mix(picture: Picture) -> None:
    """A result of another engine, version or collection is refused."""
    picture.find("f1")
    application = picture.application
    other = Picture(application, application.add("b.jpg"))
    for name, value in (("engine", "x"), ("engine_version", "8"), ("collection", "x")):
        with pytest.raises(psycopg.errors.RaiseException, match="engines never mix"):
            other.find("f2", **{name: value})
    assert application.one("select count(*) from faces") == 1


def test_a_deleted_collection_is_there_again_with_a_new_picture(picture: Picture) -> None:
    """The application marked it as gone; it is asked for anew, and marked as there."""
    application = picture.application
    picture.do("f1")
    application.all("update face_collections set deleted = true")
    other = Picture(application, application.add("b.jpg"))
    assert (other.row["arn"], other.row["collection"]) == (None, f"savta-user-{ANN}")
    other.find("f2")
    assert application.one("select deleted from face_collections") is False


def test_who_counts_as_alike(picture: Picture) -> None:
    """Faces of the same picture and deleted ones do not; unknown ones are nobody's."""
    application = picture.application
    people = [application.person(name) for name in ("Ada", "Bob")]
    other = Picture(application, application.add("b.jpg"))
    other.do("kept", "deleted", people=people)
    application.all("update faces set deleted = true where rekognition_face_id = 'deleted'")
    theirs = Picture(application, application.add("c.jpg", BEN))
    theirs.do("theirs", people=[application.person("Eve", BEN)])
    of, beside = picture.find("f1", "f2")
    known = ("kept", "deleted", "theirs", "f2", "stranger")
    picture.search(*(match(of, one, 99.0) for one in known), match(beside, "f1", 99.0))
    rows = {one["face"]: one for one in picture.row["faces"]}
    assert rows[of]["matches"] == [
        {"face_id": "kept", "similarity": 99, "person": people[0]},
        {"face_id": "stranger", "similarity": 99, "person": None},
        {"face_id": "theirs", "similarity": 99, "person": None},
    ]
    assert rows[beside]["matches"] is None


def test_the_person_who_was_linked_last_counts(picture: Picture) -> None:
    """A known face with several people shows the last; a link without a time is the oldest."""
    application = picture.application
    ada, bob = application.person("Ada"), application.person("Bob")
    other = Picture(application, application.add("b.jpg"))
    (known,) = other.do("known", people=[ada])
    application.all("alter table face_person_links alter assigned_at drop not null")
    application.all(
        "insert into face_person_links (face_id, person_group_id, assigned_at)"
        " values (%s, %s, null)",
        known, bob,
    )  # fmt: skip
    (of,) = picture.find("f1")
    picture.search(match(of, "known", 90.0))
    assert picture.row["faces"][0]["matches"][0]["person"] == ada


def test_of_a_crowd_the_likeliest_are_kept_and_everybody_who_is_known(picture: Picture) -> None:
    """Of 4,096 matches 50 are stored, and beyond those the likeliest face of each person."""
    application = picture.application
    person = application.person("Ada")
    other = Picture(application, application.add("b.jpg"))
    other.do("known", "known too", people=[person, person])
    (of,) = picture.find("f1")
    crowd = [match(of, f"stranger {n}", 99 - n / 1000) for n in range(4094)]
    picture.search(*crowd, match(of, "known", 81.0), match(of, "known too", 80.5))
    stored = application.all("select other from backfill.face_match order by similarity desc")
    assert len(stored) == 51
    assert stored[-1]["other"] == "known"
    (row,) = picture.row["faces"]
    assert row["searched"] is True
    assert row["matches"][-1]["person"] == person
    assert len(json.dumps(row)) < 10_000


def test_a_face_that_is_found_later_is_suggested_too(picture: Picture) -> None:
    """Of two faces that are alike it makes no difference which one was searched for."""
    application = picture.application
    (of,) = picture.do("f1")
    other = Picture(application, application.add("b.jpg"))
    (later,) = other.find("later")
    other.search(match(later, "f1", 90.0))
    other.decide(decision(later, application.person("Ada")))
    (row,) = application.all("select face::text, suggestions from backfill.faces_to_review")
    assert row["face"] == of
    (suggestion,) = row["suggestions"]
    assert (suggestion["name"], suggestion["similarity"]) == ("Ada", 90)
    assert (suggestion["face"], suggestion["asset"]) == (later, other.asset)


def test_reset_begins_anew(application: Application) -> None:
    """Pictures are done again, also those without a face and those that failed; others stay."""
    application.all("select backfill.set_rate('rekognition', 1000)")
    mine, empty = Picture(application, application.add("a.jpg")), application.add("b.jpg")
    theirs = Picture(application, application.add("c.jpg", BEN))
    mine.do("f1", people=[application.person("Ada")])
    Picture(application, empty).find()
    theirs.do("f2")
    application.all(
        "insert into backfill.job (task, key, state, task_version, revision, finished_at)"
        " select 'face_index', id::text, 'nothing_found', 1, md5(storage_url), now() from assets"
    )
    reset = application.all("select * from backfill.face_index_reset(%s)", ANN)
    assert reset == [{"collection": f"savta-user-{ANN}", "faces": 1, "assets": 2}]
    pending = application.one("select to_jsonb(p) from backfill.count_pending('face_index') p")
    assert pending["pending"] == 2
    assert application.one("select count(*) from face_person_links") == 0
    assert application.one("select string_agg(rekognition_face_id, ' ') from faces") == "f2"


def test_the_database_compares_as_python_does(application: Application) -> None:
    """Distance and similarity of embeddings are the same on both sides."""
    one, other = [0.01 * n for n in range(128)], [0.01 * n + 0.05 for n in range(128)]
    query = "select backfill.face_distance(%s::real[], %s::real[])"
    apart = application.one(query, one, other)
    assert apart == pytest.approx(0.05 * 128**0.5, abs=1e-6)
    for distance in (0.0, 0.41, 0.42, 0.55, 0.7, 1.4):
        found = application.one("select backfill.face_similarity(%s)", distance)
        assert found == pytest.approx(similarity(distance), abs=1e-9)


def test_local_faces_are_compared_with_those_of_other_pictures(picture: Picture) -> None:
    """By their embeddings, exactly; not with those of other users, nor with deleted ones."""
    application = picture.application
    person = application.person("Ada")

    def find(of: Picture, **embeddings: float) -> list[str]:
        faces = [face(name, embedding=[x] + [0.0] * 127) for name, x in embeddings.items()]
        local = {"engine": "dlib-resnet-v1", "engine_version": "1", "arn": None}
        application.apply(of.asset, found(of.row, *faces, **local))
        ids = of.faces
        return [ids[one] for one in embeddings]

    other = Picture(application, application.add("b.jpg"))
    (ada, *others) = find(other, ada=0.0, far=2.0, gone=0.0)
    other.decide(decision(ada, person), *map(decision, others))
    application.all("update faces set deleted = true where rekognition_face_id = 'gone'")
    theirs = Picture(application, application.add("c.jpg", BEN))
    theirs.decide(*map(decision, find(theirs, theirs=0.0)))
    find(picture, new=0.3, beside=0.3)
    for row in picture.row["faces"]:
        (alike,) = row["matches"]
        assert (alike["face_id"], alike["person"]) == ("ada", person)
        assert alike["similarity"] == pytest.approx(similarity(0.3), abs=1e-4)
    # whichever of the numbers tell them apart
    last = (
        "update faces set embedding = embedding[2:] || %s::real where rekognition_face_id = 'new'"
    )
    for apart, count in ((0.549, 1), (0.551, 0)):
        application.all(last, apart)
        (row,) = [one for one in picture.row["faces"] if one["face_id"] == "new"]
        assert len(row["matches"] or ()) == count


def test_checks_tell_what_is_wrong(picture: Picture) -> None:
    """Each kind of damage is told of by its own check."""
    application = picture.application
    (of,) = picture.do("f1", people=[application.person("Ada")])
    assert application.checks() == []
    stranger = application.person("Eve", BEN)
    application.all("update face_person_links set person_group_id = %s", stranger)
    assert "another user" in "".join(application.checks())
    application.all("delete from face_person_links")
    assert "linked by its likeness" in "".join(application.checks())
    application.all("update face_collections set engine_version = 'x'")
    assert "no two engines" in "".join(application.checks())
    application.all("delete from backfill.face_state where face::text = %s", of)
    assert "has all of its faces" in "".join(application.checks())
