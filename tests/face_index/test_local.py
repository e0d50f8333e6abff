"""face_index without any provider: found with dlib, compared by the database."""

from __future__ import annotations

import io
import sys
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.face_index.application import ANN, BEN, Application
from tests.face_index.conftest import Album, Run
from tests.rekognition.portraits import Face
from tests.rekognition.remote import Remote

pytest.importorskip("dlib", reason="needs pip install 'pgbackfill[faces-local]'")

LOCAL = ("--backend", "local")


@pytest.fixture(scope="module")
def head() -> Image.Image:
    """An astronaut's head, 200 x 200: NASA's, in the public domain, from scikit-image."""
    path = Path(str(distribution("scikit-image").locate_file("skimage/data/astronaut.png")))
    return Image.open(path).convert("RGB").crop((130, 0, 330, 200))


def file(image: Image.Image, quality: int = 90, turn: int = 0) -> bytes:
    """The picture as a JPEG; `turn`: stored on its side, with a note that says so."""
    data, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6 if turn else 1
    image.rotate(turn, expand=True).save(data, "JPEG", quality=quality, exif=exif)
    return data.getvalue()


def beside(*images: Image.Image) -> Image.Image:
    """Pictures side by side."""
    whole = Image.new("RGB", (sum(one.width for one in images), 200), "gray")
    left = 0
    for one in images:
        whole.paste(one, (left, 0))
        left += one.width
    return whole


def test_the_same_bands_without_a_provider(
    application: Application, album: Album, rekognition: Remote, run: Run, head: Image.Image
) -> None:
    """Who is known is linked, somebody is asked where one is there twice, and nobody is called."""
    known = application.add(album.put("known.jpg", file(head)))
    assert run(*LOCAL).code == 0
    application.link(known, application.person("Ada"))
    blurred = head.filter(ImageFilter.GaussianBlur(3.5))
    noise = Image.fromarray(
        np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    )
    pictures = {
        "again": file(head.resize((160, 160)), 60), "turned": file(head, turn=90),
        "twice": file(beside(head, head)), "noise": file(noise), "blurred": file(blurred),
    }  # fmt: skip
    assets = {name: application.add(album.put(name, data)) for name, data in pictures.items()}
    theirs = application.add("known.jpg", BEN)
    ended = run(*LOCAL, "--max-cost", "0.01")
    assert ended.code == 0
    shown = {name: application.shown(asset) for name, asset in assets.items()}
    assert shown == {
        "again": ["Ada"], "turned": ["Ada"], "twice": [None, None], "noise": [], "blurred": [],
    }  # fmt: skip
    assert application.shown(theirs) == [None]
    assert application.outcomes() == {"ok": 5, "nothing_found": 2}
    (row,) = application.all("select left_out from backfill.face_asset where left_out <> '[]'")
    assert "sure to be a face" in row["left_out"][0]["why"]
    twice = application.all(
        "select suggestions from backfill.faces_to_review where asset::text = %s", assets["twice"]
    )
    assert [[one["name"] for one in row["suggestions"]] for row in twice] == [["Ada"], ["Ada"]]
    boxes = application.all(
        "select bounding_box ->> 'Left' as at from faces where asset_id::text = any (%s)",
        [known, assets["turned"]],
    )
    assert float(boxes[0]["at"]) == pytest.approx(float(boxes[1]["at"]), abs=0.05)
    collections = application.all("select engine, engine_version, arn from face_collections")
    assert collections == [{"engine": "dlib-resnet-v1", "engine_version": "1", "arn": None}] * 2
    assert application.checks() == []
    assert application.all("select * from backfill.spend") == []
    assert rekognition.state()["calls"] == {}


def test_from_one_engine_to_the_other(
    application: Application, album: Album, rekognition: Remote, run: Run, head: Image.Image
) -> None:
    """Only by a reset, which takes pictures without a face along."""
    with_face = application.add(album.put("face.jpg", file(head)))
    drawn = application.add(album.photo("drawn", Face(1)))
    assert run(*LOCAL).code == 0
    assert application.outcomes() == {"ok": 1, "nothing_found": 1}
    later = application.add(album.photo("later", Face(2)))
    assert run().code == 3
    assert application.one("select error_class from backfill.failures") == "other_engine"
    application.all("select backfill.face_index_reset(%s)", ANN)
    assert run().code == 0
    assert application.outcomes() == {"ok": 2, "nothing_found": 1}
    held = application.all("select asset_id::text as a from faces order by rekognition_face_id")
    assert {row["a"] for row in held} == {drawn, later}
    assert application.needs(with_face) is None
    assert application.checks() == []


def test_another_version_of_the_engine_never_mixes(
    application: Application, album: Album, run: Run, head: Image.Image
) -> None:
    """Faces that were described by another version can't be compared; the row says what to do."""
    application.add(album.put("face.jpg", file(head)))
    application.all(
        "insert into face_collections (user_id, aws_collection_id, engine, engine_version)"
        " values (%s, 'theirs', 'dlib-resnet-v1', '0')",
        ANN,
    )
    assert run(*LOCAL).code == 3
    failure = application.one("select to_jsonb(f) from backfill.failures f")
    assert failure["error_class"] == "other_engine"
    assert f"face_index_reset('{ANN}')" in failure["error_message"]
    assert application.one("select count(*) from faces") == 0


def test_without_dlib_one_line_says_what_to_install(
    application: Application, album: Album, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is not begun, and the other backend works all the same."""
    application.add(album.photo("one", Face(1)))
    monkeypatch.setitem(sys.modules, "dlib", None)
    ended = run(*LOCAL)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert "pip install 'pgbackfill[faces-local]'" in line
    assert application.one("select count(*) from backfill.run") == 0
    assert run().code == 0
