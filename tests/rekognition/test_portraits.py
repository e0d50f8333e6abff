"""The service sees the faces that tests draw, whatever happens to the picture on its way."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image, ImageOps

from tests.rekognition.likeness import STRANGERS_BELOW, Likeness
from tests.rekognition.portraits import SMALLEST_PX, Face, decode, draw, encode, jpeg, png
from tests.rekognition.settings import LookAlike
from tests.rekognition.vision import Eye, SeenFace

FACES = tuple(Face(person * 7919, variation=person, sharpness=100 - person) for person in range(7))


def seen(picture: bytes) -> list[SeenFace]:
    """What a service that never saw this picture sees."""
    return list(Eye().faces(picture)[1])


def who(faces: list[SeenFace]) -> list[tuple[int, int, int]]:
    """Who they are, in their order."""
    return [(face.person, face.variation, face.sharpness) for face in faces]


EXPECTED = [(face.person, face.variation, face.sharpness) for face in FACES]


def test_faces_are_seen_in_the_order_they_are_given() -> None:
    """Faces that find their own places are told largest first, so in the order given."""
    assert who(seen(png(draw(*FACES, size=(640, 480))))) == EXPECTED


@pytest.mark.parametrize("quality", [80, 95])
@pytest.mark.parametrize("divisor", [1, 2])
def test_faces_survive_compression_and_halving(quality: int, divisor: int) -> None:
    """At JPEG quality 80 and at half the size every face is told as it was drawn."""
    luck = random.Random(1)
    for ground in range(60):
        side = luck.randint(SMALLEST_PX * divisor, 90)
        face = Face(
            luck.randrange(1 << 24), luck.randrange(256), luck.randrange(101),
            box=(luck.randrange(300), luck.randrange(200), side),
        )  # fmt: skip
        image = draw(face, ground=ground)
        small = image.resize((image.width // divisor, image.height // divisor))
        found = who(seen(jpeg(small, quality)))
        assert found == [(face.person, face.variation, face.sharpness)], face


def test_a_face_is_where_it_was_drawn() -> None:
    """Boxes are right to a pixel."""
    (face,) = seen(jpeg(draw(Face(5, box=(37, 59, 101)), size=(400, 300))))
    box = face.box
    assert box.left * 400 == pytest.approx(37, abs=1)
    assert box.top * 300 == pytest.approx(59, abs=1)
    assert box.width * 400 == pytest.approx(101, abs=1.5)
    assert box.height * 300 == pytest.approx(101, abs=1.5)


def test_small_faces_of_large_pictures_are_seen() -> None:
    """Below 3 % too, and where the picture is read at a fraction of its size."""
    for side, size in ((24, (1000, 850)), (90, (4000, 3200))):
        (face,) = seen(jpeg(draw(Face(9, box=(100, 80, side)), size=size)))
        assert face.person == 9
        assert max(face.box.width, face.box.height) < 0.03


def test_turned_pictures_are_seen_upright() -> None:
    """The orientation that a JPEG file's EXIF data tell is corrected first, boxes included."""
    upright = draw(Face(3, box=(40, 50, 100)), size=(400, 300))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    file = io.BytesIO()
    turned.save(file, "JPEG", exif=exif)
    assert seen(jpeg(turned)) == []
    (face,) = seen(file.getvalue())
    assert (face.box.left, face.box.top) == pytest.approx((0.1, 1 / 6), abs=0.005)


def test_pictures_without_faces_have_none() -> None:
    """Backgrounds, plain black, and noise with thousands of dark spots are no faces."""
    noise = Image.effect_noise((400, 300), 120)
    black = Image.new("L", (200, 200))
    framed = ImageOps.expand(Image.new("L", (80, 80), 255), 10, 0)
    framed = ImageOps.expand(framed, 40, 128)
    for image in (draw(), noise, black, framed):
        assert seen(jpeg(image)) == []


def test_another_ground_is_another_file() -> None:
    """The same faces can be drawn as different files, and the same file again."""
    files = {jpeg(draw(Face(1), ground=ground)) for ground in (0, 1, 2, 1)}
    assert len(files) == 3


@pytest.mark.parametrize(
    "faces",
    [
        (Face(1, box=(10, 10, SMALLEST_PX - 1)),),
        (Face(1, box=(350, 10, 60)),),
        (Face(1, box=(10, 10, 60)), Face(2, box=(72, 10, 60))),
        (Face(1 << 24),),
        (Face(1, sharpness=101),),
    ],
    ids=["too-small", "outside", "touching", "no-such-person", "too-sharp"],
)
def test_pictures_that_could_not_be_read_are_not_drawn(faces: tuple[Face, ...]) -> None:
    """What the service couldn't tell is refused when it is drawn, not missed later."""
    with pytest.raises(ValueError, match="face"):
        draw(*faces)


def test_a_wrong_bit_is_no_other_face() -> None:
    """No single wrong cell makes a face another one."""
    code = encode(123_456, 7, 90)
    assert decode(code) == (123_456, 7, 90)
    assert [decode(code ^ 1 << bit) for bit in range(64)] == [None] * 64


def test_likeness_tells_people_apart() -> None:
    """One person is above 99 %, look-alikes are as set, strangers below 50 %, both ways."""
    likeness = Likeness([LookAlike(1, 2, 88.5)])
    for one in range(20):
        for other in range(20):
            found = likeness((one, 3), (other, 4))
            assert found == likeness((other, 4), (one, 3))
            if one == other:
                assert 99 <= found < 100
            elif {one, other} == {1, 2}:
                assert found == 88.5
            else:
                assert found < STRANGERS_BELOW
    assert likeness((5, 3), (5, 3)) == 100
    assert likeness.near(1) == {1, 2}
