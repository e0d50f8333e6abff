"""The signals of one picture, from its file to the columns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import Base

from runner.tasks.image_signals.signals import signals
from tests.pictures.samples_exif import exif_block
from tests.tasks.samples_signals import jpeg, opened, photograph, png, receipt

# Pillow warns of odd metadata; `decode` silences that, and pytest would turn it into errors.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\..*")

COLUMNS = {
    "exif_available": bool,
    "exif_creation_date": str | None,
    "exif_source_type": str,
    "exif_metadata_stripped": bool,
    "exif_editor_detected": str | None,
    "metadata_notes": str,
    "looks_like_screenshot": bool,
    "aspect_ratio": str,
    "resolution_width": int,
    "resolution_height": int,
    "text_density_score": int,
    "screenshot_validity_explanation": str,
}


def signals_of(file: bytes) -> dict[str, Any]:
    """The signals of a file, which have to survive JSON."""
    found = signals(*opened(file))
    assert json.loads(json.dumps(found)) == found
    return found


def test_screenshot_of_a_phone() -> None:
    """A receipt as a phone saves it looks like a screenshot, and nothing is held against it."""
    found = signals_of(png(receipt()))
    assert {name: type(value) for name, value in found.items() if value is not None} == {
        name: kind for name, kind in COLUMNS.items() if isinstance(kind, type)
    }
    assert set(found) == set(COLUMNS)
    assert found["looks_like_screenshot"]
    assert found["aspect_ratio"] == "9:19.5 (Tall)"
    assert (found["resolution_width"], found["resolution_height"]) == (720, 1600)
    assert not found["exif_available"]
    assert not found["exif_metadata_stripped"]
    assert found["exif_source_type"] == "unknown"


def test_screenshot_through_a_messenger() -> None:
    """A receipt that a messenger encoded again without metadata still looks like a screenshot."""
    found = signals_of(jpeg(receipt(), 60))
    assert found["looks_like_screenshot"]
    assert found["exif_metadata_stripped"]
    assert "means nothing" in found["metadata_notes"]


def test_photograph_of_a_phone_held_sideways() -> None:
    """A camera's picture is no screenshot, and its sides are those of the upright picture."""
    exif = exif_block(
        {Base.Make: "Fruit", Base.Orientation: 6}, {Base.DateTimeOriginal: "2024:01:02 03:04:05"}
    )
    found = signals_of(jpeg(photograph(1600, 900), exif=exif))  # fmt: skip
    assert (found["resolution_width"], found["resolution_height"]) == (900, 1600)
    assert found["aspect_ratio"] == "9:16 (Standard)"
    assert found["exif_source_type"] == "camera"
    assert found["exif_creation_date"] == "2024-01-02T03:04:05"
    assert not found["looks_like_screenshot"]
    assert "Fruit" in found["screenshot_validity_explanation"]


def test_edited_screenshot() -> None:
    """An editor is found and told; the picture still looks like what it was."""
    exif = exif_block({Base.Software: "Adobe Photoshop 22.1"})
    found = signals_of(jpeg(receipt(), exif=exif))
    assert found["exif_source_type"] == "edited"
    assert found["exif_editor_detected"] == "Adobe Photoshop 22.1"
    assert found["looks_like_screenshot"]


@settings(max_examples=25)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    exif=st.binary(min_size=1, max_size=100),
    form=st.sampled_from([jpeg, png]),
)
def test_any_picture_has_all_signals(width: int, height: int, exif: bytes, form: Any) -> None:
    """Whatever decodes has every signal, however small it is and whatever its metadata are."""
    image = Image.new("RGB", (width, height), "olive")
    found = signals_of(form(image, exif=b"Exif\0\0" + exif))
    assert set(found) == set(COLUMNS)
    assert "\0" not in json.dumps(found, ensure_ascii=False)
    assert found["text_density_score"] == 0
