"""What a detector of subjects is: a picture in, boxes out."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from runner.tasks.quality_score.boxes import Box

JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Detection:
    """One found subject.

    `box` is None where the detector knows that the subject is there but not where;
    `visible_ratio` is how much of the subject is not hidden, where it knows (both 0..1).
    """

    box: Box | None
    confidence: float
    visible_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a detector found in one picture, and who it is."""

    name: str
    version: str
    detections: tuple[Detection, ...] = ()


Detector = Callable[[str, Image.Image], Answer]
"""Called from several threads at once with a row's key and its RGB picture; raises `RowOutcome`."""


def as_jpeg(image: Image.Image) -> bytes:
    """The picture as detectors get it: far below their limits of size."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
