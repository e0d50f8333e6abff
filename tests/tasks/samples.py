"""Pictures, rows and what comes of them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageDraw

from runner.contract import Compute, Result
from runner.tasks.quality_score.boxes import Box

SUBJECT = Box(0.3, 0.25, 0.4, 0.5)
BOX = {"x": 0.3, "y": 0.25, "width": 0.4, "height": 0.5}

Open = Callable[..., Compute]


def picture_of(form: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    """A dark red ellipse on a light gray ground, 800 x 600."""
    image = Image.new("RGB", (800, 600), (190, 195, 190))
    box = (240, 150, 560, 450)
    ImageDraw.Draw(image).ellipse(box, fill=(150, 30, 40))
    file = io.BytesIO()
    image.convert(mode).save(file, form, **options)
    return file.getvalue()


PICTURE = picture_of()


def row(url: str | None, **given: Any) -> dict[str, Any]:
    """A row of the needs view."""
    unset = dict.fromkeys(("width", "height", "source_type", "boxes"))
    return {"key": "1", "revision": "r", "url": url, **unset, **given}


def value(compute: Compute, url: str, **given: Any) -> dict[str, Any]:
    """The result's value, which has to survive JSON."""
    result = compute(row(url, **given))
    assert isinstance(result, Result)
    loaded: dict[str, Any] = json.loads(json.dumps(result.value))
    return loaded
