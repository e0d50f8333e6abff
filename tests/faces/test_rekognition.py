"""Rekognition as a face engine, where all goes well."""

from __future__ import annotations

import io
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from runner.contract import NoLimits
from runner.errors import Permanent
from runner.faces import Box, dropped
from runner.faces import rekognition_values as values
from runner.faces.rekognition import RekognitionFaces
from runner.faces.rekognition_calls import RATE
from runner.faces.rekognition_client import connect
from runner.faces.rekognition_s3 import S3Object
from runner.faces.sending import prepare
from runner.loop.limits import Buckets
from tests.faces.rekognition_helpers import COLLECTION, Service, outcome
from tests.pictures.samples import encoded
from tests.plugins.processes import SampleDatabase
from tests.rekognition.fixtures import rekognition, rekognition_thread
from tests.rekognition.portraits import Face, draw, photo
from tests.rekognition.remote import Remote

__all__ = ["rekognition", "rekognition_thread"]


@pytest.fixture
def service(rekognition: Remote) -> Service:
    """An engine, at a service without anything."""
    return Service(rekognition)


def test_a_collection_is_created_once(service: Service) -> None:
    """Whoever comes later is told of the same one, and what it holds."""
    first = service.faces.ensure_collection(COLLECTION)
    assert (first.created, first.face_count) == (True, 0)
    assert first.arn.startswith("arn:aws:rekognition:")
    service.index("a", Face(1), Face(2))
    later = service.faces.ensure_collection(COLLECTION)
    assert (later.created, later.face_count) == (False, 2)
    assert (later.arn, later.model) == (first.arn, first.model)


def test_threads_that_create_a_collection_agree(service: Service) -> None:
    """One of them creates it, and nobody fails."""
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(service.faces.ensure_collection, [COLLECTION] * 8))
    assert sum(one.created for one in made) == 1
    assert len({one.arn for one in made}) == 1


def test_faces_are_found_and_kept(service: Service) -> None:
    """With their place in the picture, under the asset's id."""
    picture = photo(Face(1, box=(200, 150, 100)), Face(2, box=(20, 30, 80)))
    told = service.faces.index(COLLECTION, "asset:1", picture)
    assert len(told.faces) == len(told.kept) == 2
    (box, _) = (one.face.box for one in told.kept)
    assert (box.left, box.top) == pytest.approx((0.5, 0.5), abs=0.01)
    assert (box.width, box.height) == pytest.approx((0.25, 1 / 3), abs=0.01)
    assert all(face.confidence > 99 and dropped(face) is None for face in told.faces)
    assert len({one.image_id for one in told.kept}) == 1
    (listed,) = service.faces.list_faces(COLLECTION).values()
    assert set(listed) == set(told.kept)
    assert told.model == service.faces.ensure_collection(COLLECTION).model


def test_a_picture_without_faces_is_no_error(service: Service) -> None:
    """It is charged, so it is to be remembered."""
    told = service.faces.index(COLLECTION, "a", photo())
    assert (told.faces, service.billed()) == ((), 1)


def test_a_missing_collection_is_created_for_a_picture(service: Service) -> None:
    """And the picture is charged once."""
    assert len(service.index("a", Face(1))) == 1
    assert (service.arrived("IndexFaces"), service.billed()) == (2, 1)


def test_the_same_picture_again_brings_no_second_face(service: Service) -> None:
    """The service knows it by its bytes and its asset."""
    assert service.index("a", Face(1)) == service.index("a", Face(1))
    assert service.held() == 1


def test_faces_that_are_not_kept_have_a_flaw(service: Service) -> None:
    """In words, with which they are dropped."""
    told = service.faces.index(COLLECTION, "a", photo(Face(1, sharpness=10), Face(2)))
    assert (len(told.kept), len(told.left_out)) == (1, 1)
    assert dropped(told.left_out[0]) == "too blurred"
    assert told.left_out[0].face_id is None
    assert told.left_out[0].box.width > 0.1


def test_the_quality_filter_is_passed_on(service: Service) -> None:
    """None at all keeps what is blurred."""
    told = service.faces.index(COLLECTION, "a", photo(Face(1, sharpness=1)), quality="NONE")
    assert (len(told.kept), told.left_out) == (1, ())


def test_a_picture_in_s3_is_named(service: Service) -> None:
    """Instead of sent."""
    service.remote.put_object("family", "holiday/a b.jpg", photo(Face(1)))
    told = service.faces.index(COLLECTION, "a", S3Object("family", "holiday/a b.jpg"))
    assert len(told.kept) == 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_boxes_are_in_the_upright_picture(service: Service, form: str) -> None:
    """Whether the service turns the picture, or it is turned before it is sent."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = draw(Face(1, box=(0, 200, 100))).transpose(Image.Transpose.ROTATE_90)
    data = encoded(stored, form, exif=exif, quality=95)
    (face,) = service.faces.index(COLLECTION, "a", prepare(io.BytesIO(data))).faces
    assert (face.box.left, face.box.top) == pytest.approx((0, 2 / 3), abs=0.02)
    assert (face.box.width, face.box.height) == pytest.approx((1 / 4, 1 / 3), abs=0.02)


def test_a_face_at_the_edge_has_a_box_within_the_picture() -> None:
    """The service's boxes may reach over it."""
    told = values.kept(
        {
            "FaceId": str(uuid.uuid4()),
            "ImageId": "1",
            "Confidence": 99.0,
            "BoundingBox": {"Left": -0.25, "Top": 0.75, "Width": 0.5, "Height": 0.5},
        }
    )
    assert told.face.box == Box(0.0, 0.75, 0.25, 0.25)


def test_similar_faces_are_found(service: Service) -> None:
    """The most similar first, but never the face itself, nor strangers."""
    service.remote.change(look_alikes=[{"one": 1, "other": 2, "similarity": 85.0}])
    (face_id,) = service.index("a", Face(1))
    (same,) = service.index("b", Face(1, variation=1))
    (alike,) = service.index("c", Face(2))
    service.index("d", Face(3))
    found = service.faces.search(COLLECTION, face_id)
    assert [match.face for match in found] == [same, alike]
    assert [match.person for match in found] == [None, None]
    assert found[1].similarity == 85.0
    assert service.faces.search(COLLECTION, face_id, threshold=86) == found[:1]
    assert service.faces.search(COLLECTION, face_id, most=1) == found[:1]


def test_many_similar_faces_are_all_found(service: Service) -> None:
    """The best one that is linked to somebody may be far behind."""
    service.faces.ensure_collection(COLLECTION)
    first, *others = service.index("a", *(Face(1, variation=n) for n in range(9)))
    assert {match.face for match in service.faces.search(COLLECTION, first)} == set(others)


def test_faces_are_listed_by_asset(service: Service) -> None:
    """All of them, on however many pages."""
    store = [service.index(asset, Face(1), Face(2), Face(3)) for asset in ("a", "b")]
    client = connect()
    client.index_faces(CollectionId=COLLECTION, Image={"Bytes": photo(Face(4))})
    listed = service.faces.list_faces(COLLECTION)
    ids = {asset: {one.face.face_id for one in found} for asset, found in listed.items()}
    assert ids == {"a": set(store[0]), "b": set(store[1]), "": ids[""]}
    assert len(ids[""]) == 1
    client.close()


def test_a_collection_that_is_not_there_holds_nothing(service: Service) -> None:
    """It is not created either."""
    face_id = str(uuid.uuid4())
    assert service.faces.list_faces(COLLECTION) == {}
    assert service.faces.delete_faces(COLLECTION, [face_id]) == {}
    assert service.remote.state()["collections"] == {}


def test_deleted_faces_are_gone(service: Service) -> None:
    """Deleting them again is no error."""
    one, other = service.index("a", Face(1), Face(2))
    for _ in range(2):
        assert service.faces.delete_faces(COLLECTION, [one, one]) == {}
    (left,) = service.faces.list_faces(COLLECTION)["a"]
    assert left.face.face_id == other


def test_nothing_to_delete_is_no_call(service: Service) -> None:
    """The service would refuse it."""
    assert service.faces.delete_faces(COLLECTION, []) == {}
    assert service.limits.turns == {}


def test_many_faces_are_listed_and_deleted_in_pages(service: Service) -> None:
    """4,096 at a time, of which none is forgotten or listed twice."""
    service.remote.change(tps={"*": 1000}, deduplicates=False)
    boxes = [(4 + 29 * x, 4 + 29 * y, 20) for x in range(10) for y in range(10)]
    picture = photo(*(Face(n, box=box) for n, box in enumerate(boxes)), size=(300, 300))
    service.faces.ensure_collection(COLLECTION)
    with ThreadPoolExecutor(4) as threads:
        told = list(
            threads.map(lambda n: service.faces.index(COLLECTION, f"{n % 7}", picture), range(42))
        )
    expected = {one.face.face_id or "" for indexed in told for one in indexed.kept}
    assert len(expected) == 4200
    listed = service.faces.list_faces(COLLECTION)
    assert sorted(listed) == [str(n) for n in range(7)]
    assert {one.face.face_id for faces in listed.values() for one in faces} == expected
    assert service.arrived("ListFaces") == 2
    assert service.faces.delete_faces(COLLECTION, sorted(expected)) == {}
    assert (service.arrived("DeleteFaces"), service.held()) == (2, 0)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "Familie Ü", "a\n", "a" * 256])
def test_what_is_no_collection_id_is_never_sent(service: Service, name: str) -> None:
    """Whatever the call."""
    for told in (
        outcome(service.faces.ensure_collection, name),
        outcome(service.faces.index, name, "a", b"x"),
        outcome(service.faces.search, name, str(uuid.uuid4())),
        outcome(service.faces.list_faces, name),
        outcome(service.faces.delete_faces, name, []),
    ):
        assert isinstance(told, Permanent)
        assert told.code == "invalid_collection_id"
        assert f"({len(name)} characters)" in str(told)
    assert service.limits.turns == {}


@pytest.mark.parametrize("asset", ["", "a/b", "a b", "ü", "a\n", "a" * 256])
def test_what_is_no_external_id_is_never_sent(service: Service, asset: str) -> None:
    """An asset's id that doesn't fit couldn't be found again."""
    told = outcome(service.faces.index, COLLECTION, asset, b"x")
    assert isinstance(told, Permanent)
    assert told.code == "invalid_asset_id"
    assert service.limits.turns == {}


@pytest.mark.parametrize("face_id", ["", "1", "9C3B6A52-6C0F-4A7F-9B55-0D3F5B7D2E11A"])
def test_what_is_no_face_id_is_never_sent(service: Service, face_id: str) -> None:
    """Neither to search nor to delete."""
    for told in (
        outcome(service.faces.search, COLLECTION, face_id),
        outcome(service.faces.delete_faces, COLLECTION, [str(uuid.uuid4()), face_id]),
    ):
        assert isinstance(told, Permanent)
        assert told.code == "invalid_face_id"
    assert service.limits.turns == {}


@pytest.mark.parametrize(
    "name", ["a" * 255, "savta-user-_.A9", "9c3b6a52-6c0f-4a7f-9b55-0d3f5b7d2e11"]
)
def test_ids_may_be_as_long_as_documented(service: Service, name: str) -> None:
    """And have all documented characters."""
    told = service.faces.index(name, name.replace("-", ":"), photo(Face(1)))
    assert len(told.kept) == 1


def test_every_call_waits_for_its_turn(service: Service) -> None:
    """Those that a call takes beside itself, too; each is told that it went well."""
    (face_id,) = service.index("a", Face(1))
    service.faces.ensure_collection(COLLECTION)
    service.faces.search(COLLECTION, face_id)
    service.faces.list_faces(COLLECTION)
    service.faces.delete_faces(COLLECTION, [face_id])
    calls = service.remote.state()["calls"].values()
    assert service.limits.turns == {RATE: sum(numbers["arrived"] for numbers in calls)}
    answered = sum(numbers["answered"] for numbers in calls)
    assert service.limits.told == [RATE] * answered


def test_threads_keep_to_the_shared_rate(rekognition: Remote, sampled: SampleDatabase) -> None:
    """However many there are: none of their calls is refused."""
    calls, rate = 60, 40
    rekognition.change(tps={"*": round(1.25 * rate)})  # this machine may be busy, and calls late
    connect().create_collection(CollectionId=COLLECTION)
    sampled.do("select backfill.set_rate('rekognition', %s)", rate)
    pictures = [photo(Face(n)) for n in range(calls)]
    limits = Buckets(sampled.url, name="test")
    faces = RekognitionFaces(connect(), limits)
    with ThreadPoolExecutor(4) as threads:
        told = list(
            threads.map(lambda n: faces.index(COLLECTION, f"{n}", pictures[n]), range(calls))
        )
    limits.close()
    assert len({one.face.face_id for indexed in told for one in indexed.kept}) == calls
    numbers = rekognition.calls("IndexFaces")
    assert (numbers["billed"], numbers["failed"]) == (calls, {})
    arrived = sorted(rekognition.arrivals()["IndexFaces"]["arrived"])
    assert arrived[-1] - arrived[0] > 0.9 * (calls - 1) / rate


def test_connections_are_for_all_threads(service: Service) -> None:
    """One engine serves them at the same time, each with its own answer."""
    service.remote.change(tps={"*": 1000})
    service.faces.ensure_collection(COLLECTION)
    faces = RekognitionFaces(connect(connections=4), NoLimits())
    with ThreadPoolExecutor(16) as threads:
        told = list(
            threads.map(
                lambda n: faces.index(COLLECTION, f"a{n}", photo(Face(n % 5, variation=n))),
                range(48),
            )
        )
    assert len({one.kept[0].face.face_id for one in told}) == 48
    listed = faces.list_faces(COLLECTION)
    assert {f"a{n}": one.kept for n, one in enumerate(told)} == listed
