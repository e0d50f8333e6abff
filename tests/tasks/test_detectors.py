"""The detectors: what a vision service answers, refuses or gets wrong."""

from __future__ import annotations

from typing import Any

import pytest

from runner.contract import Result
from runner.errors import Permanent, Retry, RowOutcome, UsageError
from tests.plugins.detectors import RekognitionService, VisionService
from tests.plugins.picture_host import PictureHost, body
from tests.tasks.samples import BOX, PICTURE, Open, row, value

# --- a vision service over HTTP


def http_options(service: VisionService, **given: Any) -> dict[str, Any]:
    """Settings that lead to the service."""
    return {"detector": "http", "detector_url": service.url + "/detect", **given}


def test_http_detector_finds_the_subject(
    opened: Open,
    picture_host: PictureHost,
    vision_service: VisionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The service's box, confidence and visible ratio count; it is asked with the token."""
    monkeypatch.setenv("BACKFILL_DETECTOR_TOKEN", "t0ken")
    vision_service.detections = [
        {"box": [0.3, 0.25, 0.4, 0.5], "label": "bird", "confidence": 0.9, "visible_ratio": 0.3},
        {"box": [0.0, 0.0, 0.9, 0.9], "label": "tree", "confidence": 0.99},
        {"box": [0.0, 0.0, 0.8, 0.9], "label": "bird", "confidence": 0.2},
    ]
    found = value(opened(**http_options(vision_service)), picture_host.add("/a.jpg", PICTURE))
    details = found["quality_details"]
    assert details["box"] == BOX
    assert details["box_source"] == "test-vision"
    assert details["detector"] == {"name": "test-vision", "version": "2.1"}
    assert (details["confidence"], details["visible_ratio"], details["subjects"]) == (0.9, 0.3, 1)
    assert found["quality_score"] == 90
    assert vision_service.requests[0].headers["authorization"] == "Bearer t0ken"


def test_stored_box_spares_the_detector(
    opened: Open, picture_host: PictureHost, vision_service: VisionService
) -> None:
    """A service is not asked, nor paid, for what the database knows."""
    compute = opened(**http_options(vision_service))
    value(compute, picture_host.add("/a.jpg", PICTURE), boxes=[BOX])
    assert vision_service.requests == []


def test_several_subjects_share_the_score(
    opened: Open, picture_host: PictureHost, vision_service: VisionService
) -> None:
    """Of several subjects the largest is the main one, and the primary part is 75."""
    vision_service.detections = [
        {"box": [0.1, 0.1, 0.2, 0.2], "confidence": 0.9},
        {"box": [0.3, 0.25, 0.4, 0.5], "confidence": 0.8},
    ]
    found = value(opened(**http_options(vision_service)), picture_host.add("/a.jpg", PICTURE))
    assert found["quality_details"]["box"] == BOX
    assert found["quality_details"]["parts"]["primary"] == 75
    assert found["quality_score"] == 95


def test_no_subject_is_an_answer(
    opened: Open, picture_host: PictureHost, vision_service: VisionService
) -> None:
    """A service that sees no subject is believed: no estimate takes its place."""
    compute = opened(**http_options(vision_service, min_box_confidence=0.9))
    found = value(compute, picture_host.add("/a.jpg", PICTURE))
    assert found["quality_score"] == 55
    assert found["quality_details"]["box"] is None
    assert found["quality_details"]["box_source"] == "test-vision"


@pytest.mark.parametrize(
    "status, headers, kind, code",
    [
        (401, {}, Permanent, "detector_denied"),
        (403, {}, Permanent, "detector_denied"),
        (404, {}, Permanent, "detector_rejected"),
        (413, {}, Permanent, "detector_rejected"),
        (429, {"Retry-After": "3"}, Retry, "http_429"),
        (500, {}, Retry, "http_500"),
    ],
)
def test_http_detector_refusal(
    opened: Open,
    picture_host: PictureHost,
    vision_service: VisionService,
    status: int,
    headers: dict[str, str],
    kind: type[RowOutcome],
    code: str,
) -> None:
    """What the service refuses is told apart from what it may do later."""
    vision_service.misbehaviour = body(b"", status, headers)
    with pytest.raises(RowOutcome, match=r"^detector http://") as caught:
        opened(**http_options(vision_service))(row(picture_host.add("/a.jpg", PICTURE)))
    error = caught.value
    assert isinstance(error, kind)
    assert isinstance(error, Permanent | Retry)
    assert error.code == code
    if isinstance(error, Retry) and status == 429:
        assert (error.after, error.counts) == (3.0, False)


@pytest.mark.parametrize(
    "reply",
    [
        b"<html>", b"[]", b"{}", b'{"name": "n", "version": "1", "detections": [{}]}',
        b'{"name": "n", "version": "1", "detections": [{"box": [0, 0, 2, 2], "confidence": 1}]}',
        b'{"name": "n", "version": "1", "detections": [{"box": [0, 0, 1, 1], "confidence": 97}]}',
        b'{"name": "n", "version": "1", "detections": 5}', b"\xff\xfe",
    ],
)  # fmt: skip
def test_http_detector_talks_nonsense(
    opened: Open, picture_host: PictureHost, vision_service: VisionService, reply: bytes
) -> None:
    """An answer in another form is an error that names the detector, never a made-up score."""
    vision_service.misbehaviour = body(reply)
    with pytest.raises(Retry, match="detector's answer is not in the documented form") as caught:
        opened(**http_options(vision_service))(row(picture_host.add("/a.jpg", PICTURE)))
    assert caught.value.code == "detector_reply"


# --- Amazon Rekognition


def bird(*instances: tuple[dict[str, float], float], confidence: float = 99.0) -> dict[str, Any]:
    """The label Bird with these boxes and confidences, as DetectLabels gives it."""
    return {
        "Name": "Bird",
        "Confidence": confidence,
        "Instances": [{"BoundingBox": box, "Confidence": sure} for box, sure in instances],
        "Parents": [{"Name": "Animal"}],
    }


REKOGNITION_BOX = {"Left": 0.3, "Top": 0.25, "Width": 0.4, "Height": 0.5}


def test_rekognition_finds_the_subject(
    opened: Open, picture_host: PictureHost, rekognition_service: RekognitionService
) -> None:
    """The instances of the label count, and the call's price is reported."""
    rekognition_service.labels = [
        bird((REKOGNITION_BOX, 97.5), ({**REKOGNITION_BOX, "Width": 0.7}, 20.0)),
        {"Name": "Tree", "Confidence": 99.9, "Instances": [], "Parents": []},
    ]
    compute = opened(detector="rekognition")
    result = compute(row(picture_host.add("/a.jpg", PICTURE)))
    assert isinstance(result, Result)
    assert result.spend_usd == pytest.approx(0.001)
    details = result.value["quality_details"]
    assert details["box"] == BOX
    assert (details["box_source"], details["confidence"]) == ("rekognition", 0.975)
    assert details["detector"] == {"name": "rekognition", "version": "3.0"}
    assert result.value["quality_score"] == 100


def test_rekognition_sees_none(
    opened: Open, picture_host: PictureHost, rekognition_service: RekognitionService
) -> None:
    """No such label means no subject."""
    found = value(opened(detector="rekognition"), picture_host.add("/a.jpg", PICTURE))
    assert found["quality_score"] == 55
    assert found["quality_details"]["box_source"] == "rekognition"


def test_rekognition_sees_it_but_not_where(
    opened: Open, picture_host: PictureHost, rekognition_service: RekognitionService
) -> None:
    """A label without instances leaves the place to the estimate; the call is paid all the same."""
    rekognition_service.labels = [bird()]
    result = opened(detector="rekognition")(row(picture_host.add("/a.jpg", PICTURE)))
    assert isinstance(result, Result)
    assert result.spend_usd == pytest.approx(0.001)
    assert result.value["quality_details"]["box_source"] == "estimated"
    assert result.value["quality_details"]["notes"] == ["rekognition saw it, but not where"]


@pytest.mark.parametrize(
    "status, code, kind, expected, asked",
    [
        (400, "AccessDeniedException", Permanent, "detector_denied", 1),
        (400, "ExpiredTokenException", Permanent, "detector_denied", 1),
        (400, "ImageTooLargeException", Permanent, "detector_rejected", 1),
        (400, "InvalidImageFormatException", Permanent, "detector_rejected", 1),
        (400, "ProvisionedThroughputExceededException", Retry, "detector_throttled", 3),
        (400, "ThrottlingException", Retry, "detector_throttled", 3),
        (500, "InternalServerError", Retry, "detector", 3),
    ],
)
def test_rekognition_errors(
    opened: Open,
    picture_host: PictureHost,
    rekognition_service: RekognitionService,
    status: int,
    code: str,
    kind: type[RowOutcome],
    expected: str,
    asked: int,
) -> None:
    """Each error has its outcome, and the SDK tries at most twice more by itself."""
    rekognition_service.errors = [(status, code)] * 10
    with pytest.raises(RowOutcome, match=code) as caught:
        opened(detector="rekognition")(row(picture_host.add("/a.jpg", PICTURE)))
    error = caught.value
    assert isinstance(error, kind)
    assert isinstance(error, Permanent | Retry)
    assert error.code == expected
    assert len(rekognition_service.requests) == asked
    if isinstance(error, Retry):
        assert error.counts == (expected != "detector_throttled")


@pytest.mark.parametrize("missing", ["AWS_REGION", "AWS_ACCESS_KEY_ID"])
def test_rekognition_needs_its_settings(
    opened: Open,
    rekognition_service: RekognitionService,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
) -> None:
    """Without region or credentials the run doesn't begin, and the message says what to set."""
    monkeypatch.delenv(missing)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if missing == "AWS_ACCESS_KEY_ID":
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UsageError, match=missing):
        opened(detector="rekognition")
