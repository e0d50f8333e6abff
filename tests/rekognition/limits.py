"""The documented limits of requests, with the errors that the service has for them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from tests.rekognition.errors import ServiceError
from tests.rekognition.model import operation_model, violations
from tests.rekognition.settings import Settings

BYTES_MAX = 5_242_880
"""Of a picture within the request, before base64; the model's limit of ImageBlob."""

OBJECT_BYTES_MAX = 15 * 1024 * 1024
"""Of a picture in S3; developer guide, "Guidelines and quotas"."""

FACES_MAX = 100
"""Faces of a picture that are found, the largest; API reference of IndexFaces."""

Objects = Mapping[tuple[str, str], bytes]
"""Pictures in S3 by bucket and name."""


def check(operation: str, parameters: Mapping[str, Any], settings: Settings) -> None:
    """Raises `ServiceError` for the first value that the API's model refuses."""
    for path, problem in violations(operation_model(operation).input_shape, parameters):
        raise _violation(path, problem, "InvalidParameterException", settings)


def picture(image: Mapping[str, Any], objects: Objects, settings: Settings) -> bytes:
    """The bytes of a request's Image.

    Raises `ServiceError`: ImageTooLargeException, InvalidS3ObjectException where there is no such
    object, InvalidParameterException where there is no picture, or two.
    """
    if len(image) != 1:
        raise ServiceError("InvalidParameterException")
    if "Bytes" in image:
        return _inline(image["Bytes"], settings)
    place = image["S3Object"]
    found = objects.get((place.get("Bucket", ""), place.get("Name", "")))
    if found is None:
        raise ServiceError("InvalidS3ObjectException")
    if len(found) > OBJECT_BYTES_MAX:
        raise ServiceError("ImageTooLargeException")
    return found


def _inline(text: str, settings: Settings) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ServiceError("SerializationException", "Image.Bytes is no base64") from error
    if len(found) > BYTES_MAX:
        problem = f"Member must have length less than or equal to {BYTES_MAX}"
        raise _violation("Image.Bytes", problem, "ImageTooLargeException", settings)
    if not found:
        problem = "Member must have length greater than or equal to 1"
        raise _violation("Image.Bytes", problem, "InvalidParameterException", settings)
    return found


def _violation(path: str, problem: str, documented: str, settings: Settings) -> ServiceError:
    place = ".".join(name[:1].lower() + name[1:] for name in path.split("."))
    message = f"1 validation error detected: Value at '{place}' failed to satisfy constraint: "
    observed = settings.violations == "observed"
    return ServiceError("ValidationException" if observed else documented, message + problem)
