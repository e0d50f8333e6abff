"""What is sent of a picture's file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from runner.errors import Permanent
from runner.faces.rekognition_s3 import S3Object
from runner.faces.sending import INLINE_BYTES, S3_BYTES, Sent, prepare
from tests.pictures.samples import encoded, gradient

IN_S3 = "https://family.s3.eu-west-1.amazonaws.com/holiday/1.jpg"
ORIENTATION = 0x0112
SIDEWAYS = 6


def sent(data: bytes, url: str = "", **more: Any) -> Sent:
    """What is sent of a file with these bytes, which is left open."""
    file = io.BytesIO(data)
    picture = prepare(file, url, **more)
    assert not file.closed
    return picture


def shown(picture: Sent) -> Image.Image:
    """The RGB picture that is sent as a JPEG."""
    assert isinstance(picture, bytes)
    image = Image.open(io.BytesIO(picture))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    assert len(picture) <= INLINE_BYTES
    return image


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of the values of two pictures of one size."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


def heic(image: Image.Image) -> bytes:
    """The picture as a HEIC file."""
    from pillow_heif import from_pillow

    file = io.BytesIO()
    from_pillow(image).save(file)
    return file.getvalue()


def turned(form: str) -> bytes:
    """A file of 640 x 480 that is to be shown upright, 480 x 640."""
    exif = Image.Exif()
    exif[ORIENTATION] = SIDEWAYS
    return encoded(gradient(), form, exif=exif)


def refused(data: bytes) -> str:
    """The code that a file is refused with."""
    with pytest.raises(Permanent) as raised:
        sent(data)
    return raised.value.code


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_what_is_taken_is_sent_as_it_is(form: str, mode: str) -> None:
    """No JPEG or PNG loses anything on its way."""
    data = encoded(gradient().convert(mode), form)
    assert sent(data) == data


@pytest.mark.parametrize("form", ["WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_other_formats_become_jpeg(form: str) -> None:
    """At their size, and with their colours."""
    assert difference(shown(sent(encoded(gradient(), form))), gradient()) < 8


def test_a_phone_s_picture_becomes_jpeg() -> None:
    """HEIC, too."""
    assert difference(shown(sent(heic(gradient()))), gradient()) < 8


def test_deep_pngs_become_jpeg() -> None:
    """Sixteen bits are scaled to eight, not clipped."""
    deep = Image.fromarray(np.asarray(gradient().convert("L")).astype(np.uint16) * 257)
    assert difference(shown(sent(encoded(deep, "PNG"))), gradient().convert("L").convert("RGB")) < 2


def test_cmyk_becomes_rgb() -> None:
    """A JPEG made for print is none that cameras make."""
    assert difference(shown(sent(encoded(gradient().convert("CMYK"), "JPEG"))), gradient()) < 8


def test_a_comment_in_the_file_is_not_sent() -> None:
    """Where a picture is written anew, nothing goes out but the picture."""
    data = encoded(gradient().convert("CMYK"), "JPEG", comment=b"private words")
    assert b"private words" in data
    again = sent(data)
    assert isinstance(again, bytes)
    assert b"private words" not in again


def test_a_turned_jpeg_is_sent_as_it_is() -> None:
    """Rekognition turns it by itself."""
    data = turned("JPEG")
    assert sent(data) == data


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_other_turned_pictures_are_sent_upright(form: str) -> None:
    """PNG among them, whose EXIF data Rekognition doesn't read."""
    upright = gradient().transpose(Image.Transpose.ROTATE_270)
    assert difference(shown(sent(turned(form))), upright) < 8


def test_a_png_that_says_it_is_upright_is_sent_as_it_is() -> None:
    """Nor does EXIF data that can't be read change anything."""
    for exif in (b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0", b"Exif\0\0?"):
        data = encoded(gradient(), "PNG", exif=exif)
        assert sent(data) == data


def test_the_limit_is_met_to_the_byte() -> None:
    """The largest file goes as it is, one byte more is one too many; upright, too."""
    largest = turned("JPEG").ljust(INLINE_BYTES, b"\0")
    assert sent(largest) == largest
    assert shown(sent(largest + b"\0")).size == (480, 640)


def test_large_pictures_are_reduced() -> None:
    """A camera's picture keeps a megapixel and more."""
    data = encoded(gradient(60, 40).resize((6000, 4000)), "JPEG").ljust(INLINE_BYTES + 1, b"\0")
    width, height = shown(sent(data)).size
    assert width / height == pytest.approx(1.5, abs=0.01)
    assert 1_000_000 < width * height <= 4_000_000


def test_the_noisiest_picture_fits() -> None:
    """No picture is too much for a JPEG of the pixels that are left."""
    bits = np.random.default_rng(0).integers(0, 2, (2000, 2000, 3), dtype=np.uint8)
    assert shown(sent(encoded(Image.fromarray(bits * 255), "BMP"))).size == (2000, 2000)


def test_colours_of_a_profile_become_those_of_srgb() -> None:
    """What is red by its numbers and green by its profile is sent as green."""
    red = Image.new("RGB", (100, 100), (255, 0, 0))
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = [profile.index(name, 128) + 4 for name in (b"rXYZ", b"gXYZ")]
    places = [bytes(profile[tag : tag + 8]) for tag in tags]
    for tag, place in zip(tags, reversed(places), strict=True):
        profile[tag : tag + 8] = place
    data = encoded(red, "WEBP", lossless=True, icc_profile=bytes(profile))
    green = Image.new("RGB", (100, 100), (0, 255, 0))
    assert difference(shown(sent(data)), green) < 5


@pytest.mark.parametrize("profile", [b"no profile", b"\0" * 200])
def test_a_damaged_profile_is_no_reason_to_refuse(profile: bytes) -> None:
    """The colours are a little off, no more."""
    data = encoded(gradient(), "WEBP", icc_profile=profile)
    assert difference(shown(sent(data)), gradient()) < 8


@pytest.mark.parametrize("size", [(79, 79), (80, 79), (79, 500)])
@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_small_pictures_are_refused(size: tuple[int, int], form: str) -> None:
    """Nothing is enlarged: there would be no more in it."""
    assert refused(encoded(gradient(*size), form)) == "too_small_picture"


def test_the_smallest_picture_is_sent() -> None:
    """80 pixels are enough."""
    assert shown(sent(encoded(gradient(80, 80), "WEBP"))).size == (80, 80)


def test_a_long_strip_is_refused() -> None:
    """It would be too low once it is reduced."""
    assert refused(encoded(Image.new("L", (60_000, 90)), "BMP")) == "too_small_picture"


@pytest.mark.parametrize(
    "data, code",
    [
        (b"", "empty_picture"),
        (b"<html>", "not_a_picture"),
        (encoded(gradient(), "TIFF")[:5000], "truncated_picture"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, code: str) -> None:
    """In the decoder's words."""
    assert refused(data) == code


def test_too_many_pixels_are_refused() -> None:
    """Before anything is decoded, whatever the format."""
    with pytest.raises(Permanent, match="too many pixels"):
        sent(encoded(gradient(), "JPEG"), max_pixels=1000)


@pytest.mark.parametrize("region", ["eu-west-1", None])
@pytest.mark.parametrize("size", [INLINE_BYTES + 1, S3_BYTES])
def test_large_pictures_in_s3_stay_there(size: int, region: str | None) -> None:
    """Rekognition reads them by itself; of which region its URL says, or nothing says."""
    data = encoded(gradient(), "JPEG").ljust(size, b"\0")
    url = IN_S3 if region else "s3://family/holiday/1.jpg"
    place = S3Object("family", "holiday/1.jpg", region)
    assert sent(data, url, region="eu-west-1") == place


@pytest.mark.parametrize(
    "url, size",
    [
        (IN_S3, INLINE_BYTES),
        (IN_S3, S3_BYTES + 1),
        (IN_S3.replace("eu-west-1", "us-east-2"), S3_BYTES),
        (f"{IN_S3}?X-Amz-Signature=1", S3_BYTES),
        ("https://example.org/1.jpg", S3_BYTES),
        ("", S3_BYTES),
    ],
    ids=["small", "above 15 MB", "another region", "signed", "elsewhere", "nowhere"],
)
def test_all_others_are_sent(url: str, size: int) -> None:
    """What is small, too large even for S3, or not surely where the service can read it."""
    data = encoded(gradient(), "JPEG").ljust(size, b"\0")
    assert shown(sent(data, url, region="eu-west-1")).size == (640, 480)


def test_what_rekognition_does_not_take_never_stays_in_s3() -> None:
    """A large picture of another format is converted wherever it is."""
    data = encoded(gradient(2000, 1000), "BMP")
    assert INLINE_BYTES < len(data) <= S3_BYTES
    assert shown(sent(data, IN_S3, region="eu-west-1")).size == (2000, 1000)
