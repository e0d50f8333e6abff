"""Damaged and hostile metadata is no reason to fail, to wait, or to run out of memory."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import IFD, Base

from runner.pictures import decode
from runner.pictures.exif import Exif, read
from runner.pictures.metadata import MOST_CHUNKS
from tests.pictures.samples import encoded
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

ASCII, SHORT, LONG = 2, 3, 4


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
    kept_is_clean(read(encoded(Image.new("RGB", (8, 8)), "JPEG", xmp=b'xmp:CreatorTool="' + data)))
