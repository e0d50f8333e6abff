"""From a row to a score: download, decode, find the subject, score."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from runner.contract import Result, Row
from runner.errors import NothingFound, Permanent, Skip
from runner.fetch import Client
from runner.pictures import Picture, brightness, decode
from runner.tasks.quality_score import score
from runner.tasks.quality_score.detector import Detector
from runner.tasks.quality_score.subject import Subject, find


class Compute:
    """Scores one row at a time; called from several threads.

    A row has `url`, and may have `boxes`, `width` and `height` (the application's own idea of
    the size, which pixel boxes refer to). Below `min_box_confidence` the score is left null.
    """

    def __init__(
        self,
        client: Client,
        detector: Detector | None = None,
        *,
        min_box_confidence: float = 0.0,
        max_pixels: int = 100_000_000,
    ) -> None:
        self._client = client
        self._detector = detector
        self._least = min_box_confidence
        self._max_pixels = max_pixels

    def __call__(self, row: Row) -> Result:
        """The result's value is `{"quality_score": 0..100, "quality_details": {...}}`.

        Raises `Skip` without a URL, `NothingFound` where the box is too uncertain, and what
        downloading, decoding and detecting raise.
        """
        url = row.get("url")
        if not isinstance(url, str) or not url.strip():
            raise Skip("the row has no URL")
        picture = self._picture(url)
        size = _stored_size(row, picture)
        subject = find(row["key"], picture, row.get("boxes"), size, self._detector)
        value = evaluate(picture, subject)
        if subject.confidence is not None and subject.confidence < self._least:
            raise NothingFound(
                f"the subject's box is too uncertain: confidence {subject.confidence:.2f} "
                f"is below {self._least:.2f}",
                {**value, "quality_score": None},
            )
        return Result(value)

    def _picture(self, url: str) -> Picture:
        with self._client.get(url) as download:
            try:
                return decode(download.file, max_pixels=self._max_pixels)
            except Permanent as error:
                raise Permanent(f"{download.url}: {error}", code=error.code) from error


def evaluate(picture: Picture, subject: Subject) -> dict[str, Any]:
    """The score of a decoded picture with a known subject, and its details, as JSON types."""
    light = brightness(picture.image)
    parts = score.parts(
        box=subject.box,
        subjects=subject.count,
        visible_ratio=subject.visible_ratio,
        width=picture.width,
        height=picture.height,
        brightness=light,
    )
    details: dict[str, Any] = {
        "version": score.VERSION,
        "algorithm": score.ALGORITHM,
        "parts": asdict(parts),
        "box": None if subject.box is None else subject.box.as_json(),
        "box_source": subject.source,
        "confidence": None if subject.confidence is None else round(subject.confidence, 4),
        "subjects": subject.count,
        "picture": {
            "width": picture.width,
            "height": picture.height,
            "format": picture.format,
            "mode": picture.mode,
            "animated": picture.animated,
            "brightness": round(light, 2),
            "scale": round(picture.scale, 4),
        },
    }
    if subject.visible_ratio is not None:
        details["visible_ratio"] = round(subject.visible_ratio, 4)
    if subject.detector is not None:
        details["detector"] = subject.detector
    if subject.notes:
        details["notes"] = subject.notes
    return {"quality_score": score.total(parts), "quality_details": details}


def _stored_size(row: Row, picture: Picture) -> tuple[int, int]:
    width, height = row.get("width"), row.get("height")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return picture.width, picture.height
