"""A detector behind HTTP: any service that speaks the small protocol below.

    POST <detector_url>           Content-Type: image/jpeg, body: the picture
    200 {"name": "...", "version": "...",
         "detections": [{"box": [x, y, width, height],   shares 0..1, origin at the top left
                         "label": "bird", "confidence": 0.97,
                         "visible_ratio": 0.8}]}         label and visible_ratio may be left out

Where BACKFILL_DETECTOR_TOKEN is set it is sent as a bearer token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from PIL import Image

from runner.errors import Permanent, Retry
from runner.fetch import Client
from runner.tasks.quality_score.boxes import from_edges
from runner.tasks.quality_score.detector import Answer, Detection, as_jpeg

TOKEN_VARIABLE = "BACKFILL_DETECTOR_TOKEN"  # noqa: S105 - the variable's name


class HttpDetector:
    """Asks one service; `label` (any letter case) and `min_confidence` (0..1) choose."""

    def __init__(
        self, client: Client, url: str, *, token: str | None, label: str, min_confidence: float
    ) -> None:
        self._client = client
        self._url = url
        self._headers = {"Content-Type": "image/jpeg", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._label = label.casefold()
        self._least = min_confidence

    def __call__(self, _key: str, image: Image.Image) -> Answer:
        """Raises `Permanent` with `detector_denied` or `detector_rejected`, or `Retry`."""
        try:
            body = self._client.post(self._url, as_jpeg(image), self._headers)
        except Permanent as error:
            denied = error.code in ("http_401", "http_403")
            hint = f"; check {TOKEN_VARIABLE}" if denied else ""
            code = "detector_denied" if denied else "detector_rejected"
            raise Permanent(f"detector {error}{hint}", code=code) from error
        except Retry as error:
            raise Retry(
                f"detector {error}", code=error.code, after=error.after, counts=error.counts
            ) from error
        try:
            return self._read(json.loads(body))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Retry(
                "the detector's answer is not in the documented form: "
                f"{' '.join(str(error).split())[:120]}",
                code="detector_reply",
            ) from error

    def _read(self, reply: Mapping[str, Any]) -> Answer:
        found = (
            _detection(item)
            for item in reply["detections"]
            if str(item.get("label") or self._label).casefold() == self._label
        )
        return Answer(
            name=str(reply["name"])[:100],
            version=str(reply["version"])[:100],
            detections=tuple(one for one in found if one.confidence >= self._least),
        )


def _detection(item: Mapping[str, Any]) -> Detection:
    left, top, width, height = (float(number) for number in item["box"])
    box = from_edges(left, top, left + width, top + height)
    if box is None:
        raise ValueError(f"box {item['box']} is empty or outside 0..1")
    visible = item.get("visible_ratio")
    return Detection(
        box=box,
        confidence=_share(item["confidence"], "confidence"),
        visible_ratio=None if visible is None else _share(visible, "visible_ratio"),
    )


def _share(value: Any, name: str) -> float:
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"{name} {share} is outside 0..1")
    return share
