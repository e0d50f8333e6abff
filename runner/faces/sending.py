"""A picture's file to what Rekognition takes: JPEG or PNG, and not too large."""

from __future__ import annotations

import io
from typing import IO

from PIL import ExifTags, Image, ImageCms

from runner.errors import Permanent
from runner.faces.rekognition_s3 import S3Object, s3_object
from runner.pictures import DEFAULT_MAX_PIXELS, decode, inspect
from runner.pictures.formats import FORMATS
from runner.pictures.metadata import read_blocks

INLINE_BYTES = 5_242_880
"""Of a picture within a call; developer guide, "Guidelines and quotas", and the API's model."""

S3_BYTES = 15_000_000
"""Of a picture in S3. The guide says 15 MB and not which: this is the lesser."""

LEAST_SIDE = 80
"""Pixels of width and height; the same guide."""

SHORT_SIDE = 2000
"""Asked of the decoder, so that it reduces a picture only to keep within 4 megapixels: to no less
than one. Rekognition finds faces of 40 pixels in 1920 x 1080, and in larger pictures none that are
a smaller share."""

QUALITY = 95
SAFE_QUALITY = 90
"""Of JPEG where the first one takes too many bytes: the noisiest 4 megapixels that were tried
took 5.7 MB at the first and 4.4 MB at the second."""

_PNG_DEPTH_AT = 24
"""Where a PNG has its bits a sample; W3C PNG, 11.2.1 IHDR."""

Sent = bytes | S3Object
"""A picture as a call gets it: itself, or where it is."""


def prepare(
    file: IO[bytes],
    url: str = "",
    *,
    region: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Sent:
    """The file as it is where Rekognition takes it so; else an upright JPEG in sRGB, never larger.

    `url` is where the bytes came from, after all redirects. A large picture in S3 is left there,
    unless its bucket is known to be in another region than `region`, the service's.

    Raises `Permanent`: as `runner.pictures.decode` does, `too_small_picture` (below 80 pixels a
    side; if it is very long, after reducing it). The file isn't closed.
    """
    found = inspect(file, max_pixels=max_pixels)
    _check_sides(found.width, found.height)
    if _is_taken(found.format, file):
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if size <= INLINE_BYTES:
            return file.read()
        place = s3_object(url)
        if size <= S3_BYTES and place is not None and place.region in (None, region):
            return place
    image = decode(file, short_side=SHORT_SIDE, max_pixels=max_pixels).image
    _check_sides(*image.size)
    return _as_jpeg(_as_srgb(image))


def _check_sides(width: int, height: int) -> None:
    if min(width, height) < LEAST_SIDE:
        raise Permanent(
            f"picture of {width} x {height} pixels; Rekognition takes {LEAST_SIDE} a side and more",
            code="too_small_picture",
        )


def _is_taken(form: str, file: IO[bytes]) -> bool:
    """Whether it is a JPEG of gray or RGB, or a PNG of up to 8 bits that is stored upright.

    Of the other kinds the documentation says nothing. Rekognition turns a JPEG by its EXIF data,
    and boxes are in the upright picture; of PNG it says that there is no EXIF data in it.
    """
    file.seek(0)
    if form == "JPEG":
        return FORMATS[form].open(file).mode in ("L", "RGB")
    if form == "PNG":
        head = file.read(_PNG_DEPTH_AT + 1)
        return head[_PNG_DEPTH_AT] <= 8 and _is_upright_png(file)
    return False


def _is_upright_png(file: IO[bytes]) -> bool:
    block = read_blocks("PNG", file).exif
    if block is None:
        return True
    exif = Image.Exif()
    try:
        exif.load(block.read())
        return bool(exif.get(ExifTags.Base.Orientation, 1) == 1)
    except Exception:  # noqa: BLE001 - hostile bytes; the decoder takes it for upright, too
        return True


def _as_srgb(image: Image.Image) -> Image.Image:
    """By the picture's own profile, where it has one for RGB: wide-gamut phones look pale else."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes):
        return image
    try:
        return _to_srgb(image, profile)
    except (ImageCms.PyCMSError, OSError, ValueError):
        # a damaged profile, or one for CMYK or gray, whose pixels are RGB by now
        return image


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.createProfile("sRGB")
    turned = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
    return image if turned is None else turned


def _as_jpeg(image: Image.Image) -> bytes:
    encoded = _encoded(image, QUALITY)
    return encoded if len(encoded) <= INLINE_BYTES else _encoded(image, SAFE_QUALITY)


def _encoded(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    # the writer would copy the comment that somebody left in the file
    image.info.pop("comment", None)
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
