"""Amazon Rekognition's DetectLabels as a detector: the instances of one label.

Region, credentials and an endpoint of one's own come from the AWS SDK's usual places
(AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL, ...). The right needed is rekognition:DetectLabels.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from PIL import Image

from runner.errors import Permanent, Retry, RowOutcome, UsageError
from runner.tasks.quality_score.boxes import from_edges
from runner.tasks.quality_score.detector import Answer, Detection, as_jpeg

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient
    from types_boto3_rekognition.type_defs import DetectLabelsResponseTypeDef, LabelTypeDef

NAME = "rekognition"

USD_A_CALL = 0.001
"""List price of an image in the first million a month (group 2, us-east-1)."""

SDK_RETRIES = 2

_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "LimitExceededException",
    }
)
_PICTURE = frozenset(
    {"ImageTooLargeException", "InvalidImageFormatException", "InvalidParameterException"}
)
_DENIED = frozenset(
    {
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "ExpiredTokenException",
        "MissingAuthenticationTokenException",
        "InvalidClientTokenId",
        "SubscriptionRequiredException",
    }
)


class RekognitionDetector:
    """Asks DetectLabels; `label` and `min_confidence` (0..1) choose.

    Raises `UsageError` where the SDK finds no region or no credentials.
    """

    def __init__(self, *, label: str, min_confidence: float, timeout_s: float) -> None:
        self._label = label
        self._least = min_confidence
        self._client = _connect(timeout_s)

    def __call__(self, image: Image.Image) -> Answer:
        """Raises `Permanent` (`detector_denied`, `detector_rejected`) or `Retry`."""
        try:
            reply = self._client.detect_labels(
                Image={"Bytes": as_jpeg(image)},
                MinConfidence=self._least * 100,
                Features=["GENERAL_LABELS"],
                Settings={"GeneralLabels": {"LabelInclusionFilters": [self._label]}},
            )
        except ClientError as error:
            raise _outcome(error) from error
        except BotoCoreError as error:
            text = " ".join(str(error).split())[:160]
            raise Retry(f"Rekognition can't be reached: {text}", code="detector") from error
        return self._read(reply)

    def _read(self, reply: DetectLabelsResponseTypeDef) -> Answer:
        wanted = self._label.casefold()
        labels = [
            label
            for label in reply.get("Labels", [])
            if label.get("Name", "").casefold() == wanted
            and label.get("Confidence", 0.0) >= self._least * 100
        ]
        return Answer(
            name=NAME,
            version=str(reply.get("LabelModelVersion", "")),
            detections=tuple(one for label in labels for one in self._instances(label)),
            spend_usd=USD_A_CALL,
        )

    def _instances(self, label: LabelTypeDef) -> list[Detection]:
        found = []
        for instance in label.get("Instances", []):
            box = instance.get("BoundingBox", {})
            left, top = box.get("Left", 0.0), box.get("Top", 0.0)
            edges = from_edges(
                left, top, left + box.get("Width", 0.0), top + box.get("Height", 0.0)
            )
            confidence = min(max(instance.get("Confidence", 0.0) / 100, 0.0), 1.0)
            if edges is not None and confidence >= self._least:
                found.append(Detection(edges, confidence))
        # A label may come without instances: it is in the picture, nobody knows where.
        return found or [Detection(None, min(label.get("Confidence", 0.0) / 100, 1.0))]


def _connect(timeout_s: float) -> RekognitionClient:
    region = os.environ.get("AWS_REGION")  # which boto3, unlike other SDKs, does not read
    try:
        session = boto3.Session(region_name=region)
        if not session.region_name:
            raise UsageError("detector rekognition needs a region: set AWS_REGION")
        if session.get_credentials() is None:
            raise UsageError(
                "detector rekognition found no AWS credentials: "
                "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        config = Config(
            connect_timeout=5,
            read_timeout=timeout_s,
            retries={"max_attempts": SDK_RETRIES},
            max_pool_connections=64,
        )
        return session.client("rekognition", config=config)
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"detector rekognition can't be set up: {error}") from error


def _outcome(error: ClientError) -> RowOutcome:
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = str(error.response.get("Error", {}).get("Message", ""))[:160]
    message = f"Rekognition says {code}: {text}".rstrip(": ")
    if code in _THROTTLED:
        return Retry(message, code="detector_throttled", counts=False)
    if code in _DENIED:
        return Permanent(
            f"{message}; check the AWS credentials and the right rekognition:DetectLabels",
            code="detector_denied",
        )
    if code in _PICTURE:
        return Permanent(message, code="detector_rejected")
    return Retry(message, code="detector")
