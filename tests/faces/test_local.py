"""What the local engine finds in real and in odd pictures."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFilter

from runner.faces import Face, FaceFinder, distance, dropped, similarity
from runner.faces.local import LocalFaces
from runner.faces.sharpness import LEAST_SHARPNESS, sharpness
from runner.pictures import decode


def encoded(image: Image.Image, form: str = "PNG", orientation: int = 1) -> bytes:
    """The picture as a file."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    image.save(file, form, exif=exif)
    return file.getvalue()


def found(engine: FaceFinder, data: bytes) -> list[Face]:
    """The faces of a file, as a task gets them."""
    return engine.find(decode(data, short_side=engine.short_side).image)


def alike(a: Face, b: Face) -> float:
    """Similarity of two faces that have embeddings."""
    assert a.embedding is not None
    assert b.embedding is not None
    return similarity(distance(a.embedding, b.embedding))


@pytest.fixture(scope="module")
def original(engine: FaceFinder, head: Image.Image) -> Face:
    """The astronaut's face."""
    (face,) = found(engine, encoded(head))
    return face


def test_face_is_where_it_is(original: Face) -> None:
    """The box encloses eyes and mouth, marked by eye, and not much more."""
    box = original.box
    assert 0.2 < box.left < 0.36
    assert 0.60 < box.left + box.width < 0.75
    assert 0.3 < box.top < 0.46
    assert 0.72 < box.top + box.height < 0.9
    assert original.confidence > 95
    assert original.embedding is not None
    assert len(original.embedding) == 128
    assert original.flaw == ""


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
def test_modes(engine: FaceFinder, head: Image.Image, original: Face, mode: str) -> None:
    """Gray pictures and those with transparency or in ink have the same face."""
    data = encoded(head.convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    (face,) = found(engine, data)
    assert alike(face, original) > 95


@pytest.mark.parametrize("orientation, turn", [(3, 180), (6, 90), (8, 270)])
def test_rotated_by_exif(
    engine: FaceFinder, head: Image.Image, original: Face, orientation: int, turn: int
) -> None:
    """A picture that is stored sideways or upside down has its box in the upright picture."""
    (face,) = found(engine, encoded(head.rotate(turn), "JPEG", orientation))
    assert face.box.left == pytest.approx(original.box.left, abs=0.05)
    assert face.box.top == pytest.approx(original.box.top, abs=0.05)
    assert alike(face, original) > 95


def test_large_picture(engine: FaceFinder, head: Image.Image, original: Face) -> None:
    """A picture of 12 megapixels gives the same box in shares, and the same person."""
    large = Image.new("RGB", (4000, 3000), "gray")
    large.paste(head.resize((1000, 1000), Image.Resampling.BICUBIC), (3000, 2000))
    (face,) = found(engine, encoded(large, "JPEG"))
    assert face.box.left == pytest.approx(0.75 + original.box.left / 4, abs=0.02)
    assert face.box.top == pytest.approx(2 / 3 + original.box.top / 3, abs=0.02)
    assert alike(face, original) > 95


def test_many_faces(engine: FaceFinder, head: Image.Image) -> None:
    """Each face of a picture is found, from left to right."""
    group = Image.new("RGB", (800, 400), "gray")
    for place in range(8):
        group.paste(head, (place % 4 * 200, place // 4 * 200))
    faces = [one for one in found(engine, encoded(group)) if not dropped(one)]
    lefts = [one.box.left for one in faces]
    assert len(faces) == 8
    assert lefts == sorted(lefts)
    assert all(alike(one, faces[0]) > 95 for one in faces)


@pytest.mark.parametrize(
    "part, cut", [((65, 40, 200, 200), "left"), ((40, 85, 150, 200), "top")], ids=str
)
def test_box_stays_inside(
    engine: FaceFinder, head: Image.Image, part: tuple[int, int, int, int], cut: str
) -> None:
    """The box of a face that is cut off ends at the picture's edge, where dlib's would not."""
    (face,) = found(engine, encoded(head.crop(part)))
    assert getattr(face.box, cut) == 0
    assert 0 <= face.box.left <= face.box.left + face.box.width <= 1
    assert 0 <= face.box.top <= face.box.top + face.box.height <= 1


def test_blurred_face_has_no_embedding(engine: FaceFinder, head: Image.Image) -> None:
    """A face that is too soft is named as such: by its embedding it could be anybody."""
    (face,) = found(LocalFaces(least_sharpness=1), encoded(head))
    assert face.embedding is None
    assert dropped(face) == face.flaw == "too blurred to be told from others"


@pytest.mark.parametrize("noise", [0, 12])
def test_sharpness_tells_blur_from_noise(head: Image.Image, noise: int) -> None:
    """A sharp face passes and one out of focus does not, as much as the camera may add noise."""
    face = head.crop((40, 70, 145, 175)).resize((150, 150), Image.Resampling.BICUBIC)
    soft = face.filter(ImageFilter.GaussianBlur(8))
    grain = np.random.default_rng(0).normal(0, noise, (150, 150, 3))
    values = [
        sharpness(np.clip(np.asarray(one) + grain, 0, 255).astype(np.uint8)) for one in (face, soft)
    ]
    assert values[0] > 2 * LEAST_SHARPNESS
    assert values[1] < LEAST_SHARPNESS


def test_a_flat_cut_out_is_not_sharp() -> None:
    """A cut-out of one colour has no sharpness, and no division by zero."""
    assert sharpness(np.full((150, 150, 3), 7, np.uint8)) == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (40, 40), (1, 600), (3000, 2)], ids=str)
def test_no_face(engine: FaceFinder, size: tuple[int, int]) -> None:
    """Tiny, very long and empty pictures have no face, and break nothing."""
    assert found(engine, encoded(Image.new("RGB", size, "white"))) == []


def test_threads_agree(engine: FaceFinder, head: Image.Image) -> None:
    """Threads that use the engine at once find what one alone finds."""
    pictures = [head.crop((i, i, 200, 200)) for i in range(3)]
    alone = [engine.find(picture) for picture in pictures]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(engine.find, pictures)) == alone
