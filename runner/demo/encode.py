"""Pictures to file bytes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image

JPEG_QUALITY = 82


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """The picture as a file in a format that Pillow can write, with that writer's options."""
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def jpeg(image: Image.Image, **options: Any) -> bytes:
    """The picture as a JPEG file."""
    return encoded(image, "JPEG", quality=JPEG_QUALITY, **options)
