"""Every picture that can be read is read right."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from runner.pictures import Picture, brightness, decode
from runner.pictures.memory import Allowance
from runner.pictures.modes import to_rgb
from tests.pictures.samples import encoded, gradient, palette

ORIENTATION = 0x0112

# Pillow warns of odd metadata; `decode` silences that, and pytest would turn it into errors.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\..*")


def pixel(picture: Picture, x: float, y: float) -> tuple[int, ...]:
    """The colour at these shares of width and height."""
    at = (int(x * (picture.image.width - 1)), int(y * (picture.image.height - 1)))
    value = picture.image.getpixel(at)
    assert isinstance(value, tuple)
    return value


@pytest.mark.parametrize(
    "form, options",
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {}),
    ],
)
def test_format_is_read(form: str, options: dict[str, Any]) -> None:
    """Each format gives an RGB picture with the right size, name and colours."""
    picture = decode(encoded(gradient(), form, **options))
    assert (picture.width, picture.height, picture.format) == (640, 480, form)
    assert (picture.image.mode, picture.image.size, picture.scale) == ("RGB", (640, 480), 1.0)
    assert not picture.animated
    assert np.allclose(pixel(picture, 1, 0), (255, 0, 0), atol=20)
    assert np.allclose(pixel(picture, 0, 1), (0, 255, 255), atol=20)


def test_heif_is_read() -> None:
    """A HEIC from a phone is read like any other picture."""
    from pillow_heif import from_pillow

    file = io.BytesIO()
    from_pillow(gradient()).save(file, quality=90)
    picture = decode(file.getvalue())
    assert (picture.width, picture.height, picture.format) == (640, 480, "HEIF")
    assert np.allclose(pixel(picture, 1, 0), (255, 0, 0), atol=20)


WHITE: dict[str, Any] = {
    "1": 1,
    "L": 255,
    "RGB": (255, 255, 255),
    "RGBX": (255, 255, 255, 0),
    "CMYK": (0, 0, 0, 0),
    "YCbCr": (255, 128, 128),
    "LAB": (255, 128, 128),
}


@pytest.mark.parametrize("mode", WHITE)
def test_mode_is_shown_as_it_looks(mode: str) -> None:
    """Whatever mode a white picture is stored in, it is white."""
    picture = decode(encoded(Image.new(mode, (64, 64), WHITE[mode]), "TIFF"))
    assert min(pixel(picture, 0.5, 0.5)) >= 253


@pytest.mark.parametrize("mode", ["HSV", "PA", "RGBa", "I;16B"])
@pytest.mark.parametrize("factor", [1, 3])
def test_mode_without_a_file_format_is_converted(mode: str, factor: int) -> None:
    """Modes that no format here stores become RGB all the same, reduced or not."""
    white: dict[str, Any] = {
        "HSV": (0, 0, 255), "PA": (0, 0), "RGBa": (0, 0, 0, 0), "I;16B": 65535
    }  # fmt: skip
    result = to_rgb(Image.new(mode, (64, 32), white[mode]), factor)
    assert result.size == (-(-64 // factor), -(-32 // factor))
    assert result.getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_jpeg_of_adobe_is_not_inverted() -> None:
    """A CMYK JPEG, whose values Adobe stores inverted, keeps white paper white and ink dark."""
    page = Image.new("CMYK", (64, 64), (0, 0, 0, 0))
    page.paste((0, 0, 0, 255), (0, 0, 32, 64))
    data = encoded(page, "JPEG", quality=95)
    assert b"Adobe" in data
    picture = decode(data)
    assert picture.mode == "CMYK"
    assert min(pixel(picture, 0.9, 0.5)) > 245
    assert max(pixel(picture, 0.1, 0.5)) < 10


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "PNG"), id="RGBA"),
        pytest.param(encoded(Image.new("LA", (40, 40), (0, 0)), "PNG"), id="LA"),
        pytest.param(encoded(palette(), "PNG", transparency=1), id="palette-index"),
        pytest.param(
            encoded(palette(), "PNG", transparency=bytes([255, 0])),
            id="palette-table",
        ),
        pytest.param(
            encoded(Image.new("RGB", (40, 40), (9, 8, 7)), "PNG", transparency=(9, 8, 7)),
            id="RGB-key",
        ),
        pytest.param(encoded(Image.new("L", (40, 40), 9), "PNG", transparency=9), id="L-key"),
        pytest.param(encoded(palette(), "GIF", transparency=1), id="GIF"),
        pytest.param(
            encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "WEBP", lossless=True), id="WEBP"
        ),
    ],
)
def test_transparency_is_white(data: bytes) -> None:
    """What is transparent shows the white page behind it, not black."""
    assert pixel(decode(data), 0.5, 0.5) == (255, 255, 255)


def test_16_bits_are_scaled() -> None:
    """A 16-bit gray ramp stays a ramp: it is scaled to 8 bits, not clipped at 255."""
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(64, axis=0)
    for form in ("PNG", "TIFF"):
        picture = decode(encoded(Image.fromarray(ramp), form))
        assert picture.mode.startswith("I;16")
        values = np.asarray(picture.image)[0, :, 0].astype(int)
        assert abs(values - np.arange(256)).max() <= 1


def test_12_bits_are_scaled_by_their_own_range() -> None:
    """A TIFF of 12 bits a sample is as bright as it was meant to be."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    data = bytearray(encoded(Image.new("I;16", (64, 64), 4095), "TIFF", tiffinfo=tags))
    packed = b"\xff" * (64 * 64 * 3 // 2)
    start = data.index(b"\xff\x0f" * 8)
    bits = data.index(b"\x02\x01\x03\x00\x01\x00\x00\x00\x10\x00")
    data[bits + 8] = 12
    data[start : start + len(packed)] = packed
    assert brightness(decode(bytes(data)).image) == pytest.approx(255, abs=1)


@pytest.mark.parametrize(
    "values, expected",
    [
        pytest.param(np.linspace(0, 1, 100, dtype=np.float32), 127.5, id="shares"),
        pytest.param(np.linspace(0, 255, 100, dtype=np.float32), 127.5, id="bytes"),
        pytest.param(np.linspace(-500, 900, 100, dtype=np.float32), 127.5, id="any"),
        pytest.param(np.linspace(0, 4_000_000, 100, dtype=np.int32), 127.5, id="int32"),
        pytest.param(np.full(100, np.nan, dtype=np.float32), 0, id="nan"),
    ],
)
def test_wide_values_are_spread(values: np.ndarray[Any, Any], expected: float) -> None:
    """Floats and 32-bit integers become a picture whatever their range is."""
    data = encoded(Image.fromarray(values[None, :].repeat(50, axis=0)), "TIFF")
    assert brightness(decode(data).image) == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(form: str, orientation: int) -> None:
    """However a camera was held, the picture is upright and its size is that of the upright."""
    upright = Image.new("RGB", (120, 80), "black")
    upright.paste("white", (0, 0, 30, 20))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture = decode(encoded(stored, form, exif=exif))
    assert (picture.width, picture.height) == picture.image.size == (120, 80)
    assert min(pixel(picture, 0.1, 0.1)) > 200
    assert max(pixel(picture, 0.9, 0.1)) < 60
    assert max(pixel(picture, 0.1, 0.9)) < 60


def test_unreadable_metadata_is_no_news() -> None:
    """A JPEG with damaged EXIF data is shown as it is stored, and nothing is printed about it."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(40))
    data = encoded(gradient(), "JPEG", exif=exif)
    code = (
        "import sys; from runner.pictures import decode; "
        "print(decode(sys.stdin.buffer.read()).image.size)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True)
    assert (done.stdout, done.stderr) == (b"(640, 480)\n", b"")


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF"])
def test_first_frame_counts(form: str) -> None:
    """Of an animation the first frame is decoded, and the picture says that it moves."""
    frames = [Image.new("RGB", (60, 60), colour) for colour in ("white", "black", "red")]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=50)
    picture = decode(data)
    assert picture.animated
    assert min(pixel(picture, 0.5, 0.5)) > 250


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_large_picture_is_reduced(form: str) -> None:
    """A large picture is decoded small, but not below the short side that was asked for."""
    picture = decode(encoded(gradient(4096, 2304), form))
    assert (picture.width, picture.height) == (4096, 2304)
    assert 512 <= min(picture.image.size) < 1024
    assert picture.scale == pytest.approx(picture.image.width / 4096)
    assert min(decode(encoded(gradient(4096, 2304), form), short_side=256).image.size) < 512


def test_long_strip_stays_small() -> None:
    """A picture a hundred times as long as wide doesn't escape the reduction."""
    picture = decode(encoded(gradient(60_000, 600), "PNG"))
    assert picture.image.width * picture.image.height <= 4_000_000
    assert picture.scale < 1


def test_file_is_read_like_bytes() -> None:
    """A spooled download gives the same picture as its bytes, wherever its position is."""
    data = encoded(gradient(), "TIFF", compression="tiff_lzw")
    with tempfile.SpooledTemporaryFile(max_size=100) as file:
        file.write(data)
        assert decode(file).image.tobytes() == decode(data).image.tobytes()


def test_threads_decode_side_by_side() -> None:
    """Pictures decoded by many threads at once are the same as decoded one by one."""
    files = [encoded(gradient(800 + 8 * n, 600), "JPEG") for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decode, files * 3))
    alone = [decode(data).image.tobytes() for data in files]
    assert [p.image.tobytes() for p in together] == alone * 3


def test_allowance_is_never_exceeded() -> None:
    """Threads that want more memory than there is take turns, and one that wants all of it runs."""
    allowance = Allowance(100)
    most, lock = [0], threading.Lock()

    def work(size: int) -> None:
        with allowance.take(size), lock:
            most[0] = max(most[0], allowance.used)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [30, 60, 100, 5000, 1] * 20))
    assert most[0] <= 100
    assert allowance.used == 0
