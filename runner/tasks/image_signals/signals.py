"""Everything that one picture alone says about a payment: its metadata, shape and text."""

from __future__ import annotations

from typing import TypeAlias

from runner.pictures import Picture
from runner.pictures.exif import Exif
from runner.tasks.image_signals import metadata
from runner.tasks.image_signals.density import text_density
from runner.tasks.image_signals.screenshot import look

JSON: TypeAlias = str | int | bool | None


def signals(picture: Picture, exif: Exif) -> dict[str, JSON]:
    """The columns of `payment_image_signals` that need no other picture, by their names.

    `exif_creation_date` is ISO 8601 and has an offset from UTC only where the file gives one;
    `resolution_width` and `resolution_height` are in pixels and upright.
    """
    text = text_density(picture.image)
    source = metadata.source(exif)
    seen = look(picture.width, picture.height, text, source, metadata.device(exif))
    return {
        "exif_available": exif.available,
        "exif_creation_date": exif.created,
        "exif_source_type": source.value,
        "exif_metadata_stripped": exif.stripped,
        "exif_editor_detected": metadata.editor(exif),
        "metadata_notes": metadata.notes(exif, picture.format),
        "looks_like_screenshot": seen.is_screenshot,
        "aspect_ratio": seen.aspect_ratio,
        "resolution_width": picture.width,
        "resolution_height": picture.height,
        "text_density_score": text,
        "screenshot_validity_explanation": seen.explanation,
    }
