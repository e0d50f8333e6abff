"""face_index with Rekognition: what is called, paid for, stored and linked."""

from __future__ import annotations

import psycopg
import pytest

from tests.face_index.application import ANN, BEN, Application
from tests.face_index.conftest import Album, Run
from tests.rekognition.portraits import Face, photo
from tests.rekognition.remote import Remote

COLLECTION = f"savta-user-{ANN}"


def test_faces_are_found_compared_and_linked(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """A face like that of a known person is linked, and one like nobody waits for somebody."""
    first = application.add(album.photo("first", Face(1)))
    assert run().code == 0
    application.link(first, application.person("Ada"))
    again = application.add(album.photo("again", Face(1, 1), Face(2)))
    assert run().code == 0
    assert application.shown(again) == ["Ada", None]
    link = application.all("select * from face_person_links where assigned_by = 'system'")
    assert len(link) == 1
    assert 0.95 <= link[0]["confidence"] <= 1
    face = application.one("select to_jsonb(f) from faces f where f.auto_assigned")
    assert face["rekognition_image_id"]
    assert face["needs_assignment"] is False
    assert set(face["bounding_box"]) == {"Left", "Top", "Width", "Height"}
    assert application.checks() == []
    held = {f["FaceId"] for f in rekognition.state()["collections"][COLLECTION]}
    assert held == {r["id"] for r in application.all("select rekognition_face_id as id from faces")}


def test_each_user_has_a_collection(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """The same face in the pictures of two users is that of nobody whom the other knows."""
    ours = application.add(album.photo("ours", Face(1)))
    run()
    application.link(ours, application.person("Ada"))
    theirs = application.add(album.photo("theirs", Face(1, 1)), BEN)
    run()
    assert application.shown(theirs) == [None]
    rows = application.all("select * from face_collections order by user_id")
    assert [row["aws_collection_id"] for row in rows] == [COLLECTION, f"savta-user-{BEN}"]
    assert all(row["arn"].startswith("arn:") for row in rows)
    assert {row["engine"] for row in rows} == {"rekognition"}
    assert set(rekognition.state()["collections"]) == {COLLECTION, f"savta-user-{BEN}"}


def test_a_picture_without_faces_is_never_paid_for_again(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """It is finished as `nothing_found`, and another run makes no call for it."""
    application.add(album.photo("empty"))
    assert run().code == 0
    assert application.outcomes() == {"nothing_found": 1}
    assert "nothing to do" in run().out
    assert rekognition.calls("IndexFaces")["billed"] == 1


def test_small_faces_leave_the_collection_too(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """A face narrower and lower than 3 % has no row, and is deleted from the collection."""
    large, small = Face(1, box=(100, 100, 300)), Face(2, box=(900, 700, 20))
    crowd = album.put("crowd.jpg", photo(large, small, size=(1000, 800)))
    passer = album.put("passer.jpg", photo(small, size=(1000, 800)))
    both, alone = application.add(crowd), application.add(passer)
    assert run().code == 0
    assert application.outcomes() == {"ok": 1, "nothing_found": 1}
    rows = application.all("select asset_id::text as asset from faces")
    assert [row["asset"] for row in rows] == [both]
    why = application.one(
        "select left_out -> 0 ->> 'why' from backfill.face_asset where asset::text = %s", alone
    )
    assert "3 %" in why
    assert len(rekognition.state()["collections"][COLLECTION]) == 1
    assert application.checks() == []


def test_between_the_bands_somebody_is_asked(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """From 80 to under 95 the three likeliest are suggested, and nobody is linked."""
    rekognition.change(
        look_alikes=[{"one": 9, "other": n, "similarity": 80.0 + n} for n in (1, 2, 3, 4)]
    )
    known = [application.add(album.photo(f"known{n}", Face(n))) for n in (1, 2, 3, 4)]
    run()
    for n, asset in zip((1, 2, 3, 4), known, strict=True):
        application.link(asset, application.person(f"P{n}"))
    new = application.add(album.photo("new", Face(9)))
    assert run().code == 0
    assert application.shown(new) == [None]
    row = application.one("select to_jsonb(r) from backfill.faces_to_review r")
    assert [one["name"] for one in row["suggestions"]] == ["P4", "P3", "P2"]
    assert row["asset"] == new
    assert "less than 95 %" in row["reason"]


def test_money_is_written_down_by_call_and_payer(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """What is spent is what the service bills: a call for each picture and each face."""
    application.add(album.photo("two", Face(1), Face(2)))
    application.add(album.photo("one", Face(3)), BEN)
    run()
    spent = application.all(
        "select payer, operation, calls, usd::float as usd, open_calls from backfill.spend"
        " order by payer, operation"
    )
    assert spent == [
        {"payer": ANN, "operation": "IndexFaces", "calls": 1, "usd": 0.001, "open_calls": 0},
        {"payer": ANN, "operation": "SearchFaces", "calls": 2, "usd": 0.002, "open_calls": 0},
        {"payer": BEN, "operation": "IndexFaces", "calls": 1, "usd": 0.001, "open_calls": 0},
        {"payer": BEN, "operation": "SearchFaces", "calls": 1, "usd": 0.001, "open_calls": 0},
    ]
    assert application.all("select * from backfill.effects") == []
    assert rekognition.calls("SearchFaces")["billed"] == 3


def test_max_cost_ends_the_run_before_the_call(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """With 3 tenths of a cent, three calls are made; a later run does the rest."""
    for n in range(4):
        application.add(album.photo(str(n), Face(n)))
    ended = run("--max-cost", "0.003", "--threads", "1")
    calls = rekognition.state()["calls"]
    assert sum(calls[one]["billed"] for one in ("IndexFaces", "SearchFaces") if one in calls) == 3
    assert "budget" in ended.err + ended.out
    assert application.one("select exit_reason from backfill.runs where run = 1") == "budget"
    assert run().code == 0
    assert application.outcomes() == {"ok": 4}


def test_a_lost_reply_is_not_paid_for_twice(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Where the faces are in the collection already, no second IndexFaces is made."""
    rekognition.change(
        faults=[{"operation": "IndexFaces", "code": "lost", "rate": 1.0, "when": "after"}]
    )
    for n in range(5):
        application.add(album.photo(str(n), Face(n)))
    assert run().code == 0
    assert application.outcomes() == {"ok": 5}
    assert rekognition.calls("IndexFaces")["billed"] == 5
    assert rekognition.calls("IndexFaces")["arrived"] == 5
    assert (
        application.one("select sum(calls) from backfill.spend where operation = 'IndexFaces'") == 5
    )
    assert application.checks() == []


def test_another_engine_never_touches_the_collection(
    application: Application, album: Album, run: Run
) -> None:
    """A user's collection of another engine fails the row, which says what to do."""
    asset = application.add(album.photo("one", Face(1)))
    application.all(
        "insert into face_collections (user_id, aws_collection_id, engine, engine_version)"
        " values (%s, 'theirs', 'dlib-resnet-v1', '1')",
        ANN,
    )
    assert run().code == 3
    failure = application.one("select to_jsonb(f) from backfill.failures f")
    assert failure["error_class"] == "other_engine"
    assert "face_index_reset" in failure["error_message"]
    assert application.one("select count(*) from faces") == 0
    assert application.needs(asset) is not None


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ServiceQuotaExceededException", "ExpiredTokenException"]
)
def test_what_no_row_can_help_pauses_the_task(
    application: Application, album: Album, rekognition: Remote, run: Run, code: str
) -> None:
    """No attempt is counted, the reason stands in SQL, and after a resume the rows are done."""
    for n in range(3):
        application.add(album.photo(str(n), Face(n)))
    rekognition.change(faults=[{"operation": "IndexFaces", "code": code, "rate": 1.0}])
    ended = run()
    assert ended.code == 1
    assert code in ended.err
    assert "backfill resume face_index" in ended.err
    progress = application.one("select to_jsonb(p) from backfill.progress p")
    assert progress["state"] == "paused"
    assert code in progress["wait_reason"]
    assert application.one("select coalesce(sum(failures), 0) from backfill.job") == 0
    assert run().code == 4
    rekognition.change(faults=[])
    application.all("select backfill.resume('face_index')")
    assert run().code == 0
    assert application.outcomes() == {"ok": 3}
    assert rekognition.calls("IndexFaces")["billed"] == 3


def test_all_processes_leave_a_task_that_paused_itself(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Nobody waits for what an operator has to mend, and the command ends as one that failed."""
    for n in range(20):
        application.add(album.photo(str(n), Face(n)))
    rekognition.change(
        faults=[{"operation": "IndexFaces", "code": "AccessDeniedException", "rate": 1.0}]
    )
    ended = run("--workers", "2", "--batch-size", "2", "--threads", "1")
    assert ended.code == 1
    assert application.one("select exit_reason from backfill.runs") == "paused"
    assert application.one("select count(*) from backfill.runner where status = 'live'") == 0


@pytest.mark.parametrize(
    "code, counted", [("InvalidS3ObjectException", 1), ("InvalidImageFormatException", 0)]
)
def test_a_refusal_says_of_an_earlier_call_what_it_can(
    application: Application,
    album: Album,
    rekognition: Remote,
    run: Run,
    code: str,
    counted: int,
) -> None:
    """A file that is no picture was none before; any other refusal leaves the call counted."""
    application.all("update backfill.task set max_attempts = 1")
    application.add(album.photo("empty"))
    lost = {"operation": "IndexFaces", "code": "lost", "rate": 1.0, "when": "after"}
    rekognition.change(faults=[lost])
    assert run().code == 3
    assert application.one("select count(*) from backfill.effects") == 1
    rekognition.change(faults=[{"operation": "IndexFaces", "code": code, "rate": 1.0}])
    assert run("--resume").code == 3
    assert application.one("select count(*) from backfill.effects where state = 'intended'") == 0
    assert application.one("select coalesce(sum(calls), 0) from backfill.spend") == counted


def test_which_engine_keeps_a_collection_is_settled_before_it_costs(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Where another engine is quicker with a new user's first picture, nothing is paid for."""
    mine, theirs = (application.add(album.photo(str(n), Face(n))) for n in range(2))
    local = {"collection": COLLECTION, "arn": None, "engine": "local", "engine_version": "1"}
    application.apply(mine, local)
    with pytest.raises(psycopg.errors.RaiseException, match="engines never mix"):
        application.apply(theirs, {**local, "engine": "rekognition", "engine_version": "7"})
    assert run().code == 3
    assert rekognition.calls("IndexFaces") == {}
