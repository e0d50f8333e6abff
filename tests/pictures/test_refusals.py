"""What is no picture, or a damaged one, is refused in plain words, whatever the damage."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from runner.errors import Permanent
from runner.pictures import decode
from tests.pictures.samples import encoded, gradient, palette, png_header

# Pillow warns of odd metadata; `decode` silences that, and pytest would turn it into errors.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\..*")


def refusal(data: bytes, **options: Any) -> Permanent:
    """The error that decoding these bytes ends with."""
    with pytest.raises(Permanent) as caught:
        decode(data, **options)
    return caught.value


@pytest.mark.parametrize(
    "data, message",
    [
        (b"<!doctype html><title>404</title>", "not a picture: HTML page (33 bytes)"),
        (b"\xef\xbb\xbf\n <HTML><body>", "not a picture: HTML page (17 bytes)"),
        (b"<!-- x --><html lang=en>", "not a picture: HTML page (24 bytes)"),
        (b"<svg xmlns='x'/>", "not a picture: SVG drawing, which has no pixels (16 bytes)"),
        (
            b"<?xml version='1.0'?><svg/>",
            "not a picture: SVG drawing, which has no pixels (27 bytes)",
        ),
        (b"%PDF-1.7 ...", "not a picture: PDF document (12 bytes)"),
        (b'{"error": "expired"}', "not a picture: JSON text (20 bytes)"),
        (b"Not Found", "not a picture: text (9 bytes)"),
        (b"PK\x03\x04....", "not a picture: ZIP archive (8 bytes)"),
        (bytes(1234), "not a picture: zero bytes only (1,234 bytes)"),
        (bytes(range(256)), "not a picture: unknown binary data (256 bytes)"),
        (
            b"\0\0\0\x14ftypisom\0\0\0\0isom",
            "not a picture: video or audio (ISO media) (20 bytes)",
        ),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1",
            "not a picture: PostScript file (46 bytes)",
        ),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, message: str) -> None:
    """Something else called .jpg is refused by what it is."""
    error = refusal(data)
    assert (str(error), error.code) == (message, "not_a_picture")


def test_empty_file_is_refused() -> None:
    """No bytes are not a picture."""
    assert refusal(b"").code == "empty_picture"


def test_heif_with_tiles_missing_is_refused() -> None:
    """A HEIC that is cut off is refused, though its decoder would leave tiles black."""
    from pillow_heif import from_pillow

    file = io.BytesIO()
    from_pillow(gradient(1024, 768)).save(file, quality=90)
    error = refusal(file.getvalue()[:-100])
    assert error.code == "truncated_picture"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_truncated_picture_is_refused(form: str) -> None:
    """A picture of which half is missing is refused as truncated, not shown half gray."""
    noise = np.random.default_rng(1).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), form)
    error = refusal(data[: len(data) // 2])
    assert error.code == "truncated_picture"
    assert str(error) == f"truncated {form} picture: it ends early, after {len(data) // 2:,} bytes"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png_header(30_000, 30_000), id="PNG"),
        pytest.param(b"GIF89a\xff\xff\xff\xff" + encoded(palette(), "GIF")[10:], id="GIF"),
        pytest.param(b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2, id="WEBP"),
        pytest.param(
            b"BM"
            + bytes(8)
            + b"\x36\0\0\0\x28\0\0\0"
            + b"\xa0\x86\x01\0" * 2
            + b"\1\0\x18\0"
            + bytes(24),
            id="BMP",
        ),
    ],
)
def test_bomb_is_refused_by_its_header(data: bytes) -> None:
    """A picture that claims more pixels than allowed is refused before anything is decoded."""
    error = refusal(data)
    assert error.code == "too_many_pixels"
    assert "megapixels" in str(error)


def test_pixel_cap_is_a_setting() -> None:
    """The cap counts pixels, and a picture that just fits is decoded."""
    data = encoded(gradient(640, 480), "PNG")
    assert decode(data, max_pixels=640 * 480).width == 640
    error = refusal(data, max_pixels=640 * 480 - 1)
    assert error.code == "too_many_pixels"
    assert str(error).startswith("too many pixels: 640 x 480 is 0.3 megapixels")


def test_damaged_png_is_refused() -> None:
    """Flipped bytes in the pixels end in a clear error."""
    data = bytearray(encoded(gradient(), "PNG"))
    middle = len(data) // 2
    data[middle : middle + 64] = b"\xff" * 64
    error = refusal(bytes(data))
    assert error.code in {"broken_picture", "truncated_picture"}
    assert "0x" not in str(error)


SEEDS = [
    encoded(gradient(96, 64), form)
    for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=4)), max_size=12),
    st.integers(0, 10_000),
)
def test_damage_never_crashes(data: bytes, changes: list[tuple[int, bytes]], cut: int) -> None:
    """However a file is damaged, the outcome is a picture or `Permanent` with one line."""
    damaged = bytearray(data)
    for at, new in changes:
        position = at % len(damaged)
        damaged[position : position + len(new)] = new
    keep = len(damaged) - cut % len(damaged) if cut % 2 else len(damaged)
    outcome = ""
    try:
        picture = decode(bytes(damaged[:keep]), max_pixels=1_000_000)
        assert picture.image.mode == "RGB"
    except Permanent as error:
        outcome = str(error)
    assert "\n" not in outcome
    assert len(outcome) < 400
