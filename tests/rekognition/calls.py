"""What the service's own tests say often."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.rekognition.portraits import Face, photo

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient
    from types_boto3_rekognition.type_defs import IndexFacesResponseTypeDef


def index(
    client: RekognitionClient, *faces: Face, name: str = "asset", **more: Any
) -> IndexFacesResponseTypeDef:
    """IndexFaces of a picture of these faces, in `people`."""
    asked: dict[str, Any] = {"CollectionId": "people", "Image": {"Bytes": photo(*faces)}, **more}
    return client.index_faces(ExternalImageId=name, **asked)


def ids(answer: IndexFacesResponseTypeDef) -> list[str]:
    """The ids of the faces that were indexed."""
    return [record["Face"]["FaceId"] for record in answer["FaceRecords"]]


def refusal(call: Callable[..., object], **asked: Any) -> tuple[str, int]:
    """The error code and HTTP status that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(**asked)
    told = caught.value.response
    return told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]
