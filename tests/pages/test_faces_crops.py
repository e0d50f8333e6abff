"""What the faces that are cut out of pictures promise."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from runner.fetch import Client
from runner.pages.faces_crops import SIDE, Box, Made, Region, Source, crops, region
from tests.plugins.picture_host import PictureHost

RED, GRAY = (220, 20, 20), (128, 128, 128)
MOST_PIXELS = 100_000_000
_ORIENTATION = 0x0112


def picture(
    size: tuple[int, int], box: tuple[int, int, int, int], orientation: int = 1, form: str = "JPEG"
) -> bytes:
    """A gray picture with a red box (left, top, right, bottom in pixels), stored as turned."""
    image = Image.new("RGB", size, GRAY)
    image.paste(RED, box)
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    file = io.BytesIO()
    image.save(file, form, exif=exif)
    return file.getvalue()


def opened(crop: bytes | str) -> Image.Image:
    """A crop that is there, as a picture."""
    assert isinstance(crop, bytes)
    return Image.open(io.BytesIO(crop))


def is_red(image: Image.Image, across: float, down: float) -> bool:
    """Whether a picture is red at a place, given in shares of it."""
    red, green, _ = image.getpixel((int(across * image.width), int(down * image.height)))  # type: ignore[misc]
    return bool(red > 180 and green < 80)


@pytest.fixture
def client(picture_host: PictureHost) -> Iterator[Client]:
    """Downloads as the command does, from the test's own host."""
    with Source(allow="127.0.0.1/32", base_url=picture_host.url, total_s=2.0).client() as found:
        yield found


def cut(client: Client, *wanted: Region) -> Made:
    """The crops of these regions."""
    return crops(client, wanted, MOST_PIXELS, lambda _done, _of: None)


def test_face_is_in_the_middle_with_what_is_around_it(
    client: Client, picture_host: PictureHost
) -> None:
    """A crop is a small square around the face, wider than it on every side."""
    picture_host.add("/a.jpg", picture((1600, 1200), (400, 300, 800, 700)))
    one = Region("a.jpg", Box(0.25, 0.25, 0.25, 1 / 3))
    crop = opened(cut(client, one)[one])
    assert crop.size == (SIDE, SIDE)
    assert is_red(crop, 0.5, 0.5)
    assert is_red(crop, 0.25, 0.75)
    assert not any(is_red(crop, x, y) for x, y in ((0.05, 0.5), (0.95, 0.5), (0.5, 0.05)))


def test_boxes_are_those_of_the_upright_picture(client: Client, picture_host: PictureHost) -> None:
    """A picture that is stored on its side is turned before the face is cut out of it."""
    # turned right, the stored lower left corner is the upper left one
    picture_host.add("/a.jpg", picture((800, 600), (0, 500, 100, 600), orientation=6))
    one = Region("a.jpg", Box(0.0, 0.0, 1 / 6, 1 / 8))
    crop = opened(cut(client, one)[one])
    assert is_red(crop, 0.2, 0.2)
    assert not is_red(crop, 0.9, 0.9)


def test_small_faces_keep_their_pixels(client: Client, picture_host: PictureHost) -> None:
    """However small a face is in a large picture, its crop has the pixels that there are."""
    picture_host.add("/a.jpg", picture((4000, 3000), (2000, 1500, 2200, 1700)))
    one = Region("a.jpg", Box(0.5, 0.5, 0.05, 1 / 15))
    assert min(opened(cut(client, one)[one]).size) >= 150


def test_each_picture_is_downloaded_once(client: Client, picture_host: PictureHost) -> None:
    """All faces of a picture come from one download, and each is cut from the whole of it."""
    picture_host.add("/a.jpg", picture((400, 300), (200, 0, 300, 100)))
    places = [None, Box(0.5, 0.0, 0.25, 1 / 3), Box(0.0, 0.5, 0.25, 1 / 3)]
    wanted = [Region("a.jpg", place) for place in places]
    told: list[tuple[int, int]] = []
    made = crops(client, [*wanted, *wanted], MOST_PIXELS, lambda *how_far: told.append(how_far))
    assert [is_red(opened(made[one]), 0.5, 0.5) for one in wanted] == [False, True, False]
    assert [request.target for request in picture_host.requests] == ["/a.jpg"]
    assert told == [(1, 1)]


def test_picture_that_cant_be_had_says_why(client: Client, picture_host: PictureHost) -> None:
    """Whatever is wrong with a picture is told without secrets, and stops no other one."""
    picture_host.add("/good.jpg", picture((400, 300), (0, 0, 400, 300)))
    wanted = {
        Region(f"{url}", None): why
        for url, why in {
            "/missing.jpg?token=hush": "HTTP 404",
            "/html.jpg": "not a picture",
            "/busy.jpg": "too many requests",
            "http://10.0.0.1/x.jpg": "refused",
            "file:///etc/passwd": "can't download",
            "/short.jpg": "connection broke",
        }.items()
    }
    good = Region("/good.jpg", None)
    made = cut(client, *wanted, good)
    assert opened(made[good]).size == (SIDE, 144)
    for one, why in wanted.items():
        told = made[one]
        assert isinstance(told, str)
        assert why in told
        assert "hush" not in told


def test_crops_carry_nothing_else(client: Client, picture_host: PictureHost) -> None:
    """Nothing that the picture's file says about itself, such as a place, is in a crop."""
    image = Image.new("RGB", (300, 300), RED)
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, comment=b"taken at home")
    picture_host.add("/a.jpg", file.getvalue())
    one = Region("a.jpg", None)
    crop = cut(client, one)[one]
    assert isinstance(crop, bytes)
    assert b"taken at home" not in crop
    assert not opened(crop).getexif()


def test_pictures_in_a_folder(tmp_path: Path) -> None:
    """With a folder as the base, pictures are read from it and from nowhere above it."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(picture((300, 300), (0, 0, 300, 300)))
    (tmp_path / "b.jpg").write_bytes(picture((300, 300), (0, 0, 300, 300)))
    inside, outside = Region("a.jpg", None), Region("../b.jpg", None)
    with Source(base_url=str(tmp_path / "pictures")).client() as client:
        made = cut(client, inside, outside)
    assert isinstance(made[inside], bytes)
    assert "out of the base" in str(made[outside])


@pytest.mark.parametrize(
    "box",
    [None, [], "box", {}, {"Left": 0.1, "Top": 0.1, "Width": 0.1},
     {"Left": "0.1", "Top": 0.1, "Width": 0.1, "Height": 0.1},
     {"Left": 0.1, "Top": 0.1, "Width": float("nan"), "Height": 0.1},
     {"Left": 0.1, "Top": 0.1, "Width": 10**400, "Height": 0.1},
     {"Left": 0.1, "Top": 0.1, "Width": 0, "Height": 0.1},
     {"Left": -0.5, "Top": 0.1, "Width": 0.4, "Height": 0.1}],
)  # fmt: skip
def test_what_is_no_box_is_none(box: Any) -> None:
    """A box that is none, or has nothing of the picture in it, is not made into one."""
    assert region("a.jpg", box) == Region("a.jpg", None)


def test_boxes_are_cut_to_the_picture() -> None:
    """A box that reaches over an edge, as a provider's may, is what is within the picture."""
    found = region("a.jpg", {"Left": -0.1, "Top": 0.5, "Width": 0.3, "Height": 1})
    assert found is not None
    assert found.box == pytest.approx((0, 0.5, 0.2, 0.5))
    assert region(None, found.box) is None
    assert region("", found.box) is None
