"""IndexFaces, DetectFaces and the searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.rekognition.calls import ids, index, refusal
from tests.rekognition.portraits import Face, photo
from tests.rekognition.remote import Remote

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient


def test_faces_are_stored_largest_first(client: RekognitionClient) -> None:
    """With their picture's external id, and boxes as shares of the picture."""
    small, large = Face(1, box=(10, 10, 60)), Face(2, box=(200, 100, 150))
    told = index(client, small, large, name="a-b_c.d:1")
    first, second = (record["Face"] for record in told["FaceRecords"])
    assert first["BoundingBox"]["Left"] == pytest.approx(0.5, abs=0.005)
    assert first["BoundingBox"]["Height"] == pytest.approx(0.5, abs=0.01)
    assert second["BoundingBox"]["Width"] == pytest.approx(0.15, abs=0.01)
    assert {first["ExternalImageId"], second["ExternalImageId"]} == {"a-b_c.d:1"}
    assert first["ImageId"] == second["ImageId"]
    assert first["FaceId"] != second["FaceId"]


def test_faces_are_described(client: RekognitionClient) -> None:
    """A face has the attributes that are always returned, in DetectFaces as in IndexFaces."""
    indexed = index(client, Face(1, sharpness=75))["FaceRecords"][0]["FaceDetail"]
    (detected,) = client.detect_faces(Image={"Bytes": photo(Face(1, sharpness=75))})["FaceDetails"]
    assert indexed == detected
    assert detected["Quality"]["Sharpness"] == 75
    assert set(detected) == {"BoundingBox", "Landmarks", "Pose", "Quality", "Confidence"}


def test_detected_faces_are_not_stored(client: RekognitionClient) -> None:
    """DetectFaces leaves nothing behind."""
    client.detect_faces(Image={"Bytes": photo(Face(1))})
    assert client.describe_collection(CollectionId="people")["FaceCount"] == 0


def test_a_picture_without_faces_is_no_error(client: RekognitionClient) -> None:
    """IndexFaces says that there is none."""
    assert index(client)["FaceRecords"] == []


def test_max_faces_keeps_the_largest(client: RekognitionClient) -> None:
    """The others are told with the reason, and aren't stored."""
    told = index(client, Face(1), Face(2), Face(3), MaxFaces=2)
    assert len(told["FaceRecords"]) == 2
    assert [left["Reasons"] for left in told["UnindexedFaces"]] == [["EXCEEDS_MAX_FACES"]]
    assert client.describe_collection(CollectionId="people")["FaceCount"] == 2


@pytest.mark.parametrize(
    "quality_filter, stored",
    [("NONE", 4), ("AUTO", 3), ("LOW", 3), ("MEDIUM", 2), ("HIGH", 1), (None, 3)],
)
def test_quality_filter_drops_blurred_faces(
    client: RekognitionClient, quality_filter: str | None, stored: int
) -> None:
    """Those below the bar come before the largest are chosen; AUTO is the default."""
    faces = [Face(n, sharpness=sharpness) for n, sharpness in enumerate((10, 40, 70, 95))]
    more = {"QualityFilter": quality_filter} if quality_filter else {}
    told = index(client, *faces, MaxFaces=4, **more)
    assert len(told["FaceRecords"]) == stored
    assert [left["Reasons"] for left in told["UnindexedFaces"]] == [["LOW_SHARPNESS"]] * (
        4 - stored
    )


def test_a_picture_indexed_twice_is_stored_once(
    client: RekognitionClient, rekognition: Remote
) -> None:
    """The same picture with the same external id, as documented; it is paid for twice."""
    first, second = index(client, Face(1), Face(2)), index(client, Face(1), Face(2))
    assert first["FaceRecords"] == second["FaceRecords"]
    index(client, Face(1), Face(2), name="another")
    assert client.describe_collection(CollectionId="people")["FaceCount"] == 4
    assert rekognition.state()["billed_pictures"] == {"asset": 2, "another": 1}


def test_a_picture_indexed_twice_may_be_stored_twice(
    client: RekognitionClient, rekognition: Remote
) -> None:
    """Without that kindness each call adds its faces, as it does without an external id."""
    rekognition.change(deduplicates=False)
    assert ids(index(client, Face(1))) != ids(index(client, Face(1)))
    rekognition.change(deduplicates=True)
    for _ in range(2):
        client.index_faces(CollectionId="people", Image={"Bytes": photo(Face(2))})
    assert client.describe_collection(CollectionId="people")["FaceCount"] == 4


def test_ids_are_the_same_in_every_run(client: RekognitionClient, rekognition: Remote) -> None:
    """So that the ends of two runs can be compared, and faults repeat themselves."""
    before = ids(index(client, Face(1), Face(2)))
    rekognition.reset()
    client.create_collection(CollectionId="people")
    assert ids(index(client, Face(1), Face(2))) == before


def test_a_full_collection_takes_no_more(client: RekognitionClient, rekognition: Remote) -> None:
    """All faces of a picture or none."""
    rekognition.change(faces_per_collection=3)
    index(client, Face(1), Face(2))
    told = refusal(
        client.index_faces, CollectionId="people", Image={"Bytes": photo(Face(3), Face(4))}
    )
    assert told == ("ServiceQuotaExceededException", 400)
    index(client, Face(5), name="the-last")
    assert client.describe_collection(CollectionId="people")["FaceCount"] == 3


def test_a_face_finds_the_same_person_but_never_itself(client: RekognitionClient) -> None:
    """The most similar first, and strangers not at all."""
    (face_id,) = ids(index(client, Face(1, variation=0), name="a"))
    others = {
        ids(index(client, Face(1, variation=variation), name=f"b{variation}"))[0]
        for variation in range(1, 6)
    }
    index(client, Face(2), name="c")
    matches = client.search_faces(CollectionId="people", FaceId=face_id)["FaceMatches"]
    assert {match["Face"]["FaceId"] for match in matches} == others
    similarities = [match["Similarity"] for match in matches]
    assert similarities == sorted(similarities, reverse=True)
    assert all(99 <= similarity <= 100 for similarity in similarities)
    few = client.search_faces(CollectionId="people", FaceId=face_id, MaxFaces=2)["FaceMatches"]
    assert few == matches[:2]


def test_the_threshold_decides_about_look_alikes(
    client: RekognitionClient, rekognition: Remote
) -> None:
    """80 unless told otherwise; at 0 strangers are found too."""
    rekognition.change(
        look_alikes=[
            {"one": 1, "other": 2, "similarity": 95.0},
            {"one": 3, "other": 1, "similarity": 80.0},
            {"one": 1, "other": 4, "similarity": 79.9},
        ]
    )
    face_id, *others = [ids(index(client, Face(n), name=f"asset{n}"))[0] for n in range(1, 6)]

    def found(**threshold: Any) -> list[str]:
        told = client.search_faces(CollectionId="people", FaceId=face_id, **threshold)
        return [match["Face"]["FaceId"] for match in told["FaceMatches"]]

    assert found() == others[:2]
    assert found(FaceMatchThreshold=95) == others[:1]
    assert found(FaceMatchThreshold=95.1) == []
    assert found(FaceMatchThreshold=60) == others[:3]
    assert found(FaceMatchThreshold=0) == others


def test_other_collections_are_not_searched(client: RekognitionClient) -> None:
    """One person in two collections is two strangers."""
    client.create_collection(CollectionId="others")
    (face_id,) = ids(index(client, Face(1)))
    index(client, Face(1, variation=1), CollectionId="others")
    assert client.search_faces(CollectionId="people", FaceId=face_id)["FaceMatches"] == []
    told = refusal(client.search_faces, CollectionId="others", FaceId=face_id)
    assert told == ("InvalidParameterException", 400)


def test_a_picture_is_searched_by_its_largest_face(client: RekognitionClient) -> None:
    """And stored nowhere; one without faces is refused."""
    index(client, Face(1))
    index(client, Face(2), name="other")
    picture = photo(Face(2, variation=1), Face(1, variation=1))
    told = client.search_faces_by_image(CollectionId="people", Image={"Bytes": picture})
    assert [match["Face"]["ExternalImageId"] for match in told["FaceMatches"]] == ["other"]
    assert told["SearchedFaceBoundingBox"]["Width"] > 0.3
    assert client.describe_collection(CollectionId="people")["FaceCount"] == 2
    nobody = refusal(client.search_faces_by_image, CollectionId="people", Image={"Bytes": photo()})
    assert nobody == ("InvalidParameterException", 400)


def test_only_calls_with_a_price_are_billed(client: RekognitionClient, rekognition: Remote) -> None:
    """The four that look at faces; one that is refused for its picture is not."""
    (face_id,) = ids(index(client, Face(1)))
    client.search_faces(CollectionId="people", FaceId=face_id)
    client.search_faces_by_image(CollectionId="people", Image={"Bytes": photo(Face(1))})
    client.detect_faces(Image={"Bytes": photo(Face(1))})
    client.list_faces(CollectionId="people")
    client.delete_faces(CollectionId="people", FaceIds=[face_id])
    client.describe_collection(CollectionId="people")
    refusal(client.index_faces, CollectionId="people", Image={"Bytes": b"x"})
    calls = rekognition.state()["calls"]
    assert {operation for operation, told in calls.items() if told["billed"]} == {
        "IndexFaces", "SearchFaces", "SearchFacesByImage", "DetectFaces",
    }  # fmt: skip
    assert {told["billed"] for told in calls.values()} == {0, 1}
