"""Collections: made, described, listed and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rekognition.calls import ids, index, refusal
from tests.rekognition.portraits import Face

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient


def test_a_collection_can_be_made_once(client: RekognitionClient) -> None:
    """A second collection of the same name is refused, and so is a name that isn't one."""
    made = client.create_collection(CollectionId="savta-user-1")
    assert made["StatusCode"] == 200
    assert made["CollectionArn"].endswith(":collection/savta-user-1")
    create = client.create_collection
    assert refusal(create, CollectionId="savta-user-1") == ("ResourceAlreadyExistsException", 400)
    assert refusal(create, CollectionId="a b") == ("InvalidParameterException", 400)
    assert refusal(create, CollectionId="a" * 256) == ("InvalidParameterException", 400)


def test_a_collection_tells_its_faces(client: RekognitionClient) -> None:
    """DescribeCollection counts the faces."""
    index(client, Face(1), Face(2))
    described = client.describe_collection(CollectionId="people")
    assert described["FaceCount"] == 2
    assert described["CollectionARN"].startswith("arn:aws:rekognition:")
    assert described["CreationTimestamp"].tzinfo is not None


def test_a_deleted_collection_is_gone(client: RekognitionClient) -> None:
    """With its faces: made again it is empty."""
    index(client, Face(1))
    assert client.delete_collection(CollectionId="people")["StatusCode"] == 200
    assert client.list_collections()["CollectionIds"] == []
    client.create_collection(CollectionId="people")
    assert client.describe_collection(CollectionId="people")["FaceCount"] == 0


@pytest.mark.parametrize(
    "operation, more",
    [
        ("describe_collection", {}),
        ("delete_collection", {}),
        ("list_faces", {}),
        ("delete_faces", {"FaceIds": ["0" * 8 + "-0000-0000-0000-" + "0" * 12]}),
        ("search_faces", {"FaceId": "0" * 8 + "-0000-0000-0000-" + "0" * 12}),
        ("index_faces", {"Image": {"Bytes": b"x"}}),
        ("search_faces_by_image", {"Image": {"Bytes": b"x"}}),
    ],
)
def test_a_collection_that_is_not_there_is_missed(
    client: RekognitionClient, operation: str, more: dict[str, object]
) -> None:
    """Whatever is asked of it."""
    call = getattr(client, operation)
    assert refusal(call, CollectionId="nobody", **more) == ("ResourceNotFoundException", 400)


def test_collections_are_listed_by_pages(client: RekognitionClient) -> None:
    """The SDK's paginator gets each name once, names of the greatest length too."""
    names = {"people", *(f"{number}{'x' * 250}" for number in range(7))}
    for name in names - {"people"}:
        client.create_collection(CollectionId=name)
    pages = list(
        client.get_paginator("list_collections").paginate(PaginationConfig={"PageSize": 3})
    )
    listed = [name for page in pages for name in page["CollectionIds"]]
    assert [len(page["CollectionIds"]) for page in pages] == [3, 3, 2]
    assert len(listed) == len(names)
    assert set(listed) == names


def test_faces_are_listed_by_pages(client: RekognitionClient) -> None:
    """The SDK's paginator gets each face once; a token that was made up is refused."""
    indexed = {
        face_id
        for number in range(4)
        for face_id in ids(index(client, Face(number), Face(100 + number), name=f"asset:{number}"))
    }
    paginator = client.get_paginator("list_faces")
    pages = list(paginator.paginate(CollectionId="people", PaginationConfig={"PageSize": 3}))
    listed = [face for page in pages for face in page["Faces"]]
    assert sorted(face["FaceId"] for face in listed) == sorted(indexed)
    assert {face["ExternalImageId"] for face in listed} == {f"asset:{n}" for n in range(4)}
    for token in ("made up", "after-", "1"):
        told = refusal(client.list_faces, CollectionId="people", NextToken=token)
        assert told == ("InvalidPaginationTokenException", 400)


def test_faces_are_listed_while_some_go(client: RekognitionClient) -> None:
    """A face that is deleted between two pages makes the list skip no other."""
    for number in range(6):
        index(client, Face(number), name=f"asset:{number}")
    first = client.list_faces(CollectionId="people", MaxResults=2)
    gone = [face["FaceId"] for face in first["Faces"]]
    client.delete_faces(CollectionId="people", FaceIds=gone)
    rest = client.list_faces(CollectionId="people", NextToken=first["NextToken"])
    assert len(rest["Faces"]) == 4
    assert "NextToken" not in rest


def test_faces_are_listed_by_id_or_user(client: RekognitionClient) -> None:
    """The two filters that there are; one by external id there isn't."""
    face_id, _ = ids(index(client, Face(1), Face(2)))
    listed = client.list_faces(CollectionId="people", FaceIds=[face_id])["Faces"]
    assert [face["FaceId"] for face in listed] == [face_id]
    assert client.list_faces(CollectionId="people", UserId="nobody")["Faces"] == []


def test_deleted_faces_are_gone(client: RekognitionClient) -> None:
    """Those that weren't there are told apart."""
    kept, gone = ids(index(client, Face(1), Face(2)))
    told = client.delete_faces(CollectionId="people", FaceIds=[gone])
    assert told["DeletedFaces"] == [gone]
    again = client.delete_faces(CollectionId="people", FaceIds=[gone])
    assert again["DeletedFaces"] == []
    assert again["UnsuccessfulFaceDeletions"] == [{"FaceId": gone, "Reasons": ["FACE_NOT_FOUND"]}]
    assert [f["FaceId"] for f in client.list_faces(CollectionId="people")["Faces"]] == [kept]
