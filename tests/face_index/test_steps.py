"""The steps of a picture: what is kept, linked and paid for, whatever the picture is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pillow_heif
import pytest
from PIL import Image, ImageDraw

from runner.contract import NoLimits
from runner.errors import Halt, Permanent
from runner.faces import Match
from runner.faces.rekognition import RekognitionFaces
from runner.faces.rekognition_client import connect
from runner.fetch import Client
from runner.tasks.face_index.provider import ProviderBackend
from runner.tasks.face_index.steps import Steps
from tests.face_index.application import ANN, BEN, Application
from tests.face_index.conftest import Album, Run
from tests.rekognition.portraits import Face, draw, jpeg, photo
from tests.rekognition.remote import Remote

ORIENTATION = 0x0112


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The picture as a file of this format."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def heic(image: Image.Image) -> bytes:
    """As a phone saves it."""
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=90)
    return file.getvalue()


def turned(image: Image.Image, kind: str) -> bytes:
    """Stored on its side, with a note that says which one."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return saved(image.transpose(Image.Transpose.ROTATE_90), kind, exif=exif)


def animated(image: Image.Image) -> bytes:
    """A film whose first picture it is."""
    return saved(image, "GIF", save_all=True, append_images=[Image.new("RGB", image.size)])


def deep(image: Image.Image) -> bytes:
    """16 bits a sample, which is gray in Pillow."""
    gray = image.convert("L").convert("I").point(lambda value: value * 256)
    return saved(gray.convert("I;16"), "PNG")


def test_every_format_is_looked_at_upright(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Boxes are those in the upright picture, in whatever form it is stored."""
    picture = draw(Face(1, box=(40, 200, 160)), size=(600, 400))
    files = {
        "jpeg": jpeg(picture), "png": saved(picture, "PNG"), "turned jpeg": turned(picture, "JPEG"),
        "turned png": turned(picture, "PNG"), "turned webp": turned(picture, "WEBP"),
        "heic": heic(picture), "gif": animated(picture), "deep": deep(picture),
        "cmyk": saved(picture.convert("CMYK"), "JPEG"), "tiff": saved(picture, "TIFF"),
        "large": saved(picture.resize((6000, 4000)), "BMP"),
    }  # fmt: skip
    assets = {application.add(album.put(name, data)): name for name, data in files.items()}
    assert run("--max-megabytes", "100").code == 0
    rows = application.all("select asset_id::text as asset, bounding_box as box from faces")
    places = {assets[row["asset"]]: row["box"] for row in rows}
    assert set(places) == set(files)
    expected = {"Left": 40 / 600, "Top": 200 / 400, "Width": 160 / 600, "Height": 160 / 400}
    for name, box in places.items():
        assert box == pytest.approx(expected, abs=0.01), name


def test_pictures_that_are_none_fail_without_a_call(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Too small, too many pixels, a drawing, a torn file: each says so in its own class."""
    small = Image.new("RGB", (79, 200))
    ImageDraw.Draw(small).line((0, 0, 79, 200))
    files = {
        "too_small_picture": jpeg(small), "too_many_pixels": jpeg(Image.new("RGB", (2000, 1000))),
        "not_a_picture": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "empty": b"", "truncated_picture": photo(Face(1))[:300],
    }  # fmt: skip
    assets = {application.add(album.put(name, data)): name for name, data in files.items()}
    assert run("--max-megapixels", "1").code == 3
    rows = application.all("select key, error_class, error_message from backfill.failures")
    assert {assets[row["key"]]: row["error_class"] for row in rows} == {one: one for one in files}
    assert all(row["error_message"] for row in rows)
    assert rekognition.calls("IndexFaces") == {}


def test_one_person_is_not_twice_in_a_picture(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Two faces that are as much like one person: somebody is asked about both."""
    known = application.add(album.photo("known", Face(1)))
    run()
    application.link(known, application.person("Ada"))
    both = application.add(album.photo("both", Face(1, 1), Face(1, 2)))
    assert run().code == 0
    assert application.shown(both) == [None, None]
    reasons = application.all("select reason from backfill.faces_to_review")
    assert all("same person" in row["reason"] for row in reasons)
    suggested = application.all("select suggestions from backfill.faces_to_review")
    assert [[one["name"] for one in row["suggestions"]] for row in suggested] == [["Ada"]] * 2


@pytest.mark.parametrize("similarity, linked", [(95.0, True), (94.996, False)])
def test_just_below_the_band_nobody_is_linked(
    application: Application, album: Album, rekognition: Remote, run: Run,
    similarity: float, linked: bool,
) -> None:  # fmt: skip
    """94.996 is not rounded to 95, neither in what is decided nor in what is shown."""
    rekognition.change(look_alikes=[{"one": 1, "other": 2, "similarity": similarity}])
    known = application.add(album.photo("known", Face(1)))
    run()
    application.link(known, application.person("Ada"))
    new = application.add(album.photo("new", Face(2)))
    assert run().code == 0
    assert application.shown(new) == (["Ada"] if linked else [None])
    if not linked:
        (row,) = application.all("select reason from backfill.faces_to_review")
        assert "94.9 %" in row["reason"]


def test_one_file_as_two_pictures(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Each has its own face, is paid for once, and who is said to be on one is found on a third."""
    name = album.photo("same", Face(1))
    first, second = application.add(name), application.add(name)
    assert run().code == 0
    assert application.outcomes() == {"ok": 2}
    assert application.one("select count(distinct rekognition_face_id) from faces") == 2
    application.link(first, application.person("Ada"))
    third = application.add(name)
    assert run().code == 0
    assert application.shown(third) == ["Ada"]
    assert application.shown(second) == [None]
    assert application.one("select sum(calls) from backfill.spend") == 6
    assert application.checks() == []


def test_faces_that_the_application_found_are_known(
    application: Application, album: Album, rekognition: Remote, run: Run
) -> None:
    """Its own pictures need nothing, and its links count for pictures that are new."""
    theirs = application.add(album.photo("theirs", Face(1)))
    faces = RekognitionFaces(connect(), NoLimits())
    made = faces.index(f"savta-user-{ANN}", theirs, photo(Face(1)))
    faces.close()
    application.all(
        "insert into face_collections (user_id, aws_collection_id) values (%s, %s)",
        ANN, f"savta-user-{ANN}",
    )  # fmt: skip
    application.all(
        "insert into faces (user_id, asset_id, rekognition_face_id, bounding_box)"
        " values (%s, %s, %s, '{}')",
        ANN, theirs, made.kept[0].face.face_id,
    )  # fmt: skip
    application.link(theirs, application.person("Ada"))
    assert application.needs(theirs) is None
    new = application.add(album.photo("new", Face(1, 3)))
    assert run().code == 0
    assert application.shown(new) == ["Ada"]
    assert rekognition.calls("IndexFaces")["billed"] == 2


# --- the function by itself ---------------------------------------------------------------------


def a_row(**values: Any) -> dict[str, Any]:
    """A row of the needs view whose picture is new."""
    return {
        "key": "7", "url": "a.jpg", "user_id": BEN, "collection": None, "arn": None, "state": None,
        "collection_engine": None, "collection_version": None, "to_delete": None, "faces": None,
        **values,
    }  # fmt: skip


@pytest.mark.parametrize(
    "values, code",
    [
        ({"key": "a picture/1"}, "invalid_asset_id"),
        ({"key": "x" * 256}, "invalid_asset_id"),
        ({"user_id": "ann@example.com"}, "invalid_collection_id"),
        ({"collection": "their collection"}, "invalid_collection_id"),
        ({"collection_engine": "dlib-resnet-v1"}, "other_engine"),
    ],
)
def test_keys_that_rekognition_does_not_take(
    rekognition: Remote, values: dict[str, Any], code: str
) -> None:
    """They fail before the picture is fetched and before anything is called."""
    with Client() as client:
        faces = RekognitionFaces(connect(), NoLimits())
        steps = Steps(ProviderBackend(client, faces, NoLimits(), 1_000_000), "savta-user-")
        with pytest.raises(Permanent) as caught:
            steps(a_row(**values))
        faces.close()
    assert caught.value.code == code
    assert rekognition.state()["calls"] == {}


class Refusing(RekognitionFaces):
    """Answers one search, and has no credentials any more afterwards."""

    def __init__(self) -> None:
        super().__init__(connect(), NoLimits())
        self.searched: list[str] = []

    def search(self, collection: str, face_id: str, **_: Any) -> list[Match]:
        """One match; raises `Halt` from the second call on."""
        if self.searched:
            raise Halt("the credentials have expired")
        self.searched.append(face_id)
        return [Match("other", 99.0)]


def unsearched(faces: Sequence[str]) -> dict[str, Any]:
    """A row whose faces are found."""
    known: list[dict[str, Any]] = [
        {"face": one, "face_id": one, "searched": False, "matches": None, "box": {}}
        for one in faces
    ]
    return a_row(state="found", collection="c", arn="a", collection_engine="rekognition",
                 faces=known, to_delete=[])  # fmt: skip


def test_what_was_paid_for_is_kept_whatever_comes_next(rekognition: Remote) -> None:
    """A step that can't go on hands over what it has, and the next one says why it can't."""
    with Client() as client:
        faces = Refusing()
        steps = Steps(ProviderBackend(client, faces, NoLimits(), 1_000_000), "savta-user-")
        result = steps(unsearched(["f1", "f2"]))
        assert result.more
        assert result.value["searched"] == ["f1"]
        with pytest.raises(Halt):
            steps(unsearched(["f2"]))
        faces.close()
