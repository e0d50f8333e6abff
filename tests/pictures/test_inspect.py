"""What a file is said to be before a pixel of it is decoded."""

from __future__ import annotations

import io
from tempfile import SpooledTemporaryFile

import pytest
from PIL import Image, ImageFile

from runner.errors import Permanent
from runner.pictures import decode, inspect
from tests.pictures.samples import encoded, gradient, png_header
from tests.pictures.samples_exif import with_exif

FORMS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")


@pytest.mark.parametrize("form", FORMS)
def test_format_and_size_are_those_of_the_file(form: str) -> None:
    """Every format that can be decoded is recognised, with its size in pixels as stored."""
    found = inspect(with_exif(form))
    assert (found.format, found.width, found.height) == (form, 48, 64)


def test_a_turned_photograph_has_its_stored_size() -> None:
    """Orientation is for whoever shows it: no pixel is touched."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(gradient(64, 48), "JPEG", exif=exif)
    found = inspect(data)
    assert (found.width, found.height) == (64, 48)
    upright = decode(data)
    assert (upright.width, upright.height) == (48, 64)


def test_an_animation_is_its_first_frame() -> None:
    """However many frames there are, the size is that of one."""
    frames = [Image.new("RGB", (20, 10), (n, 0, 0)) for n in range(5)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    found = inspect(file.getvalue())
    assert (found.format, found.width, found.height) == ("GIF", 20, 10)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_read_from_its_beginning_and_stays_open(form: str) -> None:
    """Wherever its position is, and though it is in memory or on the disk."""
    data = with_exif(form)
    for most in (1, 1_000_000):
        with SpooledTemporaryFile(max_size=most) as file:
            file.write(data)
            assert inspect(file).format == form
            file.seek(0)
            assert file.read() == data


@pytest.mark.parametrize(
    "data, code",
    [
        (b"", "empty_picture"),
        (b"<html>", "not_a_picture"),
        (b"<svg xmlns='x'/>", "not_a_picture"),
        (b"\x89PNG\r\n\x1a\n", "broken_picture"),
        (b"\xff\xd8\xff", "broken_picture"),
        (b"GIF89a", "broken_picture"),
        (b"RIFF\xff\xff\xff\x00WEBPVP8 ", "truncated_picture"),
        (png_header(0, 5), "broken_picture"),
        (png_header(60_000, 60_000), "too_many_pixels"),
        (encoded(gradient(300, 200), "PNG")[:40], "broken_picture"),
    ],
)
def test_what_is_no_picture_is_refused_in_the_same_words(data: bytes, code: str) -> None:
    """The reason is the one that decoding would give."""
    with pytest.raises(Permanent) as caught:
        inspect(data)
    assert caught.value.code in (code, "truncated_picture")
    with pytest.raises(Permanent):
        decode(data)


@pytest.mark.parametrize("form", ["WEBP", "AVIF", "HEIF"])
def test_a_container_that_says_it_is_longer_is_refused(form: str) -> None:
    """What is cut off shows in the header of these, without decoding."""
    with pytest.raises(Permanent) as caught:
        inspect(with_exif(form)[:-20])
    assert caught.value.code == "truncated_picture"


def test_the_limit_of_pixels_is_the_callers() -> None:
    """As many as are allowed pass, one row more does not."""
    assert inspect(png_header(1000, 1000), max_pixels=1_000_000).width == 1000
    with pytest.raises(Permanent, match=r"1\.0 megapixels, the limit is 1"):
        inspect(png_header(1000, 1001), max_pixels=1_000_000)


@pytest.mark.parametrize("form", FORMS)
def test_no_pixels_are_decoded(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow is never asked to load a picture."""

    def load(image: ImageFile.ImageFile) -> None:
        raise AssertionError(f"{image.format} was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert inspect(with_exif(form)).format == form
    with pytest.raises(Permanent, match="was decoded"):
        decode(with_exif(form))


def refusal(data: bytes) -> str | None:
    """The code with which a file is refused."""
    try:
        inspect(data)
    except Permanent as error:
        return error.code
    return None


def test_any_cut_and_any_flipped_byte_ends_in_words() -> None:
    """Damage anywhere in a header is a refusal or a picture, and nothing else."""
    for form in FORMS:
        data = with_exif(form)
        for place in range(0, min(len(data), 400), 7):
            for damaged in (data[:place], data[:place] + b"\xff" + data[place + 1 :]):
                code = refusal(damaged)
                assert code is None or code.endswith(("_picture", "_pixels"))
