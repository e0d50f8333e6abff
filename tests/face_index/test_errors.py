"""What Rekognition, hosts and users get wrong, through `backfill run face_index`."""

from __future__ import annotations

import os
from typing import Any

import boto3
import pytest

from tests.face_index.application import ANN, BEN, Application
from tests.face_index.conftest import Album, Run
from tests.plugins.picture_host import PictureHost
from tests.rekognition.portraits import Face, photo
from tests.rekognition.remote import Remote

COLLECTION = f"savta-user-{ANN}"

NEVER = ("ImageTooLargeException", "InvalidImageFormatException", "InvalidParameterException",
         "InvalidS3ObjectException")  # fmt: skip


def numbered(n: int) -> str:
    """A picture's key that is the same in each run of the test."""
    return f"00000000-0000-4000-8000-{n:012}"


def failed(application: Application) -> dict[str, dict[str, Any]]:
    """The rows that failed, by key."""
    rows = application.all("select to_jsonb(f) as row from backfill.failures f")
    return {row["row"]["key"]: row["row"] for row in rows}


def drop_collection(service: Remote, name: str) -> None:
    """What somebody does at the provider's console."""
    client = boto3.client(
        "rekognition", endpoint_url=service.url, region_name=os.environ["AWS_REGION"]
    )
    client.delete_collection(CollectionId=name)
    client.close()


def test_a_picture_that_is_refused_fails_for_good(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Each refusal has its own class, costs one attempt and no money, and leaves no effect."""
    for n in range(16):
        application.add(album.photo(str(n), Face(n)), id=numbered(n))
    faults = [{"operation": "IndexFaces", "code": code, "rate": 0.25} for code in NEVER]
    rekognition.change(faults=faults)
    assert run().code == 3
    rows = failed(application)
    assert len(rows) == 16
    assert {row["error_class"] for row in rows.values()} == {
        "image_too_large", "invalid_image_format", "invalid_parameter", "invalid_s3_object",
    }  # fmt: skip
    assert application.one("select max(failures) from backfill.job") == 1
    assert rekognition.calls("IndexFaces")["arrived"] == 16
    assert rekognition.calls("CreateCollection")["arrived"] == 1
    assert application.one("select coalesce(sum(calls), 0) from backfill.spend") == 0
    assert application.all("select * from backfill.effects") == []


def test_throttling_costs_no_attempt_and_slows_all_down(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Every picture is done and paid for once, and the shared rate falls below what was set."""
    for n in range(10):
        application.add(album.photo(str(n), Face(n)), id=numbered(n))
    throttled: tuple[dict[str, Any], ...] = (
        {"code": "ProvisionedThroughputExceededException"},
        {"code": "ThrottlingException"},
        {"code": "ThrottlingException", "status": 500},
    )
    rekognition.change(faults=[{"operation": "*", "rate": 0.1, **one} for one in throttled])
    assert run().code == 0
    assert application.outcomes() == {"ok": 10}
    assert application.one("select coalesce(sum(failures), 0) from backfill.job") == 0
    rate = application.one(
        "select to_jsonb(r) from backfill.rate_limits r where name = 'rekognition'"
    )
    assert rate["throttled"] > 0
    assert rate["per_second"] < rate["ceiling"] == 1000
    assert rekognition.calls("IndexFaces")["billed"] == 10
    assert application.one("select sum(calls) from backfill.spend") == 20


def test_a_server_that_keeps_failing_fails_the_row(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """After as many attempts as the task allows, none of them paid for; a later run does it."""
    application.add(album.photo("one", Face(1)))
    application.all("update backfill.task set max_attempts = 3 where name = 'face_index'")
    rekognition.change(
        faults=[{"operation": "IndexFaces", "code": "InternalServerError", "rate": 1}]
    )
    assert run().code == 3
    (row,) = failed(application).values()
    assert row["error_class"] == "server_error"
    assert rekognition.calls("IndexFaces")["arrived"] == 3
    assert application.one("select coalesce(sum(calls), 0) from backfill.spend") == 0
    rekognition.change(faults=[])
    assert run("--resume").code == 0
    assert application.one("select sum(calls) from backfill.spend") == 2


def test_a_collection_that_was_deleted_is_told_of(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Faces that are in no collection any more are not taken for unknown, and a reset helps."""
    asset = application.add(album.photo("one", Face(1)))
    assert run("--max-cost", "0.001").code == 0
    assert application.one("select state from backfill.face_asset") == "found"
    drop_collection(rekognition, COLLECTION)
    assert run().code == 3
    (row,) = failed(application).values()
    assert row["error_class"] == "collection_lost"
    assert f"face_index_reset('{ANN}')" in row["error_message"]
    application.all("select backfill.face_index_reset(%s)", ANN)
    assert run().code == 0
    assert application.outcomes() == {"ok": 1}
    assert application.shown(asset) == [None]
    assert len(rekognition.state()["collections"][COLLECTION]) == 1


def test_a_collection_is_made_anew_for_the_next_picture(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Deleted between two pictures, it is created, and a call is paid for once."""
    application.add(album.photo("one", Face(1)))
    assert run().code == 0
    drop_collection(rekognition, COLLECTION)
    application.add(album.photo("two", Face(2)))
    assert run().code == 0
    assert application.outcomes() == {"ok": 2}
    assert len(rekognition.state()["collections"][COLLECTION]) == 1
    assert application.one("select sum(calls) from backfill.spend") == 4
    assert application.all("select * from backfill.effects") == []


def test_a_face_that_is_gone_there_is_like_nobody(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """A single face that was deleted in the collection keeps its row, and waits for somebody."""
    application.add(album.photo("kept", Face(2)))
    assert run().code == 0
    asset = application.add(album.photo("one", Face(1)))
    assert run("--max-cost", "0.001").code == 0
    gone = application.one("select rekognition_face_id from faces where asset_id::text=%s", asset)
    client = boto3.client("rekognition", endpoint_url=rekognition.url)
    client.delete_faces(CollectionId=COLLECTION, FaceIds=[gone])
    client.close()
    assert run().code == 0
    assert application.outcomes() == {"ok": 2}
    assert application.one("select count(*) from backfill.faces_to_review") == 2


def test_addresses_that_can_not_be_fetched(
    application: Application, picture_host: PictureHost, rekognition: Remote, run: Run
) -> None:
    """They fail without a call, and what stands after their question mark is never shown."""
    host = f"127.0.0.1:{picture_host.server_port}"
    missing = application.add(f"http://{host}/missing.jpg?token=sesame")
    broken = application.add(picture_host.add("/broken.jpg", b"no picture") + "?token=sesame")
    private = application.add("http://10.0.0.1/a.jpg?token=sesame")
    stored = application.add("s3://bucket/a.jpg?token=sesame")
    blank = application.add(" ")
    ended = run("--allow", host, "--verbose")
    assert ended.code == 3
    rows = failed(application)
    assert set(rows) == {missing, broken, private, stored}
    assert rows[missing]["error_class"] == "http_404"
    assert "sesame" not in ended.out + ended.err
    tables = application.all("select row_to_json(e)::text as row from backfill.attempt_error e")
    assert not [row for row in [*map(str, rows.values()), *map(str, tables)] if "sesame" in row]
    state = application.one("select state from backfill.job where key = %s", blank)
    assert state == "skipped"
    assert rekognition.calls("IndexFaces") == {}


@pytest.mark.parametrize(
    "arguments",
    [("--user-id", "x' or true --"), ("--user-id", ""), ("--collection-prefix", "Größe/"),
     ("--max-cost", "0"), ("--backend", "azure")],
)  # fmt: skip
def test_options_that_can_not_work_are_usage_errors(
    application: Application,
    album: Album,
    rekognition: Remote,
    run: Run,
    arguments: tuple[str, ...],
) -> None:
    """Nothing is done and nothing is stored."""
    application.add(album.photo("one", Face(1)))
    ended = run(*arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert application.one("select count(*) from backfill.run") == 0


def test_one_user_a_few_pictures_and_a_name_of_ones_own(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """--user-id takes capitals, --limit counts for each user, the prefix names collections."""
    for n in range(3):
        application.add(album.photo(f"a{n}", Face(n)), ANN)
        application.add(album.photo(f"b{n}", Face(n)), BEN)
    assert run("--user-id", BEN.upper(), "--limit", "1", "--collection-prefix", "we.").code == 0
    assert list(rekognition.state()["collections"]) == [f"we.{BEN}"]
    assert run("--limit", "1").code == 0
    done = application.all(
        "select user_id::text as u, count(*) as n from backfill.face_asset group by 1 order by 1"
    )
    assert [(row["u"], row["n"]) for row in done] == [(ANN, 1), (BEN, 2)]
    # a user's collection keeps its name
    assert set(rekognition.state()["collections"]) == {f"we.{BEN}", COLLECTION}


def test_a_crowd_takes_no_more_calls_than_faces(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Of 101 faces the service keeps the 100 largest; each is compared once, in several steps."""
    at = [(20 + n % 11 * 200, 20 + n // 11 * 200) for n in range(101)]
    faces = [Face(n, box=(*at[n], 160 if n else 120)) for n in range(101)]
    rekognition.change(tps={"*": 1000})
    application.add(album.put("crowd.jpg", photo(*faces, size=(2300, 2300))))
    assert run().code == 0
    assert application.one("select count(*) from faces") == 100
    assert rekognition.calls("SearchFaces")["billed"] == 100
    assert application.checks() == []
