"""Metadata says what the file says, and damaged metadata is no reason to fail."""

from __future__ import annotations

import io
import json
import tracemalloc
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import IFD, Base

from runner.pictures import decode
from runner.pictures.exif import Exif, read
from runner.pictures.metadata import MOST_CHUNKS
from tests.pictures.samples import encoded, gradient
from tests.pictures.samples_exif import (
    FULL,
    FULL_SUB,
    Entry,
    exif_block,
    png_with,
    raw_block,
    with_exif,
)

# Pillow warns of odd metadata; `decode` silences that, and pytest would turn it into errors.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\..*")

WITH_EXIF = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
PIXEL = Image.new("RGB", (8, 8))
ASCII, SHORT, LONG = 2, 3, 4


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


@pytest.mark.parametrize(
    "data", [b"", b"%PDF-1.7", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0"]
)
def test_what_is_no_picture_is_a_problem_and_no_error(data: bytes) -> None:
    """Bytes without a readable picture give nothing but a problem."""
    found = read(data)
    assert found.problems
    assert found == Exif(problems=found.problems, stripped=found.stripped)


SOFTWARE: Entry = (Base.Software, ASCII, 4, b"Abc")
HOSTILE: dict[str, bytes] = {
    "another header": b"Exif\0\0hello world, this is no TIFF",
    "ends in the header": b"Exif\0\0II*\0",
    "directory outside": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "directory at the end": b"Exif\0\0II*\0\x08\0\0\0\x01",
    "more entries than there are": raw_block(SOFTWARE, stated=65535),
    "text outside": raw_block(SOFTWARE, (Base.Make, ASCII, 400, 0x7FFFFFF0)),
    "text of 4 GB": raw_block(SOFTWARE, (Base.Make, ASCII, 0xFFFFFFFF, 8), rest=b"x" * 2000),
    "text that is a number": raw_block(SOFTWARE, (Base.Make, SHORT, 1, b"\1")),
    "text of no known type": raw_block(SOFTWARE, (Base.Make, 99, 1, b"\1")),
    "directory in no known type": raw_block(SOFTWARE, (IFD.Exif, ASCII, 4, 8)),
    "EXIF directory outside": raw_block(SOFTWARE, (IFD.Exif, LONG, 1, 0xFFFFFFF0)),
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", HOSTILE)
def test_damage_is_reported_and_the_rest_is_read(form: str, name: str) -> None:
    """Each kind of damage is reported, and what is whole beside it is read all the same."""
    block = HOSTILE[name]
    file = with_exif(form, block)
    decode(file)
    found = read(file)
    assert len(found.problems) == 1
    assert "damaged" in found.problems[0]
    assert not found.stripped
    assert found.software == ("Abc" if b"Abc" in block else None)


def test_first_of_two_counts() -> None:
    """Of a tag that is there twice, the first is read, as other readers do."""
    again: Entry = (Base.Software, ASCII, 4, b"Xyz")
    assert read(with_exif("JPEG", raw_block(SOFTWARE, again))).software == "Abc"


def test_text_in_another_encoding_is_read_with_gaps() -> None:
    """Bytes that are not UTF-8 are replaced, and the rest of the text is read."""
    found = read(with_exif("JPEG", raw_block((Base.Make, ASCII, 4, b"Ab\xe9"))))
    assert found.make == "Ab\ufffd"
    comment = exif_block({}, {Base.UserComment: b"\0" * 8 + b"Ab\xff"})
    assert read(with_exif("JPEG", comment)).comments == ("Ab\ufffd",)


def test_other_metadata_is_no_loss() -> None:
    """A JPEG that has XMP has not lost its metadata, though no program is named in it."""
    found = read(encoded(PIXEL, "JPEG", xmp=XMP % b'xmp:Rating="5">'))
    assert found == Exif()


def test_directory_that_is_its_own_ends() -> None:
    """A directory that names itself as the EXIF directory is read once more and no further."""
    found = read(with_exif("JPEG", raw_block(SOFTWARE, (IFD.Exif, LONG, 1, 8))))
    assert (found.software, found.problems) == ("Abc", ())


def test_empty_directory_is_no_damage() -> None:
    """An EXIF directory without entries is rightly empty."""
    empty = 8 + 2 + 2 * 12
    found = read(with_exif("JPEG", raw_block(SOFTWARE, (IFD.Exif, LONG, 1, empty))))
    assert (found.software, found.problems) == ("Abc", ())


def test_memory_is_bounded() -> None:
    """Tens of thousands of entries that share one long text don't multiply it."""
    size = 600_000
    entries = [(Base.Software, ASCII, size, 0)] * 100 + [(1 + i, 7, size, 0) for i in range(49_000)]
    file = with_exif("PNG", raw_block(*entries, rest=b"\0" * size))
    tracemalloc.start()
    try:
        read(file)
        assert tracemalloc.get_traced_memory()[1] < 12 * len(file)
    finally:
        tracemalloc.stop()


def test_time_is_bounded() -> None:
    """A PNG of endlessly many empty pieces is left at some point, which is reported."""
    found = read(png_with(*[(b"IDAT", b"")] * MOST_CHUNKS, (b"tEXt", b"Software\0late")))
    assert (found.programs, len(found.problems)) == ((), 1)


def kept_is_clean(found: Exif) -> None:
    """Whatever is kept is short, printable text that PostgreSQL's jsonb takes."""
    texts = (found.created, found.software, found.make, found.model)
    for text in (*texts, *found.programs, *found.comments, *found.problems):
        if text is not None:
            assert text.isprintable()
            assert 0 < len(text) < 300
    json.dumps(asdict(found)).encode("utf-8")


BLOCK = exif_block(FULL, FULL_SUB)
changes = st.lists(
    st.tuples(st.integers(6, len(BLOCK) - 1), st.integers(0, 255)), min_size=1, max_size=30
)


@given(
    changes=changes,
    length=st.integers(6, len(BLOCK)),
    form=st.sampled_from(["JPEG", "PNG", "WEBP"]),
)
def test_damaged_exif_never_fails(
    changes: list[tuple[int, int]], length: int, form: str
) -> None:  # fmt: skip
    """Whatever bytes of an EXIF block are changed or lost, reading ends with clean texts."""
    block = bytearray(BLOCK)
    for at, value in changes:
        block[at] = value
    kept_is_clean(read(with_exif(form, bytes(block[:length]))))


@given(st.binary(max_size=300), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0"]))
def test_random_exif_never_fails(data: bytes, header: bytes) -> None:
    """Random bytes behind any header of an EXIF block end with clean texts."""
    kept_is_clean(read(with_exif("PNG", b"Exif\0\0" + header + data)))


HEADS = (b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0+",
         b"RIFF\x40\0\0\0WEBP", b"\0\0\0\x18ftypavif", b"\0\0\0\x18ftypheic")  # fmt: skip


@given(st.sampled_from(HEADS), st.binary(max_size=200))
def test_random_files_never_fail(head: bytes, data: bytes) -> None:
    """Random bytes that begin like a picture end with clean texts."""
    kept_is_clean(read(head + data))


@given(st.binary(max_size=300))
def test_random_xmp_never_fails(data: bytes) -> None:
    """Random bytes for XMP end with clean texts."""
    kept_is_clean(read(encoded(PIXEL, "JPEG", xmp=b'xmp:CreatorTool="' + data)))
