"""What becomes of each error of Rekognition, and of answers that are lost."""

from __future__ import annotations

import pytest

from runner.errors import Halt, Permanent, Retry, RowOutcome
from runner.faces.rekognition import RekognitionFaces
from runner.faces.rekognition_calls import RATE
from runner.faces.rekognition_client import connect
from runner.faces.rekognition_errors import CollectionMissing, LostReply, Throttled
from runner.faces.rekognition_s3 import S3Object
from tests.faces.rekognition_helpers import COLLECTION, NotedLimits, Service, outcome
from tests.rekognition.fixtures import rekognition, rekognition_thread
from tests.rekognition.portraits import Face, photo
from tests.rekognition.remote import Remote

__all__ = ["rekognition", "rekognition_thread"]

PICTURE = photo(Face(1))

THROTTLING = ("ProvisionedThroughputExceededException", "ThrottlingException", "Throttling")
FAULTY_PICTURES = {
    "ImageTooLargeException": "image_too_large",
    "InvalidImageFormatException": "invalid_image_format",
    "InvalidParameterException": "invalid_parameter",
    "InvalidS3ObjectException": "invalid_s3_object",
    "ValidationException": "invalid_request",
}
NOBODY_CAN_CALL = {
    "AccessDeniedException": "the right rekognition:IndexFaces",
    "ServiceQuotaExceededException": "ask AWS to raise it",
    "ExpiredTokenException": "renew the AWS credentials",
    "UnrecognizedClientException": "renew the AWS credentials",
    "InvalidSignatureException": "this machine's clock",
    "MissingAuthenticationTokenException": "renew the AWS credentials",
}


@pytest.fixture
def service(rekognition: Remote) -> Service:
    """An engine, at a service with an empty collection."""
    made = Service(rekognition)
    made.faces.ensure_collection(COLLECTION)
    made.limits.told.clear()
    return made


def indexing(service: Service) -> RowOutcome:
    """What IndexFaces ends with."""
    return outcome(service.faces.index, COLLECTION, "a", PICTURE)


@pytest.mark.parametrize("code", THROTTLING)
@pytest.mark.parametrize("status", [400, 500])
def test_throttling_costs_no_attempt(service: Service, code: str, status: int) -> None:
    """Everybody is told, and goes slower; the call is not repeated at once."""
    service.fail("IndexFaces", code, status=status)
    told = indexing(service)
    assert isinstance(told, Throttled)
    assert (told.code, told.counts) == ("throttled", False)
    assert service.limits.told == [(RATE, None)]
    assert (service.arrived("IndexFaces"), service.billed()) == (1, 0)


def test_the_quota_is_told_as_throttling(service: Service) -> None:
    """The call that is one too many, and none before it."""
    service.remote.change(tps={"IndexFaces": 2})
    for person in range(2):
        service.index(f"{person}", Face(person))
    assert isinstance(indexing(service), Throttled)
    assert service.limits.told == [RATE, RATE, (RATE, None)]


@pytest.mark.parametrize("code", ["InternalServerError", "ServiceUnavailableException"])
def test_a_server_s_error_is_tried_again_later(service: Service, code: str) -> None:
    """With an attempt that counts: a picture may be what breaks it."""
    service.fail("IndexFaces", code)
    told = indexing(service)
    assert isinstance(told, Retry)
    assert not isinstance(told, LostReply)
    assert (told.code, told.counts) == ("server_error", True)
    assert service.limits.told == []
    assert (service.arrived("IndexFaces"), service.billed()) == (1, 0)


@pytest.mark.parametrize("code", FAULTY_PICTURES)
def test_a_faulty_picture_fails_for_good(service: Service, code: str) -> None:
    """With a code that failures can be grouped by, and what the service says."""
    service.fail("IndexFaces", code)
    told = indexing(service)
    assert isinstance(told, Permanent)
    assert told.code == FAULTY_PICTURES[code]
    assert str(told).startswith(f"Rekognition says {code} to IndexFaces: ")
    assert service.billed() == 0


@pytest.mark.parametrize("code", NOBODY_CAN_CALL)
def test_what_fails_for_all_rows_stops(service: Service, code: str) -> None:
    """With what to do about it, and without the service's words, which can hold tokens."""
    service.fail("IndexFaces", code)
    told = indexing(service)
    assert isinstance(told, Halt)
    assert code in str(told)
    assert NOBODY_CAN_CALL[code] in str(told)
    assert "security token included" not in str(told)
    assert service.arrived("IndexFaces") == 1


def test_the_limits_of_the_service_are_its_own_errors(service: Service) -> None:
    """A picture that is too large, of no format, not in S3, or too small."""
    for picture, code in (
        (PICTURE.ljust(5_242_881, b"\0"), "image_too_large"),
        (b"GIF89a", "invalid_image_format"),
        (S3Object("family", "none.jpg"), "invalid_s3_object"),
        (photo(size=(79, 79)), "invalid_parameter"),
    ):
        told = outcome(service.faces.index, COLLECTION, "a", picture)
        assert isinstance(told, Permanent)
        assert told.code == code
    service.remote.change(violations="observed")
    told = outcome(service.faces.index, COLLECTION, "a", PICTURE.ljust(5_242_881, b"\0"))
    assert isinstance(told, Permanent)
    assert told.code == "invalid_request"


def test_a_full_collection_stops(service: Service) -> None:
    """Only AWS can raise its limit."""
    service.remote.change(faces_per_collection=1)
    service.index("a", Face(1))
    assert isinstance(outcome(service.index, "b", Face(2)), Halt)


def test_an_unknown_error_is_tried_again(service: Service) -> None:
    """It is refused, so it costs nothing."""
    service.fail("IndexFaces", "BrandNewException")
    told = indexing(service)
    assert isinstance(told, Retry)
    assert told.code == "refused"
    assert "BrandNewException" in str(told)


@pytest.mark.parametrize("when, billed", [("before", 0), ("after", 1)])
@pytest.mark.parametrize("operation", ["IndexFaces", "SearchFaces"])
def test_a_lost_reply_is_told_and_never_paid_again(
    service: Service, operation: str, when: str, billed: int
) -> None:
    """Nobody knows whether it was charged, so nothing is repeated."""
    (face_id,) = service.index("b", Face(2))
    service.fail(operation, "lost", when=when)
    told = (
        indexing(service)
        if operation == "IndexFaces"
        else outcome(service.faces.search, COLLECTION, face_id)
    )
    assert isinstance(told, LostReply)
    assert (told.code, told.counts) == ("lost_reply", True)
    assert f"the answer to {operation} was lost" in str(told)
    assert service.remote.calls(operation)["lost"] == 1
    assert service.billed() == 1 + billed


def test_after_a_lost_reply_the_listing_tells(service: Service) -> None:
    """What the service holds of the asset is what the lost answer said."""
    service.fail("IndexFaces", "lost", when="after")
    assert isinstance(indexing(service), LostReply)
    service.remote.change(faults=[])
    listed = service.faces.list_faces(COLLECTION)["a"]
    assert set(service.faces.index(COLLECTION, "a", PICTURE).kept) == set(listed)


def test_settings_of_the_sdk_do_not_repeat_calls(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says of retries, a call that costs money is made once."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    faces = RekognitionFaces(connect(), NotedLimits())
    for code in ("lost", "InternalServerError", "ThrottlingException"):
        service.fail("IndexFaces", code)
        outcome(faces.index, COLLECTION, "a", PICTURE)
    assert service.arrived("IndexFaces") == 3


@pytest.mark.parametrize("code", ["lost", "InternalServerError"])
@pytest.mark.parametrize(
    "operation", ["CreateCollection", "DescribeCollection", "ListFaces", "DeleteFaces"]
)
def test_what_is_free_is_tried_twice(service: Service, operation: str, code: str) -> None:
    """Each in its turn, and no third time."""
    (face_id,) = service.index("b", Face(2))
    service.fail(operation, code)
    before, turns = service.arrived(operation), service.limits.turns[RATE]
    told = {
        "CreateCollection": lambda: outcome(service.faces.ensure_collection, "others"),
        "DescribeCollection": lambda: outcome(service.faces.ensure_collection, COLLECTION),
        "ListFaces": lambda: outcome(service.faces.list_faces, COLLECTION),
        "DeleteFaces": lambda: outcome(service.faces.delete_faces, COLLECTION, [face_id]),
    }[operation]()
    assert isinstance(told, Retry)
    assert told.code == {"lost": "lost_reply"}.get(code, "server_error")
    assert service.arrived(operation) == before + 2
    creating = 1 if operation == "DescribeCollection" else 0
    assert service.limits.turns[RATE] == turns + 2 + creating


def test_the_second_try_of_what_is_free_helps(service: Service) -> None:
    """A collection whose creation was answered by nobody is there, and no error."""
    service.fail("CreateCollection", "lost", 0.5, when="after")
    made = []
    for number in range(12):
        try:
            made.append(service.faces.ensure_collection(f"c{number}"))
        except LostReply:
            continue
    assert {one.created for one in made} == {True, False}
    assert all(one.arn.endswith(f"collection/{one.name}") for one in made)


def test_a_throttled_call_is_not_tried_twice(service: Service) -> None:
    """Even where it is free: others wait, too."""
    service.fail("ListFaces", "ThrottlingException")
    assert isinstance(outcome(service.faces.list_faces, COLLECTION), Throttled)
    assert service.arrived("ListFaces") == 1


def test_a_listing_that_expired_begins_again_later(service: Service) -> None:
    """A row is not failed for it."""
    service.fail("ListFaces", "InvalidPaginationTokenException")
    told = outcome(service.faces.list_faces, COLLECTION)
    assert isinstance(told, Retry)
    assert told.code == "listing_expired"


def test_a_collection_that_stays_missing_is_tried_later(service: Service) -> None:
    """Created, once more, and no third time."""
    service.fail("IndexFaces", "ResourceNotFoundException")
    assert isinstance(indexing(service), CollectionMissing)
    assert service.arrived("IndexFaces") == 2


def test_a_search_in_a_lost_collection_is_tried_later(service: Service) -> None:
    """It is created, but a search in it, which costs money, could find nothing."""
    (face_id,) = service.index("a", Face(1))
    client = connect()
    client.delete_collection(CollectionId=COLLECTION)
    told = outcome(service.faces.search, COLLECTION, face_id)
    assert isinstance(told, CollectionMissing)
    assert told.code == "collection_missing"
    assert service.arrived("SearchFaces") == 1
    assert service.remote.state()["collections"] == {COLLECTION: []}


def test_a_search_is_made_again_where_the_collection_is_there(service: Service) -> None:
    """Another process may have created it meanwhile."""
    ids = service.index("a", *(Face(1, variation=n) for n in range(9)))
    service.fail("SearchFaces", "ResourceNotFoundException", 0.5)
    found = []
    for face_id in ids:
        try:
            found.append(service.faces.search(COLLECTION, face_id))
        except CollectionMissing:
            continue
    numbers = service.remote.calls("SearchFaces")
    assert len(found) == numbers["billed"] > numbers["arrived"] - len(ids) > 0
    assert {len(matches) for matches in found} == {8}


def test_a_face_that_is_not_there_fails_for_good(service: Service) -> None:
    """The collection is there, and hasn't this face."""
    (face_id,) = service.index("a", Face(1))
    service.faces.delete_faces(COLLECTION, [face_id])
    told = outcome(service.faces.search, COLLECTION, face_id)
    assert isinstance(told, Permanent)
    assert told.code == "invalid_parameter"
