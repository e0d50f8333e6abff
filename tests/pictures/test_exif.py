"""Metadata says what the file says, wherever its format keeps it."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import Any

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from runner.pictures import decode
from runner.pictures.exif import Exif, read
from tests.pictures.samples import encoded, gradient
from tests.pictures.samples_exif import (
    FULL,
    FULL_SUB,
    exif_block,
    png_with,
    with_exif,
)

# Pillow warns of odd metadata; `decode` silences that, and pytest would turn it into errors.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\..*")

WITH_EXIF = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
PIXEL = Image.new("RGB", (8, 8))


def dated(text: str | bytes, **offset: str) -> Exif:
    """What is read of a JPEG with this DateTimeOriginal."""
    sub: dict[int, Any] = {Base.DateTimeOriginal: text}
    if offset:
        sub[Base.OffsetTimeOriginal] = offset["offset"]
    return read(with_exif("JPEG", exif_block({}, sub)))


@pytest.mark.parametrize("form", WITH_EXIF)
def test_exif_is_read_of_every_format_that_has_it(form: str) -> None:
    """Device, program, date with offset and comment are found wherever the format keeps them."""
    found = read(with_exif(form, exif_block(FULL, FULL_SUB)))
    assert found == Exif(
        available=True,
        created="2024-01-02T03:04:05+05:30",
        software="16.2",
        make="Fruit",
        model="Fruit Phone 12",
        programs=("16.2",),
        comments=("Screenshot",),
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "GIF", "BMP"])
def test_absence_is_told_apart_from_loss(form: str) -> None:
    """A file without metadata has none; only JPEG and HEIF are said to have lost it."""
    assert read(with_exif(form)) == Exif(stripped=form in ("JPEG", "HEIF"))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_orientation_alone_is_no_information(form: str) -> None:
    """A file that has kept nothing but its orientation counts as one without EXIF."""
    found = read(with_exif(form, exif_block({Base.Orientation: 6})))
    assert found == Exif(stripped=form == "JPEG")


def test_bytes_in_big_endian_order_are_read() -> None:
    """EXIF in Motorola's byte order is read like Intel's."""
    exif = Image.Exif()
    exif.endian = ">"
    exif.update(FULL)
    assert read(with_exif("JPEG", exif.tobytes())).model == "Fruit Phone 12"


def test_big_tiff_is_read() -> None:
    """A TIFF with 64-bit offsets is read like any other."""
    file = encoded(
        gradient(48, 64), "TIFF", big_tiff=True, tiffinfo={Base.Software: "Scanner 3000"}
    )
    assert file[2] == 43
    assert read(file).software == "Scanner 3000"


@pytest.mark.parametrize(
    "stored, created",
    [
        ("2024:01:02 03:04:05", "2024-01-02T03:04:05"),
        ("2024-01-02T03:04:05", "2024-01-02T03:04:05"),
        ("2024:01:02 03:04:05.678", "2024-01-02T03:04:05"),
        ("2024:02:29 23:59:59 ", "2024-02-29T23:59:59"),
    ],
)
def test_date_becomes_iso_text(stored: str, created: str) -> None:
    """A date is given in ISO 8601, without a zone where the file names none."""
    found = dated(stored)
    assert (found.created, found.problems) == (created, ())


@pytest.mark.parametrize(
    "offset, zone",
    [("+05:30", "+05:30"), ("-03:00", "-03:00"), ("Z", "+00:00"), ("+00:00", "+00:00")],
)
def test_offset_is_kept(offset: str, zone: str) -> None:
    """A date has its offset from UTC where the file gives one."""
    assert dated("2024:01:02 03:04:05", offset=offset).created == f"2024-01-02T03:04:05{zone}"


@pytest.mark.parametrize("offset", ["+25:00", "+05:99", "-14:01", "IST", "0530"])
def test_nonsense_for_an_offset_is_noted(offset: str) -> None:
    """An offset that no place has leaves the date as it is, and is reported."""
    found = dated("2024:01:02 03:04:05", offset=offset)
    assert found.created == "2024-01-02T03:04:05"
    assert found.problems == (f"the time zone “{offset}”, which is none",)


@pytest.mark.parametrize(
    "text",
    [
        "0000:00:00 00:00:00",
        "2023:13:45 10:00:00",
        "2023:02:29 10:00:00",
        "2023:01:01 24:00:00",
        "0001:01:01 00:00:00",
        "9999:12:31 23:59:59",
        "yesterday",
        "2024:01:02",
        "1704164645",
    ],
)
def test_nonsense_is_no_date(text: str) -> None:
    """What is no day and time of a calendar gives no date, and is reported as it is stored."""
    found = dated(text)
    assert found.created is None
    assert found.problems == (f"the date “{text}”, which is no date",)


@pytest.mark.parametrize("text", ["    :  :     :  :  ", " ", ""])
def test_unknown_date_is_no_problem(text: str) -> None:
    """The standard's blank date means that it is not known, which is no damage."""
    found = dated(text)
    assert (found.created, found.problems) == (None, ())


@pytest.mark.parametrize(
    "main, sub, created",
    [
        ("2023", {Base.DateTimeOriginal: "2021", Base.DateTimeDigitized: "2022"}, "2021"),
        ("2023", {Base.DateTimeDigitized: "2022"}, "2022"),
        ("2023", {}, "2023"),
        ("2023", {Base.DateTimeOriginal: "0000", Base.DateTimeDigitized: "2022"}, "2022"),
        ("2023", {Base.DateTimeOriginal: "0000"}, "2023"),
    ],
)
def test_dates_have_an_order(main: str, sub: dict[int, str], created: str) -> None:
    """Taken, then digitized, then changed: the first that is a date counts."""
    dates = {tag: f"{year}:01:01 00:00:00" for tag, year in sub.items()}
    block = exif_block({Base.DateTime: f"{main}:01:01 00:00:00"}, dates)
    assert read(with_exif("JPEG", block)).created == f"{created}-01-01T00:00:00"


def test_place_is_not_kept() -> None:
    """Of a file that says where it was made, nothing that is kept says it."""
    exif = Image.Exif()
    exif[Base.Model] = "Fruit Phone"
    exif.get_ifd(IFD.GPSInfo).update({1: "N", 2: (48.0, 51.0, 29.6), 29: "2024:01:02"})
    kept = json.dumps(asdict(read(with_exif("JPEG", exif.tobytes()))))
    assert "Fruit Phone" in kept
    assert not any(part in kept for part in ("48", "51", "29", "GPS"))


@pytest.mark.parametrize(
    "stored",
    [
        b"ASCII\0\0\0Screenshot",
        b"UNICODE\0" + "Screenshot".encode("utf-16-le"),
        b"\0" * 8 + b"Screenshot\0",
    ],
)
def test_comment_is_read_in_any_character_set(stored: bytes) -> None:
    """A comment in Latin letters is read whichever character set it is stored in."""
    assert read(with_exif("PNG", exif_block({}, {Base.UserComment: stored}))).comments == (
        "Screenshot",
    )


def test_text_is_one_clean_line() -> None:
    """Control characters, NULs and endless texts don't get into what is kept."""
    found = read(
        with_exif("JPEG", exif_block({Base.Make: "A\0\n\tB\x1b[31m", Base.Model: "x" * 50_000}))
    )
    assert found.make == "A B [31m"
    assert found.model == "x" * 200


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description %s</rdf:Description></x:xmpmeta>'


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    "said",
    [
        b'xmp:CreatorTool="Cut &amp; Paste 2">',
        b"><xmp:CreatorTool>Cut &amp; Paste 2</xmp:CreatorTool>",
        b'><rdf:li stEvt:softwareAgent="Cut &amp; Paste 2"/>',
    ],
)
def test_program_is_read_of_xmp(form: str, said: bytes) -> None:
    """A program that names itself in XMP only, in either notation, is found."""
    packet = XMP % said
    if form == "PNG":
        file = png_with((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    else:
        file = encoded(PIXEL, form, xmp=packet)
    assert read(file) == Exif(programs=("Cut & Paste 2",))


def test_mark_in_xmp_is_read() -> None:
    """A screenshot's mark that is in XMP only is found."""
    said = b"><exif:UserComment><rdf:Alt><rdf:li xml:lang='x-default'>Screenshot</rdf:li>"
    assert read(encoded(PIXEL, "JPEG", xmp=XMP % said)).comments == ("Screenshot",)


@pytest.mark.parametrize("form", ["JPEG", "GIF"])
def test_program_is_read_of_a_comment(form: str) -> None:
    """A program that names itself in nothing but a comment is found."""
    assert read(encoded(PIXEL, form, comment=b"Created with GIMP")).programs == ("GIMP",)


@pytest.mark.parametrize(
    "kind, data",
    [
        (b"tEXt", b"Software\0gnome-screenshot"),
        (b"iTXt", b"Software\0\0\0\0\0gnome-screenshot"),
        (b"eXIf", exif_block({Base.Software: "gnome-screenshot"})[6:]),
    ],
)
def test_png_is_read_to_its_end_without_its_pixels(kind: bytes, data: bytes) -> None:
    """A PNG's metadata behind its pixels is found, and no pixel is decoded for it."""
    assert read(png_with((kind, data))).programs == ("gnome-screenshot",)


def test_old_profile_in_png_is_read() -> None:
    """EXIF in a PNG from before there was a chunk for it is read, and damage in it is reported."""
    hexadecimal = exif_block({Base.Software: "Camera+"}).hex()
    text = f"Raw profile type exif\0\nexif\n{len(hexadecimal) // 2}\n{hexadecimal}\n"
    assert read(png_with((b"tEXt", text.encode()))).software == "Camera+"
    assert read(png_with((b"tEXt", text.encode()[:-2] + b"g\n"))).problems


def test_file_stays_open_and_is_read_from_its_beginning() -> None:
    """A file may be handed over at any position and can be used afterwards."""
    for form in WITH_EXIF:
        file = io.BytesIO(with_exif(form, exif_block(FULL)))
        file.seek(7)
        assert read(file).make == "Fruit"
        assert decode(file).format == form


def test_other_metadata_is_no_loss() -> None:
    """A JPEG that has XMP has not lost its metadata, though no program is named in it."""
    found = read(encoded(PIXEL, "JPEG", xmp=XMP % b'xmp:Rating="5">'))
    assert found == Exif()
