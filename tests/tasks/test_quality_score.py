"""quality_score from a row to its result, against servers that behave well or badly."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from runner.errors import NothingFound, Permanent, Retry, RowOutcome, Skip, UsageError
from runner.tasks.quality_score import task
from runner.tasks.quality_score.boxes import Box, overlap
from tests.plugins.picture_host import MISSING, PictureHost
from tests.tasks.samples import BOX, PICTURE, SUBJECT, Open, picture_of, row, value


def flat_picture() -> bytes:
    """A picture that shows nothing at all."""
    file = io.BytesIO()
    Image.new("RGB", (800, 600), (120, 130, 140)).save(file, "PNG")
    return file.getvalue()


def test_stored_box_gives_an_exact_score(opened: Open, picture_host: PictureHost) -> None:
    """With a stored box the score and all its details are known exactly."""
    found = value(opened(), picture_host.add("/a.jpg", PICTURE), boxes=[BOX])
    details = found["quality_details"]
    brightness = details["picture"].pop("brightness")
    assert 160 < brightness < 180
    assert found["quality_score"] == 100
    assert details == {
        "version": 1,
        "algorithm": "weighted-five-part",
        "parts": {
            "size": 100.0, "position": 100.0, "resolution": 100.0, "contrast": 100.0,
            "primary": 100.0,
        },
        "box": BOX,
        "box_source": "stored",
        "confidence": 1.0,
        "subjects": 1,
        "picture": {
            "width": 800, "height": 600, "format": "JPEG", "mode": "RGB", "animated": False,
            "scale": 1.0,
        },
    }  # fmt: skip


def test_score_follows_from_the_stored_parts(opened: Open, picture_host: PictureHost) -> None:
    """Anybody can compute the score again from the details."""
    found = value(
        opened(), picture_host.add("/a.jpg", PICTURE), boxes={**BOX, "width": 0.1, "height": 0.3}
    )
    parts = found["quality_details"]["parts"]
    weighted = (
        0.25 * parts["size"] + 0.20 * parts["position"] + 0.20 * parts["resolution"]
        + 0.15 * parts["contrast"] + 0.20 * parts["primary"]
    )  # fmt: skip
    assert found["quality_score"] == int(weighted + 0.5) == 70


def test_pixel_boxes_refer_to_the_stored_size(opened: Open, picture_host: PictureHost) -> None:
    """Pixels count in the size that the application knows, else in that of the file."""
    url = picture_host.add("/a.jpg", PICTURE)
    boxes = {"x": 240, "y": 150, "width": 320, "height": 300}
    same = value(opened(), url, boxes=boxes)["quality_details"]
    double = value(opened(), url, boxes=boxes, width=1600, height=1200)["quality_details"]
    assert same["box"] == BOX
    assert double["box"] == {"x": 0.15, "y": 0.125, "width": 0.2, "height": 0.25}
    assert same["notes"] == ["stored boxes read as pixels"]


def test_without_a_box_it_is_estimated(opened: Open, picture_host: PictureHost) -> None:
    """A clear subject is found without any box or detector, and marked as estimated."""
    details = value(opened(), picture_host.add("/a.jpg", PICTURE))["quality_details"]
    assert details["box_source"] == "estimated"
    assert details["detector"] == {"name": "saliency-median", "version": "1"}
    assert details["confidence"] > 0.6
    assert overlap(Box(**details["box"]), SUBJECT) > 0.7


def test_nonsense_boxes_are_noted_and_passed_over(opened: Open, picture_host: PictureHost) -> None:
    """A stored box that makes no sense leaves the question to the next in the chain."""
    url = picture_host.add("/a.jpg", PICTURE)
    details = value(opened(), url, boxes=[{"x": 5}])["quality_details"]
    assert details["box_source"] == "estimated"
    assert details["notes"] == ["stored box 1 ignored: not a box"]


def test_flat_picture_has_no_subject(opened: Open, picture_host: PictureHost) -> None:
    """A picture that is all the same has no subject and scores accordingly."""
    found = value(opened(), picture_host.add("/f.png", flat_picture()))
    assert found["quality_score"] == 55
    assert found["quality_details"]["box_source"] == "none"
    assert found["quality_details"]["box"] is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(picture_of("PNG", "L"), id="gray"),
        pytest.param(picture_of("JPEG", "CMYK"), id="CMYK"),
        pytest.param(picture_of("GIF", "P"), id="GIF"),
        pytest.param(picture_of("PNG", "P", transparency=0), id="palette-with-transparency"),
        pytest.param(picture_of("WEBP"), id="WEBP"),
        pytest.param(picture_of("TIFF"), id="TIFF"),
    ],
)
def test_unusual_picture_is_scored(opened: Open, picture_host: PictureHost, data: bytes) -> None:
    """Any kind of picture ends in a score."""
    found = value(opened(), picture_host.add("/u", data), boxes=[BOX])
    assert found["quality_score"] == 100


@pytest.mark.parametrize(
    "path, kind, code, words",
    [
        (MISSING, Permanent, "http_404", "not found"),
        ("/html.jpg", Permanent, "not_a_picture", "not a picture: HTML page"),
        ("/empty.jpg", Permanent, "empty", "0 bytes"),
        ("/error.jpg", Retry, "http_500", "the server failed"),
        ("/drip.jpg", Retry, "timeout", "not done after 1 seconds"),
        ("/cut.jpg", Permanent, "truncated_picture", "it ends early"),
        ("/drawing.svg", Permanent, "not_a_picture", "SVG drawing"),
        ("/large.jpg", Permanent, "too_large", "larger than the limit of 1,000,000 bytes"),
    ],
)
def test_bad_input_is_explained(
    opened: Open,
    picture_host: PictureHost,
    path: str,
    kind: type[RowOutcome],
    code: str,
    words: str,
) -> None:
    """A person who reads only the row's error knows what is wrong with which file."""
    picture_host.add("/cut.jpg", PICTURE[: len(PICTURE) // 2])
    picture_host.add("/drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    picture_host.add("/large.jpg", bytes(1_000_001))
    compute = opened(download_timeout=1.0, max_megabytes=1)
    with pytest.raises(RowOutcome) as caught:
        compute(row(picture_host.url + path + "?token=secret"))
    error = caught.value
    assert isinstance(error, kind)
    assert isinstance(error, Permanent | Retry)
    assert (error.code, words in str(error)) == (code, True)
    assert str(error).startswith(f"{picture_host.url}{path}?...: ")
    assert "secret" not in str(error)


def test_pixel_cap_is_an_option(opened: Open, picture_host: PictureHost) -> None:
    """A picture over the cap is refused with its size."""
    file = io.BytesIO()
    Image.new("1", (1001, 1000)).save(file, "PNG")
    with pytest.raises(Permanent, match=r"1001 x 1000 is 1\.0 megapixels") as caught:
        opened(max_megapixels=1)(row(picture_host.add("/b.png", file.getvalue())))
    assert caught.value.code == "too_many_pixels"


@pytest.mark.parametrize("url", [None, "", "  "])
def test_row_without_a_url_is_skipped(opened: Open, url: str | None) -> None:
    """A row that has no picture is no subject."""
    with pytest.raises(Skip):
        opened()(row(url))


def test_local_upload_needs_a_base(opened: Open, tmp_path: Path) -> None:
    """A relative URL says what to set, and works once it is set."""
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    with pytest.raises(Permanent, match="--base-url") as caught:
        opened()(row("/a.jpg", source_type="local_upload"))
    assert caught.value.code == "no_base_url"
    assert value(opened(base_url=str(tmp_path)), "/a.jpg", boxes=[BOX])["quality_score"] == 100


def test_uncertain_box_leaves_the_score_null(opened: Open, picture_host: PictureHost) -> None:
    """Below the bound the row ends as found nothing, with its details and without a score."""
    url = picture_host.add("/a.jpg", PICTURE)
    with pytest.raises(NothingFound, match=r"confidence 0\.\d\d is below 1\.00") as caught:
        opened(min_box_confidence=1.0)(row(url))
    assert caught.value.result is not None
    assert caught.value.result["quality_score"] is None
    assert caught.value.result["quality_details"]["box_source"] == "estimated"
    assert value(opened(min_box_confidence=1.0), url, boxes=[BOX])["quality_score"] == 100


@pytest.mark.parametrize(
    "given, words",
    [
        ({"detector": "http"}, "--detector http needs --detector-url"),
        ({"detector_url": "http://x/"}, "is for --detector http"),
        ({"detector": "http", "detector_url": "ftp://x/"}, "--detector-url: can't download"),
        ({"base_url": "/no/such/folder"}, "neither an http"),
    ],
)
def test_settings_that_cannot_work(opened: Open, given: dict[str, Any], words: str) -> None:
    """A setting that can't work is a usage error before any row is touched."""
    with pytest.raises(UsageError, match=words):
        opened(**given)


def test_task_keeps_the_documented_pacing() -> None:
    """The seeds of the limits are those that users know."""
    pacing = task.pacing
    assert (task.name, task.version) == ("quality_score", 1)
    assert (pacing.batch_size, pacing.batch_size_max) == (10, 50)
    assert (pacing.delay_ms, pacing.delay_ms_max) == (2000, 30_000)


def test_a_row_can_not_call_into_the_network(opened: Open) -> None:
    """An address that is not public is refused unless it is allowed."""
    compute = opened(allow="")
    with pytest.raises(Permanent, match="is loopback") as refused:
        compute({"key": "1", "url": "http://127.0.0.1:1/a.jpg"})
    assert refused.value.code == "address_refused"
