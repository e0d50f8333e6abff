"""The documented limits, each with its error."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.rekognition.calls import index, refusal
from tests.rekognition.portraits import Face, draw, jpeg, photo, png
from tests.rekognition.remote import Remote

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

BYTES_MAX = 5_242_880
OBJECT_BYTES_MAX = 15_728_640
INVALID = ("InvalidParameterException", 400)
FORMAT = ("InvalidImageFormatException", 400)
TOO_LARGE = ("ImageTooLargeException", 400)


def saved(kind: str) -> bytes:
    """A picture of a face in another format."""
    file = io.BytesIO()
    draw(Face(1)).save(file, kind)
    return file.getvalue()


def padded(size: int) -> bytes:
    """A picture of a face in a file of this size: what follows a JPEG's end is ignored."""
    return photo(Face(1)).ljust(size, b"\0")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "BMP", "TIFF"])
def test_only_jpeg_and_png_are_taken(client: RekognitionClient, kind: str) -> None:
    """Other pictures are refused, whoever could read them."""
    assert index(client, Image={"Bytes": png(draw(Face(1)))})["FaceRecords"]
    told = refusal(client.index_faces, CollectionId="people", Image={"Bytes": saved(kind)})
    assert told == FORMAT


@pytest.mark.parametrize(
    "picture", [b"x", b"<html>", photo(Face(1))[:2000]], ids=["byte", "html", "cut"]
)
def test_broken_pictures_are_refused(client: RekognitionClient, picture: bytes) -> None:
    """Whatever the operation."""
    for call in (client.index_faces, client.search_faces_by_image):
        assert refusal(call, CollectionId="people", Image={"Bytes": picture}) == FORMAT
    assert refusal(client.detect_faces, Image={"Bytes": picture}) == FORMAT


def test_a_picture_has_80_pixels_a_side(client: RekognitionClient) -> None:
    """One with fewer is refused."""
    for size, is_taken in (((80, 80), True), ((79, 400), False), ((400, 79), False)):
        picture = jpeg(Image.new("RGB", size, "grey"))
        if is_taken:
            assert client.detect_faces(Image={"Bytes": picture})["FaceDetails"] == []
        else:
            assert refusal(client.detect_faces, Image={"Bytes": picture}) == INVALID


def test_a_picture_sent_along_has_5_mebibytes(client: RekognitionClient) -> None:
    """One byte more is refused."""
    detect = client.detect_faces
    assert len(detect(Image={"Bytes": padded(BYTES_MAX)})["FaceDetails"]) == 1
    assert refusal(detect, Image={"Bytes": padded(BYTES_MAX + 1)}) == TOO_LARGE


def test_a_picture_in_s3_has_15_mebibytes(client: RekognitionClient, rekognition: Remote) -> None:
    """One byte more is refused; one that isn't there is another error."""
    place = {"Bucket": "photos", "Name": "users/1 ä.jpg"}
    rekognition.put_object("photos", "users/1 ä.jpg", padded(OBJECT_BYTES_MAX))
    assert len(index(client, Image={"S3Object": place})["FaceRecords"]) == 1
    rekognition.put_object("photos", "users/1 ä.jpg", padded(OBJECT_BYTES_MAX + 1))
    index_faces = client.index_faces
    assert refusal(index_faces, CollectionId="people", Image={"S3Object": place}) == TOO_LARGE
    other = {"Bucket": "photos", "Name": "other"}
    told = refusal(index_faces, CollectionId="people", Image={"S3Object": other})
    assert told == ("InvalidS3ObjectException", 400)


@pytest.mark.parametrize(
    "asked",
    [
        {"ExternalImageId": "a/b"},
        {"ExternalImageId": "ä"},
        {"ExternalImageId": "a" * 256},
        {"QualityFilter": "BEST"},
        {"Image": {}},
        {"Image": {"Bytes": b"x", "S3Object": {"Bucket": "abc", "Name": "x"}}},
        {"Image": {"Bytes": b""}},
        {"CollectionId": "a:b"},
    ],
)
def test_values_out_of_range_are_refused(client: RekognitionClient, asked: dict[str, Any]) -> None:
    """By the model of the API, which the SDK itself only looks at for types."""
    whole = {"CollectionId": "people", "Image": {"Bytes": photo(Face(1))}, **asked}
    assert refusal(client.index_faces, **whole) == INVALID


@pytest.mark.parametrize(
    "asked", [{"FaceId": "1"}, {"MaxFaces": 4097}, {"FaceMatchThreshold": 100.5}]
)
def test_searches_out_of_range_are_refused(
    client: RekognitionClient, asked: dict[str, Any]
) -> None:
    """Those of SearchFaces too."""
    face_id = index(client, Face(1))["FaceRecords"][0]["Face"]["FaceId"]
    whole = {"CollectionId": "people", "FaceId": face_id, **asked}
    assert refusal(client.search_faces, **whole) == INVALID


@pytest.mark.parametrize(
    "asked", [{"ExternalImageId": "a/b"}, {"Image": {"Bytes": bytes(BYTES_MAX + 1)}}]
)
def test_the_observed_error_can_be_had(
    client: RekognitionClient, rekognition: Remote, asked: dict[str, Any]
) -> None:
    """Callers of the real service report ValidationException, which is in no documentation."""
    rekognition.change(violations="observed")
    whole = {"CollectionId": "people", "Image": {"Bytes": photo(Face(1))}, **asked}
    assert refusal(client.index_faces, **whole) == ("ValidationException", 400)
