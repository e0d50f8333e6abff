"""The detectors: what a vision service answers, refuses or gets wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from runner.contract import Call, Compute, Effect, NoLimits, Result
from runner.errors import Halt, Permanent, Retry, RowOutcome, UsageError
from runner.faces.rekognition_calls import RATE
from runner.faces.rekognition_errors import LostReply
from runner.tasks.quality_score import task
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


class NotedLimits(NoLimits):
    """Remembers turns, calls and what it is told."""

    def __init__(self) -> None:
        self.turns: list[str] = []
        self.told: list[str] = []
        self.calls: list[tuple[str, Call]] = []
        self.effects: list[Effect] = []

    def acquire(
        self, name: str, tokens: int = 1, *, timeout: float | None = None
    ) -> AbstractContextManager[None]:
        """A turn at once."""
        self.turns.append(name)
        return nullcontext()

    def throttled(self, name: str, after: float | None) -> None:
        """Remember it."""
        self.told.append(f"throttled {name}")

    def succeeded(self, name: str) -> None:
        """Remember it."""
        self.told.append(f"succeeded {name}")

    def effect(self, key: str, call: Call) -> AbstractContextManager[Effect]:
        """Remember both."""
        self.calls.append((key, call))
        self.effects.append(Effect(Decimal(0)))
        return nullcontext(self.effects[-1])


@dataclass(frozen=True)
class Detecting:
    """The task with Rekognition as its detector, and one picture."""

    limiter: NotedLimits
    compute: Compute
    url: str

    def one(self) -> object:
        """Compute the row of the picture, whose key is 1."""
        return self.compute(row(self.url))


@pytest.fixture
def detecting(
    picture_host: PictureHost, rekognition_service: RekognitionService
) -> Iterator[Detecting]:
    """The task as a run opens it, under shared limits."""
    settings = {option.name: option.default for option in task.options}
    settings |= {"detector": "rekognition", "allow": "127.0.0.1"}
    limiter = NotedLimits()
    with task.opened(settings, limiter) as compute:
        yield Detecting(limiter, compute, picture_host.add("/a.jpg", PICTURE))


REKOGNITION_BOX = {"Left": 0.3, "Top": 0.25, "Width": 0.4, "Height": 0.5}


def test_rekognition_finds_the_subject(
    opened: Open, picture_host: PictureHost, rekognition_service: RekognitionService
) -> None:
    """The instances of the label count."""
    rekognition_service.labels = [
        bird((REKOGNITION_BOX, 97.5), ({**REKOGNITION_BOX, "Width": 0.7}, 20.0)),
        {"Name": "Tree", "Confidence": 99.9, "Instances": [], "Parents": []},
    ]
    compute = opened(detector="rekognition")
    result = compute(row(picture_host.add("/a.jpg", PICTURE)))
    assert isinstance(result, Result)
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
    """A label without instances leaves the place to the estimate."""
    rekognition_service.labels = [bird()]
    result = opened(detector="rekognition")(row(picture_host.add("/a.jpg", PICTURE)))
    assert isinstance(result, Result)
    assert result.value["quality_details"]["box_source"] == "estimated"
    assert result.value["quality_details"]["notes"] == ["rekognition saw it, but not where"]


@pytest.mark.parametrize(
    "status, code, kind, expected",
    [
        (400, "AccessDeniedException", Halt, None),
        (400, "ExpiredTokenException", Halt, None),
        (400, "ImageTooLargeException", Permanent, "image_too_large"),
        (400, "InvalidImageFormatException", Permanent, "invalid_image_format"),
        (400, "ProvisionedThroughputExceededException", Retry, "throttled"),
        (400, "ThrottlingException", Retry, "throttled"),
        (500, "InternalServerError", Retry, "server_error"),
    ],
)
def test_rekognition_errors(
    detecting: Detecting,
    rekognition_service: RekognitionService,
    status: int,
    code: str,
    kind: type[RowOutcome],
    expected: str | None,
) -> None:
    """Each has its outcome, is not repeated at once, and is not charged for."""
    rekognition_service.errors = [(status, code)] * 10
    with pytest.raises(kind, match=code) as caught:
        detecting.one()
    error = caught.value
    assert getattr(error, "code", None) == expected
    assert len(rekognition_service.requests) == 1
    (effect,) = detecting.limiter.effects
    assert (effect.state, effect.note) == ("refused", str(error))
    throttled = expected == "throttled"
    assert detecting.limiter.told == (["throttled rekognition"] if throttled else [])
    if isinstance(error, Retry):
        assert error.counts != throttled


def test_a_call_of_rekognition_is_written_down_and_in_its_turn(
    detecting: Detecting, rekognition_service: RekognitionService
) -> None:
    """With what it is billed by, and the row's key; the shared rate hears that it went well."""
    result = detecting.one()
    assert isinstance(result, Result)
    assert result.spend_usd == 0
    assert detecting.limiter.calls == [
        ("1", Call("rekognition", "DetectLabels", "eu-west-1", reference="1"))
    ]
    assert [effect.state for effect in detecting.limiter.effects] == ["answered"]
    assert detecting.limiter.turns == ["rekognition"]
    assert detecting.limiter.told == ["succeeded rekognition"]


def test_a_lost_answer_of_rekognition_may_have_been_charged(
    detecting: Detecting, rekognition_service: RekognitionService
) -> None:
    """It is no refusal."""
    rekognition_service.errors = [(502, "")]
    with pytest.raises(LostReply):
        detecting.one()
    assert [effect.state for effect in detecting.limiter.effects] == ["answered"]


def test_stored_boxes_need_no_calls(rekognition_service: RekognitionService) -> None:
    """The estimate is by what a sample of the rows has; without Rekognition nothing is paid."""
    settings = {option.name: option.default for option in task.options}
    rows = [row("a"), row("b"), row("c", boxes=BOX), row("d", boxes="[]")]
    assert task.expected is not None
    assert task.expected(settings, rows) == ()
    (found,) = task.expected({**settings, "detector": "rekognition"}, rows)
    assert (found.operation, found.region, found.rate) == ("DetectLabels", "eu-west-1", RATE)
    assert (found.a_row, found.basis) == (0.75, "3 of 4 pictures have no box stored")


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
