"""Amazon Rekognition's DetectLabels as a detector: the instances of one label.

Region, credentials and an endpoint of one's own come from the AWS SDK's usual places
(AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL, ...). The right needed is rekognition:DetectLabels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from runner.contract import Call, Expected, Limiter, Row
from runner.faces.rekognition_calls import NAME, RATE, Turns, paid
from runner.faces.rekognition_client import connect, region
from runner.tasks.quality_score.boxes import from_edges, read_stored
from runner.tasks.quality_score.detector import Answer, Detection, as_jpeg

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import DetectLabelsResponseTypeDef, LabelTypeDef

OPERATION = "DetectLabels"

UNKNOWN_SIZE = 1_000_000
"""Pixels each way of a picture whose size no row says: boxes in pixels fit into it."""


class RekognitionDetector:
    """Asks DetectLabels; `label` and `min_confidence` (0..1) choose.

    Raises `UsageError` where the SDK finds no region or no credentials.
    """

    def __init__(
        self, limiter: Limiter, *, label: str, min_confidence: float, timeout_s: float
    ) -> None:
        self._limiter = limiter
        self._label = label
        self._least = min_confidence
        self._client = connect(timeout_s=timeout_s)
        self._turns = Turns(self._client, limiter)

    def __call__(self, key: str, image: Image.Image) -> Answer:
        """Raises what `rekognition_errors` makes of errors, and `Retry` where money is used up."""
        picture = as_jpeg(image)
        call = Call(NAME, OPERATION, self._client.meta.region_name, reference=key)
        with paid(self._limiter, key, call):
            reply = self._turns.call(
                OPERATION,
                lambda: self._client.detect_labels(
                    Image={"Bytes": picture},
                    MinConfidence=self._least * 100,
                    Features=["GENERAL_LABELS"],
                    Settings={"GeneralLabels": {"LabelInclusionFilters": [self._label]}},
                ),
            )
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


def expected(rows: Sequence[Row]) -> Sequence[Expected]:
    """A call for each picture whose subject's box isn't stored."""
    asked = sum(not _has_box(row) for row in rows)
    share = asked / len(rows) if rows else 1.0
    basis = "" if asked == len(rows) else f"{asked} of {len(rows)} pictures have no box stored"
    return (Expected(NAME, OPERATION, share, region(), basis, RATE),)


def _has_box(row: Row) -> bool:
    width, height = row.get("width"), row.get("height")
    stored = read_stored(row.get("boxes"), width or UNKNOWN_SIZE, height or UNKNOWN_SIZE)
    return stored.box is not None
